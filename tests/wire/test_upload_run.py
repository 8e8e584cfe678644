"""The limit of a run may change while it runs: more begin at once, too many end after their file, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest

from imgwire_async import AsyncImgwireClient, UploadResult
from imgwire_async.emulator import Emulator
from imgwire_async.resources.uploading import upload_run
from imgwire_async.uploads.upload_run import UploadRun

from .pictures import png

PATIENCE = 5.0


@attrs.define
class Gate:
    """Pictures that are read only when they are let through. Counts those that wait, and those that were begun."""

    waiting: int = 0
    begun: int = 0
    most: int = 0
    _passes: asyncio.Semaphore = attrs.field(factory=lambda: asyncio.Semaphore(0))

    async def picture(self, number: int) -> AsyncIterator[bytes]:
        self.begun += 1
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        await self._passes.acquire()
        self.waiting -= 1
        yield png(number + 1, 1)

    def pictures(self, count: int) -> list[AsyncIterator[bytes]]:
        return [self.picture(number) for number in range(count)]

    def let(self, count: int) -> None:
        for _ in range(count):
            self._passes.release()

    async def until(self, **wanted: int) -> None:
        """Wait until the counts are these, and then a moment longer: they must stay so."""
        async with asyncio.timeout(PATIENCE):
            while {name: getattr(self, name) for name in wanted} != wanted:
                await asyncio.sleep(0.001)
        for _ in range(20):
            await asyncio.sleep(0)
        assert {name: getattr(self, name) for name in wanted} == wanted


@asynccontextmanager
async def running(
    client: AsyncImgwireClient, files: Any, limit: int
) -> AsyncIterator[tuple[UploadRun, asyncio.Task[list[UploadResult]]]]:
    """A run, and the task that reads its results."""
    run = upload_run(
        client.images._transport(),
        files,
        client.images._wait_for_stored,
        concurrency=limit,
        wait=False,
        purpose=None,
        custom_metadata=None,
        on_created=None,
        on_progress=None,
    )

    async def read() -> list[UploadResult]:
        async with run as results:
            return [result async for result in results]

    reading = asyncio.ensure_future(read())
    try:
        yield run, reading
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def finished(reading: asyncio.Task[list[UploadResult]], count: int) -> None:
    """Every file has its one result, and all went well."""
    async with asyncio.timeout(PATIENCE):
        results = await reading
    assert sorted(result.index for result in results) == list(range(count))
    for result in results:
        assert result.unwrap().original_filename == "upload.png"


@pytest.mark.world
async def test_more_uploads_start_when_the_limit_is_raised(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    gate = Gate()
    async with running(client, gate.pictures(12), 2) as (run, reading):
        await gate.until(waiting=2, begun=2)
        run.limit = 5
        await gate.until(waiting=5, begun=5)
        gate.let(12)
        await finished(reading, 12)
    assert gate.most == 5
    assert len(emulator.images) == 12


async def test_workers_above_a_lowered_limit_end_after_their_file(client: AsyncImgwireClient) -> None:
    gate = Gate()
    async with running(client, gate.pictures(12), 6) as (run, reading):
        await gate.until(waiting=6, begun=6)
        run.limit = 2
        gate.let(4)
        await gate.until(waiting=2, begun=6)
        async with asyncio.timeout(PATIENCE):
            while len(run._workers) > 2:  # one beyond the limit would take a file that it may not begin
                await asyncio.sleep(0.001)
        gate.let(1)
        await gate.until(waiting=2, begun=7)
        run.limit = 4
        await gate.until(waiting=4, begun=9)
        gate.let(12)
        await finished(reading, 12)


async def test_files_that_arrive_late_start_one_by_one_under_a_lowered_limit(
    client: AsyncImgwireClient,
) -> None:
    gate = Gate()
    arrive = asyncio.Event()

    async def late() -> AsyncIterator[Any]:
        await arrive.wait()
        for picture in gate.pictures(6):
            yield picture

    async with running(client, late(), 4) as (run, reading):
        await gate.until(begun=0)
        run.limit = 1
        arrive.set()
        for begun in range(1, 6):
            await gate.until(waiting=1, begun=begun)
            gate.let(1)
        gate.let(1)
        await finished(reading, 6)
    assert gate.most == 1


async def test_changing_the_limit_loses_no_file(client: AsyncImgwireClient) -> None:
    gate = Gate()
    async with running(client, iter(gate.pictures(40)), 8) as (run, reading):
        gate.let(40)
        for limit in (1, 7, 2, 30, 1, 5, 1, 9):
            run.limit = limit
            assert run.limit == limit
            await asyncio.sleep(0.002)
        await finished(reading, 40)


async def test_a_run_with_a_lowered_limit_raises_the_error_that_ends_it(client: AsyncImgwireClient) -> None:
    gate = Gate()

    async def broken() -> AsyncIterator[Any]:
        for picture in gate.pictures(4):
            yield picture
        raise OSError("the folder is gone")

    async with running(client, broken(), 4) as (run, reading):
        await gate.until(waiting=4)
        run.limit = 1
        gate.let(4)
        with pytest.raises(OSError, match="the folder is gone"):
            async with asyncio.timeout(PATIENCE):
                await reading
        run.limit = 3  # it is over: nothing begins
        assert not run._workers


async def test_a_limit_below_one_is_rejected(client: AsyncImgwireClient) -> None:
    async with running(client, [png()], 1) as (run, reading):
        with pytest.raises(ValueError, match="1 or more"):
            run.limit = 0
        await finished(reading, 1)
