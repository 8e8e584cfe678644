"""The base class for sources of the SDK itself, such as a member of an archive or an object of a bucket."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, Callable
from typing import ClassVar, Protocol, TypeVar

from imgwire_async import cancellation, disk_work
from imgwire_async.threads import CANCEL_GRACE, consume_exception
from imgwire_async.uploads.disk import CHUNK_SIZE, Parser

T = TypeVar("T")


class SDKSource(abc.ABC):
    """A source that the SDK reads without user code, with the interface of an `UploadSource`.

    `open` always runs on the event loop, also with the blocking client, and never in the caller's thread. It
    reads in worker threads of the package, for example with `read_in_threads`.
    """

    runs_user_code: ClassVar[bool] = False

    @property
    @abc.abstractmethod
    def name(self) -> str | None:
        """The file name, or None."""

    @property
    @abc.abstractmethod
    def size(self) -> int | None:
        """The number of bytes, or None if it is unknown."""

    @property
    @abc.abstractmethod
    def replayable(self) -> bool:
        """Whether `open` may be called more than once, and yields the same bytes each time."""

    @property
    def path(self) -> str | None:
        """Where the file is, for messages. None names the file only."""
        return None

    @abc.abstractmethod
    def open(self) -> AsyncGenerator[bytes, None]:
        """Return the bytes from the start, in chunks of at most `CHUNK_SIZE` bytes."""

    async def aclose(self) -> None:  # noqa: B027  # most sources keep nothing
        """Release what was kept for further attempts. An upload calls this at its end.

        After that, another upload may still open the source. Does nothing unless a subclass keeps something.
        """

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
        head = await self.peek(size)
        return parser(lambda count, position: head[position : position + count])

    async def read_if_small(self) -> bytes | None:
        """Return None: the source is read while it is sent."""
        return None


class BlockingReader(Protocol):
    """A reader whose methods block. Only one thread uses it at a time."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, or no bytes at the end."""
        ...

    def close(self) -> object:
        """Release all resources."""
        ...


class Submit(Protocol):
    """A function that starts another one in a worker thread, such as `disk_work.submit`.

    If the future is cancelled before the result is there, `dispose` is called with the result in a thread.
    """

    def __call__(
        self, function: Callable[[], T], dispose: Callable[[T], object] | None = None
    ) -> asyncio.Future[T]: ...


async def read_in_threads(
    open_reader: Callable[[], BlockingReader], submit: Submit = disk_work.submit
) -> AsyncGenerator[bytes, None]:
    """Open a reader in a worker thread, and yield its bytes. Close it at the end, also on cancellation.

    While one chunk is sent, the next chunk is read. `submit` chooses the threads. A read that hangs does not
    keep the generator from ending: the reader is closed as soon as that read returns.
    """
    opening = submit(open_reader, _close)
    try:
        reader = await asyncio.shield(opening)
    except asyncio.CancelledError:
        await _close_opened(opening, submit)
        raise
    reading: asyncio.Future[bytes] | None = None
    try:
        reading = submit(functools.partial(reader.read, CHUNK_SIZE))
        while chunk := await asyncio.shield(reading):
            reading = submit(functools.partial(reader.read, CHUNK_SIZE))
            yield chunk
            # Let other tasks run, because on a fast network the transfer itself never waits.
            await asyncio.sleep(0)
    finally:
        await _close_after(reading, reader, submit)


def _close(reader: BlockingReader) -> None:
    reader.close()


async def _close_opened(opening: asyncio.Future[BlockingReader], submit: Submit) -> None:
    """Close a reader whose opening was cancelled. Do not wait long if the opening hangs."""
    try:
        await cancellation.wait_all([opening], timeout=CANCEL_GRACE)
    finally:
        if opening.done() and not opening.cancelled() and opening.exception() is None:
            submit(opening.result().close).add_done_callback(consume_exception)
        else:
            # The thread pool disposes of the reader when it has been opened.
            opening.cancel()


async def _close_after(reading: asyncio.Future[bytes] | None, reader: BlockingReader, submit: Submit) -> None:
    """Close a reader when its last read has ended, because two threads must not use it at the same time."""
    try:
        if reading is not None:
            await cancellation.wait_all([reading], timeout=CANCEL_GRACE)
    finally:
        if reading is not None and not reading.done():
            reading.add_done_callback(lambda _: submit(reader.close).add_done_callback(consume_exception))
        else:
            closing = submit(reader.close)
            timeout = CANCEL_GRACE if cancellation.is_being_cancelled() else float("inf")
            await cancellation.wait_all([closing], timeout=timeout)
