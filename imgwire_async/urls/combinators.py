"""Build the types of values that have several parts, such as the value of the rule `crop`.

There are two forms of such a value. The first form is a text with colons (`400:300:south`), or a tuple. The
second form is an object: a mapping, a value class such as `Crop`, or JSON text. Most objects are written to
the URL as JSON: each field is converted to JSON (`300`, `"south"`), and the results are joined. Some rules,
such as `zoom`, write an object as a text with colons.

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
    """Raise `ValueError` for `NaN` and `Infinity`, which are not JSON but which Python's decoder accepts."""
    raise ValueError(f"{name} is not valid JSON")


_decode = JSONDecoder(parse_constant=_reject_constant).decode
_encode = JSONEncoder(ensure_ascii=False).encode


@attrs.frozen
class Field:
    """One part of a value such as `400:300:south`, and the field for the same part in an object.

    `value_type` checks the part in a text with colons, and returns it as it is written there (`south`).
    `json` checks the field of an object, and returns its text there (mostly JSON, `"south"`). By default,
    both are the same. `aliases` are other names of the field in an object. `required` says whether an object
    must have it.
    """

    name: str
    value_type: ValueType
    json: ValueType = attrs.field(default=attrs.Factory(lambda self: self.value_type, takes_self=True))
    aliases: tuple[str, ...] = ()
    required: bool = False

    def get(self, given: Mapping[str, object]) -> object:
        """Return the value of this field in the object `given`, or None when the field is missing or null.

        Raises `InvalidValue` when the object has the field under two names.

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
    """Encode `text` as a JSON string. Non-ASCII characters are not escaped.

    [rules 9 E4]
    """
    return _encode(text)


def sorted_fields(*fields: Field) -> tuple[Field, ...]:
    """Return the fields sorted by name, because objects are written in this order.

    [rules 9 E2]
    """
    return tuple(sorted(fields, key=lambda field: field.name))


def as_mapping(value: object) -> Mapping[str, object] | None:
    """Return `value` as a mapping if it is a mapping, a value class such as `Crop`, or a JSON object as text.

    Return None for any other value. Raises `InvalidValue` for text that begins with `{` and is not JSON.
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
    """Check the fields of the object `given`, and return their encoded values (mostly JSON) by name.

    Fields that are not in `fields` are ignored. Raises `InvalidValue` when a field is invalid, when a
    required field is missing, or when no known field is given.

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
    """Check a part or field with `value_type`, and return its text. Errors begin with `name`."""
    try:
        return value_type.text(value)
    except InvalidValue as error:
        raise InvalidValue(f"{name}: {error}", given=error.given, allowed=error.allowed) from None


def json_object(encoded: Mapping[str, str]) -> str:
    """Write a JSON object without whitespace. `encoded` maps the names of its fields to their JSON."""
    return "{" + ",".join([f'"{name}":{text}' for name, text in encoded.items()]) + "}"


def json_string_of(value_type: ValueType) -> ValueType:
    """Return a type that accepts the same values as `value_type`, and writes them as JSON strings."""
    return ValueType(value_type.description, lambda value: json_string(value_type.text(value)))


class EmptyParts(Enum):
    """Which parts of a text with colons may be empty, as in `1::2`."""

    NEVER = "none"
    INSIDE = "those between the first and the last part"
    DROP_TRAILING = "all but the first; empty parts at the end are removed"
    KEEP_TRAILING = "all but the first; empty parts at the end are kept"
    ANY = "any part, unless all are empty"


def split_parts(value: object) -> list[object]:
    """Split a text at its colons, or take the items of a tuple. Whitespace around parts is removed.

    An item of a tuple that is None becomes an empty part.
    """
    if is_tuple(value):
        parts = [as_builtin(part) for part in value]
        return [part.strip() if type(part) is str else "" if part is None else part for part in parts]
    # No rule has more than 5 parts. The limit of 8 keeps a hostile text with many colons from taking long.
    return [part.strip() for part in as_text(value).split(":", 8)]


def join_parts(
    given: Sequence[object], fields: Sequence[Field], *, empty: EmptyParts = EmptyParts.NEVER
) -> str:
    """Check the parts of a value with the types of `fields`, and join their texts with colons.

    The value may have fewer parts than there are fields. `empty` says which parts may be empty.
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
    """Describe a text with colons for messages, such as `width:height[:gravity]`.

    The first `minimum` parts are required, so they are not in brackets.
    """
    names = [field.name for field in fields]
    optional = "".join(f"[:{name}" for name in names[minimum:])
    return ":".join(names[:minimum]) + optional + "]" * (len(names) - minimum)


def colon_separated(*fields: Field, minimum: int = 1, empty: EmptyParts = EmptyParts.NEVER) -> ValueType:
    """Return the type of a text with colons, or tuple, that has one part per field in this order.

    Parts after the first `minimum` may be missing. `empty` says which parts may be empty.
    """
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
    """Return the type of a value that may be a text or an object.

    `text` is the type of the text. `fields` are the fields of the object. `write` gets a dict that maps names
    of fields to their encoded values, and returns the text for the URL.
    """

    def check(value: object) -> str | None:
        given = as_mapping(value)
        return text.check(value) if given is None else write(encode_fields(given, fields))

    return ValueType(f"{text.description}, or {_describe(fields)}", check)


def _describe(fields: Sequence[Field]) -> str:
    """Describe an object for messages: the names of its fields in braces, then their types."""
    names_by_type: dict[str, list[str]] = {}
    for field in fields:
        names_by_type.setdefault(field.json.description, []).append(field.name)
    details = [f"{', '.join(names)}: {description}" for description, names in names_by_type.items()]
    required = ", ".join(field.name for field in fields if field.required)
    if required:
        details.append(f"required: {required}")
    return f"{{{', '.join(field.name for field in fields)}}} ({'; '.join(details)})"


def parts_or_object(
    *parts: Field, more: Sequence[Field] = (), minimum: int = 1, empty: EmptyParts = EmptyParts.NEVER
) -> ValueType:
    """Return the type of a value that may be a text with colons, a tuple, or an object.

    `parts` are the parts of the text or tuple. The object has the same parts as fields, and the fields in
    `more`. An object is written to the URL as JSON.
    """
    return text_or_object(colon_separated(*parts, minimum=minimum, empty=empty), sorted_fields(*parts, *more))
