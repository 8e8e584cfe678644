"""WebP: size and wholeness."""

from __future__ import annotations

from collections.abc import Iterator

from imgwire_async.emulator.pictures.byte_view import BrokenPictureError, ByteView

__all__ = ["webp_chunks", "webp_size", "webp_starts", "webp_whole"]

_PICTURES = frozenset({b"VP8 ", b"VP8L", b"ANMF"})


def webp_starts(head: bytes) -> bool:
    """A RIFF file of the kind WEBP."""
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def webp_chunks(view: ByteView) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and length of the content of each chunk inside the RIFF size."""
    at, end = 12, view.number(4, 4, "little") + 8
    while at + 8 <= end:
        length = view.number(at + 4, 4, "little")
        yield view.take(at, 4), at + 8, length
        at += 8 + length + length % 2


def webp_size(view: ByteView) -> tuple[int, int]:
    """Width and height from the first chunk: the canvas (VP8X), a lossless (VP8L) or a lossy frame (VP8)."""
    name, at = view.take(12, 4), 20
    if name == b"VP8X":
        return view.number(at + 4, 3, "little") + 1, view.number(at + 7, 3, "little") + 1
    if name == b"VP8L":
        if view.number(at, 1) != 0x2F:
            raise BrokenPictureError("no lossless frame")
        bits = view.number(at + 1, 4, "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if name == b"VP8 ":
        if view.take(at + 3, 3) != b"\x9d\x01\x2a":
            raise BrokenPictureError("no key frame")
        return view.number(at + 6, 2, "little") & 0x3FFF, view.number(at + 8, 2, "little") & 0x3FFF
    raise BrokenPictureError("an unknown first chunk")


def webp_whole(view: ByteView) -> None:
    """All that the RIFF size promises is there, and a picture is in it."""
    if view.number(4, 4, "little") + 8 > view.length:
        raise BrokenPictureError("it ends early")
    if not any(name in _PICTURES for name, _, _ in webp_chunks(view)):
        raise BrokenPictureError("no picture data")
