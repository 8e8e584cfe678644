"""Combine value types into types of structured values.

A structured value is a colon string (or a tuple), or an object (a mapping, a value class or JSON text). Each
field is converted to its JSON text (`300`, `"south"`). An object is written by joining these texts.

[rules 7]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from json import JSONDecoder, JSONEncoder
from typing import NoReturn

import attrs

from imgwire_async.urls.conversions import (
    MAX_TEXT,
    InvalidValue,
    as_builtin,
    as_text,
    is_mapping,
    is_tuple,
    mismatch,
)
from imgwire_async.urls.scalars import Value, ValueType


def _reject_constant(name: str) -> NoReturn:
    """Reject `NaN` and `Infinity`, which Python's decoder accepts but JSON does not allow."""
    raise ValueError(f"{name} is not valid JSON")


_decode = JSONDecoder(parse_constant=_reject_constant).decode
_encode = JSONEncoder(ensure_ascii=False).encode


@attrs.frozen
class Field:
    """A part of a colon string, or a field of an object.

    `value_type` converts the value in a colon string. `json` converts it in an object, where its text may
    differ. `aliases` are other names of the field in objects. `required` is used for objects only.
    """

    name: str
    value_type: ValueType
    json: ValueType = attrs.field(default=attrs.Factory(lambda self: self.value_type, takes_self=True))
    aliases: tuple[str, ...] = ()
    required: bool = False

    def get(self, given: Mapping[str, object]) -> object:
        """Return the value of this field in an object, or None when the field is missing or null.

        [rules 9 V7]
        """
        value = given.get(self.name)
        for alias in self.aliases:
            alias_value = given.get(alias)
            if alias_value is not None and value is not None:
                raise InvalidValue(f"{self.name} is given twice (also as {alias})")
            value = alias_value if value is None else value
        return value


def json_string(text: str) -> str:
    """Return `text` as a JSON string, with non-ASCII characters unescaped.

    [rules 9 E4]
    """
    return _encode(text)


def sorted_fields(*fields: Field) -> tuple[Field, ...]:
    """Return the fields sorted by name, the order in which an object is written.

    [rules 9 E2]
    """
    return tuple(sorted(fields, key=lambda field: field.name))


def as_mapping(value: object) -> Mapping[str, object] | None:
    """Return the fields of a mapping, a value class or JSON text; None for any other value.

    Raises `InvalidValue` for text that begins with `{` and is not valid JSON.
    """
    if type(value) is not str:
        if is_mapping(value):
            return value
        if isinstance(value, Value):
            return value.fields()
        value = as_builtin(value)
        if type(value) is not str:
            return None
    text = value.strip()
    return _from_json(text) if text.startswith("{") else None


def _from_json(text: str) -> Mapping[str, object]:
    if len(text) > MAX_TEXT:
        raise InvalidValue(f"a text of {len(text)} characters is too long for a URL")
    try:
        fields: dict[str, object] = _decode(text)
    except (ValueError, RecursionError) as error:
        raise InvalidValue(f"invalid JSON: {error}") from None
    return fields


def encode_fields(given: Mapping[str, object], fields: Sequence[Field]) -> dict[str, str]:
    """Return the JSON texts of the given fields, by name.

    Unknown fields are ignored. Raises `InvalidValue` when a field is invalid, when a required field is
    missing, or when no known field is given.

    [rules 7]
    """
    encoded: dict[str, str] = {}
    for field in fields:
        value = field.get(given)
        if value is not None:
            encoded[field.name] = encode_part(field.name, field.json, value)
        elif field.required:
            raise InvalidValue(f"{field.name} is missing")
    if not encoded:
        raise InvalidValue(f"none of the fields {', '.join(field.name for field in fields)} is given")
    return encoded


def encode_part(name: str, value_type: ValueType, value: object) -> str:
    """Return the text of a part or field, and add `name` to the message of an `InvalidValue`."""
    try:
        return value_type.text(value)
    except InvalidValue as error:
        raise InvalidValue(f"{name}: {error}", given=error.given, allowed=error.allowed) from None


