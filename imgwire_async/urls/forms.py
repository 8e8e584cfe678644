"""The two forms of structured values: colon strings (or tuples) of parts, and objects (mappings, value classes, JSON text).

A field's check gives the JSON fragment that stands in the URL (`300`, `"south"`), so putting an object together is
joining text, and numbers are written as everywhere else in the URL. [rules 7]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from json import JSONDecoder, JSONEncoder
from typing import NoReturn

import attrs

from imgwire_async.urls.scalars import (
    MAX_TEXT,
    Kind,
    Refused,
    Value,
    as_text,
    is_mapping,
    is_tuple,
    plain,
    refuse,
)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_decode = JSONDecoder(parse_constant=_no_constant).decode
_encode = JSONEncoder(ensure_ascii=False).encode


@attrs.frozen
class Field:
    """One part or field: its name, what it takes in a colon string and, if written otherwise there, in an object."""

    name: str
    kind: Kind
    json: Kind = attrs.field(default=attrs.Factory(lambda self: self.kind, takes_self=True))
    others: tuple[str, ...] = ()  # other spellings in objects
    needed: bool = False  # in objects; what a colon string needs is told by position

    def take(self, given: Mapping[str, object]) -> object:
        """The field's value in an object, None when it is absent; null counts as absent. [rules 9 V7]"""
        value = given.get(self.name)
        for other in self.others:
            more = given.get(other)
            if more is not None and value is not None:
                raise Refused(f"{self.name} is given twice (also as {other})")
            value = more if value is None else value
        return value


def json_string(text: str) -> str:
    """The text as a JSON string in raw UTF-8, nothing escaped that need not be. [rules 9 E4]"""
    return _encode(text)


def fields(*row: Field) -> tuple[Field, ...]:
    """The fields in the order in which they are written: alphabetical. [rules 9 E2]"""
    return tuple(sorted(row, key=lambda field: field.name))


def mapping_of(value: object) -> Mapping[str, object] | None:
    """The object that `value` is, or None when it is no object; text that begins with `{` must be JSON."""
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
        raise Refused(f"a text of {len(text)} characters is too long for a URL")
    try:
        found: dict[str, object] = _decode(text)
    except (ValueError, RecursionError) as error:
        raise Refused(f"broken JSON: {error}") from None
    return found


def fragments(given: Mapping[str, object], row: Sequence[Field]) -> dict[str, str]:
    """The JSON fragments of the known fields. Unknown fields are ignored; one bad field refuses the whole. [rules 7]"""
    found: dict[str, str] = {}
    for field in row:
        value = field.take(given)
        if value is not None:
            found[field.name] = part(field.name, field.json, value)
        elif field.needed:
            raise Refused(f"{field.name} is missing")
    if not found:
        raise Refused(f"none of the fields {', '.join(field.name for field in row)} is there")
    return found


def part(name: str, kind: Kind, value: object) -> str:
    """The text of one part or field; a refusal names it."""
    try:
        return kind.text(value)
    except Refused as verdict:
        raise Refused(f"{name}: {verdict}", word=verdict.word, known=verdict.known) from None


def json_object(found: Mapping[str, str]) -> str:
    """Compact JSON of fragments."""
    return "{" + ",".join([f'"{name}":{fragment}' for name, fragment in found.items()]) + "}"


def quoted(kind: Kind) -> Kind:
    """The same kind, written as a JSON string."""
    return Kind(kind.says, lambda value: json_string(kind.text(value)))


class Empty(Enum):
    """Which parts of a colon string may be empty."""

    NEVER = "none"
    INSIDE = "those between the first and the last"
    CUT = "all but the first; trailing ones are dropped"
    STAY = "all but the first"
    ANY = "any, if one is left that is not"


def pieces(value: object) -> list[object]:
    """The parts of a colon string or of a tuple (None there is an empty part), blanks around them removed."""
    if is_tuple(value):
        trimmed = [plain(piece) for piece in value]
        return [piece.strip() if type(piece) is str else "" if piece is None else piece for piece in trimmed]
    return [piece.strip() for piece in as_text(value).split(":", 8)]  # no rule has more than 5 parts


def join(given: Sequence[object], parts: Sequence[Field], *, empty: Empty = Empty.NEVER) -> str:
    """The colon string of as many checked parts as are given."""
    texts: list[str] = []
    for position, (slot, piece) in enumerate(zip(parts, given, strict=False)):
        if type(piece) is not str or piece:
            texts.append(part(slot.name, slot.kind, piece))
        elif _may_be_empty(position, len(given), empty):
            texts.append("")
        else:
            raise Refused(f"{slot.name} is empty")
    return ":".join(texts)


def _may_be_empty(position: int, count: int, empty: Empty) -> bool:
    if position == 0:
        return empty is Empty.ANY
    if position == count - 1:
        return empty in {Empty.ANY, Empty.STAY}
    return empty is not Empty.NEVER


def pattern(parts: Sequence[Field], least: int = 1) -> str:
    """How a colon string is written: `a:b[:c[:d]]`."""
    names = [slot.name for slot in parts]
    optional = "".join(f"[:{name}" for name in names[least:])
    return ":".join(names[:least]) + optional + "]" * (len(names) - least)


def colon(*parts: Field, least: int = 1, empty: Empty = Empty.NEVER) -> Kind:
    """A colon string with at least `least` parts."""
    says = pattern(parts, least)

    def check(value: object) -> str:
        given = pieces(value)
        while empty is Empty.CUT and given and given[-1] == "":
            given.pop()
        if not least <= len(given) <= len(parts):
            raise refuse(value, says)
        text = join(given, parts, empty=empty)
        if not text.strip(":"):
            raise refuse(value, says)
        return text

    return Kind(says, check)


def forms(
    text: Kind, row: Sequence[Field], write: Callable[[Mapping[str, str]], str | None] = json_object
) -> Kind:
    """A colon string (or another text), or an object with the fields of `row`, written by `write`."""

    def check(value: object) -> str | None:
        given = mapping_of(value)
        return text.check(value) if given is None else write(fragments(given, row))

    return Kind(f"{text.says}, or {_described(row)}", check)


def _described(row: Sequence[Field]) -> str:
    """`{a, b}` and what each field takes; fields that take the same stand together."""
    takes: dict[str, list[str]] = {}
    for field in row:
        takes.setdefault(field.json.says, []).append(field.name)
    details = [f"{', '.join(names)}: {says}" for says, names in takes.items()]
    details += [
        f"needed: {name}" for name in [", ".join(field.name for field in row if field.needed)] if name
    ]
    return f"{{{', '.join(field.name for field in row)}}} ({'; '.join(details)})"


def structured(*parts: Field, more: Sequence[Field] = (), least: int = 1, empty: Empty = Empty.NEVER) -> Kind:
    """The usual structured value: a colon string of `parts`, or an object (written as JSON) of `parts` and `more`."""
    return forms(colon(*parts, least=least, empty=empty), fields(*parts, *more))
