"""From bytes to a finding: the table of formats."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from attrs import frozen

from imgwire_async.emulator.pictures import bmp_ico, isobmff, jpeg_png_gif, jxl, tiff, webp
from imgwire_async.emulator.pictures.byte_view import (
    BrokenPictureError,
    ByteView,
    Finding,
    NeedsDecoderError,
    NotInWindowError,
    Picture,
    Unreadable,
)
from imgwire_async.emulator.pictures.decoder import decoded_size
from imgwire_async.emulator.pictures.exif import exif_of

__all__ = ["examine"]

Size: TypeAlias = tuple[int, int]


@frozen
class Format:
    """One type: how it starts, how its size is read, how one sees that it is whole."""

    mime_type: str
    starts: Callable[[bytes], bool]
    size: Callable[[ByteView], Size]
    whole: Callable[[ByteView], None]


_FORMATS = (
    Format(
        "image/jpeg",
        lambda head: head.startswith(b"\xff\xd8\xff"),
        jpeg_png_gif.jpeg_size,
        jpeg_png_gif.jpeg_whole,
    ),
    Format(
        "image/png",
        lambda head: head.startswith(jpeg_png_gif.PNG),
        jpeg_png_gif.png_size,
        jpeg_png_gif.png_whole,
    ),
    Format(
        "image/gif",
        lambda head: head[:6] in {b"GIF87a", b"GIF89a"},
        jpeg_png_gif.gif_size,
        jpeg_png_gif.gif_whole,
    ),
    Format("image/webp", webp.webp_starts, webp.webp_size, webp.webp_whole),
    Format("image/avif", isobmff.avif_starts, isobmff.isobmff_size, isobmff.isobmff_whole),
    Format("image/heic", isobmff.heic_starts, isobmff.isobmff_size, isobmff.isobmff_whole),
    Format("image/jxl", jxl.jxl_starts, jxl.jxl_size, jxl.jxl_whole),
    Format("image/tiff", tiff.tiff_starts, tiff.tiff_size, tiff.tiff_whole),
    Format("image/bmp", bmp_ico.bmp_starts, bmp_ico.bmp_size, bmp_ico.bmp_whole),
    Format("image/vnd.microsoft.icon", bmp_ico.ico_starts, bmp_ico.ico_size, bmp_ico.ico_whole),
)


def examine(head: bytes, *, length: int | None = None, tail: bytes = b"") -> Finding:
    """What these bytes are. For a body that is not kept whole: `head`, its whole `length`, and its `tail`. Never
    raises, whatever the bytes are.
    """
    view = ByteView(head, len(head) if length is None else length, tail)
    if view.length == 0:
        return Unreadable(reason="empty")
    found = next((each for each in _FORMATS if each.starts(head)), None)
    if found is None:
        return Unreadable(reason="not a picture of a supported type")
    try:
        width, height = _size(found, view)
        _try_whole(found, view)
    except BrokenPictureError as broken:
        return Unreadable(reason=f"{found.mime_type}: {broken}")
    except NotInWindowError:
        return Unreadable(reason=f"{found.mime_type}: its header lies in a part that was not kept")
    return Picture(mime_type=found.mime_type, width=width, height=height, exif=exif_of(found.mime_type, view))


def _size(found: Format, view: ByteView) -> Size:
    try:
        width, height = found.size(view)
    except NeedsDecoderError as untold:
        # Only a whole body can be decoded, and one that is not kept whole is too big to try.
        size = decoded_size(view.head) if len(view.head) == view.length else None
        if size is None:
            raise BrokenPictureError(f"{untold}, and no decoder could read it") from untold
        width, height = size
    if width < 1 or height < 1:
        raise BrokenPictureError(f"its size is {width} x {height}")
    return width, height


def _try_whole(found: Format, view: ByteView) -> None:
    try:
        found.whole(view)
    except NotInWindowError:
        pass  # nothing speaks against it in the two ends that were kept
