"""Decode responses to models. Convert models to dicts that `json.dumps` accepts, and such dicts to models.

Except for the sizes of an image, where null becomes 0, no value is converted silently: null never becomes the
text "None", and 1 never becomes True. This module calls `structure`, which creates the models.
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
    """Decode the body of a successful response, and return it as an object of the type `model`.

    Raises `DecodeError` with the JSON path of the value that does not fit.
    """
    # `model` is `dict` when the API does not document the body. An empty body or null becomes an empty dict.
    if not response.body.strip() and cast("object", model) is dict:
        return cast("T", {})
    data = parse(response.body, response.exchange)
    if data is None and cast("object", model) is dict:
        return cast("T", {})
    try:
        return structure(data, model)
    except Exception as error:  # noqa: BLE001  # cattrs raises groups of any exceptions
        path, reason = error_path(error)
    # Tools for error reports list the local variables of all frames, and `data` may hold a presigned URL.
    # So `data` is deleted. For the same reason, the decoder's error is not the cause of the new error.
    del data
    raise decode_error(response.body, response.exchange, path, reason)


# --- models -> JSON -----------------------------------------------------------------------------------------


def to_dict(model: models.Record) -> dict[str, Any]:
    """Convert a model, such as an `Image`, to a dict that `json.dumps` accepts.

    The dict has the same content as the JSON from which the model was decoded. It includes the fields that
    this version of the SDK does not know. Times are RFC 3339 text, and absent values are None. Raises
    `TypeError` when `model` is not a model of this package.
    """
    if not isinstance(model, models.Record):  # pyright: ignore[reportUnnecessaryIsInstance]  # for callers without a type checker
        raise TypeError(
            f"to_dict takes a model of this package, such as an Image, not {type(model).__name__}"
        )
    fields = {
        field.name: _to_json(getattr(model, field.name))
        for field in attrs.fields(type(model))
        if field.name != "extra"
    }
    extra: dict[str, Any] = _to_json(model.extra)
    return fields | extra


def _to_json(value: object) -> Any:
    """Convert a value in a field of a model to a value that `json.dumps` accepts."""
    if isinstance(value, models.Record):
        return to_dict(value)
    if isinstance(value, datetime):
        text = value.isoformat()
        return f"{text[:-6]}Z" if text.endswith("+00:00") else text
    if isinstance(value, models.OpenEnum):
        return value.value
    if isinstance(value, tuple | list):
        return [_to_json(item) for item in cast("tuple[object, ...]", value)]
    if isinstance(value, dict):
        return {name: _to_json(item) for name, item in cast("dict[str, object]", value).items()}
    return value


# --- stored JSON -> models ----------------------------------------------------------------------------------


def from_dict(model: type[RecordT], data: Mapping[str, Any]) -> RecordT:
    """Create an object of the class `model` from `data`, a mapping that `to_dict` returned.

    `from_dict(Image, json.loads(text))`

    `data` is checked as strictly as a response. Unknown fields are stored in `.extra`. `data` is copied, so
    later changes of `data` do not affect the object. Raises `DecodeError` with the JSON path of the value
    that does not fit, such as `$.created_at`. Raises `TypeError` when `model` is not a model class of this
    package, or when `data` is not a mapping.
    """
    _require_model(model)
    if not isinstance(data, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]  # for callers without a type checker
        raise TypeError(f"from_dict takes the data of one model as a mapping, {_data_advice(model, data)}")
    try:
        return structure(copy.deepcopy(dict(data)), model)
    except Exception as error:  # noqa: BLE001  # as in `decode`
        path, reason = error_path(error)
    raise DecodeError(
        f"from_dict({model.__name__}, ...): the data does not fit: {path}: {reason}. "
        f"Pass the complete result of to_dict for one {model.__name__}.",
        path=path,
    )


def _require_model(model: Any) -> None:
    """Raise a `TypeError` unless `model` is one of the model classes."""
    known = [
        value
        for value in vars(models).values()
        if isinstance(value, type) and issubclass(value, models.Record) and value is not models.Record
    ]
    if model in known:
        return
    given = model.__name__ if isinstance(model, type) else f"an object of class {type(model).__name__}"
    names = ", ".join(known_model.__name__ for known_model in known)
    raise TypeError(
        f"from_dict takes a model class as its first argument, not {given}; the classes are {names}"
    )


def _data_advice(model: type[models.Record], data: object) -> str:
    """Return the end of an error message: the type of `data`, which is not a mapping, and the right call."""
    name, kind = model.__name__, type(data).__name__
    if isinstance(data, str | bytes | bytearray | memoryview):
        return f"not {kind}: from_dict({name}, json.loads(data))"
    if isinstance(data, models.Record):
        return f"but `data` is a model ({kind}) already: use it as it is"
    if isinstance(data, list | tuple):
        return f"not a {kind}: [from_dict({name}, item) for item in data]"
    return f"not {kind}"
