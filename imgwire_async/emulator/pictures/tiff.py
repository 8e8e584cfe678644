"""The format TIFF. Its directories are lists of fields. EXIF blocks contain directories of the same form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

from attrs import frozen

from imgwire_async.emulator.pictures.byte_view import BrokenPictureError, ByteView, NeedsDecoderError

__all__ = [
    "ByteOrder", "Directory", "Entry", "byte_order", "check_tiff", "directories", "integers", "is_tiff",
    "read_directory", "tiff_size",
]  # fmt: skip

ByteOrder: TypeAlias = Literal["big", "little"]

# Maps the code of each field type to the number of bytes of one value.
_VALUE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_INTEGER_TYPES = frozenset({1, 3, 4, 13})
# The maximum numbers of fields per directory, values per field and directories. A file with more counts as
# broken, so that a malicious file cannot keep the emulator busy.
_MAXIMUM_ENTRIES, _MAXIMUM_VALUES, _MAXIMUM_DIRECTORIES = 4_096, 65_536, 1_024
_BIG_TIFF = (b"II+\0", b"MM\0+")
# The tags of fields.
_WIDTH, _HEIGHT = 256, 257
_STRIP_OFFSETS, _STRIP_LENGTHS = 273, 279
_TILE_OFFSETS, _TILE_LENGTHS = 324, 325


@frozen
class Entry:
    """One field of a directory: the code of its type, the number of its values, and their offset."""

    kind: int
    count: int
    offset: int


@frozen
class Directory:
    """The fields of one picture by tag. `next_offset` is the offset of the next directory, or 0."""

    entries: Mapping[int, Entry]
    next_offset: int


def is_tiff(head: bytes) -> bool:
    """Return whether the bytes start with a TIFF or BigTIFF signature."""
    return head[:4] in {b"II*\0", b"MM\0*", *_BIG_TIFF}


def byte_order(view: ByteView, base: int = 0) -> ByteOrder:
    """Return the byte order of the TIFF file or EXIF block that starts at the offset `base`."""
    return "little" if view.read(base, 2) == b"II" else "big"


def read_directory(view: ByteView, offset: int, order: ByteOrder, base: int = 0) -> Directory:
    """Return the directory at an offset.

    `base` is the offset of the EXIF block in its file, or 0 for a TIFF file. `offset` counts from `base`. In
    the result, the offsets of the entries count from the start of the file, but `next_offset` from `base`.
    """
    count = view.integer(base + offset, 2, order)
    if count > _MAXIMUM_ENTRIES:
        raise BrokenPictureError("a directory with too many fields")
    first = base + offset + 2
    entries: dict[int, Entry] = {}
    for start in range(first, first + 12 * count, 12):
        tag, kind, values = (
            view.integer(start, 2, order),
            view.integer(start + 2, 2, order),
            view.integer(start + 4, 4, order),
        )
        # If all values of a field take at most four bytes, the entry contains them instead of their offset.
        inline = _VALUE_SIZES.get(kind, 1) * values <= 4
        position = start + 8 if inline else base + view.integer(start + 8, 4, order)
        entries[tag] = Entry(kind, values, position)
    return Directory(entries, view.integer(first + 12 * count, 4, order))


def integers(view: ByteView, entry: Entry | None, order: ByteOrder) -> list[int]:
    """Return the values of an integer field, or an empty list if `entry` is None.

    Raises `BrokenPictureError` if the field has another type or too many values.
    """
    if entry is None:
        return []
    if entry.kind not in _INTEGER_TYPES or entry.count > _MAXIMUM_VALUES:
        raise BrokenPictureError("a field with a wrong type or length")
    size = _VALUE_SIZES[entry.kind]
    return [view.integer(entry.offset + size * index, size, order) for index in range(entry.count)]


def directories(view: ByteView) -> Iterator[Directory]:
    """Yield the directories of all pictures in the file. Each directory has the offset of the next one.

    Raises `BrokenPictureError` if a directory occurs twice, or if there are too many.
    """
    order = byte_order(view)
    offset = view.integer(4, 4, order)
    visited: set[int] = set()
    while offset:
        if offset in visited or len(visited) == _MAXIMUM_DIRECTORIES:
            raise BrokenPictureError("the chain of directories is endless")
        visited.add(offset)
        directory = read_directory(view, offset, order)
        yield directory
        offset = directory.next_offset


def tiff_size(view: ByteView) -> tuple[int, int]:
    """Return width and height of the first picture. Raises `NeedsDecoderError` for a BigTIFF file."""
    if view.read(0, 4) in _BIG_TIFF:
        raise NeedsDecoderError("BigTIFF")
    first = next(directories(view), None)
    if first is None:
        raise BrokenPictureError("no directory")
    order = byte_order(view)
    width, height = (integers(view, first.entries.get(tag), order)[:1] for tag in (_WIDTH, _HEIGHT))
    if not width or not height:
        raise BrokenPictureError("no width or height")
    return width[0], height[0]


def check_tiff(view: ByteView) -> None:
    """Check that the strips or tiles of every picture lie inside the file."""
    if view.read(0, 4) in _BIG_TIFF:
        # Nothing to check: the decoder, which read the size of the BigTIFF file, has read the directory.
        return
    order = byte_order(view)
    for directory in directories(view):
        has_strips = _STRIP_OFFSETS in directory.entries
        offsets_tag, lengths_tag = (
            (_STRIP_OFFSETS, _STRIP_LENGTHS) if has_strips else (_TILE_OFFSETS, _TILE_LENGTHS)
        )
        offsets = integers(view, directory.entries.get(offsets_tag), order)
        lengths = integers(view, directory.entries.get(lengths_tag), order)
        if not offsets or len(offsets) != len(lengths):
            raise BrokenPictureError("no picture data")
        if any(offset + length > view.length for offset, length in zip(offsets, lengths, strict=True)):
            raise BrokenPictureError("the file ends early")
