"""Read the headers of a TAR archive. Pure functions of blocks of 512 bytes.

`tarfile` of the standard library reads headers of any size into memory and keeps all members, so a hostile or
a large archive would fill the memory.
"""

from __future__ import annotations

import attrs

from imgwire_async.batch.sources.archive_file import BrokenArchiveError

BLOCK = 512

# The types of members.
FILES = frozenset({b"0", b"\0", b"7"})
FOLDERS = frozenset({b"5", b"D"})
PAX = b"x"
GLOBAL_PAX = b"g"
LONG_NAME = b"L"
LONG_LINK = b"K"
SPARSE = b"S"
VOLUME_LABEL = b"V"
_WITHOUT_CONTENT = frozenset({b"1", b"2", b"3", b"4", b"5", b"6"})
_REASONS = {
    b"1": "a hard link to another member",
    b"2": "a link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a pipe",
    b"M": "a part of a file of another volume",
    SPARSE: "a sparse file, which cannot be read",
}
BROKEN_HEADER = "has a broken header"
SHORT_HEADER = "is cut off in a header"


@attrs.frozen
class Header:
    """One header. `size` is the number of bytes of content, and `mtime` the time as the header has it."""

    name: str
    kind: bytes
    size: int
    mtime: str
    is_sparse: bool = False


def parse_header(block: bytes) -> Header:
    """Return the header in a block. Raises `BrokenArchiveError` if it is none."""
    if len(block) != BLOCK:
        raise BrokenArchiveError(SHORT_HEADER)
    if not has_checksum(block):
        raise BrokenArchiveError(BROKEN_HEADER)
    kind = block[156:157]
    name = text(_until_nul(block[:100]))
    # Old GNU archives have other fields where POSIX has the beginning of the path.
    if block[257:263] == b"ustar\0" and (beginning := text(_until_nul(block[345:500]))):
        name = f"{beginning}/{name}"
    # Before POSIX, a folder was a file whose name ends with a slash.
    if kind == b"\0" and name.endswith("/"):
        kind = b"5"
    size = 0 if kind in _WITHOUT_CONTENT else _number(block[124:136])
    return Header(name, kind, size, str(_number(block[136:148])))


def has_checksum(block: bytes) -> bool:
    """Return whether a block has the checksum of a header."""
    try:
        found = _number(block[148:156])
    except BrokenArchiveError:
        return False
    others = block[:148] + block[156:]
    unsigned = 256 + sum(others)
    # Some old programs added the bytes as signed numbers.
    return found == unsigned or found == unsigned - 256 * sum(byte > 127 for byte in others)


def _number(field: bytes) -> int:
    """Return a number of a header: octal digits, or the binary form of GNU for large numbers."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    if field[:1] == b"\xff":
        return int.from_bytes(field, "big", signed=True)
    digits = _until_nul(field).strip()
    try:
        return int(digits, 8) if digits else 0
    except ValueError:
        raise BrokenArchiveError(BROKEN_HEADER) from None


def parse_pax(data: bytes) -> dict[str, str]:
    """Return the records of a PAX header that are needed here."""
    found: dict[str, str] = {}
    start = 0
    while start < len(data) and data[start]:
        space = data.find(b" ", start, start + 21)
        digits = data[start:space]
        if space < 0 or not digits.isdigit():
            raise BrokenArchiveError(BROKEN_HEADER)
        end = start + int(digits)
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if end > len(data) or end <= space + 2 or not equals or data[end - 1 : end] != b"\n":
            raise BrokenArchiveError(BROKEN_HEADER)
        if key in {b"path", b"size", b"mtime"}:
            found[text(key)] = text(value)
        elif key.startswith(b"GNU.sparse."):
            found["sparse"] = text(value)
        start = end
    return found


def with_extensions(header: Header, pax: dict[str, str], long_name: str | None) -> Header:
    """Return a header with the values of the extension headers before it."""
    size = header.size
    if "size" in pax and header.kind not in _WITHOUT_CONTENT:
        if not (pax["size"].isascii() and pax["size"].isdigit() and len(pax["size"]) < 20):
            raise BrokenArchiveError(BROKEN_HEADER)
        size = int(pax["size"])
    name = pax.get("path", header.name) if long_name is None else long_name
    mtime = pax.get("mtime", header.mtime)
    is_sparse = "sparse" in pax or header.kind == SPARSE
    return attrs.evolve(header, name=name, size=size, mtime=mtime[:40], is_sparse=is_sparse)


def reason_to_skip(header: Header) -> str | None:
    """Return why the member is no file that can be uploaded, or None."""
    if header.is_sparse:
        return _REASONS[SPARSE]
    if header.kind in FILES:
        return None
    return _REASONS.get(header.kind, "a member of an unknown type")


def _until_nul(data: bytes) -> bytes:
    return data.partition(b"\0")[0]


def text(data: bytes) -> str:
    """Return text of a header. Bytes that are not UTF-8 are kept distinct, as in names of files on disk."""
    return data.decode("utf-8", "surrogateescape")


def long_name_of(data: bytes) -> str:
    """Return the name in the content of a GNU header for long names."""
    return text(_until_nul(data))
