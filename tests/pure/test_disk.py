"""Files on disk: cached bytes are read at once, other bytes in a worker thread."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from imgwire_async import SourceChangedError
from imgwire_async.uploads import disk
from imgwire_async.uploads.disk import CHUNK_SIZE, Handle, PathSource, open_path

SIZES = [0, 1, 100_000, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 3 * CHUNK_SIZE, 3 * CHUNK_SIZE + 7]


def drop_from_page_cache(path: Path) -> None:
    """Ask the system to drop the file from its page cache. If it does not, the test is only easier."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


async def read(path: Path, stage: int) -> bytes:
    source = await open_path(str(path), path.name, stage)
    assert source is not None
    return b"".join([chunk async for chunk in source.open()])


@pytest.mark.parametrize("cold", [False, True], ids=["cached", "not cached"])
@pytest.mark.parametrize("stage", [1024, CHUNK_SIZE])
@pytest.mark.parametrize("size", SIZES)
async def test_a_file_is_read_completely_from_the_page_cache_or_the_disk(
    tmp_path: Path, size: int, stage: int, cold: bool
) -> None:
    path, data = tmp_path / "a.png", os.urandom(size)
    path.write_bytes(data)
    if cold:
        drop_from_page_cache(path)
    assert await read(path, stage) == data
    if cold:
        drop_from_page_cache(path)
    source = await open_path(str(path), None, stage)
    assert source is not None
    assert (source.size, source.head) == (size, data[:stage])


async def test_only_cached_bytes_are_read_without_a_thread() -> None:
    # The kernel generates this file, so it is never in the page cache.
    file = Handle("/proc/self/limits")
    try:
        assert file.read_cached(100, 0) == b""
        assert b"Max open files" in await asyncio.to_thread(file.read, 100_000, 0)
    finally:
        file.close()


async def test_other_tasks_run_between_two_chunks(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(bytes(12 * CHUNK_SIZE))
    rounds = 0

    async def count_rounds() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    task = asyncio.ensure_future(count_rounds())
    try:
        source = await open_path(str(path), None, CHUNK_SIZE)
        assert source is not None
        before, chunks = rounds, 0
        async for _ in source.open():
            chunks += 1
        assert chunks == 12
        assert rounds - before >= chunks - 1
    finally:
        task.cancel()


@pytest.mark.parametrize("many", [False, True])
async def test_a_file_that_shrinks_raises_before_its_last_chunk(tmp_path: Path, many: bool) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(bytes(4 * CHUNK_SIZE))
    source = await open_path(str(path), None, CHUNK_SIZE if many else 1024)
    assert source is not None
    received = 0
    with pytest.raises(SourceChangedError, match="changed while it was read"):
        async for chunk in source.open():
            received += len(chunk)
            os.truncate(path, CHUNK_SIZE + 5)
    assert received < 4 * CHUNK_SIZE


async def test_a_file_is_closed_only_after_a_hanging_read_has_ended(
    tmp_path: Path,
) -> None:
    path, go, reading = tmp_path / "a.png", threading.Event(), threading.Event()
    path.write_bytes(bytes(3 * CHUNK_SIZE))

    class Hanging(Handle):
        __slots__ = ()

        def read_cached(self, size: int, position: int) -> bytes:
            return b""

        def read(self, size: int, position: int) -> bytes:
            reading.set()
            go.wait(20)
            return super().read(size, position)

    source = await open_path(str(path), None, CHUNK_SIZE)
    assert isinstance(source, PathSource)
    chunks = disk._read_ahead(Hanging(str(path)), source.head, source.file_stat, "a")
    await anext(chunks)
    assert await asyncio.to_thread(reading.wait, 10)
    started_at = time.monotonic()
    await chunks.aclose()
    assert time.monotonic() - started_at < 5, "closing must not wait for a disk that hangs"
    assert open_count(path) == 1
    go.set()
    async with asyncio.timeout(10):
        while open_count(path):
            await asyncio.sleep(0.01)


def open_count(path: Path) -> int:
    """Return how often this process has the file open."""
    links = Path("/proc/self/fd").iterdir()
    return sum(link.resolve() == path.resolve() for link in links if link.exists())


def test_a_handle_without_references_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"x")

    handle = Handle(str(path))
    assert open_count(path) == 1
    del handle
    gc.collect()
    assert open_count(path) == 0


async def test_a_folder_and_a_missing_file_raise(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="folder"):
        await open_path(str(tmp_path), None, CHUNK_SIZE)
    with pytest.raises(FileNotFoundError):
        await open_path(str(tmp_path / "none"), None, CHUNK_SIZE)


async def test_a_hundred_files_can_be_read_at_once(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / f"{number}.png").write_bytes(bytes([number]) * (1000 + number))
    found = await asyncio.gather(*(read(tmp_path / f"{number}.png", CHUNK_SIZE) for number in range(100)))
    assert found == [bytes([number]) * (1000 + number) for number in range(100)]
    assert threading.active_count() < 50


NOW = 1_900_000_000_000_000_000
# Device numbers of Linux.
BLOCK_DEVICE, NO_DEVICE = 8 << 8, 42


@pytest.mark.skipif(sys.platform != "linux", reason="device numbers have a meaning only on Linux")
@pytest.mark.parametrize(
    ("device", "modified", "changed", "stable"),
    [
        (BLOCK_DEVICE, 3, 3, True),
        (BLOCK_DEVICE, 3, 1, False),  # its modification time was set back
        (BLOCK_DEVICE, 1, 3, False),
        (BLOCK_DEVICE, 3, -5, False),  # the clock was set back
        (NO_DEVICE, 3, 3, False),  # a file server has a clock of its own
        (NO_DEVICE, 10**8, 10**8, False),
    ],
)
def test_a_file_is_stable_only_with_old_times_from_a_local_disk(
    device: int, modified: int, changed: int, stable: bool
) -> None:
    ago = 10**9
    file_stat = disk.FileStat(1, NOW - modified * ago, device, 1, NOW - changed * ago)
    assert disk.is_stable(file_stat, NOW) is stable


@pytest.mark.skipif(sys.platform != "linux", reason="uses a file whose first page cannot be read")
def test_the_error_of_a_failed_read_names_the_file() -> None:
    file = Handle("/proc/self/mem")
    try:
        with pytest.raises(OSError, match="/proc/self/mem"):
            file.read(100, 0)
        with pytest.raises(OSError, match="/proc/self/mem"):
            file.read_some(100)
    finally:
        file.close()
