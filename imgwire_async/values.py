"""What callers hand in, taken for what it is: text, numbers, flags and paths of any class, or a refusal in plain words."""

from __future__ import annotations

import os
from typing import Any


def plain_text(value: str) -> str:
    """The text that a `str` of any class holds. `str()` would let a member of `(str, Enum)` give its name instead."""
    return str.__str__(value)


def shown(number: float) -> str:
    """A number for a message: Python refuses to write integers of thousands of digits."""
    if isinstance(number, int) and (bits := int.bit_length(number)) > 64:
        return f"a number of {bits} bits"
    return str(number)


def flag(name: str, value: object) -> bool:
    """`value`, if it is a bool: a word such as "no" would pass for True."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be a bool, not {type(value).__name__}")
    return value


def path_text(name: str, value: object) -> str:
    """The path that a `str` or an `os.PathLike` holds. What no file can be called is refused before the disk is asked."""
    path = _held(value)
    if path is None:
        raise TypeError(f"{name} must be a str or os.PathLike, not {type(value).__name__}")
    try:
        os.fsencode(path)
    except UnicodeError:
        raise ValueError(f"{name} holds half a surrogate pair, which no file name can") from None
    if "\0" in path:
        raise ValueError(f"{name} must not be a path with a NUL character")
    return path


def _held(value: object) -> str | None:
    # Not os.fspath(): what it says about an object that gives something else would not name the argument.
    kind: Any = type(value)
    held: object = kind.__fspath__(value) if isinstance(value, os.PathLike) else value
    if isinstance(held, bytes) and held is not value:
        return os.fsdecode(held)
    return plain_text(held) if isinstance(held, str) else None
