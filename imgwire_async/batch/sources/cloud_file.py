"""A file of a file system of fsspec as the source of an upload."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from imgwire_async.batch.sources.cloud_info import Found
from imgwire_async.batch.sources.cloud_service import CloudService
from imgwire_async.uploads.chunks import split
from imgwire_async.uploads.sdk_source import SDKSource


class CloudFile(SDKSource):
    """One file. It can be read as often as necessary while its run goes on.

    The response whose first bytes showed the type of the picture is kept until the upload needs the rest, so
    that each file costs one request.
    """

    __slots__ = ("_below", "_found", "_head", "_service", "_stream")

    def __init__(self, service: CloudService, found: Found, below: str) -> None:
        self._service = service
        self._found = found
        self._below = below
        self._stream: AsyncGenerator[bytes, None] | None = None
        # What was read of `_stream`.
        self._head: tuple[bytes, ...] = ()

    @property
    def name(self) -> str | None:
        """The last part of the path."""
        return self._below.rpartition("/")[2]

    @property
    def size(self) -> int | None:
        """The number of bytes that the listing shows."""
        return self._found.size

    @property
    def replayable(self) -> bool:
        """True: every attempt sends a request of its own."""
        return True

    @property
    def path(self) -> str | None:
        """The URL of the file without secrets."""
        return self._service.label(self._below)

    async def peek(self, size: int) -> bytes:
        """Return the first `size` bytes, and keep them and the response for `open`."""
        if self._stream is None:
            self._stream = self._service.chunks(self._found, self._below)
        while sum(map(len, self._head)) < size:
            chunk = await anext(self._stream, b"")
            if not chunk:
                break
            self._head = (*self._head, chunk)
        return b"".join(self._head)[:size]

    async def open(self) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from the start, in chunks."""
        stream, head = self._stream, self._head
        self._stream, self._head = None, ()
        if stream is None:
            stream = self._service.chunks(self._found, self._below)
        async with contextlib.aclosing(stream):
            for chunk in head:
                for part in split(chunk):
                    yield part
            async for chunk in stream:
                for part in split(chunk):
                    yield part

    async def aclose(self) -> None:
        """Close the response that `peek` has kept."""
        stream, self._stream, self._head = self._stream, None, ()
        if stream is not None:
            await stream.aclose()

    def __repr__(self) -> str:
        return f"<file {self._service.label(self._below)}>"
