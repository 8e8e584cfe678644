"""Runs whose disk fills up, whose journal other code uses, whose folder moves, and whose clock jumps."""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imgwire_async.batch import AsyncBatch, JournalError, JournalLockedError
from imgwire_async.batch import folder as folder_source
from imgwire_async.emulator import Emulator

from .outcomes import check_exactly_once
from .picture_files import make_pictures
from .run_process import quick_client, run_process

# These take half a minute on a quiet machine, and several times that beside other work.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@pytest.fixture
def mode() -> str:
    return "ignored"


@pytest.fixture
def emulator(mode: Any) -> Iterator[Emulator]:
    # In a thread, because some tests block.
    with Emulator(ready_polls=0, idempotency=mode, list_order="updated") as emulator:
        yield emulator


@pytest.fixture
async def batches(emulator: Emulator, journal: Path) -> AsyncIterator[Callable[..., AsyncBatch]]:
    """A function that returns a batch of the journal, not yet entered."""
    async with quick_client(emulator.api_key, emulator.base_url) as client:
        yield functools.partial(AsyncBatch, client, journal)


@pytest.fixture
def journal(folder: Path) -> Path:
    return folder / "photos.journal"


@pytest.fixture
def photos(folder: Path) -> Path:
    return folder / "photos"


async def finish(batches: Callable[..., AsyncBatch], files: Any) -> None:
    """Run a batch to its end, without a failure."""
    async with batches() as batch:
        async for result in batch.upload(files):
            assert result.error is None, result
        summary = batch.summary()
        assert (summary.failed, summary.unsure, summary.left) == (0, 0, 0)


# --- the disk -----------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    """A file system of 1.5 MB."""
    disk = folder / "small"
    disk.mkdir()
    if sys.platform != "linux" or mount(f"-t tmpfs -o size=1500k tmpfs {disk}") != 0:
        pytest.skip("mounting is not permitted here")
    yield disk
    assert subprocess.call(["umount", str(disk)]) == 0


def mount(arguments: str) -> int:
    return subprocess.call(["mount", *arguments.split()], stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("mode", ["same", "conflict", "same_dead_url", "ignored"])
async def test_a_run_whose_disk_is_full_is_finished_by_the_next_one(
    emulator: Emulator, small_disk: Path, photos: Path
) -> None:
    hashes = make_pictures(photos, 600)
    journal = small_disk / "photos.journal"
    # Enough space for the first rows.
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(900_000))
    yielded: dict[str, str | None] = {}
    async with quick_client(emulator.api_key, emulator.base_url) as client:
        with pytest.raises(JournalError, match="disk is full"):
            async with AsyncBatch(client, journal) as batch:
                async for result in batch.upload(photos):
                    assert result.error is None, result
                    yielded[result.key] = result.image_id
        assert len(yielded) < 600
        ballast.unlink()
        assert mount(f"-o remount,size=20m {small_disk}") == 0
        async with AsyncBatch(client, journal) as batch:
            async for result in batch.upload(photos):
                assert result.error is None, result
                assert result.key not in yielded
            assert {key: batch_id for key, batch_id in _images(batch).items() if key in yielded} == yielded
    check_exactly_once(emulator, hashes, journal)


def _images(batch: AsyncBatch) -> dict[str, str | None]:
    return {record.key: record.image_id for record in batch.records(status="done")}


# --- other code and other processes -------------------------------------------------------------------------


async def test_code_that_opens_the_journal_does_not_disturb_a_run(
    emulator: Emulator, batches: Callable[..., AsyncBatch], journal: Path, photos: Path
) -> None:
    hashes = make_pictures(photos, 60)
    async with batches(concurrency=4) as batch:
        async for _ in batch.upload(photos):
            for path in (journal, Path(f"{journal}.lock")):
                path.read_bytes()
        with run_process(emulator, photos, journal) as second:
            assert second.wait() != 0
        assert any("JournalLockedError" in line for line in second.errors)
    check_exactly_once(emulator, hashes, journal)


