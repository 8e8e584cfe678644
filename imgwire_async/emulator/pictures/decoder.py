"""Read the size of a picture with Pillow, if the size cannot be read from the header of the file."""

from __future__ import annotations

import io
import warnings

__all__ = ["decoded_size"]


def decoded_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height without applying the EXIF orientation.

    Return None if Pillow is not installed or cannot read the file.
    """
    try:
        from PIL import Image
    except ImportError:
        return None
    try:
        with warnings.catch_warnings():
            # Pillow warns about unusual files, but unusual files are expected here.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as picture:
                return picture.size
    except Exception:  # noqa: BLE001  a decoder may raise any exception for broken bytes
        return None
