"""Files on disk: opened in a worker thread, read on the loop as far as the system has them in memory, else in a thread.

To read in a thread costs more than to send: bytes that another core fetched are far away, and each system call hands the
interpreter over and back. What the page cache holds is here without waiting, so that is asked first. A disk is never waited
for on the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import stat
import time
from collections.abc import AsyncGenerator, Callable
from typing import NamedTuple, Protocol, TypeVar, cast

import attrs

from imgwire_async import userland
from imgwire_async.errors import SourceChangedError

PIECE = 512 * 1024  # larger pieces gain nothing and hold the loop longer; smaller ones cost a thread hop each
A_MOMENT = 0.5  # seconds; a read from a disk takes milliseconds
_FRESH = 1.0  # seconds that the system, on network drives too, keeps in memory what it told about a file: to ask does not block
_NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)  # Linux
_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0)


class Closing(Protocol):
    def close(self) -> object: ...


ClosingT = TypeVar("ClosingT", bound=Closing)


class Stamp(NamedTuple):
    """What tells that a file on disk is still the same."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        return cls(status.st_size, status.st_mtime_ns)


def require_stamp(now: Stamp, stamp: Stamp, what: str) -> None:
    """Raise `SourceChangedError` unless the file is still the same."""
    if now != stamp:
        raise SourceChangedError(
            f"{what}: the file changed while it was read ({stamp.size} bytes before, {now.size} after); "
            "upload it again once nothing writes to it",
            file_name=what,
        )


class Handle:
    """A file of ours, open for reading. Closes itself when nobody holds it any more: whoever asked for it may be gone by then."""

    __slots__ = ("_descriptor",)

    def __init__(self, path: str) -> None:
        self._descriptor = -1
        self._descriptor = os.open(path, _FLAGS)

    def read_now(self, size: int, position: int) -> bytes:
        """Up to `size` bytes that need no waiting; none where the system would have to ask the disk, or cannot tell."""
        if _NOWAIT is None:
            return b""
        buffer = bytearray(size)
        try:
            count = os.preadv(self._descriptor, [buffer], position, _NOWAIT)
        except (OSError, NotImplementedError):  # a real fault shows in `read`
            return b""
        del buffer[count:]
        return cast("bytes", buffer)  # nobody else has it, so nobody changes it

    def read(self, size: int, position: int) -> bytes:
        """Up to `size` bytes, none at the end. For a worker thread: the disk may take its time."""
        if hasattr(os, "pread"):
            return os.pread(self._descriptor, size, position)
        os.lseek(self._descriptor, position, os.SEEK_SET)
        return os.read(self._descriptor, size)

    def stamp(self) -> Stamp:
        return Stamp.of(os.fstat(self._descriptor))

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    __del__ = close


async def opened(function: Callable[..., ClosingT], *args: object) -> ClosingT:
    """Open a file of our own in a worker thread; when cancelled in the midst, close it."""
    task = asyncio.ensure_future(userland.disk(function, *args))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        try:
            await userland.settled([task])
        finally:  # it raises when we are cancelled again
            if not task.cancelled() and task.exception() is None:
                task.result().close()
        raise


@attrs.define
class _Found:
    """A file that was looked at: its stamp, the file open, and what was read of the first bytes that are wanted."""

    stamp: Stamp
    file: Handle
    wanted: int
    head: bytes = b""

    def read_now(self) -> None:
        """On the loop: take what the system has in memory, and close the file if that is all that is wanted."""
        self.head = self.head or self.file.read_now(self.wanted, 0)
        if len(self.head) == self.wanted:
            self.file.close()

    def read(self) -> None:
        """In a thread: get what is missing."""
        with contextlib.closing(self.file):
            self.head += self.file.read(self.wanted - len(self.head), len(self.head))


def _look_at(path: str, stage: int) -> _Found | None:
    """None for a pipe or device, which has no size and is gone once read."""
    status = os.stat(path)  # noqa: PTH116  # first, for to open a FIFO tells its writer that we are here
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(
            f"file is a folder, not a picture: {path!r}; give the files in it to upload_many"
        )
    if not stat.S_ISREG(status.st_mode):
        return None
    found = _Found(Stamp.of(status), Handle(path), min(stage, status.st_size))
    if _NOWAIT is None:  # then to come back for its bytes would be one more way into a thread
        found.head = found.file.read(found.wanted, 0)
    return found


def _at_hand(found: _Found | None) -> _Found | None:
    if found is not None:
        found.read_now()
    return found


async def source_at(path: str, name: str | None, stage: int) -> PathSource | None:
    """The file at `path` as a source, its first `stage` bytes read; None for a pipe or device."""
    found = await userland.glance_through(functools.partial(_look_at, path, stage), _at_hand)
    if found is None:
        return None
    if len(found.head) < found.wanted:
        await userland.glance(found.read)
    return PathSource(path, name, found.stamp, found.head)


@attrs.frozen(slots=False, eq=False)  # made for each file, and faster without slots
class PathSource:
    """A file on disk. Opened for each attempt, read one piece ahead, and closed by us.

    `head` are its first bytes as they were when it was looked at: all of them, if it is small, or a whole piece are sent from
    there, and what changed since is found at the end.
    """

    path: str
    name: str | None
    stamp: Stamp
    head: bytes = attrs.field(repr=False)
    replayable: bool = True
    read_at: float = attrs.field(factory=time.monotonic)

    @property
    def size(self) -> int:
        return self.stamp.size

    async def in_hand(self) -> bytes | None:
        """The whole file, if that was read and is still what stands on the disk; else None."""
        if len(self.head) != self.size:
            return None
        fresh = time.monotonic() - self.read_at < _FRESH
        status = os.stat(self.path) if fresh else await userland.glance(os.stat, self.path)  # noqa: PTH116  # as a str
        require_stamp(Stamp.of(status), self.stamp, self.path)
        return self.head

    async def open(self) -> AsyncGenerator[bytes, None]:
        if (whole := await self.in_hand()) is not None:
            if whole:
                yield whole
            return
        file = await opened(Handle, self.path)
        # A whole piece is worth keeping; from a shorter head on, all the others would be read askew.
        first = self.head if len(self.head) == PIECE else b""
        async with contextlib.aclosing(_read_ahead(file, first, self.stamp, self.path)) as pieces:
            async for piece in pieces:
                yield piece


async def _read_ahead(file: Handle, first: bytes, stamp: Stamp, what: str) -> AsyncGenerator[bytes, None]:
    """The file's bytes: `first`, which were read before, and what follows; each piece while the one before is sent.

    Closes the file, but never under a read: should the disk hang, it is closed when that is over.
    """
    piece, position = first, len(first)
    reading: asyncio.Task[bytes] | None = None
    try:
        while position < stamp.size:
            size = min(PIECE, stamp.size - position)
            await asyncio.sleep(0)  # a fast network makes nobody wait, and the loop has others to serve
            following = file.read_now(size, position)
            if not following:
                reading = asyncio.ensure_future(userland.disk(file.read, size, position))
            if piece:
                yield piece
            if reading is not None:
                following, reading = await reading, None
            piece = following
            position += len(piece)
            if not piece:
                break
        # Before the last piece leaves: a file that changed must not look complete at the storage.
        require_stamp(file.stamp(), stamp, what)
        if piece:
            yield piece
    finally:
        if reading is not None:
            await userland.settled([reading], patience=A_MOMENT)
        if reading is None or reading.done():
            file.close()
        else:
            reading.add_done_callback(lambda _: file.close())
