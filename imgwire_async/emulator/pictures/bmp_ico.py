"""The formats BMP and ICO."""

from __future__ import annotations

from imgwire_async.emulator.pictures.byte_view import BrokenPictureError, ByteView

__all__ = ["bmp_size", "check_bmp", "check_ico", "ico_size", "is_bmp", "is_ico"]

# The header of OS/2 1.x has 16-bit sizes.
_CORE_HEADER = 12
_INFO_HEADER = 40
_HEADER_SIZES = frozenset({_CORE_HEADER, 16, _INFO_HEADER, 52, 56, 64, 108, 124})
_UNCOMPRESSED = frozenset({0, 3, 6})
_PNG = b"\x89PNG\r\n\x1a\n"


def is_bmp(head: bytes) -> bool:
    """Return whether the bytes start with `BM` and a BMP header of a known size.

    Many text files start with these two letters, so the letters alone prove nothing.
    """
    return head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _HEADER_SIZES


def bmp_size(view: ByteView) -> tuple[int, int]:
    """Return width and height.

    A negative height in the header means that the first row is the top row.
    """
    if view.integer(14, 4, "little") == _CORE_HEADER:
        return view.integer(18, 2, "little"), view.integer(20, 2, "little")
    width, height = (int.from_bytes(view.read(offset, 4), "little", signed=True) for offset in (18, 22))
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
    """Return width and height of the largest entry.

    The byte 0 stands for a size of 256.
    """
    sizes = [
        (view.integer(offset, 1) or 256, view.integer(offset + 1, 1) or 256)
        for offset in _entry_offsets(view)
    ]
    return max(sizes, key=lambda size: size[0] * size[1])


def check_ico(view: ByteView) -> None:
    """Check that each entry points to a PNG or a bitmap inside the file."""
    for entry in _entry_offsets(view):
        length, offset = view.integer(entry + 8, 4, "little"), view.integer(entry + 12, 4, "little")
        if offset + length > view.length:
            raise BrokenPictureError("the file ends early")
        if view.read(offset, 8) != _PNG and view.integer(offset, 4, "little") != _INFO_HEADER:
            raise BrokenPictureError("an entry is not a picture")


def _entry_offsets(view: ByteView) -> range:
    return range(6, 6 + 16 * view.integer(4, 2, "little"), 16)
