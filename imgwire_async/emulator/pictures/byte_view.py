"""Bounds-checked access to the bytes of a body, and the results of examining it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from attrs import field, frozen

__all__ = [
    "BrokenPictureError",
    "ByteView",
    "Finding",
    "NeedsDecoderError",
    "NotInWindowError",
    "Picture",
    "Unreadable",
]


@frozen(kw_only=True)
class Picture:
    """The result for a complete picture: its type, its size as stored, and a few EXIF fields."""

    mime_type: str
    width: int
    height: int
    exif: Mapping[str, object] = field(factory=dict[str, object], repr=False)


@frozen(kw_only=True)
class Unreadable:
    """The result for any other body. `reason` says what is wrong."""

    reason: str


Finding: TypeAlias = Picture | Unreadable


class BrokenPictureError(Exception):
    """The bytes violate the picture format. The message says how."""


class NotInWindowError(Exception):
    """The requested bytes lie in the middle of a large body, which was not kept."""


class NeedsDecoderError(Exception):
    """The header does not contain the size of the picture, but a decoder may find it."""


@frozen
class ByteView:
    """A body of `length` bytes, of which the first (`head`) and perhaps the last (`tail`) were kept."""

    head: bytes = field(repr=False)
    length: int
    tail: bytes = field(default=b"", repr=False)

    def read(self, offset: int, count: int) -> bytes:
        """Return `count` bytes from an offset.

        Raises `BrokenPictureError` beyond the end of the body, and `NotInWindowError` between head and tail.
        """
        if offset < 0 or count < 0 or offset + count > self.length:
            raise BrokenPictureError("the file ends early")
        if offset + count <= len(self.head):
            return self.head[offset : offset + count]
        start = self.length - len(self.tail)
        if offset < start:
            raise NotInWindowError
        return self.tail[offset - start : offset - start + count]

    def integer(self, offset: int, count: int, order: Literal["big", "little"] = "big") -> int:
        """Return an unsigned integer of `count` bytes."""
        return int.from_bytes(self.read(offset, count), order)

    def contains(self, pattern: bytes, start: int) -> bool:
        """Return whether the kept bytes contain a byte pattern at `start` or after it."""
        tail_start = self.length - len(self.tail)
        return self.head.find(pattern, start) >= 0 or self.tail.find(pattern, max(0, start - tail_start)) >= 0
