"""The bytes of an API answer: unpacked here, counted as they come, never more than allowed.

aiohttp would unpack whatever one packet holds before anybody can count: a thousand times its size, on all versions allowed.
"""

from __future__ import annotations

import aiohttp

from imgwire_async.protocol.request import NoAnswerError
from imgwire_async.protocol.unpacking import unpacker

ACCEPTED = "gzip, deflate"  # what is unpacked here; anything else was not asked for
# Of a refusal the message is wanted; what is longer is a page.
_REFUSAL_LIMIT = 1024 * 1024
# What is packed is larger than what it holds only by this, and by one part in a hundred: padding and empty parts may go on for ever.
_OVERHEAD = 256 * 1024


async def read(response: aiohttp.ClientResponse, limit: int) -> tuple[bytes, bool]:
    """The body of `response` up to `limit` unpacked bytes, and whether that is all of it. The rest is not read, but hung up on."""
    if response.status >= 300:
        limit = min(limit, _REFUSAL_LIMIT)
    coding = response.headers.get("Content-Encoding")
    unpack = None if coding is None else unpacker(coding, response.url.raw_authority)
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
