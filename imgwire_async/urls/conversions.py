"""Convert Python values of any type to text, numbers or booleans, and describe them in error messages.

Each value is first converted to a built-in `str`, `int` or `float` (`as_builtin`), because a subclass may
override methods. The regular expressions here take linear time, also for hostile text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from math import isfinite
from numbers import Integral, Real
from typing import TypeGuard

from imgwire_async.coercion import as_bool, as_number
from imgwire_async.formatting import quoted

# Longer texts are rejected: servers reject URLs of this length, and the checks of a text take time.
MAX_TEXT = 65_536
_is_digits = re.compile(r"-?[0-9]+").fullmatch
_is_decimal = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?").fullmatch
_BOOLEAN_TEXTS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
_BUILTIN_TYPES = frozenset({str, int, float, bool, type(None), dict, list, tuple})
# Longer texts are not numbers. No finite float needs more characters.
_MAX_NUMBER_LENGTH = 400
# Integers must be smaller than this number, because larger ones cannot be converted to float.
INTEGER_LIMIT = 10**308


class InvalidValue(Exception):  # noqa: N818 - it never leaves this package
    """A value that the CDN would reject. The message gives the reason.

    When the value should be one of some keywords, `given` is the value and `allowed` has the keywords.
    """

    def __init__(self, reason: str, *, given: str = "", allowed: Iterable[str] = ()) -> None:
        super().__init__(reason)
        self.given = given
        self.allowed = allowed

    @property
    def suggestion(self) -> str | None:
        """The keyword that is most similar to `given`, or None when no keyword is similar.

        The search is slow, so it runs only when this property is read.
        """
        return nearest(self.given, self.allowed)


def is_mapping(value: object) -> TypeGuard[Mapping[str, object]]:
    """Return whether `value` is a mapping. Its keys are not checked."""
    return isinstance(value, Mapping)


def is_tuple(value: object) -> TypeGuard[tuple[object, ...]]:
    """Return whether `value` is a tuple.

    A tuple may replace a text with colons: `(400, 300)` for `400:300`. A list may not.

    [rules 4]
    """
    return isinstance(value, tuple)


def is_list(value: object) -> TypeGuard[Sequence[object]]:
    """Return whether `value` is a list or a tuple."""
    return isinstance(value, list | tuple)


def describe_value(value: object) -> str:
    """Describe a value of any type in a short, printable text for an error message."""
    kind = type(value)
    if kind is str:
        assert isinstance(value, str)
        return quoted(value)
    if kind is int:
        assert isinstance(value, int)
        return str(value) if value.bit_length() < 200 else f"an integer of {value.bit_length()} bits"
    if value is None or kind is bool or kind is float:
        return str(value)
    if issubclass(kind, Enum):
        return f"a member of {type.__repr__(kind)}"
    try:
        # A NumPy number or a Fraction is described as a number.
        number = as_builtin(value)
    except Exception:  # noqa: BLE001 - a user's type may raise any error, and this text only describes it
        number = None
    if type(number) in {int, float}:
        return f"{describe_value(number)} ({type.__repr__(kind)[8:-2]})"
    return f"a value of {type.__repr__(kind)}"


def mismatch(value: object, description: str) -> InvalidValue:
    """Return the `InvalidValue` with the message "<value> is not <description>"."""
    return InvalidValue(f"{describe_value(value)} is not {description}")


def as_builtin(value: object) -> object:
    """Convert a value to a built-in `str`, `int`, `float` or `bool`, or return it unchanged.

    Enum members, `Decimal`s, `Fraction`s, `UUID`s, NumPy numbers, and instances of subclasses of `str`, `int`
    and `float` are converted.
    """
    kind = type(value)
    if kind in _BUILTIN_TYPES:
        return value
    if issubclass(kind, Enum):
        assert isinstance(value, Enum)
        return as_builtin(value.value)
    # Call the method of the built-in class, because the subclass may override it.
    if issubclass(kind, str):
        assert isinstance(value, str)
        return str.__str__(value)
    if issubclass(kind, int):
        assert isinstance(value, int)
        return int.__int__(value)
    if issubclass(kind, float):
        assert isinstance(value, float)
        return float.__float__(value)
    if isinstance(value, Integral):
        return int(value)
    return _from_library_type(value)


def _from_library_type(value: object) -> object:
    # The import of these modules is slow, and few calls need them.
    from decimal import Decimal
    from uuid import UUID

    if isinstance(value, Decimal):
        if not value.is_finite() or value.adjusted() >= 308:
            raise mismatch(float(value), "a number that a float can hold")
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Real):
        return float(value)
    if type(value) is UUID:
        return str(value)
    boolean = as_bool(value)
    converted = as_number(value) if boolean is None else boolean
    return value if converted is None else converted


def parse_integer(value: object) -> int | None:
    """Return the integer that `value` represents, or None.

    These values represent an integer: an int, a text of digits, and a float without a fraction.

    [rules 9 V3]
    """
    value = as_builtin(value)
    if type(value) is str:
        value = value.strip() if len(value) <= MAX_TEXT else ""
        # `int()` is slow for long texts, and rejects very long ones.
        if _is_digits(value) and len(value.lstrip("-0")) <= 308:
            return int("-" * value.startswith("-") + (value.lstrip("-0") or "0"))
        return None
    if type(value) is float:
        return int(value) if value.is_integer() else None
    return value if type(value) is int and -INTEGER_LIMIT < value < INTEGER_LIMIT else None


def parse_number(value: object) -> int | float | None:
    """Return the finite number that `value` represents, or None.

    The result is an int if the number has no fraction, even if `value` is a float.
    """
    integer = parse_integer(value)
    if integer is not None:
        return integer
    value = as_builtin(value)
    if type(value) is str:
        value = value.strip() if len(value) <= MAX_TEXT else ""
        if len(value) > _MAX_NUMBER_LENGTH or not _is_decimal(value):
            return None
        value = float(value)
        if value.is_integer():
            return int(value)
    return value if type(value) is float and isfinite(value) else None


def parse_boolean(value: object) -> bool | None:
    """Return the boolean that `value` represents, or None.

    These values represent a boolean: booleans, the numbers 1 and 0, and the texts true, t, 1, false, f and 0
    in any case.
    """
    value = as_builtin(value)
    if type(value) is str:
        return _BOOLEAN_TEXTS.get(value.strip().lower())
    if type(value) is bool:
        return value
    return bool(value) if (type(value) is int or type(value) is float) and value in {0, 1} else None


def number_text(value: float) -> str:
    """Return the shortest decimal text of a number, without an exponent.

    A number without a fraction is written as an integer.

    [rules 4, 9 E5]
    """
    text = str(int(value)) if type(value) is int or value.is_integer() else repr(value)
    if "e" in text:
        from decimal import Decimal

        return format(Decimal(text), "f")
    return text


def as_text(value: object) -> str:
    """Convert a string, number or boolean to text, and strip whitespace at both ends.

    Raises `InvalidValue` for any other type, and for text that is too long.

    [rules 4]
    """
    value = as_builtin(value)
    if type(value) is str:
        if len(value) > MAX_TEXT:
            raise InvalidValue(f"a text of {len(value)} characters is too long for a URL")
        return value.strip()
    if type(value) is bool:
        return "true" if value else "false"
    number = parse_number(value)
    if number is None:
        raise mismatch(value, "text")
    return number_text(number)


def nearest(text: str, names: Iterable[str]) -> str | None:
    """Return the name that is most similar to `text`, or None when no name is similar."""
    # The search takes quadratic time, so long texts are left out.
    if not 2 <= len(text) <= 40:
        return None
    from difflib import get_close_matches

    return next(iter(get_close_matches(text.lower(), list(names), n=1)), None)
