"""The limit of an upload run can be raised and lowered while the run is in progress, and no file is lost."""

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

TIMEOUT = 5.0


@attrs.define
class GatedPictures:
    """Pictures whose sources wait for a permit. Counts the sources that wait and those that were started."""

    waiting: int = 0
    started: int = 0
    maximum: int = 0
    _permits: asyncio.Semaphore = attrs.field(factory=lambda: asyncio.Semaphore(0))

    async def picture(self, number: int) -> AsyncIterator[bytes]:
        self.started += 1
        self.waiting += 1
        self.maximum = max(self.maximum, self.waiting)
        await self._permits.acquire()
        self.waiting -= 1
        yield png(number + 1, 1)

    def pictures(self, count: int) -> list[AsyncIterator[bytes]]:
        return [self.picture(number) for number in range(count)]

    def release(self, count: int) -> None:
        for _ in range(count):
            self._permits.release()

    async def wait_until(self, **expected: int) -> None:
        """Wait until the counts are as expected, and assert that they stay so for some iterations."""
        async with asyncio.timeout(TIMEOUT):
            while {name: getattr(self, name) for name in expected} != expected:
                await asyncio.sleep(0.001)
        for _ in range(20):
            await asyncio.sleep(0)
        assert {name: getattr(self, name) for name in expected} == expected


@asynccontextmanager
async def running(
    client: AsyncImgwireClient, files: Any, limit: int
) -> AsyncIterator[tuple[UploadRun, asyncio.Task[list[UploadResult]]]]:
    """Start a run, and yield it and the task that reads its results."""
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


async def require_all_stored(reading: asyncio.Task[list[UploadResult]], count: int) -> None:
    """Assert that every file has one result, and that each upload succeeded."""
    async with asyncio.timeout(TIMEOUT):
        results = await reading
    assert sorted(result.index for result in results) == list(range(count))
    for result in results:
        assert result.unwrap().original_filename == "upload.png"


@pytest.mark.world
async def test_more_uploads_start_when_the_limit_is_raised(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    gated = GatedPictures()
    async with running(client, gated.pictures(12), 2) as (run, reading):
        await gated.wait_until(waiting=2, started=2)
        run.limit = 5
        await gated.wait_until(waiting=5, started=5)
        gated.release(12)
        await require_all_stored(reading, 12)
    assert gated.maximum == 5
    assert len(emulator.images) == 12


async def test_workers_above_a_lowered_limit_end_after_their_file(client: AsyncImgwireClient) -> None:
    gated = GatedPictures()
    async with running(client, gated.pictures(12), 6) as (run, reading):
        await gated.wait_until(waiting=6, started=6)
        run.limit = 2
        gated.release(4)
        await gated.wait_until(waiting=2, started=6)
        async with asyncio.timeout(TIMEOUT):
            # A worker above the limit would take a file that it may not start.
            while len(run._workers) > 2:
                await asyncio.sleep(0.001)
        gated.release(1)
        await gated.wait_until(waiting=2, started=7)
        run.limit = 4
        await gated.wait_until(waiting=4, started=9)
        gated.release(12)
        await require_all_stored(reading, 12)


async def test_files_that_arrive_late_start_one_by_one_under_a_lowered_limit(
    client: AsyncImgwireClient,
) -> None:
    gated = GatedPictures()
    arrive = asyncio.Event()

    async def late() -> AsyncIterator[Any]:
        await arrive.wait()
        for picture in gated.pictures(6):
            yield picture

    async with running(client, late(), 4) as (run, reading):
        await gated.wait_until(started=0)
        run.limit = 1
        arrive.set()
        for started in range(1, 6):
            await gated.wait_until(waiting=1, started=started)
            gated.release(1)
        gated.release(1)
        await require_all_stored(reading, 6)
    assert gated.maximum == 1


async def test_changing_the_limit_loses_no_file(client: AsyncImgwireClient) -> None:
    gated = GatedPictures()
    async with running(client, iter(gated.pictures(40)), 8) as (run, reading):
        gated.release(40)
        for limit in (1, 7, 2, 30, 1, 5, 1, 9):
            run.limit = limit
            assert run.limit == limit
            await asyncio.sleep(0.002)
        await require_all_stored(reading, 40)


async def test_a_run_with_a_lowered_limit_raises_the_error_that_ends_it(client: AsyncImgwireClient) -> None:
    gated = GatedPictures()

    async def broken() -> AsyncIterator[Any]:
        for picture in gated.pictures(4):
            yield picture
        raise OSError("the folder is gone")

    async with running(client, broken(), 4) as (run, reading):
        await gated.wait_until(waiting=4)
        run.limit = 1
        gated.release(4)
        with pytest.raises(OSError, match="the folder is gone"):
            async with asyncio.timeout(TIMEOUT):
                await reading
        # The run has ended, so no worker starts.
        run.limit = 3
        assert not run._workers


async def test_a_limit_below_one_is_rejected(client: AsyncImgwireClient) -> None:
    async with running(client, [png()], 1) as (run, reading):
        with pytest.raises(ValueError, match="1 or more"):
            run.limit = 0
        await require_all_stored(reading, 1)
