"""Folders with small pictures for tests of batches."""

from __future__ import annotations

from pathlib import Path

_GIF = bytes.fromhex("47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b")


def gif(number: int) -> bytes:
    """Return a picture whose bytes differ for each number."""
    return _GIF + f"{number:08}".encode()


def write_gifs(folder: Path, count: int) -> Path:
    """Write different pictures into a folder until it has `count`, and return its path."""
    folder.mkdir(exist_ok=True)
    for number in range(len([*folder.iterdir()]), count):
        (folder / f"{number:04}.gif").write_bytes(gif(number))
    return folder
