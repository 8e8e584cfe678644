"""The files that are uploaded: they begin as a JPEG does and go on with noise."""

from __future__ import annotations

import os
from pathlib import Path

HEAD = bytes.fromhex("ffd8ffe000104a46494600010100000100010000")
CHUNK = 1 << 24


def big(folder: str) -> Path:
    """The one large file."""
    return Path(folder) / "big.jpg"


def make(path: Path, size: int) -> None:
    """A file of so many bytes; left alone when it is there."""
    if path.exists():
        return
    with path.open("wb") as file:
        file.write(HEAD[:size])
        for begin in range(len(HEAD), size, CHUNK):
            file.write(os.urandom(min(CHUNK, size - begin)))


def make_many(folder: str, size: int, count: int) -> None:
    """At least so many files of this size, where `many` finds them."""
    home = Path(folder) / str(size)
    home.mkdir(exist_ok=True)
    for number in range(count):
        make(home / f"IMG_{number:05d}.jpg", size)


def many(folder: str, size: int) -> list[Path]:
    """The files of this size, in order."""
    return sorted((Path(folder) / str(size)).iterdir())
