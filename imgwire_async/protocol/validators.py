"""The values inside a record, each taken strictly: null is never the text "None", 1 is never True.

A function takes a value of parsed JSON and the type that is due (cattrs' way of calling), and returns it or raises `TypeMismatchError`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NoReturn, cast

from imgwire_async import models


class TypeMismatchError(ValueError):
    """A value is not what the contract says. Tells types only: the value may be a secret."""


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
    return next((name for kind, name in _NAMES.items() if type(value) is kind), "something else")


def mismatch(expected: str, value: object) -> NoReturn:
    raise TypeMismatchError(f"expected {expected}, got {_kind(value)}")


def text(value: object, _: object) -> str:
    return value if type(value) is str else mismatch("text", value)


def boolean(value: object, _: object) -> bool:
    return value if type(value) is bool else mismatch("a boolean", value)


def integer(value: object, _: object) -> int:
    return value if type(value) is int else mismatch("an integer", value)


def number(value: object, _: object) -> float:
    # An integer stays one, so that what came in goes out the same.
    return value if type(value) is float or type(value) is int else mismatch("a number", value)


def size(value: object, _: object) -> int:
    """Like an integer, but null counts as 0: the service may not know sizes before READY."""
    if type(value) is int:
        return value
    return 0 if value is None else mismatch("an integer", value)


def time(value: object, _: object) -> datetime:
    if type(value) is not str:
        mismatch("a time as text", value)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise TypeMismatchError("expected an RFC 3339 time, got other text") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def mapping(value: object, _: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        mismatch("an object", value)
    return cast("dict[str, Any]", value)


_SCALARS = frozenset({str, int, float, bool})


def metadata(value: object, _: object) -> dict[str, Any]:
    data = mapping(value, None)
    if not _SCALARS.issuperset(map(type, data.values())):
        name, item = next((name, item) for name, item in data.items() if type(item) not in _SCALARS)
        raise TypeMismatchError(
            f"expected text, a number or a boolean under {name[:60]!r}, got {_kind(item)}"
        )
    return data


def fitting_metadata(value: object, _: object) -> dict[str, Any]:
    """Return the entries of odd metadata that fit; of what is no object, none."""
    if not isinstance(value, dict):
        return {}
    data = cast("dict[str, Any]", value)
    return {name: item for name, item in data.items() if type(item) in _SCALARS}


def text_or_int(value: object, _: object) -> str | int:
    return value if type(value) is str or type(value) is int else mismatch("text or an integer", value)


def enumerated(value: object, cls: type[models.OpenEnum]) -> models.OpenEnum:
    if type(value) is not str:
        mismatch("text", value)
    known = cls._value2member_map_.get(value)  # pyright: ignore[reportPrivateUsage]  # a call of the class costs 5 x
    return cast("models.OpenEnum", known) if known is not None else cls(value)
