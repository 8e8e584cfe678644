"""Files on disk: looked at and opened in a worker thread, read on the loop as far as the system has them in memory.

To read a large file in a thread costs more than to send it: bytes that another core fetched are far away, and each system call
hands the interpreter over and back. What the page cache holds is here without waiting, so that is asked first. A disk is never
waited for on the loop: to open, close or ask about a file may hang where the disk is far away.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import stat
import sys
import time
from collections.abc import AsyncGenerator, Callable
from types import ModuleType
from typing import ClassVar, NamedTuple, Protocol, TypeAlias, TypeVar, cast

import attrs

from imgwire_async import cancellation, disk_work
from imgwire_async.errors import SourceChangedError
from imgwire_async.formatting import path_for_message, quoted, shorten_file_name
from imgwire_async.threads import CANCEL_GRACE, consume_exception

# Larger chunks gain nothing and block the event loop longer. Smaller chunks cost one thread switch each.
CHUNK_SIZE = 512 * 1024
# A file of at most this many bytes is opened and read again by one job in a worker thread.
_SMALL = CHUNK_SIZE
# Nanoseconds without a change after which a file is taken to be complete.
_STABLE_AFTER = 2_000_000_000
# Only Linux has this flag.
_NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)
_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOCTTY", 0)
_NONBLOCK: int = getattr(os, "O_NONBLOCK", 0)


class Closing(Protocol):
    def close(self) -> object: ...


T = TypeVar("T")
# Given a function that reads so many bytes at a position.
Question: TypeAlias = Callable[[Callable[[int, int], bytes]], T]
ClosingT = TypeVar("ClosingT", bound=Closing)


class Stamp(NamedTuple):
    """What tells that a file on disk is still the same.

    `ctime_ns` is among it, for a file that is written over in place may keep its size and be given its old time (`cp -p`,
    `rsync --inplace -t`). A new mode or link changes it, too: then an upload under way has to be repeated, which is better
    than a mixture of two files that counts as a success.
    """

    size: int
    mtime_ns: int
    device: int
    inode: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        return cls(status.st_size, status.st_mtime_ns, status.st_dev, status.st_ino, status.st_ctime_ns)


def is_stable(stamp: Stamp, now_ns: int) -> bool:
    """Whether nobody wrote to a file of this stamp for a while. False where that is doubtful.

    A file server stamps with its own clock, which may be ahead or behind by any time. So only a file system on a block device
    counts, whose stamps this machine makes: Linux gives all others, NFS and FUSE among them, a device without a major number.
    """
    if sys.platform != "linux" or os.major(stamp.device) == 0:
        return False
    return max(stamp.mtime_ns, stamp.ctime_ns) < now_ns - _STABLE_AFTER


def require_stamp(now: Stamp, stamp: Stamp, what: str) -> None:
    """Raise `SourceChangedError` unless the file is still the same."""
    if now != stamp:
        raise _changed(now, stamp, what)


def _changed(now: Stamp, stamp: Stamp, what: str) -> SourceChangedError:
    # Whoever knows what the upload calls the file adds its name.
    return SourceChangedError(
        f"{path_for_message(what)}: the file changed while it was read: {change_of(now, stamp)}. Upload it again once nothing "
        "writes to it."
    )


def change_of(now: Stamp, stamp: Stamp) -> str:
    """Return what differs between two stamps of a file, in words."""
    sizes = f"{stamp.size} bytes before, {now.size} after" if now.size != stamp.size else "of the same size"
    if (now.device, now.inode) != (stamp.device, stamp.inode):
        return f"it was replaced by another file ({sizes})"
    if now.size != stamp.size:
        return f"its size changed ({sizes})"
    if now.mtime_ns != stamp.mtime_ns:
        return "its time changed (it was written to or touched, the size is the same)"
    return "its content, permissions or links changed (it has another ctime)"


class Handle:
    """A file of ours, open for reading. Closes itself when nobody holds it any more: its asker may be gone by then.

    `status` is what the system told of it when it was opened. To open a FIFO or a device does not wait for anybody.
    """

    __slots__ = ("_close", "_descriptor", "_fake", "_path", "status")

    def __init__(self, path: str) -> None:
        self._descriptor = -1
        self._path = path
        # Kept with the descriptor: modules are empty when the interpreter ends, and files are closed all the same.
        self._close = os.close
        # pyfakefs puts an object of its own in place of `os`. Its descriptors mean nothing to the system, or another file.
        self._fake = not isinstance(cast("object", os), ModuleType)
        try:
            self._descriptor = os.open(path, _FLAGS | _NONBLOCK)
        except BlockingIOError:  # somebody holds a lease on this file, so it is no FIFO: wait for its end
            self._descriptor = os.open(path, _FLAGS)
        self.status: os.stat_result = os.fstat(self._descriptor)

    def fileno(self) -> int:
        return self._descriptor

    def read_cached(self, size: int, position: int) -> bytes:
        """Up to `size` bytes that need no waiting; none where the system would have to ask the disk, or cannot tell."""
        if _NOWAIT is None or self._fake:
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
        try:
            if hasattr(os, "pread") and not self._fake:
                return os.pread(self._descriptor, size, position)
            os.lseek(self._descriptor, position, os.SEEK_SET)
            return os.read(self._descriptor, size)
        except OSError as error:
            self._add_name(error)
            raise

    def read_some(self, size: int) -> bytes | None:
        """Up to `size` bytes from where reading stands, none at the end; None when there is nothing just now."""
        try:
            return os.read(self._descriptor, size)
        except BlockingIOError:
            return None
        except OSError as error:
            self._add_name(error)
            raise

    def _add_name(self, error: OSError) -> None:
        """Tell whose error it is: what the system says about a descriptor holds no name."""
        if error.filename is None:
            error.filename = self._path
            shorten_file_name(error)

    def stamp(self) -> Stamp:
        return Stamp.of(os.fstat(self._descriptor))

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            self._close(descriptor)

    __del__ = close


async def opened(function: Callable[..., ClosingT], *args: object) -> ClosingT:
    """Open a file of our own in a worker thread; when cancelled in the midst, close it."""
    return await disk_work.run_or_dispose(_close, function, *args)


def _close(file: Closing) -> None:
    file.close()


def _close_handle(found: object) -> None:
    if isinstance(found, Handle):
        found.close()


def _look_at(path: str, stage: int) -> tuple[Stamp, bytes, bool] | Handle:
    """The stamp of a file, its first bytes, and whether it was at rest, in a thread. What has no size and is gone once read, open."""
    with contextlib.ExitStack() as stack:
        file = Handle(path)
        stack.callback(file.close)
        if stat.S_ISDIR(file.status.st_mode):
            raise IsADirectoryError(
                f"file is a folder, not a picture: {quoted(path)}; give the files in it to upload_many: Path(folder).iterdir()"
            )
        # The system makes up some files as one reads them, and tells of them that they are empty.
        if not stat.S_ISREG(file.status.st_mode) or (file.status.st_size == 0 and file.read(1, 0)):
            stack.pop_all()  # to close a FIFO now could end its writer
            return file
        stamp = Stamp.of(file.status)
        head = _exactly(file, min(stage, stamp.size), 0)
        require_stamp(file.stamp(), stamp, path)
        return stamp, head, is_stable(stamp, time.time_ns())


def _exactly(file: Handle, size: int, position: int) -> bytes:
    """So many bytes from a position, fewer at the end of the file. In a thread."""
    head = file.read(size, position)
    while len(head) < size and (more := file.read(size - len(head), position + len(head))):
        head += more
    return head


async def open_path(path: str, name: str | None, stage: int) -> PathSource | Handle:
    """The file at `path` as a source, its first `stage` bytes read; a pipe or device is opened."""
    found = await disk_work.run_batched_or_dispose(_close_handle, _look_at, path, stage)
    return found if isinstance(found, Handle) else PathSource(path, name, *found)


def _whole(path: str, stamp: Stamp, head: bytes) -> bytes:
    """All bytes of a small file, in a thread."""
    with contextlib.closing(_reopened(path, stamp, head)) as file:
        data = _exactly(file, stamp.size, 0)
        require_stamp(file.stamp(), Stamp.of(file.status), path)
        return data


def _reopened(path: str, stamp: Stamp, head: bytes) -> Handle:
    """A file that was looked at before, open once more, in a thread. Raises `SourceChangedError` if it is another one."""
    file = Handle(path)
    now = Stamp.of(file.status)
    # A new mode or link alone changes no byte. But what was written over in place looks the same, and may be of another type.
    if now[:4] != stamp[:4] or (now != stamp and _exactly(file, len(head), 0) != head):
        file.close()
        raise _changed(now, stamp, path)
    return file


def _require_unchanged(path: str, stamp: Stamp) -> None:
    """In a thread: raise `SourceChangedError` when another file stands there now, or another content."""
    now = Stamp.of(os.stat(path))  # noqa: PTH116  # as a str
    if now[:4] != stamp[:4]:  # all of it was read at once, so a new mode or link does no harm
        raise _changed(now, stamp, path)


@attrs.frozen(slots=False, eq=False)  # made for each file, and faster without slots
class PathSource:
    """A file on disk. Opened for each attempt, read one piece ahead, and closed by us.

    `head` are its first bytes as they were when it was looked at: all of them, if it is small, or a whole piece are sent from
    there, and what changed since is found at the end. A small file that nobody had written to for a while (`is_stable`) is sent
    as it was.
    """

    path: str
    name: str | None
    stamp: Stamp
    head: bytes = attrs.field(repr=False)
    is_stable: bool = False
    replayable: bool = True
    read_by_user: ClassVar[bool] = False

    @property
    def size(self) -> int:
        return self.stamp.size

    async def peek(self, size: int) -> bytes:
        """Return the first `size` bytes, as far as they were read when the file was opened first."""
        return self.head[:size]

    async def examine(self, question: Question[T], size: int) -> T:
        """Return what `question` answers about the file, all of which it may read."""
        return await disk_work.run(_examine, self, question)

    async def whole(self) -> bytes | None:
        """Return all bytes of a small file that is still what was opened first; None for a larger one."""
        if len(self.head) == self.stamp.size:
            if not self.is_stable:
                await disk_work.run_batched(_require_unchanged, self.path, self.stamp)
            return self.head
        if self.stamp.size <= _SMALL:
            return await disk_work.run_batched(_whole, self.path, self.stamp, self.head)
        return None

    async def open(self) -> AsyncGenerator[bytes, None]:
        if (whole := await self.whole()) is not None:
            if whole:
                yield whole
            return
        file = await opened(_reopened, self.path, self.stamp, self.head)
        stamp = Stamp.of(file.status)
        # A whole piece is worth keeping; from a shorter head on, all the others would be read askew.
        first = self.head if len(self.head) == CHUNK_SIZE and stamp == self.stamp else b""
        async with contextlib.aclosing(_read_ahead(file, first, stamp, self.path)) as pieces:
            async for piece in pieces:
                yield piece


def _examine(source: PathSource, question: Question[T]) -> T:
    """Return what `question` answers about a file that was opened before. In a thread."""
    with contextlib.closing(_reopened(source.path, source.stamp, source.head)) as file:
        return question(lambda count, position: _exactly(file, count, position))


async def _read_ahead(file: Handle, first: bytes, stamp: Stamp, what: str) -> AsyncGenerator[bytes, None]:
    """The file's bytes: `first`, which were read before, and what follows; each piece while the one before is sent.

    Closes the file, but never under a read: should the disk hang, it is closed when that is over.
    """
    piece, position = first, len(first)
    reading: asyncio.Future[bytes] | None = None
    try:
        while position < stamp.size:
            size = min(CHUNK_SIZE, stamp.size - position)
            await asyncio.sleep(0)  # a fast network makes nobody wait, and the loop has others to serve
            following = file.read_cached(size, position)
            if not following:
                reading = disk_work.submit(functools.partial(file.read, size, position))
            if piece:
                yield piece
            if reading is not None:
                following, reading = await asyncio.shield(reading), None
            piece = following
            position += len(piece)
            if not piece:
                break
        # Before the last piece leaves: a file that changed must not look complete at the storage.
        require_stamp(await disk_work.run_batched(_stamp_and_close, file), stamp, what)
        if piece:
            yield piece
    finally:
        try:
            if reading is not None:
                await cancellation.wait_all([reading], timeout=CANCEL_GRACE)
        finally:
            if reading is not None and not reading.done():
                reading.add_done_callback(
                    lambda _: disk_work.submit(file.close).add_done_callback(consume_exception)
                )
            elif file.fileno() >= 0:
                await disk_work.run_cleanup(file.close)


def _stamp_and_close(file: Handle) -> Stamp:
    with contextlib.closing(file):
        return file.stamp()
