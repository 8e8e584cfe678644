"""List the members of a ZIP archive. All functions block.

`zipfile` of the standard library keeps all members in memory. Here they are read from the central directory,
which is the list at the end of the archive, one after the other.
"""

from __future__ import annotations

import stat
import struct
import zlib
from array import array
from collections.abc import Iterator

import attrs

from imgwire_async.batch.sources.archive_file import BrokenArchiveError, read_fully
from imgwire_async.uploads.disk import Handle

STORED, DEFLATED, BZIP2, LZMA = 0, 8, 12, 14
METHODS = frozenset({STORED, DEFLATED, BZIP2, LZMA})
# The maximum ratio of these methods. A larger one is a lie.
_MAX_RATIOS = {STORED: 1, DEFLATED: 1_040}
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_UTF_8 = 0x800
# Systems whose names are UTF-8 bytes also without the flag: Unix and macOS.
_UNIX = frozenset({3, 19})
_KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

# The central directory: signature, versions and system, flags, method, time, date, CRC, sizes, lengths of
# name, extra fields and comment, disk, attributes, offset.
_ENTRY = struct.Struct("<4sBBBBHHHHLLLHHHHHLL")
_END = struct.Struct("<4sHHHHLLH")
_END_64 = struct.Struct("<4sQHHLLQQQQ")
_LOCATOR_64 = struct.Struct("<4sLQL")
_MAX_COMMENT = 2**16
_MAX_ENTRY = _ENTRY.size + 3 * 2**16
_READ = 2**20
_BROKEN_LIST = "has a broken list of its members"
LOCAL_HEADER_SIZE = 30


@attrs.frozen(slots=False)
class ZipMember:
    """One member that is no folder. `offset` is where its local header begins in the file.

    `reason` is why it cannot be uploaded, or None.
    """

    name: str
    size: int
    packed: int
    crc: int
    method: int
    offset: int
    reason: str | None


@attrs.frozen
class Directory:
    """Where the central directory is. `shift` is the number of bytes before the archive."""

    start: int
    size: int
    shift: int


def find_directory(handle: Handle) -> Directory | None:
    """Return where the central directory is, None if the file is no ZIP archive."""
    size = handle.status.st_size
    tail_start = max(0, size - _MAX_COMMENT - _END.size)
    tail = read_fully(handle, size - tail_start, tail_start)
    at = len(tail)
    while (at := tail.rfind(b"PK\5\6", 0, at)) >= 0:
        if len(tail) - at >= _END.size and (found := _directory_of(handle, tail, at, tail_start + at)):
            return found
    return None


def _directory_of(handle: Handle, tail: bytes, at: int, position: int) -> Directory | None:
    """Return the central directory that an end record describes, None if there is none."""
    _, disk, first_disk, _, count, size, offset, _ = _END.unpack_from(tail, at)
    end = position
    if (found := _zip64_end(handle, position)) is not None:
        end, disk, first_disk, count, size, offset = found
    if disk or first_disk:
        raise BrokenArchiveError("is only one part of an archive in several files, which cannot be read")
    start = end - size
    shift = start - offset
    if start < 0 or shift < 0:
        return None
    if count and handle.read(4, start) != b"PK\1\2":
        return None
    return Directory(start, size, shift)


def _zip64_end(handle: Handle, end: int) -> tuple[int, int, int, int, int, int] | None:
    """Return the position of the 64-bit end record, and its disks, count, size and offset, or None."""
    locator = end - _LOCATOR_64.size
    if locator < 0:
        return None
    signature, _, given, _ = _LOCATOR_64.unpack(read_fully(handle, _LOCATOR_64.size, locator))
    if signature != b"PK\6\7":
        return None
    # It is directly before the locator, unless it has optional fields.
    for position in (locator - _END_64.size, given):
        data = handle.read(_END_64.size, position) if 0 <= position <= locator - _END_64.size else b""
        if len(data) == _END_64.size and data[:4] == b"PK\6\6":
            _, _, _, _, disk, first_disk, _, count, size, offset = _END_64.unpack(data)
            return position, disk, first_disk, count, size, offset
    raise BrokenArchiveError(_BROKEN_LIST)


def members(handle: Handle, directory: Directory) -> Iterator[ZipMember | None]:
    """Yield the members of an archive, and None where a step may end. Raises `BrokenArchiveError`.

    Members that share bytes with others are skipped, because few bytes could become many files. So the list
    is read twice.
    """
    shared: set[int] = set()
    yield from _find_shared(handle, directory, shared)
    for member, _ in _entries(handle, directory):
        is_shared = member.offset in shared and member.reason is None
        yield attrs.evolve(member, reason=_SHARES) if is_shared else member


_SHARES = "it shares its bytes with another member"


