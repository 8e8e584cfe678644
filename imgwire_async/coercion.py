"""Convert what callers hand in to Python's own types: the text, number or bool that an object of any class stands for."""

from __future__ import annotations

import math
import operator


def as_str(value: str) -> str:
    """Return the text that a `str` of any class holds. `str()` would let a member of `(str, Enum)` give its name instead."""
    return str.__str__(value)


def as_int(value: object) -> int | None:
    """Return the plain int that `value` is, or that it stands for as a list's index (NumPy's integers); else None. A bool is none."""
    if type(value) is int:
        return value
    if as_bool(value) is not None:
        return None
    if isinstance(value, int):
        return int.__index__(value)  # a plain one, whatever class it is a member of
    if not hasattr(type(value), "__index__"):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]  # it has the method
    except TypeError:  # an array of several numbers has it, too
        return None


def as_number(value: object) -> int | float | None:
    """Return the plain int or float that `value` is, or that it gives (NumPy's numbers, `Decimal`); else None. A bool is none.

    Of a number that no float holds (a signaling `Decimal`, a `Fraction` too large) that is NaN, which no caller takes.
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
        return float(value)  # type: ignore[arg-type]  # it has the method
    except TypeError:
        return None
    except (OverflowError, ValueError):
        return math.nan


def as_bool(value: object) -> bool | None:
    """Return the bool that `value` is, NumPy's among them; else None."""
    if isinstance(value, bool):
        return value
    kind = type(value)
    if kind.__name__ in {"bool", "bool_"} and kind.__module__ == "numpy":
        return bool(value)
    return None
