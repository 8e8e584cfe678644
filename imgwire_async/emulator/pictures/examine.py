"""Examine a picture: find its format, read its size, check that it is complete."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from attrs import frozen

from imgwire_async.emulator.pictures import bmp_ico, isobmff, jpeg_png_gif, jxl, tiff, webp
from imgwire_async.emulator.pictures.byte_view import (
    BrokenPictureError,
    BytesNotKeptError,
    ByteView,
    Finding,
    NeedsDecoderError,
    Picture,
    Unreadable,
)
from imgwire_async.emulator.pictures.decoder import decoded_size
from imgwire_async.emulator.pictures.exif import read_exif

__all__ = ["examine"]

Size: TypeAlias = tuple[int, int]


@frozen
class Format:
    """One picture format, and the functions that recognize it, read its size and check its content."""

    mime_type: str
    matches: Callable[[bytes], bool]
    read_size: Callable[[ByteView], Size]
    check_complete: Callable[[ByteView], None]


_FORMATS = (
    Format("image/jpeg", jpeg_png_gif.is_jpeg, jpeg_png_gif.jpeg_size, jpeg_png_gif.check_jpeg),
    Format("image/png", jpeg_png_gif.is_png, jpeg_png_gif.png_size, jpeg_png_gif.check_png),
    Format("image/gif", jpeg_png_gif.is_gif, jpeg_png_gif.gif_size, jpeg_png_gif.check_gif),
    Format("image/webp", webp.is_webp, webp.webp_size, webp.check_webp),
    Format("image/avif", isobmff.is_avif, isobmff.isobmff_size, isobmff.check_isobmff),
    Format("image/heic", isobmff.is_heic, isobmff.isobmff_size, isobmff.check_isobmff),
    Format("image/jxl", jxl.is_jxl, jxl.jxl_size, jxl.check_jxl),
    Format("image/tiff", tiff.is_tiff, tiff.tiff_size, tiff.check_tiff),
    Format("image/bmp", bmp_ico.is_bmp, bmp_ico.bmp_size, bmp_ico.check_bmp),
    Format("image/vnd.microsoft.icon", bmp_ico.is_ico, bmp_ico.ico_size, bmp_ico.check_ico),
)


def examine(head: bytes, *, length: int | None = None, tail: bytes = b"") -> Finding:
    """Return the type, size and EXIF fields of a picture, or the reason why the bytes are not a picture.

    `head` is the whole body. If only start and end of the body were kept, `head` is the start, `tail` the
    end, and `length` the length of the whole body. The function never raises an exception.
    """
    view = ByteView(head, len(head) if length is None else length, tail)
    if view.length == 0:
        return Unreadable(reason="empty")
    picture_format = next((candidate for candidate in _FORMATS if candidate.matches(head)), None)
    if picture_format is None:
        return Unreadable(reason="not a picture of a supported type")
    mime_type = picture_format.mime_type
    try:
        width, height = _size(picture_format, view)
        _check_complete(picture_format, view)
    except BrokenPictureError as error:
        return Unreadable(reason=f"{mime_type}: {error}")
    except BytesNotKeptError:
        return Unreadable(reason=f"{mime_type}: the header lies in a part of the file that was not kept")
    return Picture(mime_type=mime_type, width=width, height=height, exif=read_exif(mime_type, view))


def _size(picture_format: Format, view: ByteView) -> Size:
    try:
        width, height = picture_format.read_size(view)
    except NeedsDecoderError as error:
        # A decoder needs the whole body, so try it only if the whole body was kept.
        size = decoded_size(view.head) if len(view.head) == view.length else None
        if size is None:
            raise BrokenPictureError(f"{error}, and no decoder could read it") from error
        width, height = size
    if width < 1 or height < 1:
        raise BrokenPictureError(f"the size is {width} x {height}")
    return width, height


def _check_complete(picture_format: Format, view: ByteView) -> None:
    try:
        picture_format.check_complete(view)
    except BytesNotKeptError:
        # The check found no error in the kept bytes. The bytes that were not kept cannot be checked.
        pass