def _find_shared(handle: Handle, directory: Directory, shared: set[int]) -> Iterator[None]:
    """Add the offsets of members to `shared` whose bytes overlap with those of other members."""
    starts, ends = array("Q"), array("Q")
    last, is_sorted = 0, True
    for count, (member, name_size) in enumerate(_entries(handle, directory)):
        if member.offset >= directory.start:
            shared.add(member.offset)
            continue
        end = member.offset + LOCAL_HEADER_SIZE + name_size + member.packed
        is_sorted = is_sorted and member.offset >= last
        last = max(last, end)
        starts.append(member.offset)
        ends.append(min(end, 2**64 - 1))
        if end > directory.start:
            shared.add(member.offset)
        if not count % 100:
            yield None
    if is_sorted:
        return
    largest_end, owner = 0, 0
    for count, index in enumerate(sorted(range(len(starts)), key=starts.__getitem__)):
        if starts[index] < largest_end:
            shared.update((starts[index], owner))
        if ends[index] > largest_end:
            largest_end, owner = ends[index], starts[index]
        if not count % 1000:
            yield None


def _entries(handle: Handle, directory: Directory) -> Iterator[tuple[ZipMember, int]]:
    """Yield the members that are no folders, each with the size of its name."""
    data, position = b"", directory.start
    end = directory.start + directory.size
    at = 0
    while position + at < end:
        if len(data) - at < _MAX_ENTRY and position + len(data) < end:
            position, at = position + at, 0
            data = read_fully(handle, min(_READ, end - position), position)
        if len(data) - at < _ENTRY.size or data[at : at + 4] != b"PK\1\2":
            raise BrokenArchiveError(_BROKEN_LIST)
        fields = _ENTRY.unpack_from(data, at)
        name_size, extra_size, comment_size = fields[12:15]
        name_at = at + _ENTRY.size
        at = name_at + name_size + extra_size + comment_size
        if at > len(data):
            raise BrokenArchiveError(_BROKEN_LIST)
        name = data[name_at : name_at + name_size]
        extra = data[name_at + name_size : name_at + name_size + extra_size]
        member = _member_of(fields, name, extra, directory.shift)
        if not name.endswith(b"/"):
            yield member, name_size


def _member_of(fields: tuple[int, ...], raw_name: bytes, extra: bytes, shift: int) -> ZipMember:
    _, _, system, _, _, flags, method, _, _, crc, packed, size, _, _, _, _, _, attributes, offset = fields
    found = dict(_extra_fields(extra))
    reason = None
    if 2**32 - 1 in {size, packed, offset}:
        numbers = [*_numbers_64(found.get(1, b""))]
        wanted = [value == 2**32 - 1 for value in (size, packed, offset)]
        if len(numbers) < sum(wanted):
            reason = "its header is broken"
        else:
            values = iter(numbers)
            size, packed, offset = (
                next(values) if is_64 else value
                for value, is_64 in zip((size, packed, offset), wanted, strict=True)
            )
    kind = stat.S_IFMT(attributes >> 16)
    name = _name_of(raw_name, flags, system, found.get(0x7075, b""))
    reason = reason or _reason(kind, flags, method, size, packed)
    return ZipMember(name, size, packed, crc, method, offset + shift, reason)


def _reason(kind: int, flags: int, method: int, size: int, packed: int) -> str | None:
    if kind not in {0, stat.S_IFREG}:
        return _KINDS.get(kind, "neither a file nor a folder")
    if flags & _ENCRYPTED:
        return "it is encrypted"
    if method not in METHODS:
        return f"it is compressed with method {method}, which cannot be read"
    if size > _MAX_RATIOS.get(method, size) * packed + 100:
        return "its sizes cannot be true"
    return None


def _extra_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, at)
        yield kind, extra[at + 4 : at + 4 + size]
        at += 4 + size


def _numbers_64(data: bytes) -> Iterator[int]:
    for at in range(0, len(data) - 7, 8):
        yield int.from_bytes(data[at : at + 8], "little")


def _name_of(raw: bytes, flags: int, system: int, unicode_name: bytes) -> str:
    """Return the name of a member.

    Without a flag or an extra field, names are UTF-8 or in the code page of DOS. Bytes that are not UTF-8
    although the flag says so are kept distinct, as in names of files on disk.
    """
    if flags & _UTF_8 or raw.isascii():
        return raw.decode("utf-8", "surrogateescape")
    # The extra field is for the name with this CRC.
    if unicode_name[:1] == b"\1" and int.from_bytes(unicode_name[1:5], "little") == zlib.crc32(raw):
        return unicode_name[5:].decode("utf-8", "surrogateescape")
    if system in _UNIX:
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            pass
    return raw.decode("cp437")
