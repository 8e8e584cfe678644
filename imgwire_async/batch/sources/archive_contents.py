"""The contents of members of a compressed TAR archive, which can only be read from its beginning.

The walk that lists the members keeps what fits into the memory. For all others, a second pass through the
archive reads each member when its upload begins. Uploads begin in the order of the archive, so one second
pass is enough, unless files are uploaded again.

Nothing ever waits until memory is free. A member that does not fit is read by the second pass, and written to
a temporary file if there is still no memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Iterator

from imgwire_async import cancellation, disk_work
from imgwire_async.batch.items import MAX_BYTES
from imgwire_async.batch.sources import archive_tar
from imgwire_async.batch.sources.archive_file import ArchiveFile, BrokenArchiveError, Compression
from imgwire_async.batch.sources.archive_members import ArchiveMember
from imgwire_async.batch.sources.archive_streams import CUT_OFF, ByteStream, DecompressedStream
from imgwire_async.batch.sources.archive_tar import TarMember
from imgwire_async.batch.sources.temporary_file import TemporaryFile
from imgwire_async.errors import ArchiveError
from imgwire_async.threads import CANCEL_GRACE, consume_exception
from imgwire_async.uploads.chunks import split
from imgwire_async.uploads.disk import CHUNK_SIZE
from imgwire_async.uploads.sdk_source import BlockingReader, read_in_threads

# The maximum number of bytes of members that are in memory at once.
MAX_MEMORY = 64 * 2**20
# The walk keeps no larger members.
_MAX_KEPT = MAX_BYTES
# Seconds after which a step of a pass ends.
_STEP_TIME = 0.1
# Seconds that a member waits at least before another pass begins only for it.
_MIN_WAIT = 1.0


class Memory:
    """Counts the bytes of members that are in memory. Any thread may call the methods."""

    def __init__(self, maximum: int = MAX_MEMORY) -> None:
        self._maximum = maximum
        self._lock = threading.Lock()
        self._used = 0
        # The garbage collector may release bytes while this thread holds the lock, so `release` needs none.
        self._released: deque[int] = deque()

    def reserve(self, size: int) -> bool:
        """Reserve bytes. Return False if there are not so many."""
        with self._lock:
            while self._released:
                self._used -= self._released.popleft()
            if self._used + size > self._maximum:
                return False
            self._used += size
            return True

    def release(self, size: int) -> None:
        """Give reserved bytes back."""
        self._released.append(size)


class Content:
    """The bytes of one member, in memory or in a temporary file.

    The garbage collector releases what no upload has released.
    """

    def __init__(self, data: bytes | TemporaryFile, memory: Memory) -> None:
        self.data: bytes | TemporaryFile | None = data
        self._memory = memory

    def take(self) -> TemporaryFile | None:
        """Release the memory. Return the temporary file, which has to be closed, or None."""
        data, self.data = self.data, None
        if isinstance(data, bytes):
            self._memory.release(len(data))
            return None
        return data

    def __del__(self) -> None:
        file = self.take()
        if file is not None:
            file.close()


class Contents:
    """The contents of the members of one archive for one run. `get` belongs to the event loop of the run."""

    def __init__(self, memory: Memory | None = None) -> None:
        self._memory = memory or Memory()
        self._file: ArchiveFile | None = None
        self._compression: Compression = "gzip"
        self._kept: weakref.WeakSet[Content] = weakref.WeakSet()
        # The members that uploads wait for, each with the time since when. A thread looks at the keys.
        self._wanted: dict[int, float] = {}
        self._futures: dict[int, asyncio.Future[Content]] = {}
        self._pass: Pass | None = None
        # The number of passes that have begun.
        self.passes: int = 0
        self._task: asyncio.Task[None] | None = None
        self._is_closed = False

    def begin(self, file: ArchiveFile, compression: Compression) -> None:
        """Note which archive it is. Called by the walk before `keep`."""
        self._file = file
        self._compression = compression

    def keep(self, member: TarMember, stream: ByteStream) -> Content | None:
        """Read the content of a member from the stream of the walk, if there is room for it. Blocks."""
        if self._is_closed or member.size > _MAX_KEPT or not self._memory.reserve(member.size):
            return None
        content = Content(stream.read(member.size), self._memory)
        assert isinstance(content.data, bytes)
        if len(content.data) < member.size:
            self._memory.release(member.size - len(content.data))
            raise BrokenArchiveError(CUT_OFF)
        self._kept.add(content)
        return content

    async def get(self, index: int) -> Content:
        """Return the content of a member, read by a pass through the archive."""
        while (other := self._futures.get(index)) is not None:
            await asyncio.wait([other])
        if self._is_closed:
            assert self._file is not None
            raise ArchiveError(
                f"{self._file.path}: the run over this archive has ended: run again, or pass the bytes of the member"
            )
        future: asyncio.Future[Content] = asyncio.get_running_loop().create_future()
        future.add_done_callback(consume_exception)
        self._futures[index] = future
        self._wanted[index] = time.monotonic()
        if self._task is None:
            self._task = asyncio.create_task(self._serve())
        try:
            return await asyncio.shield(future)
        finally:
            self._wanted.pop(index, None)
            self._futures.pop(index, None)
            future.cancel()

    async def _serve(self) -> None:
        """Read members as long as uploads wait for some."""
        try:
            while self._wanted:
                try:
                    await self._serve_some()
                except Exception as error:  # noqa: BLE001  # raised by `get`
                    for index, future in [*self._futures.items()]:
                        self._wanted.pop(index, None)
                        if not future.done():
                            future.set_exception(error)
                    await self._end_pass()
        finally:
            # There is no `await` between the last check and this line, so no upload is forgotten.
            self._task = None

    async def _serve_some(self) -> None:
        if self._pass is None or self._must_restart(self._pass):
            await self._restart()
        assert self._pass is not None
        for index, content in await disk_work.run(self._pass.advance):
            self._wanted.pop(index, None)
            future = self._futures.get(index)
            if future is not None and not future.done():
                future.set_result(content)

    def _must_restart(self, running: Pass) -> bool:
        """Return whether a pass must begin at the start of the archive.

        A member that is behind waits for those that are ahead, but not longer than the pass took so far.
        """
        behind = [since for index, since in self._wanted.items() if index < running.next_index]
        if len(behind) == len(self._wanted):
            return True
        return bool(behind) and time.monotonic() - min(behind) > max(_MIN_WAIT, running.seconds)

    async def _restart(self) -> None:
        await self._end_pass()
        assert self._file is not None
        self.passes += 1
        self._pass = Pass(self._file, self._compression, self._wanted, self._memory)

    async def _end_pass(self) -> None:
        running, self._pass = self._pass, None
        if running is not None:
            running.stop()
            await disk_work.run_cleanup(running.close)

    async def aclose(self) -> None:
        """End the pass, and release what is in memory. Idempotent."""
        self._is_closed = True
        task = self._task
        if task is not None:
            task.cancel()
            await cancellation.wait_all([task], timeout=2 * CANCEL_GRACE)
        for content in [*self._kept]:
            if isinstance(content.data, bytes):
                content.take()
        for future in [*self._futures.values()]:
            future.cancel()
        await self._end_pass()


class Pass:
    """One pass through an archive that reads the wanted members. One thread at a time calls `advance`."""

    def __init__(
        self, file: ArchiveFile, compression: Compression, wanted: dict[int, float], memory: Memory
    ) -> None:
        self.next_index: int = 0
        # How long the pass has worked so far.
        self.seconds: float = 0.0
        self._file = file
        self._compression: Compression = compression
        self._wanted = wanted
        self._memory = memory
        self._steps = self._read()
        self._lock = threading.Lock()
        self._is_stopped = False

    def advance(self) -> list[tuple[int, Content]]:
        """Go on for a short time. Return a wanted member if there is one. Runs in a worker thread."""
        begin = time.monotonic()
        try:
            with self._lock:
                for found in self._steps:
                    if found is not None:
                        return [found]
                    if self._is_stopped or time.monotonic() > begin + _STEP_TIME:
                        return []
                raise self._file.error("has fewer members than before")
        except BrokenArchiveError as error:
            raise self._file.error(str(error)) from error
        finally:
            self.seconds += time.monotonic() - begin
            if self._is_stopped:
                self.close()

    def stop(self) -> None:
        """End the pass. A thread that still works closes it."""
        self._is_stopped = True

    def close(self) -> None:
        """Close the archive, unless a thread still works."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            self._steps.close()
        finally:
            self._lock.release()

    def _read(self) -> Generator[tuple[int, Content] | None, None, None]:
        handle = self._file.open()
        try:
            stream = DecompressedStream(handle, self._file.path, self._compression)
            for member in archive_tar.members(stream):
                if member is None:
                    yield None
                    continue
                # A member that is being read is not behind the pass, however long that takes.
                self.next_index = member.index
                if member.index in self._wanted:
                    for content in self._read_member(member, stream):
                        self._file.require_unchanged(handle)
                        yield None if content is None else (member.index, content)
                self.next_index = member.index + 1
        finally:
            handle.close()

    def _read_member(self, member: TarMember, stream: ByteStream) -> Iterator[Content | None]:
        """Yield None where a step may end, and then the content of a member."""
        with contextlib.ExitStack() as stack:
            write: Callable[[bytes], object]
            if self._memory.reserve(member.size):
                stack.callback(self._memory.release, member.size)
                parts: list[bytes] = []
                file, write = None, parts.append
            else:
                parts, file = [], TemporaryFile()
                stack.callback(file.close)
                write = file.write
            left = member.size
            while left:
                data = stream.read(min(left, CHUNK_SIZE))
                if not data:
                    raise BrokenArchiveError(CUT_OFF)
                write(data)
                left -= len(data)
                yield None
            stack.pop_all()
        yield Content(b"".join(parts) if file is None else file, self._memory)


