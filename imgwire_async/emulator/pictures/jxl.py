"""The format JPEG XL, as a bare codestream or in a container (ISO 18181-1 A, ISO 18181-2)."""

from __future__ import annotations

from imgwire_async.emulator.pictures.byte_view import BrokenPictureError, ByteView
from imgwire_async.emulator.pictures.isobmff import boxes

__all__ = ["check_jxl", "is_jxl", "jxl_size"]

_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
_CODESTREAM = b"\xff\x0a"
# The ratio of width to height for each code in the header. With the code 0 the width follows as a number.
_RATIOS = ((1, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_LENGTH_BITS = (9, 13, 18, 30)
# The longest size header has this many bytes.
_SIZE_HEADER_BYTES = 12


def is_jxl(head: bytes) -> bool:
    """Return whether the bytes start with a codestream or with the container."""
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
        """Return the width or height of the picture."""
        if small:
            return (self.read(5) + 1) * 8
        return self.read(_LENGTH_BITS[self.read(2)]) + 1


def jxl_size(view: ByteView) -> tuple[int, int]:
    """Return width and height from the size header, without applying an orientation."""
    start, end = _codestream(view)
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
    """Check that the boxes of a container are as long as their headers say.

    The end of a bare codestream is unknown.
    """
    _codestream(view)
    if view.read(0, 2) != _CODESTREAM:
        for _ in boxes(view, 0, view.length):
            pass


def _codestream(view: ByteView) -> tuple[int, int]:
    """Return the offsets at which the first part of the codestream starts and ends."""
    if view.read(0, 2) == _CODESTREAM:
        return 0, view.length
    for box in boxes(view, 0, view.length):
        if box.name == b"jxlc":
            return box.start, box.end
        if box.name == b"jxlp":
            # A part of a codestream starts with its number.
            return box.start + 4, box.end
    raise BrokenPictureError("a container without a codestream")
