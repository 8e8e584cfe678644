"""The kinds of sources that can be uploaded, with one interface: a name, a size, and an `open` method.

A file object that the caller opened stays open, and its position stays where reading ended. Files that the
SDK opened are closed, also on cancellation. The source for a path is in `disk`, and the base class for
sources of the SDK itself in `sdk_source`. `user_code` decides in which thread user code runs.
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
from imgwire_async.uploads.chunks import from_async_iterator, split
from imgwire_async.uploads.disk import CHUNK_SIZE, FileStat, Parser, PathSource, require_unchanged
from imgwire_async.uploads.sdk_source import SDKSource

T = TypeVar("T")


@runtime_checkable
class UploadSource(Protocol):
    """A source that you write yourself, for example for bytes from a database, a bucket or a camera.

    The SDK closes the generator that `open()` returns, also on cancellation.
    """

    @property
    def name(self) -> str | None:
        """The file name, or None.

        If it is None, the file is called "upload", with the extension of its type.
        """
        ...

    @property
    def size(self) -> int | None:
        """The number of bytes, or None if it is unknown.

        If it is None and no `content_length` is given, the bytes are first written to a temporary file.
        """
        ...

    @property
    def replayable(self) -> bool:
        """Whether `open()` may be called more than once, and yields the same bytes each time."""
        ...

    def open(self) -> AsyncGenerator[bytes, None]:
        """Return the bytes from the start, in chunks of any size."""
        ...


class AsyncReadable(Protocol):
    """An object with an async `read(n)`, such as Starlette's `UploadFile` and aiohttp's `StreamReader`.

    The files of anyio and aiofiles belong to this type, too.
    """

    async def read(self, size: int = ..., /) -> bytes:
        """Return up to `size` bytes, or no bytes at the end."""
        ...


class AsyncChunkReadable(Protocol):
    """An object with an async `read_chunk(n)`: aiohttp's `BodyPartReader`."""

    async def read_chunk(self, size: int = ...) -> bytes:
        """Return up to `size` bytes, or no bytes at the end."""
        ...


class Buffer(Protocol):
    """An object with the buffer protocol: `bytes`, `mmap`, `array.array`, an array of NumPy or ctypes."""

    def __buffer__(self, flags: int, /) -> memoryview:
        """Return a view of the object's memory."""
        ...


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
"""Everything that can be uploaded.

That is a path, bytes or an object with the buffer protocol, a binary file object, an async file or reader, an
iterator of bytes, or an `UploadSource`.
"""


def parse_head(parser: Parser[T], head: bytes) -> T:
    """Return what `parser` finds in `head`, the first bytes of a stream or of a user's source."""
    return parser(lambda size, position: head[position : position + size])


@attrs.frozen
class BytesSource:
    """Bytes in memory."""

    data: memoryview
    name: str | None = None
    replayable: bool = True
    # The number of dimensions of the caller's array. An array of several dimensions contains pixels.
    dimensions: int = 1

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self.data.nbytes

    runs_user_code: ClassVar[bool] = False

    async def peek(self, size: int) -> bytes:
        """Return the first `size` bytes."""
        return bytes(self.data[:size])

    async def parse(self, parser: Parser[T], size: int) -> T:
        """Return what `parser` finds in the bytes."""
        return parser(lambda count, position: bytes(self.data[position : position + count]))

    async def read_if_small(self) -> bytes | None:
        """Return all bytes if they fit into one chunk, else None."""
        # The view itself is returned, so that nothing is copied.
        return cast("bytes", self.data) if self.data.nbytes <= CHUNK_SIZE else None

    def release(self) -> None:
        """Release the view of the caller's buffer, so that the caller can resize or close the buffer."""
        # An aborted attempt may still refer to a chunk of the buffer, which makes `release` fail.
        with contextlib.suppress(BufferError):
            self.data.release()

    async def open(self) -> AsyncGenerator[bytes, None]:
        """Yield the bytes in chunks, without a copy."""
        for start in range(0, self.data.nbytes, CHUNK_SIZE):
            await asyncio.sleep(0)
            yield cast("bytes", self.data[start : start + CHUNK_SIZE])


