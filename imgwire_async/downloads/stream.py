"""The bytes of a picture as an asynchronous iterator."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType

from imgwire_async.downloads.download import Download
from imgwire_async.downloads.response import ResponseBody
from imgwire_async.models import Image
from imgwire_async.protocol.request import NoResponseError


class Chunks(AsyncIterator[bytes]):
    """The bytes of a picture as they come. Holds a connection, but no slot, until they end or it is closed."""

    def __init__(self, image: Image, download: Download, body: ResponseBody, first: bytes) -> None:
        self._image = image
        self._download = download
        self._body = body
        self._first: bytes | None = first
        self._ended = False

    @property
    def begun(self) -> bool:
        """Whether some of them were given out already.

        An upload asks for this by name, to say that it would get the rest only.
        """
        return self._first is None

    async def __anext__(self) -> bytes:
        if self._ended:
            raise StopAsyncIteration
        first, self._first = self._first, None
        if first is not None:
            return first
        try:
            chunk = await anext(self._body, None)
        except NoResponseError as no_answer:
            error = self._download.error(no_answer)
        else:
            if chunk is not None:
                return chunk
            self._ended = True
            await self._download.leave()
            raise StopAsyncIteration
        error.image = self._image
        raise error

    async def aclose(self) -> None:
        """End the download, at whatever point. Idempotent."""
        self._first = None
        await self._download.leave()


class Stream(AbstractAsyncContextManager[AsyncIterator[bytes]]):
    """`async with` gives the bytes of a picture as they come; leaving it, at whatever point, ends the download.

    Nothing here outlives a step (no clock, no task, no generator), so its steps may run in different tasks.
    """

    def __init__(self, opened: Callable[[], Awaitable[Chunks]]) -> None:
        self._opened = opened
        self._entered = False
        self._chunks: Chunks | None = None

    async def __aenter__(self) -> AsyncIterator[bytes]:
        if self._entered:
            raise RuntimeError("a stream is entered once; call stream() again for another")
        self._entered = True
        self._chunks = await self._opened()
        return self._chunks

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._chunks is not None:
            await self._chunks.aclose()
