"""Files that a program has in memory: only some of them are there at the same time."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from worlds import World

from imgwire_async import AsyncImgwireClient
from imgwire_async.batch import AsyncBatch, BatchItem
from imgwire_async.emulator import Emulator

from .gifs import gif


@pytest.fixture
async def client(emulator: Emulator, world: World) -> AsyncIterator[AsyncImgwireClient]:
    async with world.client_of(emulator) as client:
        yield client


class Content(bytearray):
    """The bytes of a file, which can be counted."""

    __hash__ = object.__hash__  # type: ignore[assignment]  # for the count


class Counted:
    """Files in memory, and how many of them exist."""

    def __init__(self) -> None:
        self.now = 0
        self.peak = 0

    def items(self, count: int, size: int) -> Iterator[BatchItem]:
        for number in range(count):
            content = Content(gif(number))
            content.extend(bytes(size))
            self.now += 1
            self.peak = max(self.peak, self.now)
            weakref.finalize(content, self._end).atexit = False
            yield BatchItem(str(number), content)
            del content

    def _end(self) -> None:
        self.now -= 1


async def upload(batch: AsyncBatch, items: Iterator[BatchItem]) -> int:
    count = 0
    async for result in batch.upload(items):
        assert result.error is None
        count += 1
    return count


async def test_a_file_that_is_done_is_freed_at_once(client: AsyncImgwireClient, folder: Path) -> None:
    counted = Counted()
    async with AsyncBatch(client, folder / "j") as batch:
        gc.collect()
        gc.disable()
        try:
            assert await upload(batch, counted.items(40, 0)) == 40
            # The variables of tasks that have just ended may refer to the last one.
            await asyncio.sleep(0)
            assert counted.now <= 1
        finally:
            gc.enable()


@pytest.mark.slow
async def test_a_long_run_has_few_files_in_memory(client: AsyncImgwireClient, folder: Path) -> None:
    counted = Counted()
    async with AsyncBatch(client, folder / "j", concurrency=8) as batch:
        assert await upload(batch, counted.items(220, 2**20)) == 220
    assert counted.peak < 180
