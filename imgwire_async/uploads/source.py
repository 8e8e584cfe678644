"""Anything readable becomes one thing: a source with a name, a size, and a way to read it from its start.

What the caller opened stays open and is left where reading ended; what we opened is closed, also when we are cancelled.
Files on disk are the business of `disk`; the caller's readers run where `user_code` says.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from typing import IO, Any, ClassVar, Protocol, TypeAlias, TypeVar, cast, runtime_checkable

import attrs

from imgwire_async import checks, user_code
from imgwire_async.formatting import shortened
from imgwire_async.uploads.chunks import from_async_iterator, slices_of
from imgwire_async.uploads.disk import CHUNK_SIZE, PathSource, Question, Stamp, require_stamp

T = TypeVar("T")


@runtime_checkable
class UploadSource(Protocol):
    """Your own kind of source: bytes from a database, a bucket, a camera.

    `size` is None when unknown (the bytes are then spooled to a temporary file first). `replayable` tells whether `open()`
    may be called again to read the same bytes from the start. What `open()` returns is closed by us, also on cancel.
    """

    @property
    def name(self) -> str | None:
        """What the file is called, or None: "upload" with the extension of its type."""
        ...

    @property
    def size(self) -> int | None:
        """How many bytes there are, or None when that is not known."""
        ...

    @property
    def replayable(self) -> bool:
        """Whether `open()` may be called more than once."""
        ...

    def open(self) -> AsyncGenerator[bytes, None]:
        """The bytes from the start, in pieces of any size."""
        ...


class AsyncReadable(Protocol):
    """An object with an async `read(n)`: Starlette's `UploadFile`, aiohttp's `StreamReader`, anyio's and aiofiles' files."""

    async def read(self, size: int = ..., /) -> bytes: ...


class AsyncChunkReadable(Protocol):
    """An object with an async `read_chunk(n)`: aiohttp's `BodyPartReader`."""

    async def read_chunk(self, size: int = ...) -> bytes: ...


class Buffer(Protocol):
    """An object with the buffer protocol: `bytes`, `bytearray`, `memoryview`, `mmap`, `array.array`, arrays of NumPy and ctypes."""

    def __buffer__(self, flags: int, /) -> memoryview: ...


File: TypeAlias = (
    str
    | os.PathLike[str]
    | bytes
    | bytearray
    | memoryview
    | Buffer
    | IO[bytes]
    | AsyncReadable
    | AsyncChunkReadable
    | AsyncIterator[bytes]
    | Iterator[bytes]
    | Iterable[bytes]
    | UploadSource
)
"""What can be uploaded: a path, bytes or anything with the buffer protocol, a binary file object, an async file or reader, an iterator of bytes, or a source of
your own."""


def examine_head(question: Question[T], head: bytes) -> T:
    """Return what `question` answers about the first bytes of what has no positions."""
    return question(lambda count, position: head[position : position + count])


@attrs.frozen
class BytesSource:
    """Bytes in memory."""

    data: memoryview
    name: str | None = None
    replayable: bool = True
    dimensions: int = 1  # of the array that it was

    @property
    def size(self) -> int:
        return self.data.nbytes

    read_by_user: ClassVar[bool] = False

    async def peek(self, size: int) -> bytes:
        """Return the first `size` bytes."""
        return bytes(self.data[:size])

    async def examine(self, question: Question[T], size: int) -> T:
        """Return what `question` answers about the bytes."""
        return question(lambda count, position: bytes(self.data[position : position + count]))

    async def whole(self) -> bytes | None:
        """Return all bytes when they are one chunk; else None."""
        # Sent as they lie, without a copy.
        return cast("bytes", self.data) if self.data.nbytes <= CHUNK_SIZE else None

    def release(self) -> None:
        """Let go of the caller's memory, which may be resized or closed from now on."""
        with contextlib.suppress(BufferError):  # what was broken off may still hold a piece
            self.data.release()

    async def open(self) -> AsyncGenerator[bytes, None]:
        for start in range(0, self.data.nbytes, CHUNK_SIZE):
            await asyncio.sleep(0)
            yield cast("bytes", self.data[start : start + CHUNK_SIZE])


