"""Decompress bodies of responses in bounded memory."""

from __future__ import annotations

import zlib
from typing import Any

from imgwire_async.protocol.request import NoResponseError
from imgwire_async.retry import Failure

# Maximum number of bytes to read from the body of an error response.
ERROR_BODY_LIMIT = 64 * 1024
_GZIP = 16 + zlib.MAX_WBITS


def decompressed_prefix(body: bytes, coding: str, limit: int) -> bytes:
    """Return the first `limit` bytes of a decompressed body, or nothing when it cannot be decompressed."""
    try:
        decompressor = decompressor_for(coding, "")
        return body[:limit] if decompressor is None else decompressor.decompress(body, limit)
    except NoResponseError:
        return b""


def decompressor_for(coding: str, host: str) -> Decompressor | None:
    """Return a `Decompressor` for the `Content-Encoding` of a body, or None for a body without compression.

    Raises `NoResponseError` for an encoding that the request did not accept.
    """
    name = coding.strip().lower()
    if name in {"", "identity"}:
        return None
    if name not in {"gzip", "x-gzip", "deflate"}:
        raise _broken(f"has the encoding {name[:40]!r}, which the request did not accept", host)
    return Decompressor(name, host)


class Decompressor:
    """Decompresses one body, at most a given number of bytes at a time."""

    def __init__(self, coding: str, host: str) -> None:
        self._coding = coding
        self._host = host
        # An object of zlib, whose class has no public name. Created when the first byte shows the format.
        self._stream: Any = None

    def decompress(self, data: bytes, room: int) -> bytes:
        """Return at most `room` decompressed bytes of `data`; the rest of them is dropped."""
        chunks: list[bytes] = []
        try:
            while data and room > 0:
                # A gzip body may have several members, each followed by zeros, which gzip(1) accepts, too.
                if self._stream is not None and self._stream.eof and self._coding != "deflate":
                    data = data.lstrip(b"\0")
                    if not data:
                        break
                if self._stream is None or self._stream.eof:
                    self._stream = zlib.decompressobj(self._format(data))
                chunks.append(self._stream.decompress(data, room))
                room -= len(chunks[-1])
                data = self._stream.unused_data
        except zlib.error as error:
            raise _broken(f"is not valid {self._coding}: {error}", self._host) from error
        return b"".join(chunks)

    def _format(self, data: bytes) -> int:
        """Return zlib's number for the format of a body that begins with `data`."""
        if self._coding != "deflate":
            return _GZIP
        # Some servers send `deflate` with a zlib header, as the standard says, and others without.
        return zlib.MAX_WBITS if data[0] & 0x0F == 8 else -zlib.MAX_WBITS

    def finish(self) -> None:
        """Raise `NoResponseError` when the compressed data is incomplete. Called at the end of the body."""
        if self._stream is not None and not self._stream.eof:
            raise _broken("ends before the end of its compressed data", self._host)


def _broken(what: str, host: str) -> NoResponseError:
    """Return the error for a body that cannot be decompressed."""
    return NoResponseError(Failure(f"the response of {host} {what}", kind="connection_lost"))
