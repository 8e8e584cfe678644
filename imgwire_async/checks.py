"""Check the arguments that a user passes to the package.

Most functions take the name and the value of an argument. A wrong value raises `TypeError` or `ValueError`,
and the message begins with the name. A right value is returned as a built-in type, such as `str` or `int`.
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

# The largest integer that a service with 64-bit integers accepts.
MAX_INT64 = 2**63 - 1

# --- errors -------------------------------------------------------------------------------------------------


def wrong_type(name: str, expected: str, value: object, advice: str = "") -> TypeError:
    """Return the error for an argument of a wrong type.

    `expected` names the right types. `advice` is put at the end of the message.
    """
    return TypeError(f"{name} must be {expected}, not {type(value).__name__}{advice}")


def wrong_text(name: str, expected: str, value: str) -> ValueError:
    """Return the error for a text that is not one of the allowed values.

    The message contains the text, so do not use this function for secrets.
    """
    return ValueError(f"{name} must be {expected}, not {quoted(value)}")


def seconds_advice(value: object) -> str:
    """Return the advice to pass `total_seconds()` if `value` is a `timedelta`, else an empty text."""
    return "; pass its total_seconds()" if isinstance(value, timedelta) else ""


# --- texts --------------------------------------------------------------------------------------------------


def text(name: str, value: object, *, expected: str = "text") -> str:
    """Return `value` as a `str`, which may be empty."""
    if not isinstance(value, str):
        raise wrong_type(name, expected, value)
    return as_str(value)


def nonempty_text(name: str, value: object, *, max_length: int | None = 255) -> str:
    """Return `value` as a `str` of 1 to `max_length` characters that can be encoded as UTF-8.

    With `max_length=None` the length is not limited.
    """
    if not isinstance(value, str):
        raise wrong_type(name, "text", value)
    if not value or (max_length is not None and len(value) > max_length):
        limit = "at least 1 character" if max_length is None else f"1 to {max_length} characters"
        raise ValueError(f"{name} must have {limit}, not {len(value)}")
    if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        raise ValueError(f"{name} contains a lone surrogate, which cannot be encoded")
    return as_str(value)


def optional_text(name: str, value: object, *, max_length: int | None = 255) -> str | None:
    """Check `value` like `nonempty_text`, but allow None and return it."""
    return None if value is None else nonempty_text(name, value, max_length=max_length)


def printable_ascii(name: str, value: object) -> str | None:
    """Return `value` as a `str` that an HTTP header can contain, or None if `value` is None.

    `value` is, for example, a MIME type or a token. Error messages do not contain `value`, because a token is
    a secret.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        raise wrong_type(name, "text", value)
    if not value or not is_printable_ascii(value):
        raise ValueError(f"{name} must be printable ASCII text without whitespace")
    return as_str(value)


def is_printable_ascii(text: str) -> bool:
    """Return whether `text` is ASCII without spaces and control characters, as headers and URLs require."""
    return text.isascii() and text.isprintable() and " " not in text


def path(name: str, value: object) -> str:
    """Return a path as a `str`. Raises `ValueError` for a character that no file name can contain."""
    found = _path_of(value)
    if found is None:
        raise wrong_type(name, "a str or os.PathLike", value)
    try:
        os.fsencode(found)
    except UnicodeError:
        raise ValueError(f"{name} contains a lone surrogate, which no file name can contain") from None
    if "\0" in found:
        raise ValueError(f"{name} must not contain a NUL character")
    return found


def _path_of(value: object) -> str | None:
    # os.fspath() is not used, because its own TypeError does not name the argument.
    cls: Any = type(value)
    found: object = cls.__fspath__(value) if isinstance(value, os.PathLike) else value
    if isinstance(found, bytes) and found is not value:
        return os.fsdecode(found)
    return as_str(found) if isinstance(found, str) else None


# --- numbers and flags --------------------------------------------------------------------------------------


