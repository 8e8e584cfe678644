"""From bytes to a finding: the table of formats."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from attrs import frozen

from imgwire_async.emulator.pictures import isobmff, jxl, raster, tiff, webp, windows
from imgwire_async.emulator.pictures.decoder import decoded_size
from imgwire_async.emulator.pictures.exif import exif_of
from imgwire_async.emulator.pictures.view import (
    BrokenError,
    Finding,
    Picture,
    Unreadable,
    UnseenError,
    UntoldError,
    View,
)

__all__ = ["examine"]

Size: TypeAlias = tuple[int, int]


@frozen
class Format:
    """One type: how it starts, how its size is read, how one sees that it is whole."""

    mime_type: str
    starts: Callable[[bytes], bool]
    size: Callable[[View], Size]
    whole: Callable[[View], None]


_FORMATS = (
    Format("image/jpeg", lambda head: head.startswith(b"\xff\xd8\xff"), raster.jpeg_size, raster.jpeg_whole),
    Format("image/png", lambda head: head.startswith(raster.PNG), raster.png_size, raster.png_whole),
    Format("image/gif", lambda head: head[:6] in {b"GIF87a", b"GIF89a"}, raster.gif_size, raster.gif_whole),
    Format("image/webp", webp.webp_starts, webp.webp_size, webp.webp_whole),
    Format("image/avif", isobmff.avif_starts, isobmff.isobmff_size, isobmff.isobmff_whole),
    Format("image/heic", isobmff.heic_starts, isobmff.isobmff_size, isobmff.isobmff_whole),
    Format("image/jxl", jxl.jxl_starts, jxl.jxl_size, jxl.jxl_whole),
    Format("image/tiff", tiff.tiff_starts, tiff.tiff_size, tiff.tiff_whole),
    Format("image/bmp", windows.bmp_starts, windows.bmp_size, windows.bmp_whole),
    Format("image/vnd.microsoft.icon", windows.ico_starts, windows.ico_size, windows.ico_whole),
)


def examine(head: bytes, *, length: int | None = None, tail: bytes = b"") -> Finding:
    """What these bytes are. For a body that is not kept whole: `head`, its whole `length`, and its `tail`. Never
    raises, whatever the bytes are.
    """
    view = View(head, len(head) if length is None else length, tail)
    if view.length == 0:
        return Unreadable(reason="empty")
    found = next((each for each in _FORMATS if each.starts(head)), None)
    if found is None:
        return Unreadable(reason="not a picture of a supported type")
    try:
        width, height = _size(found, view)
        _try_whole(found, view)
    except BrokenError as broken:
        return Unreadable(reason=f"{found.mime_type}: {broken}")
    except UnseenError:
        return Unreadable(reason=f"{found.mime_type}: its header lies in a part that was not kept")
    return Picture(mime_type=found.mime_type, width=width, height=height, exif=exif_of(found.mime_type, view))


def _size(found: Format, view: View) -> Size:
    try:
        width, height = found.size(view)
    except UntoldError as untold:
        # Only a whole body can be decoded, and one that is not kept whole is too big to try.
        size = decoded_size(view.head) if len(view.head) == view.length else None
        if size is None:
            raise BrokenError(f"{untold}, and no decoder could read it") from untold
        width, height = size
    if width < 1 or height < 1:
        raise BrokenError(f"its size is {width} x {height}")
    return width, height


def _try_whole(found: Format, view: View) -> None:
    try:
        found.whole(view)
    except UnseenError:
        pass  # nothing speaks against it in the two ends that were kept