class PackedMember(ArchiveMember):
    """A file in a compressed TAR archive."""

    def __init__(
        self, file: ArchiveFile, path: str, member: TarMember, contents: Contents, content: Content | None
    ) -> None:
        super().__init__(file, path, member.size)
        self._index = member.index
        self._contents = contents
        self._content = content

    @property
    def nbytes(self) -> int:
        """The number of bytes in memory."""
        data = None if self._content is None else self._content.data
        return len(data) if isinstance(data, bytes) else 0

    async def _load(self) -> bytes | TemporaryFile:
        if self._content is None or self._content.data is None:
            self._content = await self._contents.get(self._index)
        assert self._content.data is not None
        return self._content.data

    async def open(self) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from the start."""
        data = await self._load()
        if isinstance(data, bytes):
            for chunk in split(data):
                await asyncio.sleep(0)
                yield chunk
            return
        file = data
        async with contextlib.aclosing(read_in_threads(lambda: _opened(file))) as chunks:
            async for chunk in chunks:
                yield chunk

    async def read_if_small(self) -> bytes | None:
        """Return all bytes of a file of at most `CHUNK_SIZE` bytes that is in memory, else None."""
        if self._size > CHUNK_SIZE:
            return None
        data = await self._load()
        return data if isinstance(data, bytes) else None

    async def aclose(self) -> None:
        """Release the content. Another upload reads the archive again."""
        content, self._content = self._content, None
        file = None if content is None else content.take()
        if file is not None:
            await disk_work.run_cleanup(file.close)


def _opened(file: TemporaryFile) -> BlockingReader:
    return file.reader()
