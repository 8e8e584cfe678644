"""The validators for the values in requests: strings, integers, UUIDs, URLs, dates and others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from imgwire_async.emulator.configuration import NaiveDates
from imgwire_async.emulator.dates import parse_datetime
from imgwire_async.emulator.validation import (
    InvalidError,
    Loc,
    Problem,
    Schema,
    Validator,
    is_json_object,
    json_items,
    validator,
)

__all__ = [
    "SCALAR",
    "UUID_VALIDATOR",
    "date_time",
    "header_uuid",
    "http_url",
    "integer",
    "metadata",
    "one_of",
    "query_integer",
    "text",
    "timezone",
    "uuid_list",
    "with_time_zone",
]

# The JSON Schema of one metadata value.
SCALAR: Schema = {"anyOf": [{"type": name} for name in ("string", "integer", "number", "boolean")]}
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


def text(minimum: int = 0, maximum: int | None = None) -> Validator:
    """Return a validator for a string of at least `minimum` and at most `maximum` characters.

    A `maximum` of None means no maximum.
    """
    limits = {name: limit for name, limit in (("minLength", minimum), ("maxLength", maximum)) if limit}

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
        if len(value) < minimum:
            raise InvalidError(
                Problem(
                    loc,
                    f"String should have at least {minimum} character{'s' * (minimum != 1)}",
                    "string_too_short",
                )
            )
        if maximum is not None and len(value) > maximum:
            raise InvalidError(
                Problem(loc, f"String should have at most {maximum} characters", "string_too_long")
            )
        return value

    return Validator(parse, {"type": "string", **limits})


def integer(minimum: int) -> Validator:
    """Return a validator for a JSON integer of at least `minimum`. It rejects strings and fractions."""

    def parse(value: object, loc: Loc) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidError(Problem(loc, "Input should be a valid integer", "int_type"))
        return _require_between(value, loc, minimum, None)

    return Validator(parse, {"type": "integer", "minimum": minimum})


def query_integer(minimum: int, maximum: int | None = None) -> Validator:
    """Return a validator that converts a string in a query to an integer, within the given limits."""
    limits = {"minimum": minimum} if maximum is None else {"minimum": minimum, "maximum": maximum}

    def parse(value: object, loc: Loc) -> int:
        if not re.fullmatch(r"[+-]?\d{1,18}", str(value), re.ASCII):
            message = "Input should be a valid integer, unable to parse string as an integer"
            raise InvalidError(Problem(loc, message, "int_parsing"))
        return _require_between(int(str(value)), loc, minimum, maximum)

    return Validator(parse, {"type": "integer", **limits})


def one_of(*choices: str) -> Validator:
    """Return a validator for a string that is one of `choices`."""
    quoted = [f"'{choice}'" for choice in choices]
    message = f"Input should be {', '.join(quoted[:-1])} or {quoted[-1]}"

    def parse(value: object, loc: Loc) -> str:
        if not isinstance(value, str) or value not in choices:
            raise InvalidError(Problem(loc, message, "enum"))
        return value

    return Validator(parse, {"type": "string", "enum": list(choices)})


def uuid_text(value: object, loc: Loc) -> str:
    """Check that `value` is a UUID with hyphens, and return it in lower case."""
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise InvalidError(Problem(loc, "Input should be a valid UUID", "uuid_parsing"))
    return value.lower()


UUID_VALIDATOR = Validator(uuid_text, {"type": "string", "format": "uuid"})


@validator(type="array", items={"type": "string", "format": "uuid"}, minItems=1)
def uuid_list(value: object, loc: Loc) -> list[str]:
    """Check that `value` is a list of at least one UUID, and return the UUIDs in lower case."""
    if not isinstance(value, list):
        raise InvalidError(Problem(loc, "Input should be a valid list", "list_type"))
    items = list(json_items(value))  # pyright: ignore[reportUnknownArgumentType]  # JSON: its items are objects
    if not items:
        raise InvalidError(
            Problem(loc, "List should have at least 1 item after validation, not 0", "too_short")
        )
    return [uuid_text(item, (*loc, index)) for index, item in enumerate(items)]


@validator(type="object", additionalProperties=SCALAR)
def metadata(value: object, loc: Loc) -> Mapping[str, object]:
    """Check that `value` is a JSON object whose values are strings, numbers or booleans.

    [contract 3]
    """
    if not is_json_object(value):
        raise InvalidError(Problem(loc, "Input should be a valid dictionary", "dict_type"))
    message = "Input should be a valid string, integer, number or boolean"
    problems = [
        Problem((*loc, key), message, "scalar_type")
        for key, item in value.items()
        if not isinstance(item, str | int | float)
    ]
    if problems:
        raise InvalidError(*problems)
    return value


_HTTP_URL = re.compile(r"https?://[^\s/?#]+[^\s]*", re.IGNORECASE)


def _can_split(url: str) -> bool:
    try:
        urlsplit(url)
    except ValueError:
        # For example, the host has brackets without an IPv6 address in them.
        return False
    return True


@validator(type="string", format="uri", minLength=1)
def http_url(value: object, loc: Loc) -> str:
    """Check that `value` is an absolute http or https URL, and return it unchanged."""
    url = text(1)(value, loc)
    if not isinstance(url, str) or not _HTTP_URL.fullmatch(url) or not _can_split(url):
        raise InvalidError(Problem(loc, "Input should be a valid URL", "url_parsing"))
    return url


@validator(anyOf=[{"type": "string", "format": "date-time"}, {"type": "null"}])
def date_time(value: object, loc: Loc) -> datetime:
    """Parse a date and time. The result is in UTC, or naive if `value` has no time zone."""
    try:
        time = parse_datetime(str(value))
        return time if time.tzinfo is None else time.astimezone(UTC)
    # A number of seconds outside the years 1 to 9999 raises OverflowError, which is an ArithmeticError.
    except (ArithmeticError, ValueError) as error:
        raise InvalidError(
            Problem(loc, f"Input should be a valid datetime or date, {error}", "datetime_parsing")
        ) from error


def with_time_zone(
    times: Iterable[tuple[datetime | None, Loc]], naive_dates: NaiveDates
) -> list[datetime | None]:
    """Return the times, with UTC added to those that have no time zone.

    If `naive_dates` is `"refused"`, raise `InvalidError` for the times that have no time zone.
    """
    times = list(times)
    naive = [loc for time, loc in times if time is not None and time.tzinfo is None]
    if naive and naive_dates == "refused":
        raise InvalidError(
            *(Problem(loc, "Input should have timezone info", "timezone_aware") for loc in naive)
        )
    return [
        time if time is None or time.tzinfo is not None else time.replace(tzinfo=UTC) for time, _ in times
    ]


@validator(type="string")
def timezone(value: object, loc: Loc) -> str:
    """Check that `value` is the name of an IANA time zone, and return it."""
    try:
        # UTC is not looked up, because the time zone database may be missing.
        if value != "UTC":
            ZoneInfo(str(value))
    except (KeyError, ValueError, OSError) as error:
        raise InvalidError(Problem(loc, "Input should be a valid IANA time zone", "value_error")) from error
    return str(value)


def header_uuid(name: str, value: str) -> str:
    """Check that the value of the header `name` is a UUID, and return it in lower case."""
    return uuid_text(value, ("header", name))


def _require_between(value: int, loc: Loc, minimum: int, maximum: int | None) -> int:
    if value < minimum:
        raise InvalidError(
            Problem(loc, f"Input should be greater than or equal to {minimum}", "greater_than_equal")
        )
    if maximum is not None and value > maximum:
        raise InvalidError(
            Problem(loc, f"Input should be less than or equal to {maximum}", "less_than_equal")
        )
    return value
