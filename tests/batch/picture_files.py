"""Folders with many small pictures, each with its own bytes."""

from __future__ import annotations

import hashlib
import os
import random
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

from wire.pictures import png

SHARED = Path(__file__).parents[2].parent / "shared" / "pictures" / "photos"


def make_pictures(folder: Path, count: int, *, seed: int = 1, per_folder: int = 200) -> dict[str, str]:
    """Create pictures in folders below `folder`, and return their keys with the SHA-256 of their bytes.

    Every fourth is a copy of a real picture if there is one, with a comment of its own.
    """
    drawn = random.Random(seed)
    real = real_pictures()
    hashes: dict[str, str] = {}
    for number in range(count):
        name, picture = f"{number:06}.png", png
        kind = drawn.choice([*real]) if real and number % 4 == 0 else None
        unique = f"{seed}-{number}".encode()
        if kind is not None:
            name = f"{number:06}{kind}"
            data = real[kind](unique)
        else:
            data = with_png_text(picture(padding=drawn.choice([0, 1_000, 9_000])), unique)
        key = f"{number // per_folder:03}/{name}"
        write(folder / key, data)
        hashes[key] = hashlib.sha256(data).hexdigest()
    return hashes


def write(path: Path, data: bytes) -> str:
    """Write a file, also in a new folder, and return the SHA-256 of its bytes.

    The modification time of a file that exists becomes a later one, however coarse the clock is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.stat().st_mtime_ns if path.exists() else None
    path.write_bytes(data)
    if before is not None and path.stat().st_mtime_ns <= before:
        os.utime(path, ns=(before + 1_000, before + 1_000))
    return hashlib.sha256(data).hexdigest()


def picture(text: str, *, padding: int = 0) -> bytes:
    """Return a small picture whose bytes depend on `text`."""
    return with_png_text(png(padding=padding), text.encode())


def with_png_text(data: bytes, text: bytes) -> bytes:
    """Return a PNG with one more chunk, directly before its end."""
    import zlib

    chunk = b"tEXt" + b"Comment\0" + text
    end = len(data) - 12
    return (
        data[:end]
        + struct.pack(">I", len(chunk) - 4)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + data[end:]
    )


def real_pictures() -> Mapping[str, Callable[[bytes], bytes]]:
    """Return a function for each kind of real picture, which returns a copy with a comment."""
    if not SHARED.is_dir():
        return {}
    jpeg, gif = (SHARED / "flower-camera-exif.jpg").read_bytes(), (SHARED / "hopper.gif").read_bytes()

    def with_jpeg_comment(text: bytes) -> bytes:
        return jpeg[:2] + b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text + jpeg[2:]

    def with_gif_comment(text: bytes) -> bytes:
        end = gif.rindex(b";")
        return gif[:end] + b"\x21\xfe" + bytes([len(text)]) + text + b"\0" + gif[end:]

    return {".jpg": with_jpeg_comment, ".gif": with_gif_comment}
