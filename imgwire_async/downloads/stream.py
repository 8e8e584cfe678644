"""The bytes of a picture as an async iterator, and the context manager that starts its download."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType

from imgwire_async.downloads.download import Download
from imgwire_async.downloads.response import ResponseBody
from imgwire_async.models import Image
from imgwire_async.protocol.request import NoResponseError


class Chunks(AsyncIterator[bytes]):
    """An iterator of a picture's bytes in chunks, as they arrive.

    The iterator holds a connection until its last chunk or until `aclose`. It holds no get slot, so it does
    not count towards the maximum number of simultaneous downloads.
    """

    def __init__(self, image: Image, download: Download, body: ResponseBody, first: bytes) -> None:
        self._image = image
        self._download = download
        self._body = body
        self._first: bytes | None = first
        self._ended = False

    @property
    def was_started(self) -> bool:
        """Whether the iterator has already returned a chunk.

        A user may pass the rest of a stream to an upload by mistake. The upload uses this property to explain
        why it fails.
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
        except NoResponseError as no_response:
            error = self._download.error_for(no_response)
        else:
            if chunk is not None:
                return chunk
            self._ended = True
            await self._download.aclose()
            raise StopAsyncIteration
        error.image = self._image
        raise error

    async def aclose(self) -> None:
        """End the download. Can be called at any time and more than once."""
        self._first = None
        await self._download.aclose()


class Stream(AbstractAsyncContextManager[AsyncIterator[bytes]]):
    """A context manager that starts a download, returns the chunks of the picture, and ends the download.

    The `with` block may be left before the last chunk. Different tasks may enter it, read the chunks, and
    leave it, because the stream keeps no timeout scope, task or generator open in between.
    """

    def __init__(self, open_chunks: Callable[[], Awaitable[Chunks]]) -> None:
        self._open_chunks = open_chunks
        self._entered = False
        self._chunks: Chunks | None = None

    async def __aenter__(self) -> AsyncIterator[bytes]:
        if self._entered:
            raise RuntimeError("a stream can be entered only once; call stream() again for another one")
        self._entered = True
        self._chunks = await self._open_chunks()
        return self._chunks

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._chunks is not None:
            await self._chunks.aclose()
