"""Unpacks bodies, counted: never more at once than there is room for."""

from __future__ import annotations

import zlib
from typing import Any

from imgwire_async.protocol.request import NoResponseError
from imgwire_async.retry import Failure

# Bytes that are read of a response that says what went wrong.
ERROR_BODY_LIMIT = 64 * 1024
_GZIP = 16 + zlib.MAX_WBITS


def decompressed_prefix(body: bytes, coding: str, limit: int) -> bytes:
    """Return the first `limit` bytes of what a body holds; nothing where that cannot be unpacked."""
    try:
        decompressor = decompressor_for(coding, "")
        return body[:limit] if decompressor is None else decompressor.decompress(body, limit)
    except NoResponseError:
        return b""


def decompressor_for(coding: str, host: str) -> Decompressor | None:
    """Return what unpacks a body with this `Content-Encoding`, None for one that is not packed."""
    name = coding.strip().lower()
    if name in {"", "identity"}:
        return None
    if name not in {"gzip", "x-gzip", "deflate"}:
        raise _broken(f"is packed as {name[:40]!r}, which was not asked for", host)
    return Decompressor(name, host)


class Decompressor:
    """Unpacks one body, no more at once than there is room for."""

    def __init__(self, coding: str, host: str) -> None:
        self._coding = coding
        self._host = host
        self._stream: Any = (
            None  # zlib's object, which has no public name; made when the first byte tells its format
        )

    def decompress(self, data: bytes, room: int) -> bytes:
        """At most `room` bytes of what `data` holds: when there are so many, the rest is of no interest."""
        pieces: list[bytes] = []
        try:
            while data and room > 0:
                # gzip may have several members, one after the other, and zeros after each, as gzip(1) takes them
                if self._stream is not None and self._stream.eof and self._coding != "deflate":
                    data = data.lstrip(b"\0")
                    if not data:
                        break
                if self._stream is None or self._stream.eof:
                    self._stream = zlib.decompressobj(self._format(data))
                pieces.append(self._stream.decompress(data, room))
                room -= len(pieces[-1])
                data = self._stream.unused_data
        except zlib.error as error:
            raise _broken(f"is no {self._coding}: {error}", self._host) from error
        return b"".join(pieces)

    def _format(self, data: bytes) -> int:
        if self._coding != "deflate":
            return _GZIP
        # Named after the one, sent as the other: both are about.
        return zlib.MAX_WBITS if data[0] & 0x0F == 8 else -zlib.MAX_WBITS

    def finish(self) -> None:
        """The body is over. Raises when what it packs is not."""
        if self._stream is not None and not self._stream.eof:
            raise _broken("ends in the middle of what it packs", self._host)


def _broken(what: str, host: str) -> NoResponseError:
    return NoResponseError(Failure(f"the answer of {host} {what}", kind="connection_lost"))
