"""Read files on disk without blocking the event loop.

Worker threads open, check, read and close the files, because each of these calls may hang on a network file
system. The event loop itself reads only bytes that are in the page cache, because reading them never waits
and costs less than passing them from a thread to the event loop.
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
from imgwire_async.formatting import path_for_message, quoted, shorten_file_name_in
from imgwire_async.threads import CANCEL_GRACE, consume_exception

# The maximum number of bytes in one chunk. Larger chunks are not faster and block the event loop longer.
# Smaller chunks need more switches between threads.
CHUNK_SIZE = 512 * 1024
# A file of at most this many bytes is opened, read and closed by one job in a worker thread.
_SMALL_FILE_SIZE = CHUNK_SIZE
# A file that was not written to for this many nanoseconds counts as stable (see `is_stable`).
_STABLE_AFTER_NS = 2_000_000_000
# This flag makes a read fail if it would have to wait for the disk. Only Linux has the flag.
_NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)
_OPEN_FLAGS = (
    os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOCTTY", 0)
)
_NONBLOCK: int = getattr(os, "O_NONBLOCK", 0)


class Closable(Protocol):
    """An object that has to be closed."""

    def close(self) -> object: ...


T = TypeVar("T")
# A function that finds a value in a file. It gets a function `read_at(size, position)`, with which it reads
# the bytes of the file.
Parser: TypeAlias = Callable[[Callable[[int, int], bytes]], T]
ClosableT = TypeVar("ClosableT", bound=Closable)


class FileStat(NamedTuple):
    """The fields of `os.stat` that show whether a file on disk has changed.

    Size and modification time are not enough. A file that is overwritten in place can keep its size and get
    its old modification time back (`cp -p`, `rsync --inplace -t`). In this case only `ctime_ns` differs. But
    a new mode or a new link also changes `ctime_ns`, so an upload may fail although no byte has changed. Such
    a failure is better than an upload that mixes the bytes of two versions.
    """

    size: int
    mtime_ns: int
    device: int
    inode: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileStat:
        """Return the fields of a result of `os.stat`."""
        return cls(status.st_size, status.st_mtime_ns, status.st_dev, status.st_ino, status.st_ctime_ns)


def is_stable(file_stat: FileStat, now_ns: int) -> bool:
    """Return whether a file has not been written to in the last two seconds; False if that is unknown.

    The times of the file are compared with the clock of this machine. A file server sets the times by its own
    clock, so the result is always False for a file that is not on a block device. On Linux such a file, for
    example on NFS or FUSE, has a device with the major number 0. On other operating systems the result is
    always False.
    """
    if sys.platform != "linux" or os.major(file_stat.device) == 0:
        return False
    return max(file_stat.mtime_ns, file_stat.ctime_ns) < now_ns - _STABLE_AFTER_NS


def require_unchanged(now: FileStat, before: FileStat, path: str) -> None:
    """Raise `SourceChangedError` if `now` differs from `before`. The error message names `path`."""
    if now != before:
        raise _changed_error(now, before, path)


def _changed_error(now: FileStat, before: FileStat, path: str) -> SourceChangedError:
    # `Upload` knows the file name and adds it to the error.
    return SourceChangedError(
        f"{path_for_message(path)}: the file changed while it was read: {describe_change(now, before)}. Upload it again once "
        "nothing writes to it."
    )


def describe_change(now: FileStat, before: FileStat) -> str:
    """Describe what has changed in a file between `before` and `now`."""
    sizes = f"{before.size} bytes before, {now.size} after" if now.size != before.size else "of the same size"
    if (now.device, now.inode) != (before.device, before.inode):
        return f"it was replaced by another file ({sizes})"
    if now.size != before.size:
        return f"its size changed ({sizes})"
    if now.mtime_ns != before.mtime_ns:
        return "its modification time changed (it was written to or touched, the size is the same)"
    return "its content, permissions or links changed (it has another ctime)"


class Handle:
    """A file that the SDK opened for reading.

    `status` is the result of `os.fstat` right after opening. Opening a FIFO does not wait for a writer. The
    garbage collector closes a handle that no code has closed, for example at the end of the event loop.
    """

    __slots__ = ("_close", "_descriptor", "_is_fake", "_path", "status")

    def __init__(self, path: str) -> None:
        self._descriptor = -1
        self._path = path
        # At interpreter exit the module `os` may be cleared before `__del__` runs, so keep a reference to
        # `os.close`.
        self._close = os.close
        # Whether the test library pyfakefs has replaced the module `os` by a fake object. The descriptors
        # that a fake object returns do not exist in the system, so `preadv` and `pread` would fail.
        self._is_fake = not isinstance(cast("object", os), ModuleType)
        try:
            self._descriptor = os.open(path, _OPEN_FLAGS | _NONBLOCK)
        # This error means that another process holds a lease on the file. So wait for the end of the lease,
        # with a blocking `open`. The path cannot be a FIFO, which would block until it has a writer, because
        # a FIFO has no lease.
        except BlockingIOError:
            self._descriptor = os.open(path, _OPEN_FLAGS)
        self.status: os.stat_result = os.fstat(self._descriptor)

    def fileno(self) -> int:
        """Return the file descriptor, or -1 after the file was closed."""
        return self._descriptor

    def read_cached(self, size: int, position: int) -> bytes:
        """Return up to `size` bytes from the page cache, or no bytes if the disk would have to be read."""
        if _NOWAIT is None or self._is_fake:
            return b""
        buffer = bytearray(size)
        try:
            count = os.preadv(self._descriptor, [buffer], position, _NOWAIT)
        # Return no bytes after an error, so that the caller uses `read`. If the disk is broken, `read` raises
        # its own error.
        except (OSError, NotImplementedError):
            return b""
        del buffer[count:]
        # No other code has a reference to this bytearray, so it cannot change and needs no copy.
        return cast("bytes", buffer)

    def read(self, size: int, position: int) -> bytes:
        """Return up to `size` bytes, b"" at the end of the file. Blocks, so call it in a worker thread."""
        try:
            if hasattr(os, "pread") and not self._is_fake:
                return os.pread(self._descriptor, size, position)
            os.lseek(self._descriptor, position, os.SEEK_SET)
            return os.read(self._descriptor, size)
        except OSError as error:
            self._add_path(error)
            raise

    def read_some(self, size: int) -> bytes | None:
        """Return up to `size` bytes of a pipe or device, b"" at its end, or None if no bytes have arrived."""
        try:
            return os.read(self._descriptor, size)
        except BlockingIOError:
            return None
        except OSError as error:
            self._add_path(error)
            raise

    def _add_path(self, error: OSError) -> None:
        """Add the path of the file to an error, because errors of a file descriptor contain no path."""
        if error.filename is None:
            error.filename = self._path
            shorten_file_name_in(error)

    def read_stat(self) -> FileStat:
        """Return the current `FileStat` of the open file."""
        return FileStat.of(os.fstat(self._descriptor))

    def close(self) -> None:
        """Close the file. Idempotent."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            self._close(descriptor)

    __del__ = close


