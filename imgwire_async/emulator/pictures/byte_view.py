"""Bytes under the lens: checked access for the readers, and what they may find."""

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
    """A whole picture: its type, its size as stored (no rotation applied) and a few EXIF fields."""

    mime_type: str
    width: int
    height: int
    exif: Mapping[str, object] = field(factory=dict[str, object], repr=False)


@frozen(kw_only=True)
class Unreadable:
    """No picture, no supported one, or not a whole one; `reason` says which."""

    reason: str


Finding: TypeAlias = Picture | Unreadable


class BrokenPictureError(Exception):
    """A reader found what can't be; the text says what."""


class NotInWindowError(Exception):
    """The answer lies in the middle of a big body, of which only both ends were kept."""


class NeedsDecoderError(Exception):
    """The header does not tell the size; a decoder may."""


@frozen
class ByteView:
    """A body of `length` bytes of which the first (`head`) and perhaps the last (`tail`) are here."""

    head: bytes = field(repr=False)
    length: int
    tail: bytes = field(default=b"", repr=False)

    def take(self, at: int, count: int) -> bytes:
        """`count` bytes from `at`. `BrokenPictureError` beyond the end, `NotInWindowError` in the gap between head and tail."""
        if at < 0 or count < 0 or at + count > self.length:
            raise BrokenPictureError("it ends early")
        if at + count <= len(self.head):
            return self.head[at : at + count]
        start = self.length - len(self.tail)
        if at < start:
            raise NotInWindowError
        return self.tail[at - start : at - start + count]

    def number(self, at: int, count: int, order: Literal["big", "little"] = "big") -> int:
        """An unsigned number of `count` bytes."""
        return int.from_bytes(self.take(at, count), order)

    def holds(self, wanted: bytes, after: int) -> bool:
        """Whether these bytes stand somewhere from `after` on. The gap counts as not holding them."""
        start = self.length - len(self.tail)
        return self.head.find(wanted, after) >= 0 or self.tail.find(wanted, max(0, after - start)) >= 0
