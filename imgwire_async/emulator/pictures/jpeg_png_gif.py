"""JPEG, PNG and GIF: size and wholeness."""

from __future__ import annotations

from collections.abc import Iterator

from imgwire_async.emulator.pictures.byte_view import BrokenPictureError, ByteView, NotInWindowError

__all__ = [
    "PNG",
    "gif_size",
    "gif_whole",
    "jpeg_segments",
    "jpeg_size",
    "jpeg_whole",
    "png_chunks",
    "png_size",
    "png_whole",
]

PNG = b"\x89PNG\r\n\x1a\n"
_SOS = 0xDA
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # C4 tables, C8 reserved, CC arithmetic tables
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a length


def jpeg_segments(view: ByteView) -> Iterator[tuple[int, int, int]]:
    """Marker, start and length of the content of each segment, up to and with the first start of scan."""
    at = 2
    while True:
        if view.number(at, 1) != 0xFF:
            raise BrokenPictureError("a segment does not start with a marker")
        marker = view.number(at + 1, 1)
        if marker == 0xFF:  # fill bytes may stand before any marker
            at += 1
            continue
        at += 2
        if marker in _ALONE:
            continue
        if marker in {0x00, 0xD8, 0xD9}:
            raise BrokenPictureError("it ends before its picture")
        length = view.number(at, 2)
        if length < 2:
            raise BrokenPictureError("a segment is shorter than its own length field")
        yield marker, at + 2, length - 2
        if marker == _SOS:
            return
        at += length


def jpeg_size(view: ByteView) -> tuple[int, int]:
    """Width and height of the frame header."""
    for marker, at, _ in jpeg_segments(view):
        if marker in _SOF:
            return view.number(at + 3, 2), view.number(at + 1, 2)
    raise BrokenPictureError("no frame header before the scan")


def jpeg_whole(view: ByteView) -> None:
    """An end-of-image marker has to follow the scan; what comes after it is nobody's business."""
    start = max(at for _, at, _ in jpeg_segments(view))
    # Inside a scan FF is always stuffed, so FF D9 can't be anything else; thumbnails lie before the scan.
    if not view.holds(b"\xff\xd9", start):
        raise BrokenPictureError("no end of image")


def png_chunks(view: ByteView) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and length of the content of each chunk, IEND included."""
    at = len(PNG)
    while True:
        length = view.number(at, 4)
        name = view.take(at + 4, 4)
        if at + 12 + length > view.length:
            raise BrokenPictureError("it ends early")
        if not name.isalpha():
            raise BrokenPictureError("a chunk without a name")
        yield name, at + 8, length
        if name == b"IEND":
            return
        at += 12 + length


def png_size(view: ByteView) -> tuple[int, int]:
    """Width and height of the IHDR chunk, which comes first."""
    if view.number(8, 4) != 13 or view.take(12, 4) != b"IHDR":
        raise BrokenPictureError("no IHDR chunk at its start")
    return view.number(16, 4), view.number(20, 4)


def png_whole(view: ByteView) -> None:
    """Picture data and an end are there."""
    try:
        names = {name for name, _, _ in png_chunks(view)}
    except NotInWindowError:
        if not view.holds(b"IEND\xae\x42\x60\x82", 0):
            raise BrokenPictureError("no end of image") from None
        return
    if b"IDAT" not in names:
        raise BrokenPictureError("no picture data")


def gif_size(view: ByteView) -> tuple[int, int]:
    """Width and height of the logical screen."""
    return view.number(6, 2, "little"), view.number(8, 2, "little")


def gif_whole(view: ByteView) -> None:
    """At least one picture and the trailer are there."""
    at = 13 + _palette(view.number(10, 1))
    frames = 0
    while (kind := view.number(at, 1)) != 0x3B:
        if kind == 0x21:
            at = _blocks_end(view, at + 2)
        elif kind == 0x2C:
            frames += 1
            at = _blocks_end(view, at + 11 + _palette(view.number(at + 9, 1)))
        else:
            raise BrokenPictureError("a block of an unknown kind")
    if not frames:
        raise BrokenPictureError("no picture data")


def _palette(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _blocks_end(view: ByteView, at: int) -> int:
    while (size := view.number(at, 1)) != 0:
        at += size + 1
    return at + 1