@attrs.define
class FileSource:
    """A binary file object of the caller, read from the position that it has when the upload starts.

    The SDK never closes the file, and leaves its position where reading ended.
    """

    file: IO[bytes]
    name: str | None
    start: int
    size: int
    # None if the file is not on disk.
    file_stat: FileStat | None
    replayable: bool = True
    # Runs a method of the file: in the thread for user code, or in a worker thread for the SDK's own
    # temporary file.
    submit: Callable[..., asyncio.Future[Any]] = user_code.submit_reader

    async def open(self) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from the position `start` on."""
        await self._run(self.file.seek, self.start)
        left = self.size
        while left > 0:
            data = await self._run(self.file.read, min(CHUNK_SIZE, left))
            size = 0
            for chunk in split(data):
                size += len(chunk)
                left -= len(chunk)
                if self.file_stat is not None and left <= 0:
                    await self._require_unchanged(self.file_stat)
                yield chunk
            # An empty read means that the file has become shorter. If no error is raised here,
            # `PreparedUpload.chunks` counts the bytes and raises an error.
            if not size:
                if self.file_stat is not None:
                    await self._require_unchanged(self.file_stat)
                return

    @property
    def runs_user_code(self) -> bool:
        """Whether reading the file runs user code. False for a temporary file of the SDK."""
        return self.submit is user_code.submit_reader

    async def peek(self, size: int) -> bytes:
        """Return the first `size` bytes from `start` on. The position is `start` afterwards."""
        return await self.parse(lambda read_at: read_at(size, 0), size)

    async def read_if_small(self) -> bytes | None:
        """Return None: a file object is read while it is sent."""
        return None

    async def parse(self, parser: Parser[T], size: int) -> T:
        """Return what `parser` finds in the file from `start` on. The position is `start` afterwards."""

        def read_at(count: int, position: int) -> bytes:
            self.file.seek(self.start + position)
            data, size = b"", min(count, self.size - position)
            while len(data) < size and (more := b"".join(split(self.file.read(size - len(data))))):
                data += more
            return data

        def parse() -> T:
            try:
                return parser(read_at)
            finally:
                self.file.seek(self.start)

        return await self._run(parse)

    async def _run(self, function: Callable[..., T], *args: object) -> T:
        return cast("T", await user_code.finish_on_cancel(self.submit(functools.partial(function, *args))))

    async def _require_unchanged(self, file_stat: FileStat) -> None:
        now = await self._run(lambda: FileStat.of(os.fstat(self.file.fileno())))
        require_unchanged(now, file_stat, shortened(self.name or "the file"))


@attrs.define
class StreamSource:
    """A stream that can be read only once. Bytes that were read to detect its type are kept for `open`."""

    chunks: AsyncGenerator[bytes, None]
    name: str | None
    size: int | None = None
    replayable: bool = False
    # The path of a FIFO or device.
    path: str | None = None
    # The position of the stream at the start of the upload, or 0 if it is unknown.
    start: int = 0
    # Whether other code is known to have read from the stream before.
    was_started: bool = False
    _head: list[bytes] = attrs.field(factory=list[bytes])
    runs_user_code: ClassVar[bool] = True

    async def read_if_small(self) -> bytes | None:
        """Return None: a stream is read while it is sent."""
        return None

    async def parse(self, parser: Parser[T], size: int) -> T:
        """Return what `parser` finds in the first `size` bytes."""
        return parse_head(parser, await self.peek(size))

    async def peek(self, size: int) -> bytes:
        """Return the first `size` bytes, and keep them for `open`."""
        while sum(map(len, self._head)) < size:
            try:
                self._head.append(await anext(self.chunks))
            except StopAsyncIteration:
                break
        return b"".join(self._head)[:size]

    async def open(self) -> AsyncGenerator[bytes, None]:
        """Yield the bytes that `peek` has kept, then the rest of the stream."""
        while self._head:
            yield self._head.pop(0)
        async for chunk in self.chunks:
            yield chunk

    async def aclose(self) -> None:
        """Close the generator that reads the stream."""
        await self.chunks.aclose()


@attrs.frozen
class UserSource:
    """An `UploadSource` of the caller. Its `name` and `size` are checked when they are read."""

    inner: UploadSource
    runs_user_code: ClassVar[bool] = True

    async def peek(self, size: int) -> bytes:
        """Open the source, return its first `size` bytes, and close it."""
        head = b""
        async with contextlib.aclosing(self.open()) as chunks:
            async for chunk in chunks:
                head += bytes(chunk[: size - len(head)])
                if len(head) >= size:
                    break
        return head

    async def parse(self, parser: Parser[T], size: int) -> T:
        """Return what `parser` finds in the first `size` bytes."""
        return parse_head(parser, await self.peek(size))

    async def read_if_small(self) -> bytes | None:
        """Return None: a user's source is read while it is sent."""
        return None

    @property
    def name(self) -> str | None:
        """The name of the source. Raises `TypeError` unless it is text or None."""
        name: object = self.inner.name
        return (
            None
            if name is None
            else checks.text("the name of an UploadSource", name, expected="text or None")
        )

    @property
    def size(self) -> int | None:
        """The size of the source. Raises `TypeError` or `ValueError` unless it is None or an integer >= 0."""
        size: object = self.inner.size
        if size is None:
            return None
        name, wanted = "the size of an UploadSource", "an int or None"
        return checks.integer(name, size, minimum=0, maximum=None, expected=wanted)

    @property
    def replayable(self) -> bool:
        """Whether the source can be opened again."""
        return self.inner.replayable

    async def open(self) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of the source from its start."""
        chunks = self.inner.open() if user_code.current_caller.get() is None else _read_in_caller(self.inner)
        async with contextlib.aclosing(chunks):
            async for chunk in from_async_iterator(chunks):
                yield chunk


async def _read_in_caller(source: UploadSource) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of a source, and run the code of the source in the caller's thread.

    The source may block the caller's thread. But it cannot await anything, because that thread has no event
    loop.
    """
    chunks = await user_code.run_reader(source.open)
    try:
        while (chunk := await user_code.run_reader(_run_without_loop, anext(chunks, None))) is not None:
            yield chunk
    finally:
        await user_code.run_reader(_run_without_loop, chunks.aclose())


def _run_without_loop(awaitable: Awaitable[T]) -> T:
    """Run an awaitable without an event loop, and return its result.

    Raises `TypeError` if the awaitable waits for anything.
    """
    must_not_await = TypeError(
        "this UploadSource awaits something: use AsyncImgwireClient, or pass a plain iterator of bytes"
    )
    running = cast("Generator[object, None, T]", awaitable.__await__())
    try:
        next(running)
        running.throw(must_not_await)
    except StopIteration as done:
        return cast("T", done.value)
    except RuntimeError as error:
        # asyncio raises this error, "no running event loop", for code that needs an event loop.
        if "event loop" in str(error):
            raise must_not_await from error
        raise
    raise must_not_await


Source: TypeAlias = BytesSource | PathSource | FileSource | StreamSource | UserSource | SDKSource
