"""Validate the fields of a request, with the rules and error messages of FastAPI.

A `Field` describes one value by its name. A `Validator` parses one kind of value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import TypeAlias, TypeGuard

from attrs import frozen

from imgwire_async.emulator.http import Response, json_response

__all__ = [
    "Field",
    "InvalidError",
    "Loc",
    "Params",
    "ParseFunction",
    "Problem",
    "Schema",
    "Validator",
    "check_fields",
    "is_json_object",
    "json_items",
    "json_object",
    "validation_response",
    "validator",
]

Loc: TypeAlias = tuple[str | int, ...]
ParseFunction: TypeAlias = Callable[[object, Loc], object]
Schema: TypeAlias = Mapping[str, object]


@frozen
class Problem:
    """One entry of a 422 body."""

    loc: Loc
    msg: str
    type: str


class InvalidError(Exception):
    """The problems of a request that is not valid."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(problems)
        self.problems = problems


@frozen
class Validator:
    """A `ParseFunction`, and the JSON Schema of its values for the OpenAPI document."""

    parse: ParseFunction
    schema: Schema

    def __call__(self, value: object, loc: Loc) -> object:
        """Return the parsed value. Raises `InvalidError`."""
        return self.parse(value, loc)


def validator(**schema: object) -> Callable[[ParseFunction], Validator]:
    """Return a decorator that makes a `Validator` of a `ParseFunction` and this JSON Schema."""
    return lambda parse: Validator(parse, schema)


@frozen
class Field:
    """One value of a body or a query.

    With `nullable`, null means that the value is absent. `schema` is the name of its schema in the OpenAPI
    document, if it has one. `default` is the default that this document shows.
    """

    name: str
    validator: Validator
    required: bool = False
    nullable: bool = False
    schema: str | None = None
    default: object = None


class Params:
    """Valid values by name.

    The validators of the fields guarantee the types that the methods assert.
    """

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def text(self, name: str) -> str:
        """Return a required text."""
        value = self._values[name]
        assert isinstance(value, str)
        return value

    def optional_text(self, name: str) -> str | None:
        """Return a text, or None if it is absent."""
        value = self._values.get(name)
        assert value is None or isinstance(value, str)
        return value

    def optional_integer(self, name: str) -> int | None:
        """Return an integer, or None if it is absent."""
        value = self._values.get(name)
        assert value is None or isinstance(value, int)
        return value

    def optional_datetime(self, name: str) -> datetime | None:
        """Return a date and time, or None if it is absent."""
        value = self._values.get(name)
        assert value is None or isinstance(value, datetime)
        return value

    def ids(self, name: str) -> tuple[str, ...]:
        """Return a list of IDs without repetition."""
        return tuple(dict.fromkeys(str(item) for item in json_items(self._values[name])))

    def scalars(self, name: str) -> dict[str, str | int | float | bool]:
        """Return metadata, which is empty if it is absent."""
        value = self._values.get(name, {})
        assert is_json_object(value)
        return {key: item for key, item in value.items() if isinstance(item, str | int | float)}


def check_fields(fields: Iterable[Field], values: Mapping[str, object], location: str) -> Params:
    """Return the parsed values of `fields`.

    Raises `InvalidError` with all problems. Unknown names are ignored, as in FastAPI. `location` is the first
    part of the place that a problem names, such as `"body"`.
    """
    parsed: dict[str, object] = {}
    problems: list[Problem] = []
    for field in fields:
        loc: Loc = (location, field.name)
        if field.name not in values:
            if field.required:
                problems.append(Problem(loc, "Field required", "missing"))
        elif not (field.nullable and values[field.name] is None):
            try:
                parsed[field.name] = field.validator(values[field.name], loc)
            except InvalidError as invalid:
                problems += invalid.problems
    if problems:
        raise InvalidError(*problems)
    return Params(parsed)


def json_object(data: bytes, content_type: str | None) -> Mapping[str, object]:
    """Return the JSON object of a body. Raises `InvalidError` with the messages of FastAPI."""
    if not data:
        raise InvalidError(Problem(("body",), "Field required", "missing"))
    # A body with another content type is not parsed, so the check of its type fails below.
    value: object = None
    if content_type is None or re.fullmatch(
        r"application/([\w.-]+\+)?json", content_type.partition(";")[0].strip()
    ):
        try:
            value = json.loads(data.decode(), parse_constant=_reject_constant)
        except (ValueError, RecursionError) as error:
            position = error.pos if isinstance(error, json.JSONDecodeError) else 0
            raise InvalidError(Problem(("body", position), "JSON decode error", "json_invalid")) from error
    if not is_json_object(value):
        message = "Input should be a valid dictionary or object to extract fields from"
        raise InvalidError(Problem(("body",), message, "model_attributes_type"))
    return value


def is_json_object(value: object) -> TypeGuard[dict[str, object]]:
    """Return whether a JSON value is an object."""
    # The value comes from JSON, so all its keys are text.
    return isinstance(value, dict)


def json_items(value: object) -> Iterator[object]:
    """Yield the items of a JSON array."""
    assert isinstance(value, list)
    yield from value


def _reject_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def validation_response(invalid: InvalidError) -> Response:
    """Return the 422 response for the problems of a request.

    [contract 5]
    """
    return json_response(
        {
            "detail": [
                {"loc": list(problem.loc), "msg": problem.msg, "type": problem.type}
                for problem in invalid.problems
            ]
        },
        422,
    )
