"""JPEG XL: size from the codestream's first bits, bare or in its container. [ISO 18181-1 A, 18181-2]"""

from __future__ import annotations

from imgwire_async.emulator.pictures.byte_view import BrokenPictureError, ByteView
from imgwire_async.emulator.pictures.isobmff import boxes

__all__ = ["jxl_size", "jxl_starts", "jxl_whole"]

_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
_CODESTREAM = b"\xff\x0a"
# Width : height by the code in the header; with code 0 the width stands apart.
_RATIOS = ((1, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_WIDTHS = (9, 13, 18, 30)
_NEEDED = 12  # bytes that hold the longest size header


def jxl_starts(head: bytes) -> bool:
    """A bare codestream or the container."""
    return head.startswith((_CODESTREAM, _CONTAINER))


class _Bits:
    """Reads bits, the lowest of each byte first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise BrokenPictureError("it ends early")
        value, self._value = self._value & ((1 << count) - 1), self._value >> count
        self._left -= count
        return value

    def length(self, small: bool) -> int:
        """One side of the picture."""
        if small:
            return (self.take(5) + 1) * 8
        return self.take(_WIDTHS[self.take(2)]) + 1


def jxl_size(view: ByteView) -> tuple[int, int]:
    """Width and height of the size header; the orientation that may follow is not applied."""
    at, end = _codestream(view)
    if view.take(at, 2) != _CODESTREAM:
        raise BrokenPictureError("no codestream")
    bits = _Bits(view.take(at + 2, min(_NEEDED, end - at - 2)))
    small = bits.take(1) == 1
    height = bits.length(small)
    ratio = bits.take(3)
    if ratio == 0:
        return bits.length(small), height
    across, down = _RATIOS[ratio]
    return height * across // down, height


def jxl_whole(view: ByteView) -> None:
    """The boxes of a container are as long as they say. A bare codestream does not tell where it ends."""
    _codestream(view)
    if view.take(0, 2) != _CODESTREAM:
        for _ in boxes(view, 0, view.length):
            pass


def _codestream(view: ByteView) -> tuple[int, int]:
    """Where the (first part of the) codestream starts and ends."""
    if view.take(0, 2) == _CODESTREAM:
        return 0, view.length
    for box in boxes(view, 0, view.length):
        if box.name == b"jxlc":
            return box.start, box.end
        if box.name == b"jxlp":  # its parts carry a number first
            return box.start + 4, box.end
    raise BrokenPictureError("a container without a codestream")
