"""The format JPEG XL (ISO 18181).

A file is a bare codestream, which is the encoded picture, or a container of boxes around a codestream.
"""

from __future__ import annotations

from imgwire_async.emulator.pictures.byte_view import BrokenPictureError, ByteView
from imgwire_async.emulator.pictures.isobmff import boxes

__all__ = ["check_jxl", "is_jxl", "jxl_size"]

_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
_CODESTREAM = b"\xff\x0a"
# The ratios of width to height, indexed by a code in the size header. The ratio at index 0 is never used,
# because after the code 0 the header has the width itself.
_RATIOS = ((1, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
# The number of bits of a width or height, indexed by a code in the two bits before the width or height.
_LENGTH_BITS = (9, 13, 18, 30)
# How many bytes to read for the size header. No size header is longer.
_SIZE_HEADER_BYTES = 12


def is_jxl(head: bytes) -> bool:
    """Return whether the bytes start with the signature of a codestream or of a container."""
    return head.startswith((_CODESTREAM, _CONTAINER))


class _BitReader:
    """Read bits, starting with the lowest bit of each byte."""

    def __init__(self, data: bytes) -> None:
        self._bits = int.from_bytes(data, "little")
        self._remaining = 8 * len(data)

    def read(self, count: int) -> int:
        if count > self._remaining:
            raise BrokenPictureError("the file ends early")
        value, self._bits = self._bits & ((1 << count) - 1), self._bits >> count
        self._remaining -= count
        return value

    def read_length(self, small: bool) -> int:
        """Read a width or height. If `small` is True, the value is a multiple of 8, encoded in five bits."""
        if small:
            return (self.read(5) + 1) * 8
        return self.read(_LENGTH_BITS[self.read(2)]) + 1


def jxl_size(view: ByteView) -> tuple[int, int]:
    """Return width and height from the size header. The orientation is not applied."""
    start, end = _find_codestream(view)
    if view.read(start, 2) != _CODESTREAM:
        raise BrokenPictureError("no codestream")
    bits = _BitReader(view.read(start + 2, min(_SIZE_HEADER_BYTES, end - start - 2)))
    small = bits.read(1) == 1
    height = bits.read_length(small)
    ratio = bits.read(3)
    if ratio == 0:
        return bits.read_length(small), height
    horizontal, vertical = _RATIOS[ratio]
    return height * horizontal // vertical, height


def check_jxl(view: ByteView) -> None:
    """Check that a container has a codestream, and that its boxes are as long as their headers say.

    A bare codestream is not checked, because its header does not contain its length.
    """
    _find_codestream(view)
    if view.read(0, 2) != _CODESTREAM:
        for _ in boxes(view, 0, view.length):
            pass


def _find_codestream(view: ByteView) -> tuple[int, int]:
    """Return the offsets at which the codestream starts and ends.

    A container may split the codestream into several boxes. Then the offsets are those of the first part.
    """
    if view.read(0, 2) == _CODESTREAM:
        return 0, view.length
    for box in boxes(view, 0, view.length):
        if box.name == b"jxlc":
            return box.start, box.end
        if box.name == b"jxlp":
            # The content of this box starts with a part number of four bytes.
            return box.start + 4, box.end
    raise BrokenPictureError("a container without a codestream")
