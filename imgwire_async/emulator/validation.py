"""FastAPI-style checks, as data: a `Field` per name, a `ParseFunction` per kind of value. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TypeAlias, TypeGuard
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from attrs import frozen

from imgwire_async.emulator.configuration import NaiveDates
from imgwire_async.emulator.dates import parse_datetime
from imgwire_async.emulator.http import Response, json_response

__all__ = [
    "SCALAR",
    "UUID_VALIDATOR",
    "Field",
    "InvalidError",
    "Loc",
    "Params",
    "ParseFunction",
    "Problem",
    "Schema",
    "Validator",
    "check_fields",
    "date_time",
    "header_uuid",
    "http_url",
    "integer",
    "json_object",
    "metadata",
    "one_of",
    "query_integer",
    "text",
    "timezone",
    "uuid_list",
    "validation_response",
    "validator",
    "with_time_zone",
]  # fmt: skip

Loc: TypeAlias = tuple[str | int, ...]
ParseFunction: TypeAlias = Callable[[object, Loc], object]
Schema: TypeAlias = Mapping[str, object]

# What metadata may hold.
SCALAR: Schema = {"anyOf": [{"type": name} for name in ("string", "integer", "number", "boolean")]}
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


@frozen
class Problem:
    """One entry of a 422 body."""

    loc: Loc
    msg: str
    type: str


class InvalidError(Exception):
    """Everything that is wrong with a request."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(problems)
        self.problems = problems


@frozen
class Validator:
    """A `ParseFunction` with the JSON Schema of what it takes, for the OpenAPI document."""

    parse: ParseFunction
    schema: Schema

    def __call__(self, value: object, loc: Loc) -> object:
        """Return the value as the handlers want it. Raises `InvalidError`."""
        return self.parse(value, loc)


def validator(**schema: object) -> Callable[[ParseFunction], Validator]:
    """A decorator that makes a `ParseFunction` a `Validator`."""
    return lambda parse: Validator(parse, schema)


@frozen
class Field:
    """One name of a body or a query. `nullable`: null counts as not given. `schema`: a name in the OpenAPI document, where
    it has one. `default`: what stands for a value that was not given, told in that document.
    """

    name: str
    parse: Validator
    required: bool = False
    nullable: bool = False
    schema: str | None = None
    default: object = None


