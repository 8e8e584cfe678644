"""AVIF and HEIC: size of the primary item, and wholeness. [ISO 14496-12, 23008-12]"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from imgwire_async.emulator.pictures.byte_view import BrokenPictureError, ByteView, NeedsDecoderError

__all__ = ["Box", "avif_starts", "boxes", "heic_starts", "isobmff_size", "isobmff_whole"]

_AVIF = frozenset({b"avif", b"avis"})
_HEIC = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_MOST_BOXES = 10_000


@frozen
class Box:
    """One box: its name, and where its content starts and ends."""

    name: bytes
    start: int
    end: int


def avif_starts(head: bytes) -> bool:
    """A file type box that names AVIF among its brands."""
    return bool(_brands(head) & _AVIF)


def heic_starts(head: bytes) -> bool:
    """A file type box that names a HEVC picture among its brands, and not AVIF."""
    brands = _brands(head)
    return bool(brands & _HEIC) and not brands & _AVIF


def _brands(head: bytes) -> frozenset[bytes]:
    if head[4:8] != b"ftyp":
        return frozenset()
    length = min(int.from_bytes(head[:4], "big"), len(head), 1_024)
    return frozenset({head[8:12], *(head[at : at + 4] for at in range(16, length - 3, 4))})


def boxes(view: ByteView, start: int, end: int) -> Iterator[Box]:
    """The boxes between two places. `BrokenPictureError` when one reaches further than it may."""
    for _ in range(_MOST_BOXES):
        if start >= end:
            return
        size, content = view.number(start, 4), start + 8
        if size == 1:
            size, content = view.number(start + 8, 8), start + 16
        elif size == 0:  # to the end of the file
            size = end - start
        if start + size > end:
            raise BrokenPictureError("it ends early")
        if content > start + size:
            raise BrokenPictureError("a box is shorter than its own header")
        yield Box(view.take(start + 4, 4), content, start + size)
        start += size
    raise BrokenPictureError("too many boxes")


def isobmff_size(view: ByteView) -> tuple[int, int]:
    """Size of the primary item: its `ispe` property (a grid carries its own), cropped and turned as its properties
    say. These are part of the coded picture, unlike the orientation that EXIF only advises. [ISO 23008-12 6.5]
    """
    meta = _child(view, 0, view.length, b"meta")
    if meta is None:
        raise NeedsDecoderError("a sequence without a primary item")
    inside = {box.name: box for box in boxes(view, meta.start + 4, meta.end)}
    primary, properties = inside.get(b"pitm"), inside.get(b"iprp")
    if primary is None or properties is None:
        raise NeedsDecoderError("no primary item or no properties")
    item = view.number(primary.start + 4, 2 if view.number(primary.start, 1) == 0 else 4)
    container = _child(view, properties.start, properties.end, b"ipco")
    if container is None:
        raise BrokenPictureError("no property container")
    listed = list(boxes(view, container.start, container.end))
    numbers = _associated(view, properties, item)
    size = _sized(view, [listed[number - 1] for number in numbers if 1 <= number <= len(listed)])
    if size is None:
        raise NeedsDecoderError("no size of the primary item")
    return size


def _sized(view: ByteView, properties: list[Box]) -> tuple[int, int] | None:
    size: tuple[int, int] | None = None
    for box in properties:
        if box.name == b"ispe":
            size = view.number(box.start + 4, 4), view.number(box.start + 8, 4)
        elif box.name == b"irot" and size is not None and view.number(box.start, 1) & 1:  # a quarter or three
            size = size[1], size[0]
        elif box.name == b"clap":
            across, under_across, down, under_down = (view.number(box.start + at, 4) for at in (0, 4, 8, 12))
            if not under_across or not under_down:
                raise BrokenPictureError("a crop that is divided by zero")
            size = across // under_across, down // under_down
    return size


def isobmff_whole(view: ByteView) -> None:
    """Every box is as long as it says, and picture data is there."""
    names = {box.name for box in boxes(view, 0, view.length)}
    if not names & {b"mdat", b"idat", b"meta"}:
        raise BrokenPictureError("no picture data")


def _child(view: ByteView, start: int, end: int, name: bytes) -> Box | None:
    return next((box for box in boxes(view, start, end) if box.name == name), None)


def _associated(view: ByteView, properties: Box, item: int) -> Iterator[int]:
    """The numbers (from 1) of the properties of an item."""
    for box in boxes(view, properties.start, properties.end):
        if box.name == b"ipma":
            yield from _of_item(view, box, item)


def _of_item(view: ByteView, ipma: Box, item: int) -> Iterator[int]:
    version, flags = view.number(ipma.start, 1), view.number(ipma.start + 3, 1)
    id_width, index_width = (4 if version else 2), (2 if flags & 1 else 1)
    count, at = view.number(ipma.start + 4, 4), ipma.start + 8
    for _ in range(min(count, _MOST_BOXES)):
        here, associations = view.number(at, id_width), view.number(at + id_width, 1)
        at += id_width + 1
        if here == item:
            mask = (1 << (8 * index_width - 1)) - 1  # the top bit says "essential"
            yield from (view.number(at + i * index_width, index_width) & mask for i in range(associations))
        at += associations * index_width
