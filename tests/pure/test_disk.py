"""Files on disk: what the system has in memory comes at once, the rest from a thread, and the loop waits for neither."""

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


def forget(path: Path) -> None:
    """Let the system drop what it has in memory of the file. Where it keeps it all the same, the test is only easier."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


async def read(path: Path, stage: int) -> bytes:
    source = await open_path(str(path), path.name, stage)
    assert source is not None
    return b"".join([piece async for piece in source.open()])


@pytest.mark.parametrize("cold", [False, True], ids=["in memory", "on the disk alone"])
@pytest.mark.parametrize("stage", [1024, CHUNK_SIZE])
@pytest.mark.parametrize("size", SIZES)
async def test_a_file_comes_whole_from_wherever_it_is(
    tmp_path: Path, size: int, stage: int, cold: bool
) -> None:
    path, data = tmp_path / "a.png", os.urandom(size)
    path.write_bytes(data)
    if cold:
        forget(path)
    assert await read(path, stage) == data
    if cold:
        forget(path)
    source = await open_path(str(path), None, stage)
    assert source is not None
    assert (source.size, source.head) == (size, data[:stage])


async def test_what_cannot_be_had_without_waiting_is_read_in_a_thread() -> None:
    # What the kernel writes as one reads it is never in memory.
    file = Handle("/proc/self/limits")
    try:
        assert file.read_cached(100, 0) == b""
        assert b"Max open files" in await asyncio.to_thread(file.read, 100_000, 0)
    finally:
        file.close()


async def test_the_loop_serves_others_between_two_pieces(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(bytes(12 * CHUNK_SIZE))
    rounds = 0

    async def others() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await asyncio.sleep(0)

    task = asyncio.ensure_future(others())
    try:
        source = await open_path(str(path), None, CHUNK_SIZE)
        assert source is not None
        before, pieces = rounds, 0
        async for _ in source.open():
            pieces += 1
        assert pieces == 12
        assert rounds - before >= pieces - 1
    finally:
        task.cancel()


@pytest.mark.parametrize("many", [False, True])
async def test_a_file_that_shrinks_under_way_is_told_before_its_last_piece_is_out(
    tmp_path: Path, many: bool
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(bytes(4 * CHUNK_SIZE))
    source = await open_path(str(path), None, CHUNK_SIZE if many else 1024)
    assert source is not None
    taken = 0
    with pytest.raises(SourceChangedError, match="changed while it was read"):
        async for piece in source.open():
            taken += len(piece)
            os.truncate(path, CHUNK_SIZE + 5)
    assert taken < 4 * CHUNK_SIZE


async def test_left_under_a_read_that_hangs_the_file_stays_open_until_the_read_is_over(
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
    pieces = disk._read_ahead(Hanging(str(path)), source.head, source.stamp, "a")
    await anext(pieces)
    assert await asyncio.to_thread(reading.wait, 10)
    began = time.monotonic()
    await pieces.aclose()
    assert time.monotonic() - began < 5, "a disk that hangs holds nobody up"
    assert held(path) == 1
    go.set()
    async with asyncio.timeout(10):
        while held(path):
            await asyncio.sleep(0.01)


def held(path: Path) -> int:
    """How often this process has the file open."""
    return sum(each.resolve() == path.resolve() for each in Path("/proc/self/fd").iterdir() if each.exists())


def test_a_handle_that_nobody_holds_closes_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"x")

    handle = Handle(str(path))
    assert held(path) == 1
    del handle
    gc.collect()
    assert held(path) == 0


async def test_a_folder_and_what_is_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="folder"):
        await open_path(str(tmp_path), None, CHUNK_SIZE)
    with pytest.raises(FileNotFoundError):
        await open_path(str(tmp_path / "none"), None, CHUNK_SIZE)


async def test_a_hundred_files_at_once_come_each_as_itself(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / f"{number}.png").write_bytes(bytes([number]) * (1000 + number))
    found = await asyncio.gather(*(read(tmp_path / f"{number}.png", CHUNK_SIZE) for number in range(100)))
    assert found == [bytes([number]) * (1000 + number) for number in range(100)]
    assert threading.active_count() < 50


NOW = 1_900_000_000_000_000_000
BLOCK_DEVICE, NO_DEVICE = 8 << 8, 42  # as Linux numbers them


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a device tells nothing")
@pytest.mark.parametrize(
    ("device", "modified", "changed", "rests"),
    [
        (BLOCK_DEVICE, 3, 3, True),
        (BLOCK_DEVICE, 3, 1, False),  # given its old time
        (BLOCK_DEVICE, 1, 3, False),
        (BLOCK_DEVICE, 3, -5, False),  # this machine's clock was set back
        (NO_DEVICE, 3, 3, False),  # a file server's clock may be behind
        (NO_DEVICE, 10**8, 10**8, False),
    ],
)
def test_a_file_is_at_rest_only_where_this_machine_stamps_it(
    device: int, modified: int, changed: int, rests: bool
) -> None:
    ago = 10**9
    stamp = disk.Stamp(1, NOW - modified * ago, device, 1, NOW - changed * ago)
    assert disk.is_stable(stamp, NOW) is rests


@pytest.mark.skipif(sys.platform != "linux", reason="its first page can never be read")
def test_a_disk_that_fails_in_the_midst_names_the_file() -> None:
    file = Handle("/proc/self/mem")
    try:
        with pytest.raises(OSError, match="/proc/self/mem"):
            file.read(100, 0)
        with pytest.raises(OSError, match="/proc/self/mem"):
            file.read_some(100)
    finally:
        file.close()
