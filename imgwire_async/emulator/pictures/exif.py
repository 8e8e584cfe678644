"""Read a few EXIF fields from JPEG, PNG, WebP and TIFF files. A broken EXIF block counts as missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from imgwire_async.emulator.pictures.byte_view import BrokenPictureError, BytesNotKeptError, ByteView
from imgwire_async.emulator.pictures.jpeg_png_gif import jpeg_segments, png_chunks
from imgwire_async.emulator.pictures.tiff import (
    ByteOrder,
    Directory,
    Entry,
    byte_order,
    integers,
    is_tiff,
    read_directory,
)
from imgwire_async.emulator.pictures.webp import webp_chunks

__all__ = ["read_exif"]

# The marker of a JPEG segment that may contain EXIF fields.
_APP1 = 0xE1
_EXIF_PREFIX = b"Exif\0\0"
# The tag with the offset of the EXIF directory, which has the fields about the exposure and the lens.
_EXIF_DIRECTORY = 0x8769
# Maps the tags of the known fields to the names in the EXIF standard.
_FIELD_NAMES: Mapping[int, str] = {
    0x010E: "ImageDescription",
    0x010F: "Make",
    0x0110: "Model",
    0x0112: "Orientation",
    0x0131: "Software",
    0x0132: "DateTime",
    0x013B: "Artist",
    0x8298: "Copyright",
    0x829A: "ExposureTime",
    0x829D: "FNumber",
    0x8827: "ISOSpeedRatings",
    0x9003: "DateTimeOriginal",
    0x920A: "FocalLength",
    0xA433: "LensMake",
    0xA434: "LensModel",
}
# The maximum length in bytes of a text field. Longer fields are left out.
_MAXIMUM_TEXT = 1_000
# The TIFF codes of field types.
_TEXT, _UINT16, _UINT32, _FRACTION = 2, 3, 4, 5


def read_exif(mime_type: str, view: ByteView) -> dict[str, object]:
    """Return the known EXIF fields by name. The result is empty if the EXIF block is missing or broken.

    A value is a string, an integer, or a float for an EXIF fraction.
    """
    find = _FINDERS.get(mime_type)
    if find is None:
        return {}
    try:
        base = find(view)
        return {} if base is None else _read_fields(view, base)
    except (BrokenPictureError, BytesNotKeptError):
        return {}


def _find_in_jpeg(view: ByteView) -> int | None:
    prefix_length = len(_EXIF_PREFIX)
    for marker, offset, length in jpeg_segments(view):
        if marker == _APP1 and length > prefix_length and view.read(offset, prefix_length) == _EXIF_PREFIX:
            return offset + prefix_length
    return None


def _find_in_png(view: ByteView) -> int | None:
    return next((offset for name, offset, _ in png_chunks(view) if name == b"eXIf"), None)


def _find_in_webp(view: ByteView) -> int | None:
    offset = next((offset for name, offset, _ in webp_chunks(view) if name == b"EXIF"), None)
    # Some programs write the EXIF prefix of JPEG files into WebP files, so skip this prefix.
    if offset is not None and view.read(offset, len(_EXIF_PREFIX)) == _EXIF_PREFIX:
        offset += len(_EXIF_PREFIX)
    return offset


# Maps MIME types to functions that return the offset of the EXIF block, or None if the file has no block.
_FINDERS: Mapping[str, Callable[[ByteView], int | None]] = {
    "image/jpeg": _find_in_jpeg,
    "image/png": _find_in_png,
    "image/webp": _find_in_webp,
    # An EXIF block has the format of a TIFF file, so a TIFF file itself is the block.
    "image/tiff": lambda _: 0,
}


def _read_fields(view: ByteView, base: int) -> dict[str, object]:
    if not is_tiff(view.read(base, 4)):
        return {}
    order = byte_order(view, base)
    first = read_directory(view, view.integer(base + 4, 4, order), order, base)
    fields = _known_fields(view, first, order)
    exif_offsets = integers(view, first.entries.get(_EXIF_DIRECTORY), order)
    if exif_offsets:
        fields |= _known_fields(view, read_directory(view, exif_offsets[0], order, base), order)
    return fields


def _known_fields(view: ByteView, directory: Directory, order: ByteOrder) -> dict[str, object]:
    fields: dict[str, object] = {}
    for tag, name in _FIELD_NAMES.items():
        entry = directory.entries.get(tag)
        value = None if entry is None else _value(view, entry, order)
        if value is not None:
            fields[name] = value
    return fields


def _value(view: ByteView, entry: Entry, order: ByteOrder) -> str | int | float | None:
    if entry.kind == _TEXT and entry.count <= _MAXIMUM_TEXT:
        return view.read(entry.offset, entry.count).split(b"\0")[0].decode("utf-8", "replace").strip()
    if entry.kind in {_UINT16, _UINT32} and entry.count >= 1:
        return view.integer(entry.offset, 2 if entry.kind == _UINT16 else 4, order)
    if entry.kind == _FRACTION and entry.count == 1:
        numerator, denominator = (
            view.integer(entry.offset, 4, order),
            view.integer(entry.offset + 4, 4, order),
        )
        return round(numerator / denominator, 6) if denominator else None
    return None
