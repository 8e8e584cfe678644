"""Runs over iterables of users that raise, hang or are left early, against the emulator."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from worlds import World

from imgwire_async import AsyncImgwireClient, ImgwireClient, Timeouts
from imgwire_async.batch import AsyncBatch, Batch, BatchItem
from imgwire_async.emulator import Emulator

from .gifs import gif


@pytest.fixture
async def client(emulator: Emulator, world: World) -> AsyncIterator[AsyncImgwireClient]:
    async with world.client_of(emulator, timeout=Timeouts(stall=1)) as client:
        yield client


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Return an event that iterators of a test wait for. It is set at the end."""
    event = threading.Event()
    yield event
    event.set()


def item(number: int) -> BatchItem:
    return BatchItem(str(number), gif(number))


class Files:
    """Three files, then an iterator that hangs until an event is set. It notes its end."""

    def __init__(self, released: threading.Event) -> None:
        self.released = released
        self.ended = threading.Event()

    def plain(self) -> Iterator[BatchItem]:
        try:
            yield from map(item, range(3))
            self.released.wait()
        finally:
            self.ended.set()

    async def slow(self) -> AsyncIterator[BatchItem]:
        try:
            for number in range(3):
                yield item(number)
            await asyncio.sleep(3_600)
        finally:
            self.ended.set()

    async def stubborn(self) -> AsyncIterator[BatchItem]:
        """Ignore each cancellation."""
        for number in range(3):
            yield item(number)
        while not self.released.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.02)


KINDS = ["plain", "slow", pytest.param("stubborn", marks=pytest.mark.slow)]


@pytest.mark.parametrize("kind", KINDS)
async def test_stop_ends_a_run_whose_iterator_hangs(
    client: AsyncImgwireClient, folder: Path, released: threading.Event, kind: str
) -> None:
    files = Files(released)
    done: list[str] = []
    async with AsyncBatch(client, folder / "j") as batch:
        async for result in batch.upload(getattr(files, kind)()):
            done.append(result.key)
            if len(done) == 3:
                batch.stop()
                stopped_at = time.monotonic()
    assert time.monotonic() - stopped_at < 15
    assert sorted(done) == ["0", "1", "2"]
    released.set()
    if kind != "stubborn":
        assert await asyncio.to_thread(files.ended.wait, 10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["break", "cancel"])
async def test_leaving_a_run_early_ends_its_iterator(
    client: AsyncImgwireClient, folder: Path, released: threading.Event, kind: str, way: str
) -> None:
    files = Files(released)

    async def run() -> None:
        async with (
            AsyncBatch(client, folder / "j") as batch,
            contextlib.aclosing(batch.upload(getattr(files, kind)())) as results,
        ):
            async for _ in results:
                if way == "break":
                    break

    task = asyncio.ensure_future(run())
    started_at = time.monotonic()
    if way == "cancel":
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await asyncio.wait([task])
    assert time.monotonic() - started_at < 15
    released.set()
    if kind != "stubborn":
        assert await asyncio.to_thread(files.ended.wait, 10)


@pytest.mark.parametrize("is_async", [False, True])
async def test_files_before_an_error_of_the_iterable_are_uploaded(
    client: AsyncImgwireClient, emulator: Emulator, folder: Path, is_async: bool
) -> None:
    def plain() -> Iterator[Any]:
        yield from map(item, range(3))
        raise ZeroDivisionError

    async def slow() -> AsyncIterator[Any]:
        for found in map(item, range(3)):
            yield found
        raise ZeroDivisionError

    done: list[str] = []
    async with AsyncBatch(client, folder / "j") as batch:
        with pytest.raises(ZeroDivisionError):
            async for result in batch.upload(slow() if is_async else plain()):
                done.append(result.key)
    assert sorted(done) == ["0", "1", "2"]
    assert len(emulator.images) == 3


async def test_a_wrong_item_ends_the_run_with_its_position(client: AsyncImgwireClient, folder: Path) -> None:
    async with AsyncBatch(client, folder / "j") as batch:
        with pytest.raises(TypeError, match=r"files\[2\] must be a path"):
            async for _ in batch.upload([item(0), item(1), 7]):  # type: ignore[list-item]  # wrong
                pass


async def test_a_blocking_batch_may_be_left_while_its_iterator_continues(
    emulator: Emulator, folder: Path
) -> None:
    threads: set[int] = set()

    def items() -> Iterator[BatchItem]:
        for number in range(10_000):
            threads.add(threading.get_ident())
            yield item(number)

    def upload() -> int:
        with ImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
            with Batch(client, folder / "j") as batch:
                for _ in batch.upload(items()):
                    break
            with Batch(client, folder / "j") as batch:
                assert len([*batch.records()]) < 10_000
        return threading.get_ident()

    assert {await asyncio.to_thread(upload)} == threads