@attrs.define
class FileSource:
    """A binary file object of the caller's: read from where it stands, left where reading ended, never closed by us."""

    file: IO[bytes]
    name: str | None
    start: int
    size: int
    stamp: Stamp | None
    replayable: bool = True
    where: Callable[..., asyncio.Future[Any]] = user_code.submit_reader  # runs its methods

    async def open(self) -> AsyncGenerator[bytes, None]:
        await self._run(self.file.seek, self.start)
        left = self.size
        while left > 0:
            given = await self._run(self.file.read, min(CHUNK_SIZE, left))
            size = 0
            for piece in slices_of(given):
                size += len(piece)
                left -= len(piece)
                if self.stamp is not None and left <= 0:
                    await self._require_unchanged(self.stamp)
                yield piece
            if not size:  # shorter than it said: counted, and told, by whoever sends
                if self.stamp is not None:
                    await self._require_unchanged(self.stamp)
                return

    @property
    def read_by_user(self) -> bool:
        """Whether code of the caller's is run to read the file: not for one of our own."""
        return self.where is user_code.submit_reader

    async def peek(self, size: int) -> bytes:
        """Return the first `size` bytes. The file stands where it stood, also when it is refused."""
        return await self.examine(lambda read_at: read_at(size, 0), size)

    async def whole(self) -> bytes | None:
        """Return None: a file object is read as it is sent."""
        return None

    async def examine(self, question: Question[T], size: int) -> T:
        """Return what `question` answers about the bytes from where the file stood, all of which it may read."""

        def read_at(count: int, position: int) -> bytes:
            self.file.seek(self.start + position)
            data, size = b"", min(count, self.size - position)
            while len(data) < size and (more := b"".join(slices_of(self.file.read(size - len(data))))):
                data += more
            return data

        def answer() -> T:
            try:
                return question(read_at)
            finally:
                self.file.seek(self.start)

        return await self._run(answer)

    async def _run(self, function: Callable[..., T], *args: object) -> T:
        return cast("T", await user_code.finish_on_cancel(self.where(functools.partial(function, *args))))

    async def _require_unchanged(self, stamp: Stamp) -> None:
        now = await self._run(lambda: Stamp.of(os.fstat(self.file.fileno())))
        require_stamp(now, stamp, shortened(self.name or "the file"))


@attrs.define
class StreamSource:
    """Something that can be read once: what was read to look at its type comes first again."""

    pieces: AsyncGenerator[bytes, None]
    name: str | None
    size: int | None = None
    replayable: bool = False
    path: str | None = None  # of a FIFO or device
    start: int = 0  # the position from which on it is read, where it has one
    begun: bool = False  # whether others are known to have read from it before
    _head: list[bytes] = attrs.field(factory=list[bytes])
    read_by_user: ClassVar[bool] = True

    async def whole(self) -> bytes | None:
        """Return None: a stream is read as it is sent."""
        return None

    async def examine(self, question: Question[T], size: int) -> T:
        """Return what `question` answers about the first `size` bytes."""
        return examine_head(question, await self.peek(size))

    async def peek(self, size: int) -> bytes:
        """Return the first `size` bytes, without using them up."""
        while sum(map(len, self._head)) < size:
            try:
                self._head.append(await anext(self.pieces))
            except StopAsyncIteration:
                break
        return b"".join(self._head)[:size]

    async def open(self) -> AsyncGenerator[bytes, None]:
        while self._head:
            yield self._head.pop(0)
        async for piece in self.pieces:
            yield piece

    async def aclose(self) -> None:
        await self.pieces.aclose()


@attrs.frozen
class UserSource:
    """A source of the caller's own making."""

    inner: UploadSource
    read_by_user: ClassVar[bool] = True

    async def peek(self, size: int) -> bytes:
        """Return the first `size` bytes; the source is opened for them."""
        head = b""
        async with contextlib.aclosing(self.open()) as pieces:
            async for piece in pieces:
                head += bytes(piece[: size - len(head)])
                if len(head) >= size:
                    break
        return head

    async def examine(self, question: Question[T], size: int) -> T:
        """Return what `question` answers about the first `size` bytes."""
        return examine_head(question, await self.peek(size))

    async def whole(self) -> bytes | None:
        """Return None: such a source is read as it is sent."""
        return None

    @property
    def name(self) -> str | None:
        name: object = self.inner.name
        return (
            None
            if name is None
            else checks.text("the name of an UploadSource", name, expected="text or None")
        )

    @property
    def size(self) -> int | None:
        size: object = self.inner.size
        if size is None:
            return None
        name, wanted = "the size of an UploadSource", "an int or None"
        return checks.integer(name, size, minimum=0, maximum=None, expected=wanted)

    @property
    def replayable(self) -> bool:
        return self.inner.replayable

    async def open(self) -> AsyncGenerator[bytes, None]:
        pieces = self.inner.open() if user_code.current_caller.get() is None else _stepped(self.inner)
        async with contextlib.aclosing(pieces):
            async for part in from_async_iterator(pieces):
                yield part


async def _stepped(source: UploadSource) -> AsyncGenerator[bytes, None]:
    """A source's bytes, each step made in the thread of the waiting caller: there it may block, but wait for no loop."""
    pieces = await user_code.run_reader(source.open)
    try:
        while (piece := await user_code.run_reader(_by_hand, anext(pieces, None))) is not None:
            yield piece
    finally:
        await user_code.run_reader(_by_hand, pieces.aclose())


def _by_hand(step: Awaitable[T]) -> T:
    refused = TypeError(
        "this UploadSource awaits something: use AsyncImgwireClient, or give a plain iterator of bytes"
    )
    running = cast("Generator[object, None, T]", step.__await__())
    try:
        next(running)
        running.throw(refused)
    except StopIteration as done:
        return cast("T", done.value)
    except RuntimeError as error:
        if "event loop" in str(error):  # there is none in this thread
            raise refused from error
        raise
    raise refused


Source: TypeAlias = BytesSource | PathSource | FileSource | StreamSource | UserSource