async def test_a_journal_in_use_is_refused_at_once_and_free_after_a_kill(
    emulator: Emulator, batches: Callable[..., AsyncBatch], journal: Path, photos: Path
) -> None:
    hashes = make_pictures(photos, 60)
    # The uploads in progress never end.
    emulator.faults.add("PUT", "/uploads/*", stall=float("inf"), after=20, times=4)
    with run_process(emulator, photos, journal, batch={"concurrency": 4}) as process:
        await asyncio.to_thread(process.wait_for, lambda: len(process.lines) > 10)
        started = time.monotonic()
        with pytest.raises(JournalLockedError) as caught:
            async with batches():
                pass
        assert time.monotonic() - started < 2
        assert caught.value.pid == process.process.pid
        process.kill()
        emulator.faults.clear()
        await finish(batches, photos)
    check_exactly_once(emulator, hashes, journal)


@needs_fork
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_a_child_that_is_forked_during_a_run_leaves_the_journal_alone(
    emulator: Emulator, batches: Callable[..., AsyncBatch], journal: Path, photos: Path
) -> None:
    hashes = make_pictures(photos, 60)
    codes: list[int] = []
    async with batches(concurrency=4) as batch:
        number = 0
        async for _ in batch.upload(photos):
            number += 1
            if number % 20 == 0:
                codes.append(_fork(batch))
    assert codes == [0, 0, 0]
    check_exactly_once(emulator, hashes, journal)


def _fork(batch: AsyncBatch) -> int:
    """Fork a child that uses the batch as an unsuspecting program may do, and return its exit code."""
    child = os.fork()
    if child == 0:
        try:
            batch.summary()
            batch.stop()
            del batch
            gc.collect()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


# --- files and folders --------------------------------------------------------------------------------------


async def test_a_folder_that_is_renamed_during_its_walk_is_finished_under_its_new_name(
    emulator: Emulator, batches: Callable[..., AsyncBatch], journal: Path, photos: Path
) -> None:
    hashes = make_pictures(photos, 400, per_folder=20)
    moved = photos.with_name("moved")
    seen = 0
    async with batches(concurrency=4) as batch:
        try:
            async for _ in batch.upload(photos):
                seen += 1
                if seen == 100:
                    photos.rename(moved)
        except OSError as error:
            assert str(photos) in str(error)  # noqa: PT017  a run may end this way, or with failed files
    assert seen >= 100
    await finish(batches, folder_source(moved, moved=True))
    check_exactly_once(emulator, hashes, journal)


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no limit of open files")
@pytest.mark.parametrize("concurrency", [None, 64])
def test_a_run_keeps_the_limit_of_open_files(
    emulator: Emulator, journal: Path, photos: Path, concurrency: int | None
) -> None:
    hashes = make_pictures(photos, 500)
    batch = {"concurrency": concurrency}
    with run_process(emulator, photos, journal, limit=_few_open_files, batch=batch) as process:
        assert process.wait() == 0, process.errors[-20:]
    assert process.summary["failed"] == 0
    check_exactly_once(emulator, hashes, journal)


def _few_open_files() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))


# --- clocks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["same", "ignored"])
async def test_clocks_that_jump_do_not_disturb_a_run(
    emulator: Emulator, batches: Callable[..., AsyncBatch], journal: Path, photos: Path, monkeypatch: Any
) -> None:
    hashes = make_pictures(photos, 120)
    clock, jumps = time.time, [0.0]
    monkeypatch.setattr(time, "time", lambda: clock() + jumps[0])
    for stop_at, jump in ((30, -86_400.0), (60, 86_400.0), (None, -3_600.0)):
        async with batches() as batch:
            seen = 0
            async for result in batch.upload(photos):
                assert result.error is None
                seen += 1
                if seen % 10 == 0:
                    jumps[0] += jump
                    # All upload URLs expire.
                    emulator.clock.advance(1_000)
                if seen == stop_at:
                    break
    check_exactly_once(emulator, hashes, journal)
