"""Check the arguments that callers pass: each check returns the plain value, or raises an error that names the argument.

An error is a `TypeError` with the type that was given, or a `ValueError` with what is allowed. Secrets are never repeated.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast

from imgwire_async.coercion import as_bool, as_int, as_number, as_str
from imgwire_async.formatting import number_for_message, quoted

MAX_INT64 = 2**63 - 1  # the largest count or length that a service can take

# --- errors -----------------------------------------------------------------------------------------------------------


def wrong_type(name: str, expected: str, value: object, advice: str = "") -> TypeError:
    """Return the error for an argument of a type that is not taken."""
    return TypeError(f"{name} must be {expected}, not {type(value).__name__}{advice}")


def wrong_text(name: str, expected: str, value: str) -> ValueError:
    """Return the error for a text that is none of those allowed. It repeats the text: no check for secrets."""
    return ValueError(f"{name} must be {expected}, not {quoted(value)}")


def seconds_advice(value: object) -> str:
    """Return what to do with a `timedelta` where a number of seconds is expected; nothing for other values."""
    return "; give its total_seconds()" if isinstance(value, timedelta) else ""


# --- texts ------------------------------------------------------------------------------------------------------------


def text(name: str, value: object, *, expected: str = "text") -> str:
    """Return `value` as text, whatever it holds."""
    if not isinstance(value, str):
        raise wrong_type(name, expected, value)
    return as_str(value)


def nonempty_text(name: str, value: object, *, max_length: int | None = 255) -> str:
    """Return `value` as text of 1 to `max_length` characters that can be encoded."""
    if not isinstance(value, str):
        raise wrong_type(name, "text", value)
    if not value or (max_length is not None and len(value) > max_length):
        limit = "at least 1 character" if max_length is None else f"1 to {max_length} characters"
        raise ValueError(f"{name} must have {limit}, not {len(value)}")
    if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        raise ValueError(f"{name} holds half a surrogate pair, which is no text")
    return as_str(value)


def optional_text(name: str, value: object, *, max_length: int | None = 255) -> str | None:
    """Return what `nonempty_text` returns, or None for None."""
    return None if value is None else nonempty_text(name, value, max_length=max_length)


def printable_ascii(name: str, value: object) -> str | None:
    """Return `value` as text without blanks and control characters (a MIME type, a token), or None. Errors never repeat it."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise wrong_type(name, "text", value)
    if not value or not is_printable_ascii(value):
        raise ValueError(f"{name} must be printable ASCII text without blanks")
    return as_str(value)


def is_printable_ascii(text: str) -> bool:
    """Return whether `text` may stand in a header or a URL: no control characters, no blanks, ASCII only."""
    return text.isascii() and text.isprintable() and " " not in text


def path(name: str, value: object) -> str:
    """Return the path that a `str` or an `os.PathLike` holds. What no file can be called is refused before the disk is asked."""
    held = _path_of(value)
    if held is None:
        raise wrong_type(name, "a str or os.PathLike", value)
    try:
        os.fsencode(held)
    except UnicodeError:
        raise ValueError(f"{name} holds half a surrogate pair, which no file name can") from None
    if "\0" in held:
        raise ValueError(f"{name} must not be a path with a NUL character")
    return held


def _path_of(value: object) -> str | None:
    # Not os.fspath(): what it says about an object that gives something else would not name the argument.
    kind: Any = type(value)
    held: object = kind.__fspath__(value) if isinstance(value, os.PathLike) else value
    if isinstance(held, bytes) and held is not value:
        return os.fsdecode(held)
    return as_str(held) if isinstance(held, str) else None


# --- numbers and flags ------------------------------------------------------------------------------------------------


def flag(name: str, value: object) -> bool:
    """Return `value` as a bool. Words are refused: "no" would pass for True."""
    found = as_bool(value)
    if found is None:
        raise wrong_type(name, "a bool", value)
    return found


def integer(
    name: str, value: object, *, minimum: int, maximum: int | None = MAX_INT64, expected: str = "an int"
) -> int:
    """Return `value` as an int from `minimum` to `maximum`; None is no upper limit."""
    found = as_int(value)
    if found is None:
        raise wrong_type(name, expected, value)
    if found < minimum or (maximum is not None and found > maximum):
        # A limit that only the service's arithmetic sets is no news for those who are below the range.
        is_open = maximum is None or (maximum == MAX_INT64 and found < minimum)
        limits = f"{minimum} or more" if is_open else f"{minimum} to {maximum}"
        raise ValueError(f"{name} must be {limits}, not {number_for_message(found)}")
    return found


def optional_integer(
    name: str, value: object, *, minimum: int, maximum: int | None = MAX_INT64
) -> int | None:
    """Return what `integer` returns, or None for None."""
    return None if value is None else integer(name, value, minimum=minimum, maximum=maximum)


def number(
    name: str, value: object, *, zero: bool = False, expected: str = "a number", unit: str = ""
) -> int | float:
    """Return `value` as an int or float above 0, or of at least 0 with `zero`. NaN is refused."""
    found = as_number(value)
    if found is None:
        raise wrong_type(name, expected, value, seconds_advice(value))
    if not (found >= 0 if zero else found > 0):
        limit = "0 or more" if zero else "more than 0"
        raise ValueError(f"{name} must be {limit}{unit}, not {number_for_message(found)}")
    return found


def positive_seconds(name: str, value: object, *, expected: str = "a number of seconds") -> float:
    """Return `value` as seconds above 0; infinity is one."""
    found = number(name, value, expected=expected, unit=" seconds")
    try:
        return float(found)
    except OverflowError:
        raise ValueError(
            f"{name} must be a number that a float can hold, not {number_for_message(found)}; math.inf is without end"
        ) from None


# --- mappings and callables -------------------------------------------------------------------------------------------


def mapping(name: str, value: object, *, expected: str = "a mapping") -> Mapping[object, object]:
    """Return `value`, if it is a mapping; what it holds is for the caller to check."""
    if not isinstance(value, Mapping):
        raise wrong_type(name, expected, value)
    return cast("Mapping[object, object]", value)


def callable_(name: str, value: object) -> None:
    """Raise `TypeError` unless `value` is None or a plain (not a coroutine) callable."""
    if value is None:
        return
    if not callable(value):
        raise wrong_type(name, "a callable or None", value)
    if is_coroutine_callable(value):
        raise TypeError(f"{name} must be a plain function that returns quickly, not a coroutine function")


def no_coroutine_function(name: str, value: object) -> None:
    """Raise `TypeError` for a coroutine function that should give the blocking client a text: nobody would await it."""
    if is_coroutine_callable(value):
        raise TypeError(
            f"{name} must be text or a plain callable; AsyncImgwireClient takes coroutine functions"
        )


def is_coroutine_callable(value: object) -> bool:
    """Return whether calling `value` gives a coroutine: a coroutine function, a partial of one, or an object with async `__call__`."""
    function: Any = value
    while isinstance(function, functools.partial):
        function = function.func  # pyright: ignore[reportUnknownMemberType]  # of whatever was wrapped
    call: Any = getattr(type(function), "__call__", None)  # noqa: B004  # pyright: ignore[reportUnknownArgumentType]  # the method is asked
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)
