"""Read the bytes of an uploaded body with checks of the bounds, and describe the picture found in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from attrs import field, frozen

__all__ = [
    "BrokenPictureError",
    "ByteView",
    "BytesNotKeptError",
    "Finding",
    "NeedsDecoderError",
    "Picture",
    "Unreadable",
]


@frozen(kw_only=True)
class Picture:
    """The result of examining a complete picture: its type, width and height, and a few EXIF fields.

    Width and height are those of the stored pixels. The EXIF orientation is not applied.
    """

    mime_type: str
    width: int
    height: int
    exif: Mapping[str, object] = field(factory=dict[str, object], repr=False)


@frozen(kw_only=True)
class Unreadable:
    """The result of examining a body that is not a complete picture. `reason` says why."""

    reason: str


Finding: TypeAlias = Picture | Unreadable


class BrokenPictureError(Exception):
    """The bytes violate the rules of the picture format. The message names the violation."""


class BytesNotKeptError(Exception):
    """The requested bytes lie in the middle of a large body, of which only start and end were kept."""


class NeedsDecoderError(Exception):
    """The size of the picture cannot be read from the header, but a decoder may find it."""


@frozen
class ByteView:
    """A body of `length` bytes.

    `head` is the whole body, or the start of a large body. In the second case, `tail` is the end of the body.
    """

    head: bytes = field(repr=False)
    length: int
    tail: bytes = field(default=b"", repr=False)

    def read(self, offset: int, count: int) -> bytes:
        """Return `count` bytes from an offset.

        Raises `BrokenPictureError` if they reach beyond the end of the body, and `BytesNotKeptError` if they
        lie between `head` and `tail`.
        """
        if offset < 0 or count < 0 or offset + count > self.length:
            raise BrokenPictureError("the file ends early")
        if offset + count <= len(self.head):
            return self.head[offset : offset + count]
        start = self.length - len(self.tail)
        if offset < start:
            raise BytesNotKeptError
        return self.tail[offset - start : offset - start + count]

    def integer(self, offset: int, count: int, order: Literal["big", "little"] = "big") -> int:
        """Return the unsigned integer in `count` bytes from an offset. Raises the same errors as `read`."""
        return int.from_bytes(self.read(offset, count), order)

    def contains(self, pattern: bytes, start: int) -> bool:
        """Return whether `pattern` occurs in the kept bytes at the offset `start` or later."""
        tail_start = self.length - len(self.tail)
        return self.head.find(pattern, start) >= 0 or self.tail.find(pattern, max(0, start - tail_start)) >= 0
