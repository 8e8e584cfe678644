"""What callers hand in, taken for what it is: text, numbers, flags and paths of any class, or a refusal in plain words."""

from __future__ import annotations

import os
import re
from typing import Any


def plain_text(value: str) -> str:
    """The text that a `str` of any class holds. `str()` would let a member of `(str, Enum)` give its name instead."""
    return str.__str__(value)


def shown(number: float) -> str:
    """A number for a message: Python refuses to write integers of thousands of digits."""
    if isinstance(number, int) and (bits := int.bit_length(number)) > 64:
        return f"a number of {bits} bits"
    return str(number)


def integer(value: object) -> int | None:
    """Return the integer that `value` stands for: an `int`, or what has `__index__`, as numpy's do. None for all else, and for a bool."""
    if isinstance(value, bool) or not hasattr(type(value), "__index__"):
        return None
    try:
        return int.__index__(value) if isinstance(value, int) else type(value).__index__(value)  # type: ignore[attr-defined]  # looked for above
    except (TypeError, ValueError):  # numpy's bool, an array of several
        return None


def number(value: object) -> float | None:
    """Return the number that `value` stands for: an integer, or what has `__float__`, as numpy's do. None for all else, and for a bool."""
    if isinstance(value, float):
        return float.__float__(value)
    whole = integer(value)
    if whole is not None:
        return whole
    kind: Any = type(value)
    # numpy's bool would give 1.0, and is none of Python's.
    if isinstance(value, bool) or not hasattr(kind, "__float__") or kind.__name__ in {"bool", "bool_"}:
        return None
    try:
        return float(kind.__float__(value))
    except (
        TypeError,
        ValueError,
        OverflowError,
    ):  # an array of several, a fraction beyond what a float holds
        return None


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


_QUOTES = "\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb"
_PLACEHOLDER = re.compile(r"\$[{(]|\{\{|\$[A-Za-z_]\w*\Z|%\w+%\Z|<[^<>]*>\Z", re.ASCII)
_ASSIGNMENT = re.compile(r"(?:(?:export|set)\s+)?[A-Za-z_][A-Za-z0-9_]*\s*=\s*[^=\s]")


def leftover(text: str) -> str | None:
    """Return what a shell or a template left in a setting (quotes, a variable, a name), as a predicate for a message; None if nothing."""
    if text[:1] in _QUOTES or text[-1:] in _QUOTES:
        return (
            "stands in quotes: give it without them (Docker's --env-file, for one, keeps quotes)"
            if text
            else None
        )
    if _PLACEHOLDER.match(text) or "${" in text:
        return (
            "holds a placeholder that nothing has filled in, such as ${NAME}: look where the variable is set"
        )
    if _ASSIGNMENT.match(text):
        return "begins with a name and an equals sign, as in NAME=value: give the value alone"
    if text[:1] in "{[" and text[-1:] in "}]" and len(text) > 1:
        return "is written as JSON: give the one value out of it"
    return None
