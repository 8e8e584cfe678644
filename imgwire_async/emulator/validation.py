"""Validate the fields of a request, with the rules and error messages of FastAPI.

A `Field` has a name and a `Validator`. A `Validator` checks and converts one kind of value.
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

# The place of a value in a request, such as `("body", "image_ids", 0)`. FastAPI calls it `loc`.
Loc: TypeAlias = tuple[str | int, ...]
ParseFunction: TypeAlias = Callable[[object, Loc], object]
Schema: TypeAlias = Mapping[str, object]


@frozen
class Problem:
    """One error in a request: the place of the value, a message, and the type of the error.

    The body of a 422 response lists the problems of a request.
    """

    loc: Loc
    msg: str
    type: str


class InvalidError(Exception):
    """Raised if values in a request are not valid. `problems` has one entry for each such value."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(problems)
        self.problems = problems


@frozen
class Validator:
    """A function that checks and converts one kind of value, and the JSON Schema of such values.

    The schema is for the OpenAPI document.
    """

    parse: ParseFunction
    schema: Schema

    def __call__(self, value: object, loc: Loc) -> object:
        """Return the converted value. Raises `InvalidError` with the place `loc` for a wrong value."""
        return self.parse(value, loc)


def validator(**schema: object) -> Callable[[ParseFunction], Validator]:
    """Return a decorator that creates a `Validator` from the decorated function and this JSON Schema."""
    return lambda parse: Validator(parse, schema)


@frozen
class Field:
    """One field of a path, a query or a body.

    If `nullable` is True, the value null is allowed, and means the same as a missing field. `schema` is the
    name of the field's schema in the OpenAPI document, or None if the schema has no name. `default` is the
    default value that the OpenAPI document shows. It does not change the parsed values.
    """

    name: str
    validator: Validator
    required: bool = False
    nullable: bool = False
    schema: str | None = None
    default: object = None


class Params:
    """The validated fields of a path, a query or a body, with methods for reading them by name.

    Each method is for fields of one type. The assertions never fail, because the validators of the fields
    have checked the types.
    """

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def text(self, name: str) -> str:
        """Return the string in the required field `name`."""
        value = self._values[name]
        assert isinstance(value, str)
        return value

    def optional_text(self, name: str) -> str | None:
        """Return the string in the field `name`, or None if the request does not have the field."""
        value = self._values.get(name)
        assert value is None or isinstance(value, str)
        return value

    def optional_integer(self, name: str) -> int | None:
        """Return the integer in the field `name`, or None if the request does not have the field."""
        value = self._values.get(name)
        assert value is None or isinstance(value, int)
        return value

    def optional_datetime(self, name: str) -> datetime | None:
        """Return the time in the field `name`, or None if the request does not have the field."""
        value = self._values.get(name)
        assert value is None or isinstance(value, datetime)
        return value

    def ids(self, name: str) -> tuple[str, ...]:
        """Return the IDs in the required field `name`. A repeated ID is returned once."""
        return tuple(dict.fromkeys(str(item) for item in json_items(self._values[name])))

    def scalars(self, name: str) -> dict[str, str | int | float | bool]:
        """Return the metadata in the field `name`, or an empty dict if the request has no such field."""
        value = self._values.get(name, {})
        assert is_json_object(value)
        return {key: item for key, item in value.items() if isinstance(item, str | int | float)}


def check_fields(fields: Iterable[Field], values: Mapping[str, object], location: str) -> Params:
    """Validate the values of `fields`, and return the converted values.

    Raises `InvalidError` with a problem for each required field that is missing and each value that is not
    valid. Values without a field are ignored, as in FastAPI. `location` is `"path"`, `"query"` or `"body"`,
    for the messages.
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
    """Parse a request body as a JSON object.

    Raises `InvalidError` if the body is empty, has a content type other than JSON, or is not a JSON object.
    """
    if not data:
        raise InvalidError(Problem(("body",), "Field required", "missing"))
    # Like FastAPI, parse the body only if the content type is JSON. For another content type `value` stays
    # None and is rejected below, because None is not a JSON object.
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
    """Return whether a parsed JSON value is an object."""
    # The keys need no check, because JSON keys are always strings.
    return isinstance(value, dict)


def json_items(value: object) -> Iterator[object]:
    """Yield the items of a parsed JSON array. The caller has checked that `value` is an array."""
    assert isinstance(value, list)
    yield from value


def _reject_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def validation_response(invalid: InvalidError) -> Response:
    """Return a 422 response that lists the problems of a request.

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
