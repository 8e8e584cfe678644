"""TIFF directories, both byte orders: size and wholeness, and the fields that EXIF borrows from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

from attrs import frozen

from imgwire_async.emulator.pictures.byte_view import BrokenPictureError, ByteView, NeedsDecoderError

__all__ = [
    "Directory",
    "Entry",
    "directories",
    "directory",
    "numbers",
    "order_of",
    "tiff_size",
    "tiff_starts",
    "tiff_whole",
]

Order: TypeAlias = Literal["big", "little"]

# Bytes per value by type.
_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_WHOLE_NUMBERS = frozenset({1, 3, 4, 13})
_MOST_ENTRIES, _MOST_VALUES, _MOST_DIRECTORIES = 4_096, 65_536, 1_024
_BIG = (b"II+\0", b"MM\0+")


@frozen
class Entry:
    """One field: its type, how many values, and where they stand."""

    kind: int
    count: int
    at: int


@frozen
class Directory:
    """The fields of one picture, and where the next directory is (0: there is none)."""

    entries: Mapping[int, Entry]
    following: int


def tiff_starts(head: bytes) -> bool:
    """Little or big endian, plain or BigTIFF."""
    return head[:4] in {b"II*\0", b"MM\0*", *_BIG}


def order_of(view: ByteView, base: int = 0) -> Order:
    """The byte order that the first two letters name."""
    return "little" if view.take(base, 2) == b"II" else "big"


def directory(view: ByteView, at: int, order: Order, base: int = 0) -> Directory:
    """The directory at an offset; offsets count from `base`, where an EXIF block starts inside another file."""
    count = view.number(base + at, 2, order)
    if count > _MOST_ENTRIES:
        raise BrokenPictureError("a directory of too many fields")
    entries: dict[int, Entry] = {}
    for start in range(base + at + 2, base + at + 2 + 12 * count, 12):
        tag, kind, values = (
            view.number(start, 2, order),
            view.number(start + 2, 2, order),
            view.number(start + 4, 4, order),
        )
        inline = _WIDTHS.get(kind, 1) * values <= 4
        entries[tag] = Entry(kind, values, start + 8 if inline else base + view.number(start + 8, 4, order))
    return Directory(entries, view.number(base + at + 2 + 12 * count, 4, order))


def numbers(view: ByteView, entry: Entry | None, order: Order) -> list[int]:
    """The whole numbers of a field; none when it is missing."""
    if entry is None:
        return []
    if entry.kind not in _WHOLE_NUMBERS or entry.count > _MOST_VALUES:
        raise BrokenPictureError("a field of an unfit type or length")
    width = _WIDTHS[entry.kind]
    return [view.number(entry.at + width * index, width, order) for index in range(entry.count)]


def directories(view: ByteView) -> Iterator[Directory]:
    """All pictures of the file, in order. A chain that bites its own tail is broken."""
    order = order_of(view)
    at = view.number(4, 4, order)
    seen: set[int] = set()
    while at:
        if at in seen or len(seen) == _MOST_DIRECTORIES:
            raise BrokenPictureError("its directories go round in a circle")
        seen.add(at)
        found = directory(view, at, order)
        yield found
        at = found.following


def tiff_size(view: ByteView) -> tuple[int, int]:
    """Width and height of the first picture."""
    if view.take(0, 4) in _BIG:
        raise NeedsDecoderError("BigTIFF")
    first = next(directories(view), None)
    if first is None:
        raise BrokenPictureError("no directory")
    order = order_of(view)
    width, height = (numbers(view, first.entries.get(tag), order)[:1] for tag in (256, 257))
    if not width or not height:
        raise BrokenPictureError("no width or height")
    return width[0], height[0]


def tiff_whole(view: ByteView) -> None:
    """The strips or tiles of every picture lie inside the file."""
    if view.take(0, 4) in _BIG:
        return  # who could read its size has read its directory
    order = order_of(view)
    for each in directories(view):
        strips = 273 if 273 in each.entries else 324
        offsets = numbers(view, each.entries.get(strips), order)
        lengths = numbers(view, each.entries.get(279 if strips == 273 else 325), order)
        if not offsets or len(offsets) != len(lengths):
            raise BrokenPictureError("no picture data")
        if any(offset + length > view.length for offset, length in zip(offsets, lengths, strict=True)):
            raise BrokenPictureError("it ends early")
