"""The formats JPEG, PNG and GIF."""

from __future__ import annotations

from collections.abc import Iterator

from imgwire_async.emulator.pictures.byte_view import BrokenPictureError, BytesNotKeptError, ByteView

__all__ = [
    "check_gif", "check_jpeg", "check_png", "gif_size", "is_gif", "is_jpeg", "is_png", "jpeg_segments", "jpeg_size",
    "png_chunks", "png_size",
]  # fmt: skip

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_START_OF_SCAN = 0xDA
# The markers C4, C8 and CC in this range do not start a frame.
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_MARKERS_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})


def is_jpeg(head: bytes) -> bool:
    """Return whether the bytes start with the JPEG start-of-image marker and the first byte of a marker."""
    return head.startswith(b"\xff\xd8\xff")


def jpeg_segments(view: ByteView) -> Iterator[tuple[int, int, int]]:
    """Yield the marker of each segment, and the offset and length of its content.

    The iteration ends with the first start-of-scan segment, which the compressed pixels follow.
    """
    offset = 2
    while True:
        if view.integer(offset, 1) != 0xFF:
            raise BrokenPictureError("a segment does not start with a marker")
        marker = view.integer(offset + 1, 1)
        if marker == 0xFF:
            # The first FF is a fill byte, which may precede any marker.
            offset += 1
            continue
        offset += 2
        if marker in _MARKERS_WITHOUT_LENGTH:
            continue
        if marker in {0x00, 0xD8, 0xD9}:
            raise BrokenPictureError("the file ends before its picture")
        length = view.integer(offset, 2)
        if length < 2:
            raise BrokenPictureError("a segment is shorter than its own length field")
        yield marker, offset + 2, length - 2
        if marker == _START_OF_SCAN:
            return
        offset += length


def jpeg_size(view: ByteView) -> tuple[int, int]:
    """Return width and height from the frame header."""
    for marker, offset, _ in jpeg_segments(view):
        if marker in _START_OF_FRAME:
            return view.integer(offset + 3, 2), view.integer(offset + 1, 2)
    raise BrokenPictureError("no frame header before the scan")


def check_jpeg(view: ByteView) -> None:
    """Check that the file has an end-of-image marker after the start of the scan."""
    scan = max(offset for _, offset, _ in jpeg_segments(view))
    # FF D9 can only be the end-of-image marker, because a scan escapes each FF byte of its data. The search
    # starts at the scan, because an embedded thumbnail before it has a marker of its own.
    if not view.contains(b"\xff\xd9", scan):
        raise BrokenPictureError("no end of image")


def is_png(head: bytes) -> bool:
    """Return whether the bytes start with the PNG signature."""
    return head.startswith(_PNG_SIGNATURE)


def png_chunks(view: ByteView) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each chunk, and the offset and length of its content. IEND is the last chunk."""
    offset = len(_PNG_SIGNATURE)
    while True:
        length = view.integer(offset, 4)
        name = view.read(offset + 4, 4)
        if offset + 12 + length > view.length:
            raise BrokenPictureError("the file ends early")
        if not name.isalpha():
            raise BrokenPictureError("a chunk without a name")
        yield name, offset + 8, length
        if name == b"IEND":
            return
        offset += 12 + length


def png_size(view: ByteView) -> tuple[int, int]:
    """Return width and height from the IHDR chunk.

    Raises `BrokenPictureError` if the first chunk is not an IHDR chunk.
    """
    if view.integer(8, 4) != 13 or view.read(12, 4) != b"IHDR":
        raise BrokenPictureError("no IHDR chunk at the start")
    return view.integer(16, 4), view.integer(20, 4)


def check_png(view: ByteView) -> None:
    """Check that the file has picture data and an IEND chunk."""
    try:
        names = {name for name, _, _ in png_chunks(view)}
    except BytesNotKeptError:
        if not view.contains(b"IEND\xae\x42\x60\x82", 0):
            raise BrokenPictureError("no end of image") from None
        return
    if b"IDAT" not in names:
        raise BrokenPictureError("no picture data")


def is_gif(head: bytes) -> bool:
    """Return whether the bytes start with a GIF signature."""
    return head[:6] in {b"GIF87a", b"GIF89a"}


def gif_size(view: ByteView) -> tuple[int, int]:
    """Return width and height of the logical screen, the area in which all frames lie."""
    return view.integer(6, 2, "little"), view.integer(8, 2, "little")


def check_gif(view: ByteView) -> None:
    """Check that the file has at least one frame, and the trailer byte after the frames."""
    offset = 13 + _palette_size(view.integer(10, 1))
    frames = 0
    while (kind := view.integer(offset, 1)) != 0x3B:
        if kind == 0x21:
            offset = _end_of_blocks(view, offset + 2)
        elif kind == 0x2C:
            frames += 1
            offset = _end_of_blocks(view, offset + 11 + _palette_size(view.integer(offset + 9, 1)))
        else:
            raise BrokenPictureError("a block of an unknown kind")
    if not frames:
        raise BrokenPictureError("no picture data")


def _palette_size(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _end_of_blocks(view: ByteView, offset: int) -> int:
    while (size := view.integer(offset, 1)) != 0:
        offset += size + 1
    return offset + 1
