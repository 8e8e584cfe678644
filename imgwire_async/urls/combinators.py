"""Combinators for structured values: colon strings (or tuples), and objects (mappings, value classes, JSON text).

The check of a field returns the JSON fragment that stands in the URL (`300`, `"south"`). So an object is put together
by joining text, and numbers are written as everywhere else in the URL. [rules 7]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from json import JSONDecoder, JSONEncoder
from typing import NoReturn

import attrs

from imgwire_async.urls.scalars import (
    MAX_TEXT,
    InvalidValue,
    Value,
    ValueType,
    as_text,
    is_mapping,
    is_tuple,
    mismatch,
    plain,
)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_decode = JSONDecoder(parse_constant=_no_constant).decode
_encode = JSONEncoder(ensure_ascii=False).encode


@attrs.frozen
class Field:
    """One part of a colon string or field of an object.

    `value_type` checks it in a colon string, `json` in an object, where it may be written differently. `aliases` are
    other spellings of the name in objects. `required` counts in objects only: in a colon string the position tells.
    """

    name: str
    value_type: ValueType
    json: ValueType = attrs.field(default=attrs.Factory(lambda self: self.value_type, takes_self=True))
    aliases: tuple[str, ...] = ()
    required: bool = False

    def take(self, given: Mapping[str, object]) -> object:
        """Return the value of the field in an object, None when it is absent; null counts as absent. [rules 9 V7]"""
        value = given.get(self.name)
        for alias in self.aliases:
            more = given.get(alias)
            if more is not None and value is not None:
                raise InvalidValue(f"{self.name} is given twice (also as {alias})")
            value = more if value is None else value
        return value


def json_string(text: str) -> str:
    """Return the text as a JSON string in raw UTF-8, nothing escaped that need not be. [rules 9 E4]"""
    return _encode(text)


def sorted_fields(*fields: Field) -> tuple[Field, ...]:
    """Return the fields sorted by name, as they are written in an object. [rules 9 E2]"""
    return tuple(sorted(fields, key=lambda field: field.name))


def mapping_of(value: object) -> Mapping[str, object] | None:
    """Return the mapping that `value` stands for, None when it is no object. Text that begins with `{` must be JSON."""
    if type(value) is not str:
        if is_mapping(value):
            return value
        if isinstance(value, Value):
            return value.fields()
        value = plain(value)
        if type(value) is not str:
            return None
    text = value.strip()
    return _from_json(text) if text.startswith("{") else None


def _from_json(text: str) -> Mapping[str, object]:
    if len(text) > MAX_TEXT:
        raise InvalidValue(f"a text of {len(text)} characters is too long for a URL")
    try:
        found: dict[str, object] = _decode(text)
    except (ValueError, RecursionError) as error:
        raise InvalidValue(f"broken JSON: {error}") from None
    return found


def encode_fields(given: Mapping[str, object], fields: Sequence[Field]) -> dict[str, str]:
    """Return the JSON fragments of the known fields.

    Unknown fields are ignored; one bad field refuses the whole. [rules 7]
    """
    found: dict[str, str] = {}
    for field in fields:
        value = field.take(given)
        if value is not None:
            found[field.name] = encode_part(field.name, field.json, value)
        elif field.required:
            raise InvalidValue(f"{field.name} is missing")
    if not found:
        raise InvalidValue(f"none of the fields {', '.join(field.name for field in fields)} is there")
    return found


def encode_part(name: str, value_type: ValueType, value: object) -> str:
    """Return the text of one part or field; an `InvalidValue` names it."""
    try:
        return value_type.text(value)
    except InvalidValue as error:
        raise InvalidValue(f"{name}: {error}", word=error.word, known=error.known) from None


def json_object(found: Mapping[str, str]) -> str:
    """Join fragments to a compact JSON object."""
    return "{" + ",".join([f'"{name}":{fragment}' for name, fragment in found.items()]) + "}"


def json_string_of(value_type: ValueType) -> ValueType:
    """Return the same type, written as a JSON string."""
    return ValueType(value_type.description, lambda value: json_string(value_type.text(value)))


class EmptyParts(Enum):
    """Which parts of a colon string may be empty."""

    NEVER = "none"
    INSIDE = "those between the first and the last"
    DROP_TRAILING = "all but the first; trailing ones are dropped"
    KEEP_TRAILING = "all but the first"
    ANY = "any, if one is left that is not"


def split_parts(value: object) -> list[object]:
    """Split a colon string or a tuple (None in it is an empty part) into parts without blanks around them."""
    if is_tuple(value):
        trimmed = [plain(piece) for piece in value]
        return [piece.strip() if type(piece) is str else "" if piece is None else piece for piece in trimmed]
    # No rule has more than 5 parts.
    return [piece.strip() for piece in as_text(value).split(":", 8)]


def join_parts(
    given: Sequence[object], parts: Sequence[Field], *, empty: EmptyParts = EmptyParts.NEVER
) -> str:
    """Check as many parts as are given and join them to a colon string."""
    texts: list[str] = []
    for position, (field, piece) in enumerate(zip(parts, given, strict=False)):
        if type(piece) is not str or piece:
            texts.append(encode_part(field.name, field.value_type, piece))
        elif _may_be_empty(position, len(given), empty):
            texts.append("")
        else:
            raise InvalidValue(f"{field.name} is empty")
    return ":".join(texts)


def _may_be_empty(position: int, count: int, empty: EmptyParts) -> bool:
    if position == 0:
        return empty is EmptyParts.ANY
    if position == count - 1:
        return empty in {EmptyParts.ANY, EmptyParts.KEEP_TRAILING}
    return empty is not EmptyParts.NEVER


def pattern(parts: Sequence[Field], minimum: int = 1) -> str:
    """Return how a colon string is written: `a:b[:c[:d]]`."""
    names = [field.name for field in parts]
    optional = "".join(f"[:{name}" for name in names[minimum:])
    return ":".join(names[:minimum]) + optional + "]" * (len(names) - minimum)


def colon_string(*parts: Field, minimum: int = 1, empty: EmptyParts = EmptyParts.NEVER) -> ValueType:
    """Return the type of a colon string with at least `minimum` parts."""
    description = pattern(parts, minimum)

    def check(value: object) -> str:
        given = split_parts(value)
        while empty is EmptyParts.DROP_TRAILING and given and given[-1] == "":
            given.pop()
        if not minimum <= len(given) <= len(parts):
            raise mismatch(value, description)
        text = join_parts(given, parts, empty=empty)
        if not text.strip(":"):
            raise mismatch(value, description)
        return text

    return ValueType(description, check)


def text_or_object(
    text: ValueType, fields: Sequence[Field], write: Callable[[Mapping[str, str]], str | None] = json_object
) -> ValueType:
    """Return the type of a text (mostly a colon string), or an object with `fields` that `write` writes."""

    def check(value: object) -> str | None:
        given = mapping_of(value)
        return text.check(value) if given is None else write(encode_fields(given, fields))

    return ValueType(f"{text.description}, or {_described(fields)}", check)


def _described(fields: Sequence[Field]) -> str:
    """Describe an object: `{a, b}` and what the fields take; fields that take the same stand together."""
    takes: dict[str, list[str]] = {}
    for field in fields:
        takes.setdefault(field.json.description, []).append(field.name)
    details = [f"{', '.join(names)}: {description}" for description, names in takes.items()]
    details += [
        f"needed: {name}" for name in [", ".join(field.name for field in fields if field.required)] if name
    ]
    return f"{{{', '.join(field.name for field in fields)}}} ({'; '.join(details)})"


def structured(
    *parts: Field, more: Sequence[Field] = (), minimum: int = 1, empty: EmptyParts = EmptyParts.NEVER
) -> ValueType:
    """Return the usual structured type: a colon string of `parts`, or a JSON object of `parts` and `more`."""
    return text_or_object(colon_string(*parts, minimum=minimum, empty=empty), sorted_fields(*parts, *more))
