"""Tells a camera's raw picture from an ordinary TIFF: NEF, ARW, DNG, PEF and many others are TIFFs by their first bytes.

They differ by the tags of their image directories. The bytes come from strangers, so every step is bounded:
few directories, each once, few of their entries, and no value beyond what is there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import attrs

ReadAt = Callable[[int, int], bytes]  # size and position; gives fewer bytes where there are no more

TIFF_HEAD_BYTES = 64 * 1024  # of a TIFF that can be read but once, kept to look at its directories

_DIRECTORIES = 8  # in all: the first pages, and the pictures that belong to them
_ENTRIES = 512  # of a directory; real ones have some dozens
_LINKS = 4  # from a directory to pictures that belong to it

_NEW_SUBFILE_TYPE, _COMPRESSION, _PHOTOMETRIC, _MAKE, _SUB_DIRECTORIES = 254, 259, 262, 271, 330

# Only raw pictures have them: the pattern of the colour filters [TIFF/EP], Leaf's and Imacon's data, DNG's
# version, Nikon's picture data, Sony's file type.
_RAW_TAGS = frozenset({33421, 33422, 34310, 46275, 50706, 51157, 0x7000})
_RAW_PHOTOMETRIC = frozenset({32803, 34892})  # behind colour filters, linear raw
# Nikon, Epson, Samsung, Sony, Pentax, Kodak, DNG
_RAW_COMPRESSION = frozenset({34713, 32769, 32770, 32772, 32767, 65535, 65000, 32867, 34892})
_NUMBERS = {3: 2, 4: 4, 13: 4}  # the types SHORT, LONG and IFD, and their bytes


@attrs.frozen
class _Directory:
    """What counts of an image directory."""

    tags: frozenset[int]
    values: dict[int, int]  # of tags with one number
    pictures: tuple[int, ...]  # positions of the directories that belong to this one
    following: int  # position of the next page's directory, 0 for none
    whole: bool

    @property
    def is_raw(self) -> bool:
        return (
            not _RAW_TAGS.isdisjoint(self.tags)
            or self.values.get(_PHOTOMETRIC) in _RAW_PHOTOMETRIC
            or self.values.get(_COMPRESSION) in _RAW_COMPRESSION
        )

    @property
    def is_preview(self) -> bool:
        """Whether this is the small picture that a camera puts before the real one, which belongs to it."""
        return self.values.get(_NEW_SUBFILE_TYPE, 0) & 1 == 1 and {_MAKE, _SUB_DIRECTORIES} <= self.tags


def is_raw(read_at: ReadAt) -> bool:
    """Whether the TIFF that `read_at` reads is a camera's raw picture."""
    header = read_at(16, 0)
    if header[8:10] == b"CR" or header[8:12] in {b"IIII", b"MMMM"}:  # Canon, Phase One
        return True
    first = position = _number(header[4:8], little=header[:2] == b"II")
    pending, seen, preview, missed = deque([position]), set[int](), False, False
    while pending and len(seen) < _DIRECTORIES:
        position = pending.popleft()
        if position in seen or position < 8:
            continue
        seen.add(position)
        directory = _directory(read_at, position, little=header[:2] == b"II")
        if directory.is_raw:
            return True
        preview = preview or (position == first and directory.is_preview)
        missed = missed or not directory.whole
        pending.extendleft(reversed(directory.pictures))
        pending.append(directory.following)
    return preview and missed  # the real picture lies beyond what can be read


def _directory(read_at: ReadAt, position: int, *, little: bool) -> _Directory:
    count = _number(read_at(2, position), little=little)
    some = min(count, _ENTRIES)
    data = read_at(12 * some + 4, position + 2)
    tags, values = set[int](), dict[int, int]()
    pictures: tuple[int, ...] = ()
    for at in range(0, min(12 * some, len(data) - 11), 12):
        tag, kind = (_number(data[start : start + 2], little=little) for start in (at, at + 2))
        held = _number(data[at + 4 : at + 8], little=little)
        tags.add(tag)
        if kind not in _NUMBERS:
            continue
        if tag == _SUB_DIRECTORIES:
            links = data[at + 8 : at + 12]
            if held != 1:  # then this is the place of a list of them
                links = read_at(4 * min(held, _LINKS), _number(links, little=little))
            pictures = tuple(_number(links[n : n + 4], little=little) for n in range(0, len(links) - 3, 4))
        elif held == 1:
            values[tag] = _number(data[at + 8 : at + 8 + _NUMBERS[kind]], little=little)
    following = _number(data[12 * some : 12 * some + 4], little=little) if some == count else 0
    return _Directory(frozenset(tags), values, pictures, following, count > 0 and len(data) >= 12 * some)


def _number(data: bytes, *, little: bool) -> int:
    return int.from_bytes(data, "little" if little else "big")
