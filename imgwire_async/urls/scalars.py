"""The types of single values that rules accept: integers, numbers, booleans, keywords and text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import attrs

from imgwire_async.urls.conversions import (
    INTEGER_LIMIT,
    InvalidValue,
    as_builtin,
    as_text,
    describe_value,
    mismatch,
    number_text,
    parse_boolean,
    parse_integer,
    parse_number,
)
from imgwire_async.urls.literals import GRAVITIES, GRAVITY_ALIASES

# A function that checks a value. It returns the text for the URL, not yet percent-encoded. It returns None
# for a valid value that leaves the rule out of the URL, such as `blur=False`.
Check: TypeAlias = Callable[[object], "str | None"]


@attrs.frozen
class ValueType:
    """The type of the value of a rule, or of one part of such a value.

    `description` appears in error messages and in the documentation. `check` returns the text of a value, or
    raises `InvalidValue`.
    """

    description: str
    check: Check

    def text(self, value: object) -> str:
        """Check `value` and return its text. Only for types whose `check` never returns None."""
        text = self.check(value)
        assert text is not None, self.description
        return text


class Value:
    """Base of the classes for values that have several parts, such as `Color` and `Crop`."""

    __slots__ = ()

    def fields(self) -> dict[str, object]:
        """Return a dict of the fields that are not None."""
        raise NotImplementedError  # pragma: no cover - every value class has its own


def integer(low: int | None = None, high: int | None = None) -> ValueType:
    """Return the type of integers from `low` to `high`, both included. None means no limit."""
    description = f"a whole number{_range_text(low, high)}"
    minimum, maximum = -INTEGER_LIMIT if low is None else low, INTEGER_LIMIT if high is None else high

    def check(value: object) -> str:
        number = value if type(value) is int else parse_integer(value)
        if number is None or not minimum <= number <= maximum:
            raise mismatch(value, description)
        return str(number)

    return ValueType(description, check)


def number(low: float | None = None, high: float | None = None, *, above: float | None = None) -> ValueType:
    """Return the type of numbers from `low` to `high`, both included. None means no limit.

    `above` is a lower limit that is not included.
    """
    description = f"a number{_range_text(low, high) if above is None else f' above {above}'}"

    def check(value: object) -> str:
        number = parse_number(value)
        if (
            number is None
            or (low is not None and number < low)
            or (high is not None and number > high)
            or (above is not None and number <= above)
        ):
            raise mismatch(value, description)
        return number_text(number)

    return ValueType(description, check)


def _range_text(low: float | None, high: float | None) -> str:
    if low is None:
        return ""
    return f" from {low} to {high}" if high is not None else f" of at least {low}"


def _boolean(value: object) -> str:
    boolean = parse_boolean(value)
    if boolean is None:
        raise mismatch(value, BOOLEAN.description)
    return "true" if boolean else "false"


BOOLEAN = ValueType("true or false", _boolean)


def enum(keywords: Sequence[str], aliases: Mapping[str, str] | None = None) -> ValueType:
    """Return the type of values that must be one of `keywords`. The case does not matter.

    `aliases` maps other accepted words to the keyword that is written in the URL.
    """
    aliases = dict(aliases or {})
    allowed = dict(zip(keywords, keywords, strict=True)) | aliases
    description = keywords[0] if len(keywords) == 1 else f"one of {', '.join(keywords)}"
    # The description shows only a few aliases. A long list, such as that of gravity, would be hard to read.
    if 0 < len(aliases) <= 4:
        description += f" (also {', '.join(aliases)})"

    def check(value: object) -> str:
        text = as_builtin(value)
        if type(text) is str:
            keyword = allowed.get(text) or allowed.get(text.strip().lower())
            if keyword is not None:
                return keyword
            raise InvalidValue(f"{describe_value(text)} is not {description}", given=text, allowed=allowed)
        raise mismatch(value, description)

    return ValueType(description, check)


GRAVITY = enum(GRAVITIES, GRAVITY_ALIASES)


def _gravity_or_smart(value: object) -> str:
    text = as_builtin(value)
    if type(text) is str and ":" in text:
        parts = [part.strip() for part in text.split(":", 2)]
        # The text before `:sm` is not checked, as in the official SDKs. [rules 5]
        if len(parts) == 2 and parts[1] == "sm":
            return "attention"
    return GRAVITY.text(value)


GRAVITY_OR_SMART = ValueType(f"{GRAVITY.description}, or x:sm for attention", _gravity_or_smart)


def _not_blank(value: object) -> str:
    text = as_text(value)
    if not text:
        raise mismatch(value, TEXT.description)
    return text


def _not_blank_without_colon(value: object) -> str:
    text = _not_blank(value)
    if ":" in text:
        raise mismatch(value, PART_TEXT.description)
    return text


TEXT = ValueType("text that is not blank", _not_blank)
PART_TEXT = ValueType("text that is not blank and contains no colon", _not_blank_without_colon)


def one_of(first: ValueType, second: ValueType) -> ValueType:
    """Return a type that accepts a value if the type `first` or the type `second` accepts it."""
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
                f"{describe_value(value)} is not {description}", given=error.given, allowed=error.allowed
            ) from None

    return ValueType(description, check)


def boolean_or(value_type: ValueType, *, off: str | None = None) -> ValueType:
    """Return a type that accepts True, False, and values of `value_type`, such as `blur=True` or `blur=5`.

    True is written as `true`. False is written as `off`, or leaves the rule out if `off` is None. Texts such
    as "true" and "0" are booleans. The number 1 is a value and not a boolean: `blur=1` is a blur of strength
    1. [rules 9 V4]
    """

    def check(value: object) -> str | None:
        switch = as_builtin(value)
        is_on = parse_boolean(switch) if type(switch) is bool or type(switch) is str else None
        if is_on is None:
            return value_type.check(value)
        return "true" if is_on else off

    return ValueType(f"true, false, or {value_type.description}", check)
