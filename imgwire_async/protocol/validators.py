"""Hooks with which cattrs decodes the values inside a model.

A hook takes a value of parsed JSON and the expected type. It returns the decoded value, or raises
`TypeMismatchError`. Except for the sizes of an image, where null becomes 0, no value is converted silently:
null never becomes the text "None", and 1 never becomes True.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NoReturn, cast

from imgwire_async import models


class TypeMismatchError(ValueError):
    """A value in a response does not have the type that the API documents.

    The message has the types only, because the value may be secret.
    """


_JSON_TYPE_NAMES = {
    type(None): "null",
    str: "text",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    list: "a list",
    dict: "an object",
}


def _json_type_name(value: Any) -> str:
    """Return the name of the JSON type of a value, for messages."""
    return next((name for kind, name in _JSON_TYPE_NAMES.items() if type(value) is kind), "something else")


def mismatch(expected: str, value: object) -> NoReturn:
    """Raise `TypeMismatchError` with the description `expected` and the type of `value`."""
    raise TypeMismatchError(f"expected {expected}, got {_json_type_name(value)}")


def text(value: object, _: object) -> str:
    """Return `value` if it is a string. Raise `TypeMismatchError` for any other type."""
    return value if type(value) is str else mismatch("text", value)


def boolean(value: object, _: object) -> bool:
    """Return `value` if it is a boolean. Raise `TypeMismatchError` for any other type."""
    return value if type(value) is bool else mismatch("a boolean", value)


def integer(value: object, _: object) -> int:
    """Return `value` if it is an integer. Raise `TypeMismatchError` for any other type."""
    return value if type(value) is int else mismatch("an integer", value)


def number(value: object, _: object) -> float:
    """Return `value` if it is a float or an integer. Raise `TypeMismatchError` for any other type."""
    # An integer stays an integer, so that `to_dict` returns the original data.
    return value if type(value) is float or type(value) is int else mismatch("a number", value)


def size(value: object, _: object) -> int:
    """Return `value` if it is an integer, and 0 for null.

    Sizes may be null because the service may not know them before an image is READY.
    """
    if type(value) is int:
        return value
    return 0 if value is None else mismatch("an integer", value)


def time(value: object, _: object) -> datetime:
    """Convert an RFC 3339 time to a datetime. A time without a timezone is taken as UTC."""
    if type(value) is not str:
        mismatch("a time as text", value)
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        raise TypeMismatchError("expected an RFC 3339 time, got other text") from None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)


def mapping(value: object, _: object) -> dict[str, Any]:
    """Return `value` if it is a JSON object, which Python parses to a dict."""
    if not isinstance(value, dict):
        mismatch("an object", value)
    return cast("dict[str, Any]", value)


_SCALARS = frozenset({str, int, float, bool})


def metadata(value: object, _: object) -> dict[str, Any]:
    """Return `value` if it is a JSON object and its values are text, numbers or booleans."""
    data = mapping(value, None)
    if not _SCALARS.issuperset(map(type, data.values())):
        name, item = next((name, item) for name, item in data.items() if type(item) not in _SCALARS)
        raise TypeMismatchError(
            f"expected text, a number or a boolean under {name[:60]!r}, got {_json_type_name(item)}"
        )
    return data


def valid_metadata_entries(value: object, _: object) -> dict[str, Any]:
    """Return the entries of `value` that are valid metadata: text, numbers and booleans.

    Called after the hook `metadata` or `mapping` has rejected `value`. The result is empty when `value` is
    not a JSON object.
    """
    if not isinstance(value, dict):
        return {}
    data = cast("dict[str, Any]", value)
    return {name: item for name, item in data.items() if type(item) in _SCALARS}


def text_or_int(value: object, _: object) -> str | int:
    """Return `value` if it is a string or an integer. Raise `TypeMismatchError` for any other type."""
    return value if type(value) is str or type(value) is int else mismatch("text or an integer", value)


def enum_member(value: object, cls: type[models.OpenEnum]) -> models.OpenEnum:
    """Return the member of the enum `cls` with the value `value`. An unknown value becomes a new member."""
    if type(value) is not str:
        mismatch("text", value)
    known = cls._value2member_map_.get(value)  # pyright: ignore[reportPrivateUsage]  # five times as fast as a call of the class
    return cast("models.OpenEnum", known) if known is not None else cls(value)