class Params:
    """Checked values by name. The checks have made sure of the kinds that the accessors name."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def text(self, name: str) -> str:
        """A required text."""
        value = self._values[name]
        assert isinstance(value, str)
        return value

    def optional_text(self, name: str) -> str | None:
        """A text, None when it was not given."""
        value = self._values.get(name)
        assert value is None or isinstance(value, str)
        return value

    def optional_integer(self, name: str) -> int | None:
        """A whole number, None when it was not given."""
        value = self._values.get(name)
        assert value is None or isinstance(value, int)
        return value

    def optional_datetime(self, name: str) -> datetime | None:
        """A rfc3339, None when it was not given."""
        value = self._values.get(name)
        assert value is None or isinstance(value, datetime)
        return value

    def ids(self, name: str) -> tuple[str, ...]:
        """A list of ids, each once."""
        return tuple(dict.fromkeys(str(item) for item in _items(self._values[name])))

    def scalars(self, name: str) -> dict[str, str | int | float | bool]:
        """Flat metadata, empty when it was not given."""
        value = self._values.get(name, {})
        assert _is_object(value)
        return {key: item for key, item in value.items() if isinstance(item, str | int | float)}


def check_fields(fields: Iterable[Field], values: Mapping[str, object], place: str) -> Params:
    """The known values, parsed. Raises `InvalidError` with everything that is wrong; unknown names pass, as in FastAPI."""
    good: dict[str, object] = {}
    problems: list[Problem] = []
    for field in fields:
        loc: Loc = (place, field.name)
        if field.name not in values:
            if field.required:
                problems.append(Problem(loc, "Field required", "missing"))
        elif not (field.nullable and values[field.name] is None):
            try:
                good[field.name] = field.parse(values[field.name], loc)
            except InvalidError as invalid:
                problems += invalid.problems
    if problems:
        raise InvalidError(*problems)
    return Params(good)


def json_object(data: bytes, content_type: str | None) -> Mapping[str, object]:
    """The JSON object of a body. Raises `InvalidError` as FastAPI words it."""
    if not data:
        raise InvalidError(Problem(("body",), "Field required", "missing"))
    value: object = None  # not declared as JSON, so not read as JSON
    if content_type is None or re.fullmatch(
        r"application/([\w.-]+\+)?json", content_type.partition(";")[0].strip()
    ):
        try:
            value = json.loads(data.decode(), parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            position = error.pos if isinstance(error, json.JSONDecodeError) else 0
            raise InvalidError(Problem(("body", position), "JSON decode error", "json_invalid")) from error
    if not _is_object(value):
        message = "Input should be a valid dictionary or object to extract fields from"
        raise InvalidError(Problem(("body",), message, "model_attributes_type"))
    return value


def text(low: int = 0, high: int | None = None) -> Validator:
    """Text of so many characters."""
    limits = {name: limit for name, limit in (("minLength", low), ("maxLength", high)) if limit}

    def parse(value: object, loc: Loc) -> str:
        if not isinstance(value, str):
            raise InvalidError(Problem(loc, "Input should be a valid string", "string_type"))
        if any("\ud800" <= char <= "\udfff" for char in value):
            raise InvalidError(
                Problem(
                    loc,
                    "Input should be a valid string, unable to parse raw data as a unicode string",
                    "string_unicode",
                )
            )
        if len(value) < low:
            raise InvalidError(
                Problem(
                    loc, f"String should have at least {low} character{'s' * (low != 1)}", "string_too_short"
                )
            )
        if high is not None and len(value) > high:
            raise InvalidError(
                Problem(loc, f"String should have at most {high} characters", "string_too_long")
            )
        return value

    return Validator(parse, {"type": "string", **limits})


def integer(low: int) -> Validator:
    """A JSON whole number; text and fractions are refused."""

    def parse(value: object, loc: Loc) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidError(Problem(loc, "Input should be a valid integer", "int_type"))
        return _between(value, loc, low, None)

    return Validator(parse, {"type": "integer", "minimum": low})


def query_integer(low: int, high: int | None = None) -> Validator:
    """A whole number in a query."""
    limits = {"minimum": low} if high is None else {"minimum": low, "maximum": high}

    def parse(value: object, loc: Loc) -> int:
        if not re.fullmatch(r"[+-]?\d{1,18}", str(value), re.ASCII):
            message = "Input should be a valid integer, unable to parse string as an integer"
            raise InvalidError(Problem(loc, message, "int_parsing"))
        return _between(int(str(value)), loc, low, high)

    return Validator(parse, {"type": "integer", **limits})


def one_of(*choices: str) -> Validator:
    """One of the words."""
    quoted = [f"'{choice}'" for choice in choices]
    message = f"Input should be {', '.join(quoted[:-1])} or {quoted[-1]}"

    def parse(value: object, loc: Loc) -> str:
        if not isinstance(value, str) or value not in choices:
            raise InvalidError(Problem(loc, message, "enum"))
        return value

    return Validator(parse, {"type": "string", "enum": list(choices)})


def uuid_text(value: object, loc: Loc) -> str:
    """A hyphenated UUID, in lower case."""
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise InvalidError(Problem(loc, "Input should be a valid UUID", "uuid_parsing"))
    return value.lower()


UUID_VALIDATOR = Validator(uuid_text, {"type": "string", "format": "uuid"})


@validator(type="array", items={"type": "string", "format": "uuid"}, minItems=1)
def uuid_list(value: object, loc: Loc) -> list[str]:
    """At least one UUID."""
    if not isinstance(value, list):
        raise InvalidError(Problem(loc, "Input should be a valid list", "list_type"))
    items = list(_items(value))  # pyright: ignore[reportUnknownArgumentType]  # JSON: its items are objects
    if not items:
        raise InvalidError(
            Problem(loc, "List should have at least 1 item after validation, not 0", "too_short")
        )
    return [uuid_text(item, (*loc, index)) for index, item in enumerate(items)]


@validator(type="object", additionalProperties=SCALAR)
def metadata(value: object, loc: Loc) -> Mapping[str, object]:
    """A flat object of text, numbers and bools; null and nesting are refused. [contract 3]"""
    if not _is_object(value):
        raise InvalidError(Problem(loc, "Input should be a valid dictionary", "dict_type"))
    message = "Input should be a valid string, integer, number or boolean"
    wrong = [
        Problem((*loc, key), message, "scalar_type")
        for key, item in value.items()
        if not isinstance(item, str | int | float)
    ]
    if wrong:
        raise InvalidError(*wrong)
    return value


_HTTP_URL = re.compile(r"https?://[^\s/?#]+[^\s]*", re.IGNORECASE)


def _splits(url: str) -> bool:
    try:
        urlsplit(url)
    except ValueError:  # brackets without an address, or signs that stand for a slash
        return False
    return True


@validator(type="string", format="uri", minLength=1)
def http_url(value: object, loc: Loc) -> str:
    """An absolute http(s) URL."""
    url = text(1)(value, loc)
    if not isinstance(url, str) or not _HTTP_URL.fullmatch(url) or not _splits(url):
        raise InvalidError(Problem(loc, "Input should be a valid URL", "url_parsing"))
    return url


@validator(anyOf=[{"type": "string", "format": "date-time"}, {"type": "null"}])
def date_time(value: object, loc: Loc) -> datetime:
    """A rfc3339 in UTC, or a naive one when no zone was named: `with_time_zone` decides about those."""
    try:
        rfc3339 = parse_datetime(str(value))
        return rfc3339 if rfc3339.tzinfo is None else rfc3339.astimezone(UTC)
    except (ArithmeticError, ValueError) as error:  # a number beyond the calendar is an ArithmeticError
        raise InvalidError(
            Problem(loc, f"Input should be a valid datetime or date, {error}", "datetime_parsing")
        ) from error


def with_time_zone(
    moments: Iterable[tuple[datetime | None, Loc]], naive_dates: NaiveDates
) -> list[datetime | None]:
    """Return the moments with naive ones taken as UTC, or raise `InvalidError` for all of those, as the switch says."""
    given = list(moments)
    naive = [loc for rfc3339, loc in given if rfc3339 is not None and rfc3339.tzinfo is None]
    if naive and naive_dates == "refused":
        raise InvalidError(
            *(Problem(loc, "Input should have timezone info", "timezone_aware") for loc in naive)
        )
    return [
        rfc3339 if rfc3339 is None or rfc3339.tzinfo is not None else rfc3339.replace(tzinfo=UTC)
        for rfc3339, _ in given
    ]


@validator(type="string")
def timezone(value: object, loc: Loc) -> str:
    """An IANA zone name."""
    try:
        if value != "UTC":  # which needs no time zone database
            ZoneInfo(str(value))
    except (KeyError, ValueError, OSError) as error:
        raise InvalidError(Problem(loc, "Input should be a valid IANA time zone", "value_error")) from error
    return str(value)


def header_uuid(name: str, value: str) -> str:
    """A UUID in a header."""
    return uuid_text(value, ("header", name))


def validation_response(invalid: InvalidError) -> Response:
    """The 422 body. [contract 5]"""
    return json_response(
        {"detail": [{"loc": list(p.loc), "msg": p.msg, "type": p.type} for p in invalid.problems]}, 422
    )


def _between(value: int, loc: Loc, low: int, high: int | None) -> int:
    if value < low:
        raise InvalidError(
            Problem(loc, f"Input should be greater than or equal to {low}", "greater_than_equal")
        )
    if high is not None and value > high:
        raise InvalidError(Problem(loc, f"Input should be less than or equal to {high}", "less_than_equal"))
    return value


def _is_object(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)  # from JSON, so its keys are text


def _items(value: object) -> Iterator[object]:
    assert isinstance(value, list)
    yield from value


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")
