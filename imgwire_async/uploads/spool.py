"""Copy a source of unknown size to a temporary file, which has a size and can be read again."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import AsyncGenerator
from typing import IO, NoReturn, cast

import anyio.lowlevel

from imgwire_async import disk_work, user_code
from imgwire_async.concurrency import AcquireTimeoutError, acquire, open_file_limit
from imgwire_async.errors import UploadStalledError
from imgwire_async.uploads.disk import open_in_thread
from imgwire_async.uploads.source import FileSource, Source

# The maximum number of spool files (temporary files of uploads) that one event loop has open.
_MAX_SPOOLS = 256

# One semaphore per event loop. Each open spool file holds one of its slots. Put slots do not limit the number
# of spool files, because a spool file is filled before its upload acquires a put slot.
_slots: anyio.lowlevel.RunVar[asyncio.Semaphore] = anyio.lowlevel.RunVar("imgwire_async.spools")


@contextlib.asynccontextmanager
async def spool_slot(name: str, label: str, stall: float | None) -> AsyncGenerator[None, None]:
    """Hold one of the event loop's slots for spool files. Enter this context before reading the source.

    Raises `UploadStalledError` if this upload was started inside a source or callback of another upload, and
    no slot became free within `stall` seconds.
    """
    slots = _loop_slots()
    try:
        await acquire(slots, stall)
    except AcquireTimeoutError as error:
        raise UploadStalledError(
            f"{label}: no slot for a temporary file became free for {error.seconds:g} s. Such a file is needed when the size is "
            "unknown, or when hash_sha256=True reads a source that can be read only once. This upload was started inside the "
            "source or a callback of another upload, which holds its slot meanwhile. Start it outside, pass content_length= "
            "(and hash_sha256= as text), or allow the process more open files (RLIMIT_NOFILE). Nothing was sent.",
            file_name=name or None,
        ) from None
    try:
        yield
    finally:
        slots.release()


def _loop_slots() -> asyncio.Semaphore:
    try:
        return _slots.get()
    except LookupError:
        semaphore = asyncio.Semaphore(_max_spools(open_file_limit()))
        _slots.set(semaphore)
        return semaphore


def _max_spools(open_files: int | None) -> int:
    """Return how many spool files an event loop may have open.

    That is an eighth of `open_files`, the maximum number of open files of the process, because sockets and
    other files need the rest. None means that the system does not limit them.
    """
    return _MAX_SPOOLS if open_files is None else max(1, min(_MAX_SPOOLS, open_files // 8))


@contextlib.asynccontextmanager
async def spooled(source: Source) -> AsyncGenerator[Source, None]:
    """Copy a source to a temporary file, and yield a source of known size that can be read again.

    Memory use does not grow with the size. If the disk is full, the error names the temporary directory
    and says what to do.
    """
    file = await open_in_thread(_SpoolFile)
    try:
        size = await _fill(file, source)
        yield FileSource(cast("IO[bytes]", file), source.name, 0, size, None, submit=disk_work.submit)
    finally:
        await disk_work.run_cleanup(file.close)


async def _fill(file: _SpoolFile, source: Source) -> int:
    """Write all bytes of `source` to `file`, and return their number."""
    size = 0
    with user_code.in_user_code():
        async with contextlib.aclosing(source.open()) as chunks:
            async for chunk in chunks:
                await disk_work.run(file.write, chunk)
                size += len(chunk)
    return size


class _SpoolFile:
    """A temporary file that worker threads read and write.

    The lock makes `close` wait for a read or write that hangs.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        try:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # `close` is below
        except OSError as error:
            _raise_with_advice(error)

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            with self._lock:
                while rest:
                    rest = rest[self._file.write(rest) :]
        except OSError as error:
            _raise_with_advice(error)

    def seek(self, position: int) -> None:
        with self._lock:
            self._file.seek(position)

    def read(self, size: int) -> bytes:
        with self._lock:
            return self._file.read(size)

    def close(self) -> None:
        with self._lock:
            self._file.close()


def _raise_with_advice(error: OSError) -> NoReturn:
    message = (
        f"{error.strerror or error}, while an upload of unknown size was written to the temporary directory: "
        "free space there, set TMPDIR to another directory, or pass content_length="
    )
    raise OSError(error.errno, message, tempfile.gettempdir()) from error