async def open_in_thread(function: Callable[..., ClosableT], *args: object) -> ClosableT:
    """Call `function` in a worker thread to open a file. Close the file if the task is cancelled."""
    return await disk_work.run_or_dispose(_close, function, *args)


def _close(file: Closable) -> None:
    file.close()


def _close_handle(found: object) -> None:
    if isinstance(found, Handle):
        found.close()


def _probe(path: str, head_bytes: int) -> tuple[FileStat, bytes, bool] | Handle:
    """Open a file, and return its `FileStat`, its first `head_bytes` bytes, and the result of `is_stable`.

    For a pipe or device, return the open handle instead, because a pipe or device has no size and can be read
    only once. Runs in a worker thread.
    """
    with contextlib.ExitStack() as stack:
        file = Handle(path)
        stack.callback(file.close)
        if stat.S_ISDIR(file.status.st_mode):
            raise IsADirectoryError(
                f"file is a folder, not a picture: {quoted(path)}; pass the files in it to upload_many: Path(folder).iterdir()"
            )
        # Files in /proc report a size of 0 although they have content, so they are treated like devices.
        if not stat.S_ISREG(file.status.st_mode) or (file.status.st_size == 0 and file.read(1, 0)):
            # Do not close the handle, because closing a FIFO now could end its writer with SIGPIPE.
            stack.pop_all()
            return file
        file_stat = FileStat.of(file.status)
        head = _read_fully(file, min(head_bytes, file_stat.size), 0)
        require_unchanged(file.read_stat(), file_stat, path)
        return file_stat, head, is_stable(file_stat, time.time_ns())


def _read_fully(file: Handle, size: int, position: int) -> bytes:
    """Return `size` bytes at `position`, fewer only at the end of the file. Runs in a worker thread."""
    data = file.read(size, position)
    while len(data) < size and (more := file.read(size - len(data), position + len(data))):
        data += more
    return data


async def open_path(path: str, name: str | None, head_bytes: int) -> PathSource | Handle:
    """Open the file at `path` as a source, and read its first `head_bytes` bytes.

    For a pipe or device, return the open handle instead.
    """
    found = await disk_work.run_batched_or_dispose(_close_handle, _probe, path, head_bytes)
    return found if isinstance(found, Handle) else PathSource(path, name, *found)


def _read_small_file(path: str, file_stat: FileStat, head: bytes) -> bytes:
    """Return all bytes of a small file. Runs in a worker thread."""
    with contextlib.closing(_reopen(path, file_stat, head)) as file:
        data = _read_fully(file, file_stat.size, 0)
        require_unchanged(file.read_stat(), FileStat.of(file.status), path)
        return data


