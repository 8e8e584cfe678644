"""The bytes of an API answer: unpacked here, counted as they come, never more than allowed.

aiohttp would unpack whatever one packet holds before anybody can count: a thousand times its size, on all versions allowed.
"""

from __future__ import annotations

import aiohttp

from imgwire_async.protocol.decompression import decompressor_for

ACCEPTED_ENCODINGS = "gzip, deflate"  # what is unpacked here; anything else was not asked for
# Of a refusal the message is wanted; what is longer is a page.
_REFUSAL_LIMIT = 1024 * 1024
# What is packed is larger than what it holds only by this, and by one part in a hundred: padding and empty parts may go on for ever.
_OVERHEAD = 256 * 1024


async def read(response: aiohttp.ClientResponse, limit: int) -> tuple[bytes, bool]:
    """Return the body of `response` up to `limit` unpacked bytes, and whether that is all of it. The rest is hung up on, unread."""
    if response.status >= 300:
        limit = min(limit, _REFUSAL_LIMIT)
    coding, stream = response.headers.get("Content-Encoding"), response.content
    try:
        decompressor = None if coding is None else decompressor_for(coding, response.url.raw_authority)
        pieces, room = list[bytes](), limit
        packed_room = limit + limit // 100 + _OVERHEAD
        while not stream.at_eof() and (piece := await next_piece(stream)):
            if decompressor is not None:
                packed_room -= len(piece)
                piece = decompressor.decompress(piece, room + 1)
            pieces.append(piece)
            room -= len(piece)
            if room < 0 or packed_room < 0:
                response.close()
                return b"".join(pieces)[:limit], False
    finally:
        del response  # its repr shows its URL, which may hold an upload token
    if decompressor is not None:
        decompressor.finish()
    return (pieces[0] if len(pieces) == 1 else b"".join(pieces)), True


async def next_piece(stream: aiohttp.StreamReader) -> bytes:
    """Return what is there of a body, nothing at its end; waits for more otherwise."""
    try:
        return await stream.readany()
    except RuntimeError as error:  # aiohttp's word for a connection that was closed by a body that is no HTTP
        raise aiohttp.ClientPayloadError("the connection was closed") from error


async def read_prefix(stream: aiohttp.StreamReader, limit: int) -> bytes:
    """Return up to `limit` bytes of a body, in however many packets they come: the reason may stand in the last one."""
    pieces: list[bytes] = []
    left = limit
    while left > 0 and not stream.at_eof() and (piece := await next_piece(stream)):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)[:limit]
