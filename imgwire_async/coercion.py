"""Convert strings, numbers and bools of any class (enums, NumPy) to Python's built-in types."""

from __future__ import annotations

import math
import operator


def as_str(value: str) -> str:
    """Return the text of a `str` or of a subclass as a plain `str`.

    `str()` is not used, because for a member of a class `(str, Enum)` it returns "Class.MEMBER".
    """
    return str.__str__(value)


def as_int(value: object) -> int | None:
    """Return an integer as a plain `int`, or None when `value` is not an integer.

    Objects with `__index__`, such as NumPy's integers, count as integers. A bool does not.
    """
    if type(value) is int:
        return value
    if as_bool(value) is not None:
        return None
    if isinstance(value, int):
        # `int()` would call a method that a subclass may have overridden.
        return int.__index__(value)
    if not hasattr(type(value), "__index__"):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]  # its class has `__index__`
    except TypeError:
        # An array of several numbers has `__index__`, too.
        return None


def as_number(value: object) -> int | float | None:
    """Return a number as a plain `int` or `float`, or None when `value` is not a number.

    Objects with `__float__`, such as `Decimal` and NumPy's numbers, count as numbers. A bool does not. A
    number that does not fit a float (a huge `Fraction`, a signaling NaN) becomes NaN, and all callers reject
    NaN.
    """
    if type(value) is float:
        return value
    found = as_int(value)
    if found is not None or as_bool(value) is not None:
        return found
    if isinstance(value, float):
        return float.__float__(value)
    if not hasattr(type(value), "__float__"):
        return None
    try:
        return float(value)  # type: ignore[arg-type]  # its class has `__float__`
    except TypeError:
        return None
    except (OverflowError, ValueError):
        return math.nan


def as_bool(value: object) -> bool | None:
    """Return a bool of Python or NumPy as a plain `bool`, or None when `value` is not a bool."""
    if isinstance(value, bool):
        return value
    cls = type(value)
    if cls.__name__ in {"bool", "bool_"} and cls.__module__ == "numpy":
        return bool(value)
    return None
