"""Check the arguments that callers pass: each check returns the plain value, or raises an error that names the argument.

An error is a `TypeError` with the type that was given, or a `ValueError` with what is allowed. Secrets are never repeated.
"""

from __future__ import annotations

import functools
import inspect
import os
from typing import Any

from imgwire_async.formatting import number_for_message
from imgwire_async.plain import plain_bool, plain_int, plain_text


def flag(name: str, value: object) -> bool:
    """Return `value` as a bool. Words are refused: "no" would pass for True."""
    found = plain_bool(value)
    if found is None:
        raise TypeError(f"{name} must be a bool, not {type(value).__name__}")
    return found


def at_least_0(name: str, value: object) -> int:
    """Return the int that `value` stands for, which must not be negative."""
    found = plain_int(value)
    if found is None:
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if found < 0:
        raise ValueError(f"{name} must be 0 or more, not {number_for_message(found)}")
    return found


def path(name: str, value: object) -> str:
    """Return the path that a `str` or an `os.PathLike` holds. What no file can be called is refused before the disk is asked."""
    held = _held(value)
    if held is None:
        raise TypeError(f"{name} must be a str or os.PathLike, not {type(value).__name__}")
    try:
        os.fsencode(held)
    except UnicodeError:
        raise ValueError(f"{name} holds half a surrogate pair, which no file name can") from None
    if "\0" in held:
        raise ValueError(f"{name} must not be a path with a NUL character")
    return held


def _held(value: object) -> str | None:
    # Not os.fspath(): what it says about an object that gives something else would not name the argument.
    kind: Any = type(value)
    held: object = kind.__fspath__(value) if isinstance(value, os.PathLike) else value
    if isinstance(held, bytes) and held is not value:
        return os.fsdecode(held)
    return plain_text(held) if isinstance(held, str) else None


def is_printable_ascii(text: str) -> bool:
    """Return whether `text` may stand in a header or a URL: no control characters, no blanks, ASCII only."""
    return text.isascii() and text.isprintable() and " " not in text


def callable_(name: str, value: object) -> None:
    """Raise `TypeError` unless `value` is None or a plain (not a coroutine) callable."""
    if value is None:
        return
    if not callable(value):
        raise TypeError(f"{name} must be a callable or None, not {type(value).__name__}")
    if is_coroutine_callable(value):
        raise TypeError(f"{name} must be a plain function that returns quickly, not a coroutine function")


def is_coroutine_callable(value: object) -> bool:
    """Return whether calling `value` gives a coroutine: a coroutine function, a partial of one, or an object with async `__call__`."""
    function: Any = value
    while isinstance(function, functools.partial):
        function = function.func  # pyright: ignore[reportUnknownMemberType]  # of whatever was wrapped
    call: Any = getattr(type(function), "__call__", None)  # noqa: B004  # pyright: ignore[reportUnknownArgumentType]  # the method is asked
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)
