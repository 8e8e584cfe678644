"""Create the files to upload: they begin like a JPEG and contain random bytes."""

from __future__ import annotations

import os
from pathlib import Path

HEAD = bytes.fromhex("ffd8ffe000104a46494600010100000100010000")
CHUNK = 1 << 24


def big(folder: str) -> Path:
    """Return the path of the large file."""
    return Path(folder) / "big.jpg"


def make(path: Path, size: int) -> None:
    """Create a file of `size` bytes unless it exists."""
    if path.exists():
        return
    with path.open("wb") as file:
        file.write(HEAD[:size])
        for begin in range(len(HEAD), size, CHUNK):
            file.write(os.urandom(min(CHUNK, size - begin)))


def make_many(folder: str, size: int, count: int) -> None:
    """Create `count` files of this size in the folder from which `many` returns them."""
    home = Path(folder) / str(size)
    home.mkdir(exist_ok=True)
    for number in range(count):
        make(home / f"IMG_{number:05d}.jpg", size)


def many(folder: str, size: int) -> list[Path]:
    """Return the files of this size in order."""
    return sorted((Path(folder) / str(size)).iterdir())
