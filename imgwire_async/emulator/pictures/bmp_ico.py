"""BMP and ICO: size and wholeness."""

from __future__ import annotations

from imgwire_async.emulator.pictures.byte_view import BrokenPictureError, ByteView

__all__ = ["bmp_size", "bmp_starts", "bmp_whole", "ico_size", "ico_starts", "ico_whole"]

_CORE = 12  # the header of OS/2 1.x, with 16-bit sizes
_INFO = 40
_UNCOMPRESSED = frozenset({0, 3, 6})
_PNG = b"\x89PNG\r\n\x1a\n"


def bmp_starts(head: bytes) -> bool:
    """`BM`, and a header of a known kind behind it: two letters alone start many a text."""
    return head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in {
        _CORE,
        16,
        _INFO,
        52,
        56,
        64,
        108,
        124,
    }


def bmp_size(view: ByteView) -> tuple[int, int]:
    """Width and height; a negative height only says that the rows run downwards."""
    if view.number(14, 4, "little") == _CORE:
        return view.number(18, 2, "little"), view.number(20, 2, "little")
    width, height = (int.from_bytes(view.take(at, 4), "little", signed=True) for at in (18, 22))
    return width, abs(height)


def bmp_whole(view: ByteView) -> None:
    """The rows fit behind the offset that the header gives."""
    offset = view.number(10, 4, "little")
    if not 14 < offset < view.length:
        raise BrokenPictureError("no picture data")
    width, height = bmp_size(view)
    core = view.number(14, 4, "little") == _CORE
    bits = view.number(24 if core else 28, 2, "little")
    if core or view.number(30, 4, "little") in _UNCOMPRESSED:
        needed = (width * bits + 31) // 32 * 4 * height
    else:
        needed = view.number(34, 4, "little")
    if offset + needed > view.length:
        raise BrokenPictureError("it ends early")


def ico_starts(head: bytes) -> bool:
    """The header of an icon file with at least one entry."""
    return head.startswith(b"\x00\x00\x01\x00") and head[4:6] not in {b"", b"\x00\x00"}


def ico_size(view: ByteView) -> tuple[int, int]:
    """The largest entry; a byte of 0 stands for 256."""
    sizes = [(view.number(at, 1) or 256, view.number(at + 1, 1) or 256) for at in _entries(view)]
    return max(sizes, key=lambda size: size[0] * size[1])


def ico_whole(view: ByteView) -> None:
    """Each entry points to a PNG or a bitmap header inside the file."""
    for at in _entries(view):
        length, offset = view.number(at + 8, 4, "little"), view.number(at + 12, 4, "little")
        if offset + length > view.length:
            raise BrokenPictureError("it ends early")
        if view.take(offset, 8) != _PNG and view.number(offset, 4, "little") != _INFO:
            raise BrokenPictureError("an entry is no picture")


def _entries(view: ByteView) -> range:
    return range(6, 6 + 16 * view.number(4, 2, "little"), 16)
