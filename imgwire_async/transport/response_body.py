"""Read the bodies of responses up to a size limit.

`read_body` reads the body of an API response and decompresses it. The other functions read the bodies of all
hosts.

aiohttp's own decompression is not used, because it decompresses a whole packet before the size can be
checked. The result may be a thousand times as large as the packet.
"""

from __future__ import annotations

import aiohttp

from imgwire_async.protocol.decompression import decompressor_for

# The content codings that `read_body` decompresses.
ACCEPTED_ENCODINGS = "gzip, deflate"
# The maximum number of bytes of an error response that are read. The API's error messages are short, so a
# longer body is a web page.
_API_ERROR_LIMIT = 1024 * 1024
# A compressed body may be larger than the limit for its content. The maximum excess is one percent of the
# limit plus this number of bytes. Without a maximum, a server could send padding and empty blocks forever.
_COMPRESSION_OVERHEAD = 256 * 1024


async def read_body(response: aiohttp.ClientResponse, limit: int) -> tuple[bytes, bool]:
    """Return the decompressed body up to `limit` bytes, and whether it is complete.

    If the body is longer, the connection is closed and the rest is not read.
    """
    if response.status >= 300:
        limit = min(limit, _API_ERROR_LIMIT)
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
        # Error trackers store local variables, and the repr of the response shows its URL, which may contain
        # an upload token.
        del response
    if decompressor is not None:
        decompressor.finish()
    return (chunks[0] if len(chunks) == 1 else b"".join(chunks)), True


async def next_chunk(stream: aiohttp.StreamReader) -> bytes:
    """Wait until bytes of a body have arrived, and return them. At the end of the body, return `b""`."""
    try:
        return await stream.readany()
    except RuntimeError as error:
        # aiohttp raises RuntimeError if it has closed the connection because the body was not valid HTTP.
        raise aiohttp.ClientPayloadError("the connection was closed") from error


async def read_prefix(stream: aiohttp.StreamReader, limit: int) -> bytes:
    """Read at most `limit` bytes from the beginning of a body, and return them."""
    chunks: list[bytes] = []
    remaining = limit
    while remaining > 0 and not stream.at_eof() and (chunk := await next_chunk(stream)):
        chunks.append(chunk)
        remaining -= len(chunk)
    return b"".join(chunks)[:limit]
