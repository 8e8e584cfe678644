"""Single values: any Python value in, the text for the URL out, or `InvalidValue`.

A check never trusts a value further than its exact type: subclasses, enum members, `Decimal`s and the like are first
turned into plain `str`, `int` or `float` by `plain`. Every regular expression here is linear in the length of its text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from math import isfinite
from numbers import Integral, Real
from typing import TypeAlias, TypeGuard

import attrs

from imgwire_async.coercion import as_bool, as_number
from imgwire_async.formatting import quoted
from imgwire_async.urls.literals import GRAVITIES, GRAVITY_ALIASES

# No server reads a request line of that length; the limit keeps every answer quick, whatever the text.
MAX_TEXT = 65_536

_is_digits = re.compile(r"-?[0-9]+").fullmatch
_is_decimal = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?").fullmatch
_FLAGS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
_AS_THEY_ARE = frozenset({str, int, float, bool, type(None), dict, list, tuple})
_LONGEST_NUMBER = 400  # no finite float has more digits
_BEYOND_FLOATS = 10**308


class InvalidValue(Exception):  # noqa: N818 - it never leaves this package
    """The CDN would not take this value; the message says why. `word` and `known`: a word that is not in its list."""

    def __init__(self, reason: str, *, word: str = "", known: Iterable[str] = ()) -> None:
        super().__init__(reason)
        self.word = word
        self.known = known

    @property
    def suggestion(self) -> str | None:
        """Return the known word that is most like the refused one, or None. Found on demand, as the search is slow."""
        return nearest(self.word, self.known)


# Text for the URL, not yet encoded; None: valid, and nothing stands in the URL (blur=False).
Check: TypeAlias = Callable[[object], "str | None"]


@attrs.frozen
class ValueType:
    """What a rule, a part or a field takes: a description for messages and the docs page, and a check."""

    description: str
    check: Check

    def text(self, value: object) -> str:
        """Return the text of a value, for types whose check never returns None."""
        found = self.check(value)
        assert found is not None, self.description
        return found


class Value:
    """Root of the value classes (`Color`, `Crop`, ...): `fields()` returns what a mapping would hold."""

    __slots__ = ()

    def fields(self) -> dict[str, object]:
        """The fields that are set, by name."""
        raise NotImplementedError  # pragma: no cover - every value class has its own


def is_mapping(value: object) -> TypeGuard[Mapping[str, object]]:
    """Return whether this is a mapping. Its keys are not looked at."""
    return isinstance(value, Mapping)


def is_tuple(value: object) -> TypeGuard[tuple[object, ...]]:
    """Return whether this is a tuple, which may stand for a colon string. Lists may not. [rules 4]"""
    return isinstance(value, tuple)


def is_list(value: object) -> TypeGuard[Sequence[object]]:
    """Return whether this is a list or tuple."""
    return isinstance(value, list | tuple)


def for_message(value: object) -> str:
    """Return a short, printable text for any value, for messages."""
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
        number = plain(value)  # NumPy's, a Fraction
    except Exception:  # noqa: BLE001  # code of a type that nobody knows, which is only shown here
        number = None
    if type(number) in {int, float}:
        return f"{for_message(number)} ({type.__repr__(kind)[8:-2]})"
    return f"a value of {type.__repr__(kind)}"


def mismatch(value: object, description: str) -> InvalidValue:
    """Return the usual `InvalidValue`: this value is not what the description says."""
    return InvalidValue(f"{for_message(value)} is not {description}")


def plain(value: object) -> object:
    """Return `value` as a plain `str`, `int` or `float` where it stands for one, else unchanged.

    Enum members, subclasses and `Decimal`s stand for one.
    """
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if issubclass(kind, Enum):
        assert isinstance(value, Enum)
        return plain(value.value)
    # The base classes' own methods: a subclass may have overridden its own.
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
    return _foreign(value)


def _foreign(value: object) -> object:
    from decimal import Decimal  # rare, and not free to load
    from uuid import UUID

    if isinstance(value, Decimal):
        if not value.is_finite() or value.adjusted() >= 308:
            raise mismatch(float(value), "a number that a float can hold")
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Real):
        return float(value)
    if type(value) is UUID:
        return str(value)
    truth = as_bool(value)
    found = as_number(value) if truth is None else truth
    return value if found is None else found


def whole(value: object) -> int | None:
    """Return the whole number that `value` is: an int, digits, a float without a fraction [rules 9 V3]; else None."""
    value = plain(value)
    if type(value) is str:
        value = value.strip() if len(value) <= MAX_TEXT else ""
        # int() is slow on long texts, and limited.
        if _is_digits(value) and len(value.lstrip("-0")) <= 308:
            return int("-" * value.startswith("-") + (value.lstrip("-0") or "0"))
        return None
    if type(value) is float:
        return int(value) if value.is_integer() else None
    return value if type(value) is int and -_BEYOND_FLOATS < value < _BEYOND_FLOATS else None


def real(value: object) -> int | float | None:
    """Return the finite number that `value` is, or None; whole numbers as ints."""
    found = whole(value)
    if found is not None:
        return found
    value = plain(value)
    if type(value) is str:
        value = value.strip() if len(value) <= MAX_TEXT else ""
        if len(value) > _LONGEST_NUMBER or not _is_decimal(value):
            return None
        value = float(value)
        if value.is_integer():
            return int(value)
    return value if type(value) is float and isfinite(value) else None


def truth(value: object) -> bool | None:
    """Return True or False for a boolean, one of the six flag texts in any case, or the numbers 1 and 0; else None."""
    value = plain(value)
    if type(value) is str:
        return _FLAGS.get(value.strip().lower())
    if type(value) is bool:
        return value
    return bool(value) if (type(value) is int or type(value) is float) and value in {0, 1} else None


def number_text(value: float) -> str:
    """Write a number for a URL: without fraction when whole, else the shortest decimal, no exponent. [rules 4, 9 E5]"""
    text = str(int(value)) if type(value) is int or value.is_integer() else repr(value)
    if "e" in text:
        from decimal import Decimal

        return format(Decimal(text), "f")
    return text


def as_text(value: object) -> str:
    """Return the trimmed text of a text, number or boolean. [rules 4]"""
    value = plain(value)
    if type(value) is str:
        if len(value) > MAX_TEXT:
            raise InvalidValue(f"a text of {len(value)} characters is too long for a URL")
        return value.strip()
    if type(value) is bool:
        return "true" if value else "false"
    number = real(value)
    if number is None:
        raise mismatch(value, "text")
    return number_text(number)


def integer(low: int | None = None, high: int | None = None) -> ValueType:
    """Return the type of whole numbers from `low` to `high`; without ends any."""
    description = f"a whole number{_span(low, high)}"
    minimum, maximum = -_BEYOND_FLOATS if low is None else low, _BEYOND_FLOATS if high is None else high

    def check(value: object) -> str:
        number = value if type(value) is int else whole(value)
        if number is None or not minimum <= number <= maximum:
            raise mismatch(value, description)
        return str(number)

    return ValueType(description, check)


def number(low: float | None = None, high: float | None = None, *, above: float | None = None) -> ValueType:
    """Return the type of numbers from `low` to `high`, both included; `above` is an end that is not."""
    description = f"a number{_span(low, high) if above is None else f' above {above}'}"

    def check(value: object) -> str:
        found = real(value)
        if (
            found is None
            or (low is not None and found < low)
            or (high is not None and found > high)
            or (above is not None and found <= above)
        ):
            raise mismatch(value, description)
        return number_text(found)

    return ValueType(description, check)


def _span(low: float | None, high: float | None) -> str:
    if low is None:
        return ""
    return f" from {low} to {high}" if high is not None else f" of at least {low}"


def _boolean(value: object) -> str:
    found = truth(value)
    if found is None:
        raise mismatch(value, BOOLEAN.description)
    return "true" if found else "false"


BOOLEAN = ValueType("true or false", _boolean)


def enum(known: Sequence[str], aliases: Mapping[str, str] | None = None) -> ValueType:
    """Return the type of words of a closed list, in any case; `aliases` are written as the word that they stand for."""
    also = dict(aliases or {})
    table = dict(zip(known, known, strict=True)) | also
    description = known[0] if len(known) == 1 else f"one of {', '.join(known)}"
    # More of them, as the short forms of gravity, would hide the words.
    if 0 < len(also) <= 4:
        description += f" (also {', '.join(also)})"

    def check(value: object) -> str:
        text = plain(value)
        if type(text) is str:
            found = table.get(text) or table.get(text.strip().lower())
            if found is not None:
                return found
            raise InvalidValue(f"{for_message(text)} is not {description}", word=text, known=table)
        raise mismatch(value, description)

    return ValueType(description, check)


def nearest(text: str, known: Iterable[str]) -> str | None:
    """Return the known word that is most like `text`, or None."""
    # The comparison is quadratic.
    if not 2 <= len(text) <= 40:
        return None
    from difflib import get_close_matches

    return next(iter(get_close_matches(text.lower(), list(known), n=1)), None)


GRAVITY = enum(GRAVITIES, GRAVITY_ALIASES)


def _gravity_or_smart(value: object) -> str:
    text = plain(value)
    if type(text) is str and ":" in text:
        parts = [part.strip() for part in text.split(":", 2)]
        if len(parts) == 2 and parts[1] == "sm":  # whatever stands before it [rules 5]
            return "attention"
    return GRAVITY.text(value)


GRAVITY_OR_SMART = ValueType(f"{GRAVITY.description}, or x:sm for attention", _gravity_or_smart)


def _some_text(value: object) -> str:
    text = as_text(value)
    if not text:
        raise mismatch(value, TEXT.description)
    return text


def _part_text(value: object) -> str:
    text = _some_text(value)
    if ":" in text:
        raise mismatch(value, PART_TEXT.description)
    return text


TEXT = ValueType("text that is not blank", _some_text)
PART_TEXT = ValueType("text that is not blank and holds no colon", _part_text)


def one_of(first: ValueType, second: ValueType) -> ValueType:
    """Return the type of what one of two types takes."""
    description = f"{first.description}, or {second.description}"

    def check(value: object) -> str | None:
        try:
            return first.check(value)
        except InvalidValue:
            pass
        try:
            return second.check(value)
        except InvalidValue as error:
            raise InvalidValue(
                f"{for_message(value)} is not {description}", word=error.word, known=error.known
            ) from None

    return ValueType(description, check)


def switch_or(value_type: ValueType, *, off: str | None = None) -> ValueType:
    """Return the type of True, or a value. False is valid and leaves the rule out, unless `off` says how it is written.

    Only booleans and flag texts switch; the number 1 is a value here (a blur of sigma 1). [rules 9 V4]
    """

    def check(value: object) -> str | None:
        switch = plain(value)
        found = truth(switch) if type(switch) is bool or type(switch) is str else None
        if found is None:
            return value_type.check(value)
        return "true" if found else off

    return ValueType(f"true, false, or {value_type.description}", check)
