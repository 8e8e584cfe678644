"""Pillow, from the extra `emulator`, for the few pictures whose header alone does not tell the size."""

from __future__ import annotations

import io
import warnings

__all__ = ["decoded_size"]


def decoded_size(data: bytes) -> tuple[int, int] | None:
    """Width and height as stored, None when Pillow is missing or can't read it either."""
    try:
        from PIL import Image
    except ImportError:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of odd files, and odd files are what it is asked about
            with Image.open(io.BytesIO(data)) as picture:
                return picture.size
    except Exception:  # noqa: BLE001  a decoder may raise anything on broken bytes; all of it means "unreadable"
        return None
