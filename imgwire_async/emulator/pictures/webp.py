"""The format WebP."""

from __future__ import annotations

from collections.abc import Iterator

from imgwire_async.emulator.pictures.byte_view import BrokenPictureError, ByteView

__all__ = ["check_webp", "is_webp", "webp_chunks", "webp_size"]

_PICTURE_CHUNKS = frozenset({b"VP8 ", b"VP8L", b"ANMF"})


def is_webp(head: bytes) -> bool:
    """Return whether the bytes start with the header of a WebP file."""
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def webp_chunks(view: ByteView) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each chunk, and the offset and length of its content."""
    offset, end = 12, view.integer(4, 4, "little") + 8
    while offset + 8 <= end:
        length = view.integer(offset + 4, 4, "little")
        yield view.read(offset, 4), offset + 8, length
        offset += 8 + length + length % 2


def webp_size(view: ByteView) -> tuple[int, int]:
    """Return width and height from the first chunk.

    The first chunk describes the canvas (VP8X), or it is a lossless frame (VP8L) or a lossy frame (VP8).
    """
    name, content = view.read(12, 4), 20
    if name == b"VP8X":
        return view.integer(content + 4, 3, "little") + 1, view.integer(content + 7, 3, "little") + 1
    if name == b"VP8L":
        if view.integer(content, 1) != 0x2F:
            raise BrokenPictureError("no lossless frame")
        bits = view.integer(content + 1, 4, "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if name == b"VP8 ":
        if view.read(content + 3, 3) != b"\x9d\x01\x2a":
            raise BrokenPictureError("no key frame")
        width, height = view.integer(content + 6, 2, "little"), view.integer(content + 8, 2, "little")
        return width & 0x3FFF, height & 0x3FFF
    raise BrokenPictureError("an unknown first chunk")


def check_webp(view: ByteView) -> None:
    """Check that the file is at least as long as its header says, and that it contains a frame."""
    if view.integer(4, 4, "little") + 8 > view.length:
        raise BrokenPictureError("the file ends early")
    if not any(name in _PICTURE_CHUNKS for name, _, _ in webp_chunks(view)):
        raise BrokenPictureError("no picture data")
