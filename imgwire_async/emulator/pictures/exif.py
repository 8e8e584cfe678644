"""A few EXIF fields, from where each format keeps them. What is broken is left out, never an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from imgwire_async.emulator.pictures.byte_view import BrokenPictureError, ByteView, NotInWindowError
from imgwire_async.emulator.pictures.jpeg_png_gif import jpeg_segments, png_chunks
from imgwire_async.emulator.pictures.tiff import (
    Directory,
    Entry,
    Order,
    directory,
    numbers,
    order_of,
    tiff_starts,
)
from imgwire_async.emulator.pictures.webp import webp_chunks

__all__ = ["exif_of"]

_APP1 = 0xE1
_MARK = b"Exif\0\0"
_MORE = 0x8769  # where the camera's own directory is
_NAMES: Mapping[int, str] = {
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
_MOST_TEXT = 1_000


def exif_of(mime_type: str, view: ByteView) -> dict[str, object]:
    """The known fields by their EXIF names: text, whole numbers, and fractions as decimal numbers."""
    find = _FINDERS.get(mime_type)
    if find is None:
        return {}
    try:
        base = find(view)
        return {} if base is None else _fields(view, base)
    except (BrokenPictureError, NotInWindowError):
        return {}


def _in_jpeg(view: ByteView) -> int | None:
    for marker, at, length in jpeg_segments(view):
        if marker == _APP1 and length > len(_MARK) and view.take(at, len(_MARK)) == _MARK:
            return at + len(_MARK)
    return None


def _in_png(view: ByteView) -> int | None:
    return next((at for name, at, _ in png_chunks(view) if name == b"eXIf"), None)


def _in_webp(view: ByteView) -> int | None:
    at = next((at for name, at, _ in webp_chunks(view) if name == b"EXIF"), None)
    if at is not None and view.take(at, len(_MARK)) == _MARK:  # some writers keep the mark of JPEG
        at += len(_MARK)
    return at


_FINDERS: Mapping[str, Callable[[ByteView], int | None]] = {
    "image/jpeg": _in_jpeg,
    "image/png": _in_png,
    "image/webp": _in_webp,
    "image/tiff": lambda _: 0,
}


def _fields(view: ByteView, base: int) -> dict[str, object]:
    if not tiff_starts(view.take(base, 4)):
        return {}
    order = order_of(view, base)
    first = directory(view, view.number(base + 4, 4, order), order, base)
    found = _named(view, first, order)
    more = numbers(view, first.entries.get(_MORE), order)
    if more:
        found |= _named(view, directory(view, more[0], order, base), order)
    return found


def _named(view: ByteView, fields: Directory, order: Order) -> dict[str, object]:
    found: dict[str, object] = {}
    for tag, name in _NAMES.items():
        entry = fields.entries.get(tag)
        value = None if entry is None else _value(view, entry, order)
        if value is not None:
            found[name] = value
    return found


def _value(view: ByteView, entry: Entry, order: Order) -> str | int | float | None:
    if entry.kind == 2 and entry.count <= _MOST_TEXT:
        return view.take(entry.at, entry.count).split(b"\0")[0].decode("utf-8", "replace").strip()
    if entry.kind in {3, 4} and entry.count >= 1:
        return view.number(entry.at, 2 if entry.kind == 3 else 4, order)
    if entry.kind == 5 and entry.count == 1:
        top, bottom = view.number(entry.at, 4, order), view.number(entry.at + 4, 4, order)
        return round(top / bottom, 6) if bottom else None
    return None
