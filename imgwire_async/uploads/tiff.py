"""Distinguish a camera's raw picture from an ordinary TIFF.

NEF, ARW, DNG, PEF and many other raw formats begin like a TIFF. They differ in the tags of their image
directories. The file is untrusted input, so the number of directories and entries to read is limited, and no
directory is read twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import attrs

# A function `read_at(size, position)` that returns bytes of the file, fewer than `size` only at its end.
ReadAt = Callable[[int, int], bytes]

# How many bytes at the start of a TIFF are searched for directories, if its source is a stream or user code.
TIFF_BYTES = 64 * 1024

# The maximum number of directories to read, which includes those of embedded pictures.
_MAX_DIRECTORIES = 8
# The maximum number of entries to read in one directory. Real directories have a few dozen.
_MAX_ENTRIES = 512
# The maximum number of embedded pictures to follow from one directory.
_MAX_SUB_DIRECTORIES = 4

_NEW_SUBFILE_TYPE, _COMPRESSION, _PHOTOMETRIC, _MAKE, _SUB_DIRECTORIES = 254, 259, 262, 271, 330

# Tags that only raw pictures have: the pattern of the colour filters (TIFF/EP), the data of Leaf and Imacon,
# the version of DNG, the picture data of Nikon, the file type of Sony.
_RAW_TAGS = frozenset({33421, 33422, 34310, 46275, 50706, 51157, 0x7000})
# Photometric interpretations of raw pictures: colour filter array, and linear raw.
_RAW_PHOTOMETRIC = frozenset({32803, 34892})
# Compressions that only raw pictures have: of Nikon, Epson, Samsung, Sony, Pentax, Kodak, and DNG.
_RAW_COMPRESSION = frozenset({34713, 32769, 32770, 32772, 32767, 65535, 65000, 32867, 34892})
# Maps the field types SHORT, LONG and IFD to the size in bytes of one number.
_NUMBER_SIZES = {3: 2, 4: 4, 13: 4}


@attrs.frozen
class _Directory:
    """The parts of an image directory that distinguish a raw picture."""

    tags: frozenset[int]
    # Maps each tag whose value is a single number to that number.
    values: dict[int, int]
    # The positions of the directories of embedded pictures.
    sub_directories: tuple[int, ...]
    # The position of the next page's directory, or 0 if there is no next page.
    next_page: int
    # Whether the entries, up to `_MAX_ENTRIES`, could be read. False for an empty directory.
    is_complete: bool

    @property
    def is_raw(self) -> bool:
        return (
            not _RAW_TAGS.isdisjoint(self.tags)
            or self.values.get(_PHOTOMETRIC) in _RAW_PHOTOMETRIC
            or self.values.get(_COMPRESSION) in _RAW_COMPRESSION
        )

    @property
    def is_preview(self) -> bool:
        """Whether this directory describes a camera's small preview, which refers to the full picture."""
        return self.values.get(_NEW_SUBFILE_TYPE, 0) & 1 == 1 and {_MAKE, _SUB_DIRECTORIES} <= self.tags


def is_raw(read_at: ReadAt) -> bool:
    """Return whether the TIFF that `read_at` reads is a camera's raw picture."""
    header = read_at(16, 0)
    # A file with the signature of Canon or Phase One is always raw.
    if header[8:10] == b"CR" or header[8:12] in {b"IIII", b"MMMM"}:
        return True
    first = position = _number(header[4:8], little=header[:2] == b"II")
    pending, visited, has_preview, is_incomplete = deque([position]), set[int](), False, False
    while pending and len(visited) < _MAX_DIRECTORIES:
        position = pending.popleft()
        if position in visited or position < 8:
            continue
        visited.add(position)
        directory = _read_directory(read_at, position, little=header[:2] == b"II")
        if directory.is_raw:
            return True
        has_preview = has_preview or (position == first and directory.is_preview)
        is_incomplete = is_incomplete or not directory.is_complete
        pending.extendleft(reversed(directory.sub_directories))
        pending.append(directory.next_page)
    # The file is raw if it begins with a preview, and the directory of the full picture lies behind the bytes
    # that can be read.
    return has_preview and is_incomplete


def _read_directory(read_at: ReadAt, position: int, *, little: bool) -> _Directory:
    count = _number(read_at(2, position), little=little)
    read_count = min(count, _MAX_ENTRIES)
    data = read_at(12 * read_count + 4, position + 2)
    tags, values = set[int](), dict[int, int]()
    sub_directories: tuple[int, ...] = ()
    for at in range(0, min(12 * read_count, len(data) - 11), 12):
        tag, field_type = (_number(data[start : start + 2], little=little) for start in (at, at + 2))
        length = _number(data[at + 4 : at + 8], little=little)
        tags.add(tag)
        if field_type not in _NUMBER_SIZES:
            continue
        if tag == _SUB_DIRECTORIES:
            links = data[at + 8 : at + 12]
            # The field holds one position. For several positions, it holds the position of their list
            # instead.
            if length != 1:
                links = read_at(4 * min(length, _MAX_SUB_DIRECTORIES), _number(links, little=little))
            sub_directories = tuple(
                _number(links[n : n + 4], little=little) for n in range(0, len(links) - 3, 4)
            )
        elif length == 1:
            values[tag] = _number(data[at + 8 : at + 8 + _NUMBER_SIZES[field_type]], little=little)
    next_page = (
        _number(data[12 * read_count : 12 * read_count + 4], little=little) if read_count == count else 0
    )
    return _Directory(
        frozenset(tags), values, sub_directories, next_page, count > 0 and len(data) >= 12 * read_count
    )


def _number(data: bytes, *, little: bool) -> int:
    return int.from_bytes(data, "little" if little else "big")
