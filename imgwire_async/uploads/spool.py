"""Bytes of unknown size go to a temporary file first: there they are counted, and can be read again."""

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
from imgwire_async.uploads.disk import opened
from imgwire_async.uploads.source import FileSource, Source

_MOST = 256

# Spools are filled before their upload has a slot, so they need a bound of their own.
_room: anyio.lowlevel.RunVar[asyncio.Semaphore] = anyio.lowlevel.RunVar("imgwire_async.spools")


@contextlib.asynccontextmanager
async def room(name: str, label: str, stall: float | None) -> AsyncGenerator[None, None]:
    """One of the loop's rooms for a spool, taken before the first byte is read.

    Inside the source of another upload, `UploadStalledError` is raised when none becomes free for `stall` seconds.
    """
    rooms = _rooms()
    try:
        await acquire(rooms, stall)
    except AcquireTimeoutError as error:
        raise UploadStalledError(
            f"{label}: no room for a temporary file became free for {error.seconds:g} s. Such a file is needed where the size is "
            "unknown, or hash_sha256=True reads what can be read only once; this upload was begun inside the source or a callback of "
            "another one, which holds its room meanwhile. Make it outside, give content_length= (and hash_sha256= as text), or "
            "allow the process more open files (RLIMIT_NOFILE). Nothing was sent.",
            file_name=name or None,
        ) from None
    try:
        yield
    finally:
        rooms.release()


def _rooms() -> asyncio.Semaphore:
    try:
        return _room.get()
    except LookupError:
        semaphore = asyncio.Semaphore(_at_once(open_file_limit()))
        _room.set(semaphore)
        return semaphore


def _at_once(open_files: int | None) -> int:
    """Return how many spools a loop may have open: an eighth of what the process may, sockets and other files take the rest."""
    return _MOST if open_files is None else max(1, min(_MOST, open_files // 8))


@contextlib.asynccontextmanager
async def spooled(source: Source) -> AsyncGenerator[Source, None]:
    """The same bytes in a temporary file: of known size, and replayable. Memory stays flat.

    A full disk is told with the folder and what to do about it.
    """
    file = await opened(_Spool)
    try:
        size = await _fill(file, source)
        yield FileSource(cast("IO[bytes]", file), source.name, 0, size, None, where=disk_work.submit)
    finally:
        await disk_work.run_cleanup(file.close)


async def _fill(file: _Spool, source: Source) -> int:
    """Write all bytes of a source to the file, and return how many they were."""
    size = 0
    with user_code.in_user_code():
        async with contextlib.aclosing(source.open()) as pieces:
            async for piece in pieces:
                await disk_work.run(file.write, piece)
                size += len(piece)
    return size


class _Spool:
    """A temporary file, for worker threads. It is never closed under a read or write: a disk may hang in the midst of one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        try:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # `close` is below
        except OSError as error:
            _tell(error)

    def write(self, piece: bytes) -> None:
        rest = memoryview(piece)
        try:
            with self._lock:
                while rest:
                    rest = rest[self._file.write(rest) :]
        except OSError as error:
            _tell(error)

    def seek(self, position: int) -> None:
        with self._lock:
            self._file.seek(position)

    def read(self, size: int) -> bytes:
        with self._lock:
            return self._file.read(size)

    def close(self) -> None:
        with self._lock:
            self._file.close()


def _tell(error: OSError) -> NoReturn:
    what = (
        f"{error.strerror or error}, while an upload of unknown size was spooled to the temporary directory: "
        "free space there, set TMPDIR to another place, or give content_length="
    )
    raise OSError(error.errno, what, tempfile.gettempdir()) from error