def _reopen(path: str, file_stat: FileStat, head: bytes) -> Handle:
    """Open a file that `_probe` has read before. Runs in a worker thread.

    Raises `SourceChangedError` if the path leads to another file now, or if the file has changed.
    """
    file = Handle(path)
    now = FileStat.of(file.status)
    # If only `ctime_ns` (the last field) differs, either the mode or a link has changed, or the file was
    # overwritten in place. The file may still be uploaded if its first bytes are the same, because the
    # picture type was detected from them.
    if now[:4] != file_stat[:4] or (now != file_stat and _read_fully(file, len(head), 0) != head):
        file.close()
        raise _changed_error(now, file_stat, path)
    return file


def _require_path_unchanged(path: str, file_stat: FileStat) -> None:
    """Raise `SourceChangedError` if the file at `path` was replaced or written to. Blocks."""
    now = FileStat.of(os.stat(path))  # noqa: PTH116  # as a str
    # `ctime_ns` (the last field) is not compared, because a new mode or link changes `ctime_ns` but no byte.
    # All bytes were read at once, so they cannot be a mixture of two versions of the file.
    if now[:4] != file_stat[:4]:
        raise _changed_error(now, file_stat, path)


# One object is created per file, and an object without `__slots__` is created faster.
@attrs.frozen(slots=False, eq=False)
class PathSource:
    """A file on disk, opened and closed again for each attempt.

    `head` holds the first bytes, which `_probe` has read. If they are the whole file or a full chunk, they
    are sent from memory and not read again.

    While one chunk is sent, the next chunk is read. The file is checked for changes before its last chunk is
    sent. The only exception is a stable file (see `is_stable`) whose bytes are all in `head`.
    """

    path: str
    name: str | None
    file_stat: FileStat
    head: bytes = attrs.field(repr=False)
    is_stable: bool = False
    replayable: bool = True
    runs_user_code: ClassVar[bool] = False

    @property
    def size(self) -> int:
        """The size of the file in bytes."""
        return self.file_stat.size

    async def peek(self, size: int) -> bytes:
        """Return the first `size` bytes of `head`."""
        return self.head[:size]

    async def parse(self, parser: Parser[T], size: int) -> T:
        """Return what `parser` finds in the file. `size` is unused, because the parser may read all of it."""
        return await disk_work.run(_parse_file, self, parser)

    async def read_if_small(self) -> bytes | None:
        """Return all bytes of a file of at most `CHUNK_SIZE` bytes, or None for a larger file."""
        if len(self.head) == self.file_stat.size:
            if not self.is_stable:
                await disk_work.run_batched(_require_path_unchanged, self.path, self.file_stat)
            return self.head
        if self.file_stat.size <= _SMALL_FILE_SIZE:
            return await disk_work.run_batched(_read_small_file, self.path, self.file_stat, self.head)
        return None

    async def open(self) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of the file from its start."""
        if (data := await self.read_if_small()) is not None:
            if data:
                yield data
            return
        file = await open_in_thread(_reopen, self.path, self.file_stat, self.head)
        file_stat = FileStat.of(file.status)
        # Only a full chunk is sent from memory, because all reads after a shorter chunk would be unaligned.
        first = self.head if len(self.head) == CHUNK_SIZE and file_stat == self.file_stat else b""
        async with contextlib.aclosing(_read_ahead(file, first, file_stat, self.path)) as chunks:
            async for chunk in chunks:
                yield chunk


def _parse_file(source: PathSource, parser: Parser[T]) -> T:
    """Return what `parser` finds in a file. Runs in a worker thread."""
    with contextlib.closing(_reopen(source.path, source.file_stat, source.head)) as file:
        return parser(lambda size, position: _read_fully(file, size, position))


async def _read_ahead(
    file: Handle, first: bytes, file_stat: FileStat, path: str
) -> AsyncGenerator[bytes, None]:
    """Yield `first`, then the rest of the file. The next chunk is read while one chunk is sent.

    `first` holds the first bytes of the file, or is empty if they have to be read. The file is closed at the
    end, but never while a thread reads it. If a read hangs, the file is closed when the read ends.
    """
    chunk, position = first, len(first)
    reading: asyncio.Future[bytes] | None = None
    try:
        while position < file_stat.size:
            size = min(CHUNK_SIZE, file_stat.size - position)
            # Let other tasks run, because on a fast network the transfer itself never waits.
            await asyncio.sleep(0)
            next_chunk = file.read_cached(size, position)
            if not next_chunk:
                reading = disk_work.submit(functools.partial(file.read, size, position))
            if chunk:
                yield chunk
            if reading is not None:
                next_chunk, reading = await asyncio.shield(reading), None
            chunk = next_chunk
            position += len(chunk)
            if not chunk:
                break
        # Check the file before its last chunk is sent, so that the storage never gets all bytes of a file
        # that has changed.
        require_unchanged(await disk_work.run_batched(_read_stat_and_close, file), file_stat, path)
        if chunk:
            yield chunk
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


def _read_stat_and_close(file: Handle) -> FileStat:
    with contextlib.closing(file):
        return file.read_stat()
