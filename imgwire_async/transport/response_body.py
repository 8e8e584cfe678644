"""Read the body of an API response: decompress it, and stop at a size limit.

aiohttp would decompress everything that one packet holds before the size can be checked. That can be a
thousand times the size of the packet, in all supported versions of aiohttp.
"""

from __future__ import annotations

import aiohttp

from imgwire_async.protocol.decompression import decompressor_for

# The content codings that `read_body` decompresses.
ACCEPTED_ENCODINGS = "gzip, deflate"
# The limit for an error response, whose message is short. A longer body is a web page.
_ERROR_LIMIT = 1024 * 1024
# A compressed body may be larger than its content by this number of bytes and by one percent. Without such
# a limit, padding and empty blocks could go on for ever.
_COMPRESSION_OVERHEAD = 256 * 1024


async def read_body(response: aiohttp.ClientResponse, limit: int) -> tuple[bytes, bool]:
    """Return the decompressed body up to `limit` bytes, and whether it is complete.

    If the body is longer, the connection is closed and the rest is not read.
    """
    if response.status >= 300:
        limit = min(limit, _ERROR_LIMIT)
    coding, stream = response.headers.get("Content-Encoding"), response.content
    try:
        decompressor = None if coding is None else decompressor_for(coding, response.url.raw_authority)
        chunks, remaining = list[bytes](), limit
        compressed_remaining = limit + limit // 100 + _COMPRESSION_OVERHEAD
        while not stream.at_eof() and (chunk := await next_chunk(stream)):
            if decompressor is not None:
                compressed_remaining -= len(chunk)
                chunk = decompressor.decompress(chunk, remaining + 1)
            chunks.append(chunk)
            remaining -= len(chunk)
            if remaining < 0 or compressed_remaining < 0:
                response.close()
                return b"".join(chunks)[:limit], False
    finally:
        # The repr of the response shows its URL, which may hold an upload token: keep it out of tracebacks.
        del response
    if decompressor is not None:
        decompressor.finish()
    return (chunks[0] if len(chunks) == 1 else b"".join(chunks)), True


async def next_chunk(stream: aiohttp.StreamReader) -> bytes:
    """Return the bytes of a body that have arrived, or wait for the next ones.

    Return no bytes at the end of the body.
    """
    try:
        return await stream.readany()
    except RuntimeError as error:
        # aiohttp raises this when a body that is not valid HTTP has closed the connection.
        raise aiohttp.ClientPayloadError("the connection was closed") from error


async def read_prefix(stream: aiohttp.StreamReader, limit: int) -> bytes:
    """Return the first `limit` bytes of a body, which may arrive in any number of packets."""
    chunks: list[bytes] = []
    remaining = limit
    while remaining > 0 and not stream.at_eof() and (chunk := await next_chunk(stream)):
        chunks.append(chunk)
        remaining -= len(chunk)
    return b"".join(chunks)[:limit]
