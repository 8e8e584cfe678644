"""The bytes of an API answer: unpacked here, counted as they come, never more than allowed.

aiohttp would unpack whatever one packet holds before anybody can count: a thousand times its size, on all versions allowed.
"""

from __future__ import annotations

import zlib
from typing import Any

import aiohttp

from imgwire_async.protocol.request import NoAnswerError
from imgwire_async.retry import Failure

ACCEPTED = "gzip, deflate"  # what is unpacked here; anything else was not asked for
# Of a refusal the message is wanted; what is longer is a page.
_REFUSAL_LIMIT = 1024 * 1024
# What is packed is larger than what it holds only by this, and by one part in a hundred: padding and empty parts may go on for ever.
_OVERHEAD = 256 * 1024
_GZIP = 16 + zlib.MAX_WBITS


async def read(response: aiohttp.ClientResponse, limit: int) -> tuple[bytes, bool]:
    """The body of `response` up to `limit` unpacked bytes, and whether that is all of it. The rest is not read, but hung up on."""
    if response.status >= 300:
        limit = min(limit, _REFUSAL_LIMIT)
    coding = response.headers.get("Content-Encoding")
    unpack = None if coding is None else _unpacker(coding, response)
    stream, pieces, room = response.content, list[bytes](), limit
    packed_room = limit + limit // 100 + _OVERHEAD
    while not stream.at_eof() and (piece := await stream.readany()):
        if unpack is not None:
            packed_room -= len(piece)
            piece = unpack.feed(piece, room + 1)
        pieces.append(piece)
        room -= len(piece)
        if room < 0 or packed_room < 0:
            response.close()
            return b"".join(pieces)[:limit], False
    if unpack is not None:
        unpack.end()
    return (pieces[0] if len(pieces) == 1 else b"".join(pieces)), True


async def read_refusal(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Return the first `limit` unpacked bytes of a body. One that cannot be unpacked is empty: its status says enough."""
    try:
        return (await read(response, limit))[0]
    except NoAnswerError:
        return b""


def _unpacker(coding: str, response: aiohttp.ClientResponse) -> _Unpacker | None:
    name = coding.strip().lower()
    if name in {"", "identity"}:
        return None
    if name not in {"gzip", "x-gzip", "deflate"}:
        raise _broken(f"is packed as {name[:40]!r}, which was not asked for", response.url.raw_authority)
    return _Unpacker(name, response.url.raw_authority)


class _Unpacker:
    """Unpacks one body, no more at once than there is room for."""

    def __init__(self, coding: str, host: str) -> None:
        self._coding = coding
        self._host = host
        self._stream: Any = (
            None  # zlib's object, which has no public name; made when the first byte tells its format
        )

    def feed(self, data: bytes, room: int) -> bytes:
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

    def end(self) -> None:
        """The body is over. Raises when what it packs is not."""
        if self._stream is not None and not self._stream.eof:
            raise _broken("ends in the middle of what it packs", self._host)


def _broken(what: str, host: str) -> NoAnswerError:
    return NoAnswerError(Failure(f"the answer of {host} {what}", fate="lost"))
