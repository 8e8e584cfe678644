"""The formats BMP and ICO."""

from __future__ import annotations

from imgwire_async.emulator.pictures.byte_view import BrokenPictureError, ByteView
from imgwire_async.emulator.pictures.jpeg_png_gif import is_png

__all__ = ["bmp_size", "check_bmp", "check_ico", "ico_size", "is_bmp", "is_ico"]

# The lengths in bytes of the BMP headers. The length identifies the kind of header. The core header of OS/2
# 1.x has 16-bit fields for width and height, and all later headers have 32-bit fields.
_CORE_HEADER = 12
_INFO_HEADER = 40
_HEADER_SIZES = frozenset({_CORE_HEADER, 16, _INFO_HEADER, 52, 56, 64, 108, 124})
# The codes of the compression field for uncompressed pixels.
_UNCOMPRESSED = frozenset({0, 3, 6})


def is_bmp(head: bytes) -> bool:
    """Return whether the bytes start with `BM` and a BMP header of a known length.

    The letters `BM` alone prove nothing, because a text file can start with them.
    """
    return head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _HEADER_SIZES


def bmp_size(view: ByteView) -> tuple[int, int]:
    """Return width and height from the header."""
    if view.integer(14, 4, "little") == _CORE_HEADER:
        return view.integer(18, 2, "little"), view.integer(20, 2, "little")
    width, height = (int.from_bytes(view.read(offset, 4), "little", signed=True) for offset in (18, 22))
    # A negative height means that the rows are stored from top to bottom.
    return width, abs(height)


def check_bmp(view: ByteView) -> None:
    """Check that the file is long enough for all rows of pixels."""
    offset = view.integer(10, 4, "little")
    if not 14 < offset < view.length:
        raise BrokenPictureError("no picture data")
    width, height = bmp_size(view)
    has_core_header = view.integer(14, 4, "little") == _CORE_HEADER
    bits = view.integer(24 if has_core_header else 28, 2, "little")
    if has_core_header or view.integer(30, 4, "little") in _UNCOMPRESSED:
        data_length = (width * bits + 31) // 32 * 4 * height
    else:
        data_length = view.integer(34, 4, "little")
    if offset + data_length > view.length:
        raise BrokenPictureError("the file ends early")


def is_ico(head: bytes) -> bool:
    """Return whether the bytes start with the header of an icon file that has at least one entry."""
    return head.startswith(b"\x00\x00\x01\x00") and head[4:6] not in {b"", b"\x00\x00"}


def ico_size(view: ByteView) -> tuple[int, int]:
    """Return width and height of the largest picture in an icon file."""
    # Width and height are one byte each, and the byte 0 stands for 256.
    sizes = [
        (view.integer(offset, 1) or 256, view.integer(offset + 1, 1) or 256)
        for offset in _entry_offsets(view)
    ]
    return max(sizes, key=lambda size: size[0] * size[1])


def check_ico(view: ByteView) -> None:
    """Check that each entry points to a PNG picture or a bitmap that lies inside the file."""
    for entry in _entry_offsets(view):
        length, offset = view.integer(entry + 8, 4, "little"), view.integer(entry + 12, 4, "little")
        if offset + length > view.length:
            raise BrokenPictureError("the file ends early")
        if not is_png(view.read(offset, 8)) and view.integer(offset, 4, "little") != _INFO_HEADER:
            raise BrokenPictureError("an entry is not a picture")


def _entry_offsets(view: ByteView) -> range:
    return range(6, 6 + 16 * view.integer(4, 2, "little"), 16)
