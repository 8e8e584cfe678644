"""Structure hooks of cattrs for the values inside a model, each without silent conversion.

null never becomes the text "None", and 1 never becomes True. A hook takes a value of parsed JSON and its
type. It returns the value, or raises `TypeMismatchError`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NoReturn, cast

from imgwire_async import models


class TypeMismatchError(ValueError):
    """A value has another type than the contract says.

    The message names types only, because a value may be secret.
    """


_NAMES = {
    type(None): "null",
    str: "text",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    list: "a list",
    dict: "an object",
}


def _kind(value: Any) -> str:
    """Return the name of a value's JSON type."""
    return next((name for kind, name in _NAMES.items() if type(value) is kind), "something else")


def mismatch(expected: str, value: object) -> NoReturn:
    """Raise `TypeMismatchError` for a value that is not what was expected."""
    raise TypeMismatchError(f"expected {expected}, got {_kind(value)}")


def text(value: object, _: object) -> str:
    """Return a string."""
    return value if type(value) is str else mismatch("text", value)


def boolean(value: object, _: object) -> bool:
    """Return a boolean."""
    return value if type(value) is bool else mismatch("a boolean", value)


def integer(value: object, _: object) -> int:
    """Return an integer."""
    return value if type(value) is int else mismatch("an integer", value)


def number(value: object, _: object) -> float:
    """Return a float or an integer."""
    # An integer stays an integer, so that `to_dict` returns the original data.
    return value if type(value) is float or type(value) is int else mismatch("a number", value)


def size(value: object, _: object) -> int:
    """Return an integer, or 0 for null: the service may not know sizes before READY."""
    if type(value) is int:
        return value
    return 0 if value is None else mismatch("an integer", value)


def time(value: object, _: object) -> datetime:
    """Return an RFC 3339 time as a datetime with a timezone, UTC when it names none."""
    if type(value) is not str:
        mismatch("a time as text", value)
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        raise TypeMismatchError("expected an RFC 3339 time, got other text") from None
    return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)


def mapping(value: object, _: object) -> dict[str, Any]:
    """Return an object of JSON as a dict."""
    if not isinstance(value, dict):
        mismatch("an object", value)
    return cast("dict[str, Any]", value)


_SCALARS = frozenset({str, int, float, bool})


def metadata(value: object, _: object) -> dict[str, Any]:
    """Return an object whose values are text, numbers or booleans."""
    data = mapping(value, None)
    if not _SCALARS.issuperset(map(type, data.values())):
        name, item = next((name, item) for name, item in data.items() if type(item) not in _SCALARS)
        raise TypeMismatchError(
            f"expected text, a number or a boolean under {name[:60]!r}, got {_kind(item)}"
        )
    return data


def valid_metadata(value: object, _: object) -> dict[str, Any]:
    """Return the valid entries of metadata that did not fit, or none when the value is not an object."""
    if not isinstance(value, dict):
        return {}
    data = cast("dict[str, Any]", value)
    return {name: item for name, item in data.items() if type(item) in _SCALARS}


def text_or_int(value: object, _: object) -> str | int:
    """Return a string or an integer."""
    return value if type(value) is str or type(value) is int else mismatch("text or an integer", value)


def enumerated(value: object, cls: type[models.OpenEnum]) -> models.OpenEnum:
    """Return the member of an open enum; an unknown value becomes a new member."""
    if type(value) is not str:
        mismatch("text", value)
    known = cls._value2member_map_.get(value)  # pyright: ignore[reportPrivateUsage]  # five times as fast as a call of the class
    return cast("models.OpenEnum", known) if known is not None else cls(value)
