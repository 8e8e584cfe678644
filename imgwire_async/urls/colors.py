"""The types of colours. A colour is hex digits, `r:g:b[:alpha]`, a tuple, or an object with channels.

The CDN has no names of colours.

[rules 6]
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from imgwire_async.urls.combinators import Field, as_mapping, encode_fields, json_object, sorted_fields
from imgwire_async.urls.conversions import (
    InvalidValue,
    as_builtin,
    describe_value,
    is_list,
    is_tuple,
    mismatch,
)
from imgwire_async.urls.scalars import ValueType, integer, number

_is_hex = re.compile(r"#?([0-9A-Fa-f]{8}|[0-9A-Fa-f]{6}|[0-9A-Fa-f]{3})").fullmatch
_CHANNEL = integer(0, 255)
_CHANNEL_NAMES: tuple[str, ...] = ("r", "g", "b", "alpha")
_CHANNEL_FIELDS = sorted_fields(
    Field("r", _CHANNEL, required=True),
    Field("g", _CHANNEL, required=True),
    Field("b", _CHANNEL, required=True),
    Field("alpha", number(0, 1)),
)


def _hex_digits(value: object) -> str | None:
    text = as_builtin(value)
    match = _is_hex(text.strip()) if type(text) is str else None
    return match[1].lower() if match else None


def _number_as_text(value: object) -> str | None:
    """Return the digits of an integer that could be a hex colour, such as `112233`. Otherwise return None."""
    number = as_builtin(value)
    text = str(number) if type(number) is int and 0 < number < 10**8 else ""
    return text if _is_hex(text) else None


def _color_mismatch(value: object, description: str) -> InvalidValue:
    text = _number_as_text(value)
    if text is None:
        return mismatch(value, description)
    # An integer is ambiguous. The caller may mean its decimal digits as hex digits (112233), or may have
    # written a hex number, such as 0x001122, whose digits are lost.
    return InvalidValue(
        f"{describe_value(value)} is a number, not {description}: write it as text",
        given=text,
        allowed=(text,),
    )


def numbers_as_text(value: object) -> object:
    """Replace integers that could be hex colours, such as `112233`, by text. Search objects and lists, too.

    The official SDKs accept such integers as colours.
    """
    text = _number_as_text(value)
    if text is not None:
        return text
    given = as_mapping(value)
    if given is not None:
        return {name: numbers_as_text(item) for name, item in given.items()}
    if not is_list(value):
        return value
    items = [numbers_as_text(item) for item in value]
    return tuple(items) if is_tuple(value) else items


def _channels(value: object, description: str) -> Mapping[str, str]:
    """Return the channels of a colour that is given as `r:g:b`, as a tuple or as an object.

    The result maps the names of the channels to texts.
    """
    given = as_mapping(value)
    if given is None:
        text = as_builtin(value)
        parts = tuple(text.split(":", 4)) if type(text) is str else text
        if not is_tuple(parts) or not 3 <= len(parts) <= 4:
            raise _color_mismatch(value, description)
        given = dict(zip(_CHANNEL_NAMES, parts, strict=False))
    return encode_fields(given, _CHANNEL_FIELDS)


def _hex_text(value: object) -> str:
    digits = _hex_digits(value)
    if digits is not None:
        return digits
    if type(as_builtin(value)) is str:
        # The colour is a part of a text with colons, such as `45:ffffff`, so it cannot contain colons itself.
        raise mismatch(value, HEX.description)
    channels = _channels(value, HEX.description)
    numbers = [int(channels[name]) for name in "rgb"]
    if "alpha" in channels:
        numbers.append(round(float(channels["alpha"]) * 255))
    return bytes(numbers).hex()


def _rule_text(value: object) -> str:
    digits = _hex_digits(value)
    if digits is not None:
        return digits
    channels = _channels(value, COLOR.description)
    return ":".join([channels[name] for name in _CHANNEL_NAMES if name in channels])


def _json_text(value: object) -> str:
    digits = _hex_digits(value)
    return f'"#{digits}"' if digits is not None else json_object(_channels(value, COLOR.description))


# A colour is written in three ways: as the value of a rule (COLOR), as a part of a text with colons such as
# `45:ffffff` (HEX), and as a field of a JSON object (JSON_COLOR).
COLOR = ValueType(
    "a colour (3, 6 or 8 hex digits with or without #, r:g:b[:alpha], or {r, g, b, alpha})", _rule_text
)
HEX = ValueType("a colour of 3, 6 or 8 hex digits", _hex_text)
JSON_COLOR = ValueType("a colour", _json_text)
