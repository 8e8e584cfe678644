"""Colours: hex digits, `r:g:b[:alpha]`, (r, g, b[, alpha]) or {r, g, b[, alpha]}; no colour names. [rules 6]"""

from __future__ import annotations

import re
from collections.abc import Mapping

from imgwire_async.urls.combinators import Field, encode_fields, json_object, mapping_of, sorted_fields
from imgwire_async.urls.scalars import (
    InvalidValue,
    ValueType,
    for_message,
    integer,
    is_list,
    is_tuple,
    mismatch,
    number,
    plain,
)

_is_hex = re.compile(r"#?([0-9A-Fa-f]{8}|[0-9A-Fa-f]{6}|[0-9A-Fa-f]{3})").fullmatch
_CHANNEL = integer(0, 255)
_PARTS: tuple[str, ...] = ("r", "g", "b", "alpha")
_RGB = sorted_fields(
    Field("r", _CHANNEL, required=True),
    Field("g", _CHANNEL, required=True),
    Field("b", _CHANNEL, required=True),
    Field("alpha", number(0, 1)),
)


def _hex_digits(value: object) -> str | None:
    text = plain(value)
    match = _is_hex(text.strip()) if type(text) is str else None
    return match[1].lower() if match else None


def _number_as_text(value: object) -> str | None:
    """Return the digits of a whole number that would be a hex colour as text (`112233`); None for anything else."""
    number = plain(value)
    text = str(number) if type(number) is int and 0 < number < 10**8 else ""
    return text if _is_hex(text) else None


def _color_mismatch(value: object, description: str) -> InvalidValue:
    text = _number_as_text(value)
    if text is None:
        return mismatch(value, description)
    # What a number means is anybody's guess: decimal digits that were to be hex ones, or a 0x... without its zeros.
    return InvalidValue(
        f"{for_message(value)} is a number, not {description}: write it as text", word=text, known=(text,)
    )


def numbers_as_text(value: object) -> object:
    """`value` with every whole number that could be a hex colour as text, also inside objects and lists.

    That is how the official builders read colours. Elsewhere digits mean what the number means.
    """
    text = _number_as_text(value)
    if text is not None:
        return text
    given = mapping_of(value)
    if given is not None:
        return {name: numbers_as_text(item) for name, item in given.items()}
    if not is_list(value):
        return value
    items = [numbers_as_text(item) for item in value]
    return tuple(items) if is_tuple(value) else items


def _channels(value: object, description: str) -> Mapping[str, str]:
    """The channels by name, as text, of a colour that is not hex."""
    given = mapping_of(value)
    if given is None:
        text = plain(value)
        parts = tuple(text.split(":", 4)) if type(text) is str else text
        if not is_tuple(parts) or not 3 <= len(parts) <= 4:
            raise _color_mismatch(value, description)
        given = dict(zip(_PARTS, parts, strict=False))
    return encode_fields(given, _RGB)


def _hex_only(value: object) -> str:
    digits = _hex_digits(value)
    if digits is not None:
        return digits
    if type(plain(value)) is str:  # r:g:b would add parts to a colon string
        raise mismatch(value, HEX.description)
    channels = _channels(value, HEX.description)
    steps = [int(channels[name]) for name in "rgb"]
    if "alpha" in channels:
        steps.append(round(float(channels["alpha"]) * 255))
    return bytes(steps).hex()


def _for_url(value: object) -> str:
    digits = _hex_digits(value)
    if digits is not None:
        return digits
    channels = _channels(value, COLOR.description)
    return ":".join([channels[name] for name in _PARTS if name in channels])


def _for_json(value: object) -> str:
    digits = _hex_digits(value)
    return f'"#{digits}"' if digits is not None else json_object(_channels(value, COLOR.description))


# Three ways to write one: as a value of its own, as a part of a colon string, as a field of an object.
COLOR = ValueType(
    "a colour (3, 6 or 8 hex digits with or without #, r:g:b[:alpha], or {r, g, b, alpha})", _for_url
)
HEX = ValueType("a colour of 3, 6 or 8 hex digits", _hex_only)
JSON_COLOR = ValueType("a colour", _for_json)