def flag(name: str, value: object) -> bool:
    """Return `value` as a bool. A text such as "no" raises `TypeError`, because `bool("no")` is True."""
    found = as_bool(value)
    if found is None:
        raise wrong_type(name, "a bool", value)
    return found


def integer(
    name: str, value: object, *, minimum: int, maximum: int | None = MAX_INT64, expected: str = "an int"
) -> int:
    """Return `value` as an int from `minimum` to `maximum`. With `maximum=None` there is no upper limit."""
    found = as_int(value)
    if found is None:
        raise wrong_type(name, expected, value)
    if found < minimum or (maximum is not None and found > maximum):
        # MAX_INT64 is a limit of computers, not of the API. The message names this limit only for a number
        # that exceeds it.
        omits_maximum = maximum is None or (maximum == MAX_INT64 and found < minimum)
        limits = f"{minimum} or more" if omits_maximum else f"{minimum} to {maximum}"
        raise ValueError(f"{name} must be {limits}, not {number_for_message(found)}")
    return found


def optional_integer(
    name: str, value: object, *, minimum: int, maximum: int | None = MAX_INT64
) -> int | None:
    """Check `value` like `integer`, but allow None and return it."""
    return None if value is None else integer(name, value, minimum=minimum, maximum=maximum)


def number(
    name: str, value: object, *, allow_zero: bool = False, expected: str = "a number", unit: str = ""
) -> int | float:
    """Return `value` as an int or float above 0.

    With `allow_zero` the number 0 is allowed, too. NaN is rejected.

    `unit` is the text after the limit in the message of an error, such as " seconds".
    """
    found = as_number(value)
    if found is None:
        raise wrong_type(name, expected, value, seconds_advice(value))
    if not (found >= 0 if allow_zero else found > 0):
        limit = "0 or more" if allow_zero else "more than 0"
        raise ValueError(f"{name} must be {limit}{unit}, not {number_for_message(found)}")
    return found


def positive_seconds(name: str, value: object, *, expected: str = "a number of seconds") -> float:
    """Return `value` as a number of seconds above 0. Infinity is allowed."""
    found = number(name, value, expected=expected, unit=" seconds")
    try:
        return float(found)
    except OverflowError:
        raise ValueError(
            f"{name} must be a number that fits a float, not {number_for_message(found)}; use math.inf for no limit"
        ) from None


# --- mappings and callables ---------------------------------------------------------------------------------


def mapping(name: str, value: object, *, expected: str = "a mapping") -> Mapping[object, object]:
    """Return `value` unchanged if it is a mapping. Its keys and values are not checked."""
    if not isinstance(value, Mapping):
        raise wrong_type(name, expected, value)
    return cast("Mapping[object, object]", value)


def plain_callable(name: str, value: object) -> None:
    """Raise `TypeError` unless `value` is None or a callable that is not a coroutine function."""
    if value is None:
        return
    if not callable(value):
        raise wrong_type(name, "a callable or None", value)
    if is_coroutine_callable(value):
        raise TypeError(f"{name} must be a plain function that returns quickly, not a coroutine function")


def no_coroutine_function(name: str, value: object) -> None:
    """Raise `TypeError` for a coroutine function, because the blocking client cannot await its result."""
    if is_coroutine_callable(value):
        raise TypeError(
            f"{name} must be text or a plain callable; AsyncImgwireClient takes coroutine functions"
        )


def is_coroutine_callable(value: object) -> bool:
    """Return whether calling `value` returns a coroutine.

    The result is true for a coroutine function, for a `functools.partial` of a coroutine function, and for an
    object whose `__call__` is a coroutine function.
    """
    function: Any = value
    while isinstance(function, functools.partial):
        function = function.func  # pyright: ignore[reportUnknownMemberType]  # a partial of any function
    call: Any = getattr(type(function), "__call__", None)  # noqa: B004  # pyright: ignore[reportUnknownArgumentType]  # the method itself is inspected
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)
