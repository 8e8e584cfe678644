"""The formats AVIF and HEIC. Both are containers in the format ISOBMFF (ISO 14496-12, ISO 23008-12)."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from imgwire_async.emulator.pictures.byte_view import BrokenPictureError, ByteView, NeedsDecoderError

__all__ = ["Box", "boxes", "check_isobmff", "is_avif", "is_heic", "isobmff_size"]

_AVIF = frozenset({b"avif", b"avis"})
_HEIC = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
# A file with more boxes counts as broken, so that a malicious file cannot keep the emulator busy.
_MAXIMUM_BOXES = 10_000


@frozen
class Box:
    """One box: its name, and the offsets at which its content starts and ends."""

    name: bytes
    start: int
    end: int


def is_avif(head: bytes) -> bool:
    """Return whether the file type box (`ftyp`) names an AVIF brand."""
    return bool(_brands(head) & _AVIF)


def is_heic(head: bytes) -> bool:
    """Return whether the file type box (`ftyp`) names a HEIC brand and no AVIF brand."""
    brands = _brands(head)
    return bool(brands & _HEIC) and not brands & _AVIF


def _brands(head: bytes) -> frozenset[bytes]:
    if head[4:8] != b"ftyp":
        return frozenset()
    length = min(int.from_bytes(head[:4], "big"), len(head), 1_024)
    return frozenset({head[8:12], *(head[offset : offset + 4] for offset in range(16, length - 3, 4))})


def boxes(view: ByteView, start: int, end: int) -> Iterator[Box]:
    """Yield the boxes between two offsets.

    Raises `BrokenPictureError` for a box that reaches beyond `end`, for a box that is shorter than its own
    header, and for too many boxes.
    """
    for _ in range(_MAXIMUM_BOXES):
        if start >= end:
            return
        size, content = view.integer(start, 4), start + 8
        if size == 1:
            size, content = view.integer(start + 8, 8), start + 16
        elif size == 0:
            # The size 0 means that the box reaches to the end.
            size = end - start
        if start + size > end:
            raise BrokenPictureError("the file ends early")
        if content > start + size:
            raise BrokenPictureError("a box is shorter than its own header")
        yield Box(view.read(start + 4, 4), content, start + size)
        start += size
    raise BrokenPictureError("too many boxes")


def isobmff_size(view: ByteView) -> tuple[int, int]:
    """Return width and height of the primary item, which is the main picture of the file.

    The property `ispe` has the width and height before cropping and rotation. The cropping and rotation
    properties are applied too, because the format requires it from every decoder (ISO 23008-12, section 6.5).
    """
    meta = _find_box(view, 0, view.length, b"meta")
    if meta is None:
        raise NeedsDecoderError("a sequence without a primary item")
    children = {box.name: box for box in boxes(view, meta.start + 4, meta.end)}
    primary, properties = children.get(b"pitm"), children.get(b"iprp")
    if primary is None or properties is None:
        raise NeedsDecoderError("no primary item or no properties")
    item_id = view.integer(primary.start + 4, 2 if view.integer(primary.start, 1) == 0 else 4)
    container = _find_box(view, properties.start, properties.end, b"ipco")
    if container is None:
        raise BrokenPictureError("no property container")
    all_properties = list(boxes(view, container.start, container.end))
    numbers = _property_numbers(view, properties, item_id)
    size = _apply_properties(
        view, [all_properties[number - 1] for number in numbers if 1 <= number <= len(all_properties)]
    )
    if size is None:
        raise NeedsDecoderError("no size of the primary item")
    return size


def _apply_properties(view: ByteView, properties: list[Box]) -> tuple[int, int] | None:
    size: tuple[int, int] | None = None
    for box in properties:
        if box.name == b"ispe":
            size = view.integer(box.start + 4, 4), view.integer(box.start + 8, 4)
        # A rotation by 90 or 270 degrees exchanges width and height. For these angles the lowest bit is 1.
        elif box.name == b"irot" and size is not None and view.integer(box.start, 1) & 1:
            size = size[1], size[0]
        elif box.name == b"clap":
            width_n, width_d, height_n, height_d = (
                view.integer(box.start + offset, 4) for offset in (0, 4, 8, 12)
            )
            if not width_d or not height_d:
                raise BrokenPictureError("a cropping property with a zero denominator")
            size = width_n // width_d, height_n // height_d
    return size


def check_isobmff(view: ByteView) -> None:
    """Check that every box is as long as its header says, and that the file has picture data."""
    names = {box.name for box in boxes(view, 0, view.length)}
    if not names & {b"mdat", b"idat", b"meta"}:
        raise BrokenPictureError("no picture data")


def _find_box(view: ByteView, start: int, end: int, name: bytes) -> Box | None:
    return next((box for box in boxes(view, start, end) if box.name == name), None)


def _property_numbers(view: ByteView, properties: Box, item_id: int) -> Iterator[int]:
    """Yield the numbers of the properties of an item. Numbers are positions in the box `ipco`, from 1."""
    for box in boxes(view, properties.start, properties.end):
        if box.name == b"ipma":
            yield from _associated_properties(view, box, item_id)


def _associated_properties(view: ByteView, ipma: Box, item_id: int) -> Iterator[int]:
    version, flags = view.integer(ipma.start, 1), view.integer(ipma.start + 3, 1)
    id_width, index_width = (4 if version else 2), (2 if flags & 1 else 1)
    count, offset = view.integer(ipma.start + 4, 4), ipma.start + 8
    for _ in range(min(count, _MAXIMUM_BOXES)):
        entry_id, associations = view.integer(offset, id_width), view.integer(offset + id_width, 1)
        offset += id_width + 1
        if entry_id == item_id:
            # The highest bit is a flag ("essential property"), and not part of the number.
            mask = (1 << (8 * index_width - 1)) - 1
            yield from (
                view.integer(offset + index * index_width, index_width) & mask
                for index in range(associations)
            )
        offset += associations * index_width
