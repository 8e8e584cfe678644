"""Decompress bodies of responses in bounded memory."""

from __future__ import annotations

import zlib
from typing import Any

from imgwire_async.protocol.request import NoResponseError
from imgwire_async.retry import Failure

# How many bytes at the start of an error response's body are read. The rest is ignored.
ERROR_BODY_LIMIT = 64 * 1024
# The `wbits` argument of zlib for the gzip format.
_GZIP = 16 + zlib.MAX_WBITS


def decompressed_prefix(body: bytes, coding: str, limit: int) -> bytes:
    """Decompress a body, and return its first `limit` bytes.

    `coding` is the `Content-Encoding` of the body. The result is empty when the body cannot be decompressed.
    """
    try:
        decompressor = decompressor_for(coding, "")
        return body[:limit] if decompressor is None else decompressor.decompress(body, limit)
    except NoResponseError:
        return b""


def decompressor_for(coding: str, host: str) -> Decompressor | None:
    """Return a `Decompressor` for a body with the `Content-Encoding` `coding`, or None.

    None means that the body is not compressed. Raises `NoResponseError` for an encoding that the request did
    not accept. The message of the error names `host`.
    """
    name = coding.strip().lower()
    if name in {"", "identity"}:
        return None
    if name not in {"gzip", "x-gzip", "deflate"}:
        raise _decompression_error(f"has the encoding {name[:40]!r}, which the request did not accept", host)
    return Decompressor(name, host)


class Decompressor:
    """Decompresses the body of one response in parts. The caller limits the size of each result.

    `coding` is the `Content-Encoding` of the body. `host` is named in errors.
    """

    def __init__(self, coding: str, host: str) -> None:
        self._coding = coding
        self._host = host
        # An object of `zlib.decompressobj`, whose class has no public name. `decompress` creates it, because
        # the first byte of the data decides the format.
        self._stream: Any = None

    def decompress(self, data: bytes, limit: int) -> bytes:
        """Decompress the next part `data` of the body, and return at most `limit` bytes.

        Bytes beyond the limit are lost. Raises `NoResponseError` for data that is not valid.
        """
        chunks: list[bytes] = []
        try:
            while data and limit > 0:
                # A gzip body may consist of several compressed parts, with zero bytes after each part. The
                # program `gzip` skips these zero bytes, too.
                if self._stream is not None and self._stream.eof and self._coding != "deflate":
                    data = data.lstrip(b"\0")
                    if not data:
                        break
                if self._stream is None or self._stream.eof:
                    self._stream = zlib.decompressobj(self._wbits_for(data))
                chunks.append(self._stream.decompress(data, limit))
                limit -= len(chunks[-1])
                data = self._stream.unused_data
        except zlib.error as error:
            raise _decompression_error(f"is not valid {self._coding}: {error}", self._host) from error
        return b"".join(chunks)

    def _wbits_for(self, data: bytes) -> int:
        """Return the `wbits` argument of zlib for a body that begins with `data`."""
        if self._coding != "deflate":
            return _GZIP
        # The standard requires a zlib header for `deflate`, but some servers send none. The lowest four bits
        # of a zlib header are 8.
        return zlib.MAX_WBITS if data[0] & 0x0F == 8 else -zlib.MAX_WBITS

    def finish(self) -> None:
        """Raise `NoResponseError` when the compressed data is incomplete. Call it at the end of the body."""
        if self._stream is not None and not self._stream.eof:
            raise _decompression_error("ends before the end of its compressed data", self._host)


def _decompression_error(what: str, host: str) -> NoResponseError:
    """Return the error for a body from `host` that cannot be decompressed. `what` says what is wrong."""
    return NoResponseError(Failure(f"the response of {host} {what}", kind="connection_lost"))