def json_object(encoded: Mapping[str, str]) -> str:
    """Join JSON texts into a JSON object without whitespace."""
    return "{" + ",".join([f'"{name}":{text}' for name, text in encoded.items()]) + "}"


def json_string_of(value_type: ValueType) -> ValueType:
    """Return `value_type` with its text written as a JSON string."""
    return ValueType(value_type.description, lambda value: json_string(value_type.text(value)))


class EmptyParts(Enum):
    """Which parts of a colon string may be empty."""

    NEVER = "none"
    INSIDE = "those between the first and the last part"
    DROP_TRAILING = "all but the first; empty parts at the end are removed"
    KEEP_TRAILING = "all but the first; empty parts at the end are kept"
    ANY = "any part, unless all are empty"


def split_parts(value: object) -> list[object]:
    """Split a colon string or a tuple into its parts, without surrounding whitespace.

    None in a tuple is an empty part.
    """
    if is_tuple(value):
        parts = [as_builtin(part) for part in value]
        return [part.strip() if type(part) is str else "" if part is None else part for part in parts]
    # The limit bounds the work for hostile text. No rule has more than 5 parts.
    return [part.strip() for part in as_text(value).split(":", 8)]


def join_parts(
    given: Sequence[object], fields: Sequence[Field], *, empty: EmptyParts = EmptyParts.NEVER
) -> str:
    """Convert the given parts by the value types of `fields`, and join their texts with colons.

    There may be fewer parts than fields.
    """
    texts: list[str] = []
    for position, (field, part) in enumerate(zip(fields, given, strict=False)):
        if type(part) is not str or part:
            texts.append(encode_part(field.name, field.value_type, part))
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


def pattern(fields: Sequence[Field], minimum: int = 1) -> str:
    """Return the pattern of a colon string for messages, such as `a:b[:c[:d]]`.

    The first `minimum` parts are mandatory.
    """
    names = [field.name for field in fields]
    optional = "".join(f"[:{name}" for name in names[minimum:])
    return ":".join(names[:minimum]) + optional + "]" * (len(names) - minimum)


def colon_string(*fields: Field, minimum: int = 1, empty: EmptyParts = EmptyParts.NEVER) -> ValueType:
    """Return the type of a colon string with at least `minimum` parts and at most one part per field."""
    description = pattern(fields, minimum)

    def check(value: object) -> str:
        given = split_parts(value)
        while empty is EmptyParts.DROP_TRAILING and given and given[-1] == "":
            given.pop()
        if not minimum <= len(given) <= len(fields):
            raise mismatch(value, description)
        text = join_parts(given, fields, empty=empty)
        if not text.strip(":"):
            raise mismatch(value, description)
        return text

    return ValueType(description, check)


def text_or_object(
    text: ValueType, fields: Sequence[Field], write: Callable[[Mapping[str, str]], str | None] = json_object
) -> ValueType:
    """Return the type of a value that is given as text (usually a colon string) or as an object.

    `write` turns the JSON texts of the object's fields into the text of the URL.
    """

    def check(value: object) -> str | None:
        given = as_mapping(value)
        return text.check(value) if given is None else write(encode_fields(given, fields))

    return ValueType(f"{text.description}, or {_describe(fields)}", check)


def _describe(fields: Sequence[Field]) -> str:
    """Return the description of an object: `{a, b}` with the types of its fields, grouped by type."""
    names_by_type: dict[str, list[str]] = {}
    for field in fields:
        names_by_type.setdefault(field.json.description, []).append(field.name)
    details = [f"{', '.join(names)}: {description}" for description, names in names_by_type.items()]
    required = ", ".join(field.name for field in fields if field.required)
    if required:
        details.append(f"required: {required}")
    return f"{{{', '.join(field.name for field in fields)}}} ({'; '.join(details)})"


def structured(
    *parts: Field, more: Sequence[Field] = (), minimum: int = 1, empty: EmptyParts = EmptyParts.NEVER
) -> ValueType:
    """Return the type of a colon string of `parts`, or of an object with the fields `parts` and `more`.

    An object is written as JSON.
    """
    return text_or_object(colon_string(*parts, minimum=minimum, empty=empty), sorted_fields(*parts, *more))
