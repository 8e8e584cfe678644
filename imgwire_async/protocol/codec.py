"""Models <-> JSON: answers become records, records become JSON-ready data, and the way back.

Nothing is converted silently: null is never the text "None", 1 is never True. How records are made is told in `structure` and `records`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar, cast

import attrs

from imgwire_async import models
from imgwire_async.errors import DecodeError
from imgwire_async.protocol.json import decode_error, parse
from imgwire_async.protocol.request import APIResponse
from imgwire_async.protocol.structure import error_path, structure

T = TypeVar("T")
RecordT = TypeVar("RecordT", bound=models.Record)


def decode(response: APIResponse, model: type[T]) -> T:
    """Return the body of a successful answer as a `model`. Raises `DecodeError`, which names the place that does not fit."""
    # Of an opaque answer nothing is expected but that it is a success.
    if not response.body.strip() and cast("object", model) is dict:
        return cast("T", {})
    data = parse(response.body, response.exchange)
    if data is None and cast("object", model) is dict:  # what a handler without words gives
        return cast("T", {})
    try:
        return structure(data, model)
    except Exception as error:  # noqa: BLE001  # cattrs raises groups of anything; all of it means "does not fit"
        path, reason = error_path(error)
    # It may hold a signed URL, as do the frames of what could not read it: neither is told with the error.
    del data
    raise decode_error(response.body, response.exchange, path, reason)


# --- models -> JSON ---------------------------------------------------------------------------------------------------


def to_dict(model: models.Record) -> dict[str, Any]:
    """`model` as JSON-ready data, equal to what came in: unknown fields included, times in RFC 3339, absent nulls as null."""
    if not isinstance(model, models.Record):  # pyright: ignore[reportUnnecessaryIsInstance]  # not everybody checks types
        raise TypeError(f"to_dict takes a record of the service (an Image, ...), not {type(model).__name__}")
    fields = {
        field.name: _plain(getattr(model, field.name))
        for field in attrs.fields(type(model))
        if field.name != "extra"
    }
    extra: dict[str, Any] = _plain(model.extra)
    return fields | extra


def _plain(value: object) -> Any:
    if isinstance(value, models.Record):
        return to_dict(value)
    if isinstance(value, datetime):
        text = value.isoformat()
        return f"{text[:-6]}Z" if text.endswith("+00:00") else text
    if isinstance(value, models.OpenEnum):
        return value.value
    if isinstance(value, tuple | list):
        return [_plain(item) for item in cast("tuple[object, ...]", value)]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in cast("dict[str, object]", value).items()}
    return value


# --- stored JSON -> models --------------------------------------------------------------------------------------------


def from_dict(model: type[RecordT], data: Mapping[str, Any]) -> RecordT:
    """Return the record of class `model` that `data` holds: the way back from `to_dict`, as strict as an answer's decoding.

    `from_dict(Image, json.loads(text))`; unknown fields go to `.extra`. The record shares nothing with `data`. Raises
    `DecodeError` with the place (`$.created_at`) when `data` does not fit, `TypeError` for another class or for what is no
    mapping.
    """
    _require_model(model)
    if not isinstance(data, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  # not everybody checks types
        raise TypeError(f"from_dict takes one record's data as a mapping, {_what_instead(model, data)}")
    try:
        return structure(copy.deepcopy(dict(data)), model)
    except Exception as error:  # noqa: BLE001  # as in `decode`
        path, reason = error_path(error)
    raise DecodeError(
        f"from_dict({model.__name__}, ...): the data does not fit: {path}: {reason}. "
        f"Give what to_dict made of one {model.__name__}, whole and unchanged.",
        path=path,
    )


def _require_model(model: Any) -> None:
    known = [
        kind
        for kind in vars(models).values()
        if isinstance(kind, type) and issubclass(kind, models.Record) and kind is not models.Record
    ]
    if model in known:
        return
    given = model.__name__ if isinstance(model, type) else f"an object of class {type(model).__name__}"
    names = ", ".join(kind.__name__ for kind in known)
    raise TypeError(f"from_dict takes the class of a record first, not {given}; the classes are {names}")


def _what_instead(model: type[models.Record], data: object) -> str:
    name, kind = model.__name__, type(data).__name__
    if isinstance(data, str | bytes | bytearray | memoryview):
        return f"not {kind}: from_dict({name}, json.loads(data))"
    if isinstance(data, models.Record):
        return f"and this is a record ({kind}) already: use it as it is"
    if isinstance(data, list | tuple):
        return f"not a {kind}: [from_dict({name}, each) for each in data]"
    return f"not {kind}"
