"""List the members of a TAR archive, plain or compressed. All functions block."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from imgwire_async.batch.sources import archive_tar_header as headers
from imgwire_async.batch.sources.archive_file import BrokenArchiveError
from imgwire_async.batch.sources.archive_streams import CUT_OFF, ByteStream
from imgwire_async.batch.sources.archive_tar_header import BLOCK, Header
from imgwire_async.logs import logger

# The maximum number of bytes of extension headers before one member, and of such headers.
_MAX_EXTENSION_BYTES = 2**20
_MAX_EXTENSIONS = 32
# A member with more bytes than that is a lie.
_MAX_SIZE = 2**62


@attrs.frozen(slots=False)
class TarMember:
    """One member that is no folder. `index` counts them, `offset` is where its content begins.

    `reason` is why it cannot be uploaded, or None.
    """

    index: int
    name: str
    size: int
    mtime: str
    offset: int
    reason: str | None


def members(stream: ByteStream) -> Iterator[TarMember | None]:
    """Yield the members of an archive, and None where a step may end.

    After a member, the caller may read its content from `stream`. Raises `BrokenArchiveError`.
    """
    index = 0
    while (header := _next_header(stream)) is not None:
        end = stream.position + header.size
        if header.kind not in headers.FOLDERS and header.kind != headers.VOLUME_LABEL:
            reason = headers.reason_to_skip(header)
            yield TarMember(index, header.name, header.size, header.mtime, stream.position, reason)
            index += 1
        yield from stream.skip(end - stream.position)
        stream.skip_padding(-header.size % BLOCK)
        yield None


def _next_header(stream: ByteStream) -> Header | None:
    """Return the header of the next member with the values of its extension headers, None at the end."""
    pax: dict[str, str] = {}
    long_name: str | None = None
    left = _MAX_EXTENSION_BYTES
    for _ in range(_MAX_EXTENSIONS):
        block = stream.read(BLOCK)
        if not block and not pax and long_name is None:
            logger.warning("%s: the archive has no end mark, so it may be cut off", stream.label)
            return None
        if len(block) == BLOCK and not any(block):
            return None
        header = headers.parse_header(block)
        if not 0 <= header.size <= _MAX_SIZE:
            raise BrokenArchiveError(headers.BROKEN_HEADER)
        if header.kind not in {headers.PAX, headers.GLOBAL_PAX, headers.LONG_NAME, headers.LONG_LINK, b"X"}:
            if header.kind == headers.SPARSE:
                _skip_sparse_blocks(stream, block)
            header = headers.with_extensions(header, pax, long_name)
            if header.size > _MAX_SIZE:
                raise BrokenArchiveError(headers.BROKEN_HEADER)
            return header
        left -= header.size + BLOCK
        if left < 0:
            break
        data = _read_padded(stream, header.size)
        if header.kind in {headers.PAX, b"X"}:
            pax.update(headers.parse_pax(data))
        elif header.kind == headers.LONG_NAME:
            long_name = headers.long_name_of(data)
    raise BrokenArchiveError("has a header that is too large")


def _read_padded(stream: ByteStream, size: int) -> bytes:
    data = stream.read(-(-size // BLOCK) * BLOCK)
    if len(data) < size:
        raise BrokenArchiveError(CUT_OFF)
    return data[:size]


def _skip_sparse_blocks(stream: ByteStream, block: bytes) -> None:
    """Skip the blocks that describe the holes of a sparse file of GNU."""
    goes_on = block[482]
    for _ in range(_MAX_EXTENSION_BYTES // BLOCK):
        if not goes_on:
            return
        more = stream.read(BLOCK)
        if len(more) < BLOCK:
            raise BrokenArchiveError(CUT_OFF)
        goes_on = more[504]
    raise BrokenArchiveError("has a header that is too large")
