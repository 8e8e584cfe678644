"""Models <-> JSON: answers become records or errors, records and requests become JSON.

Nothing is converted silently: null is never the text "None", 1 is never True. How records are made is told in `structure`.
"""

from __future__ import annotations

import copy
import json as _json
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar, cast

import attrs

from imgwire_async import errors, models
from imgwire_async.exchange import Exchange
from imgwire_async.protocol import parsing
from imgwire_async.protocol.intermediaries import WHO_SENDS_PAGES, web_page
from imgwire_async.protocol.request import APIResponse
from imgwire_async.protocol.structure import place, structure
from imgwire_async.redaction import escape_unprintable, excerpt, redacted_prefix

T = TypeVar("T")
RecordT = TypeVar("RecordT", bound=models.Record)

logger: logging.Logger = logging.getLogger("imgwire_async")


def _installed_orjson() -> Any:
    """The module, when the extra `speed` is installed, else None."""
    try:
        import orjson
    except ImportError:
        return None
    return orjson


KEPT_BODY = 10_000  # characters of a body that an error keeps; messages show 300


def json_reader(orjson: Any) -> Callable[[bytes], Any]:
    """What parses JSON: the faster module when there is one, else the standard library. Both give and refuse the same."""
    return parsing.loads_plainly if orjson is None else orjson.loads


# Requests refuse the same things with and without orjson: it writes NaN as null, so it gets those without numbers of that kind.
_ENCODER = _json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_loads = json_reader(_installed_orjson())
_quick_dumps: Callable[[object], bytes] | None = getattr(_installed_orjson(), "dumps", None)
_PLAIN_TYPES = frozenset({str, int, bool})


def _is_plain(data: object) -> bool:
    """Whether both encoders say the same of it: an object of nothing but these."""
    return isinstance(data, dict) and _PLAIN_TYPES.issuperset(
        map(type, cast("dict[str, object]", data).values())
    )


def loads(body: bytes) -> Any:
    """Parsed JSON. Raises `ValueError` for what is no JSON."""
    return _loads(body)


def dumps(data: object) -> bytes:
    """`data` as compact JSON in UTF-8. Raises `TypeError` or `ValueError` for what JSON cannot say."""
    if _quick_dumps is not None and _is_plain(data):
        try:
            return _quick_dumps(data)
        except TypeError:  # the other one knows why
            pass
    try:
        return _ENCODER.encode(data).encode()
    except UnicodeError:
        raise ValueError("json holds half a surrogate pair, which is no text") from None
    except RecursionError:
        raise ValueError("json is nested too deeply") from None
    except TypeError as error:
        raise TypeError(f"json must hold what JSON can say: {excerpt(str(error), 120)}") from error
    except ValueError as error:
        raise ValueError(f"json must hold what JSON can say: {excerpt(str(error), 120)}") from error


def loads_answer(body: bytes, exchange: Exchange) -> Any:
    """The JSON of an answer; an odd value in it is repaired, and logged. Raises `ValueError` for what is no JSON all the same."""
    try:
        return loads(body)
    except ValueError as error:
        data = parsing.loads_repaired(body, error)
        logger.warning(
            "%s: the answer is not quite JSON (%s); what is odd in it was replaced",
            exchange,
            _position(error),
        )
        return data


def parse(reply: APIResponse) -> Any:
    """The body of a successful answer as parsed JSON, or a `DecodeError`."""
    try:
        return loads_answer(reply.body, reply.exchange)
    except ValueError as error:
        page = web_page(reply.headers, reply.body)
        position = _position(error)
        what = "an empty body" if not reply.body.strip() else f"a body that is no JSON ({position})"
    if page is not None:
        raise _foreign_answer(reply, f"a web page, not the API, answered ({page})")
    if reply.body.strip() and not reply.body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[", b'"')):
        # Broken JSON is the service's; words in its place are somebody else's.
        raise _foreign_answer(reply, f"text that is no JSON, so not the API's, came ({position})")
    raise _decode_error(reply, "$", what)  # here, because the parser's error holds the whole body


def _position(error: ValueError) -> str:
    text = str(error)  # may quote the offending text in neither library
    return excerpt(text, 120)


def decode(reply: APIResponse, model: type[T]) -> T:
    """The body of a successful answer as a `model`, or a `DecodeError` that names the place."""
    # Of an opaque answer nothing is expected but that it is a success.
    if not reply.body.strip() and cast("object", model) is dict:
        return cast("T", {})
    data = parse(reply)
    if data is None and cast("object", model) is dict:  # what a handler without words gives
        return cast("T", {})
    try:
        return structure(data, model)
    except Exception as error:  # noqa: BLE001  # cattrs raises groups of anything; all of it means "does not fit"
        path, reason = place(error)
    # It may hold a signed URL, as do the frames of what could not read it: neither is told with the error.
    del data
    raise _decode_error(reply, path, reason)


def kept(body: bytes, *secrets: str) -> str:
    """The part of a body that an error keeps, as text. Cut only after the secrets are out: half of one is still one."""
    # Twice cut: a character may be four bytes, and a body of 64 MiB is not worth decoding for its beginning.
    text = redacted_prefix(body[: KEPT_BODY * 20].decode("utf-8", "replace"), KEPT_BODY, *secrets)
    return escape_unprintable(text, keep="\n\r\t")[:KEPT_BODY]


def carried_out(exchange: Exchange) -> str:
    """What whoever repeats a call must know when its answer, a success, cannot be read."""
    if exchange.method in {"GET", "HEAD"}:
        return ""
    return " The service carried the call out, only its answer is unreadable: look before you repeat it."


def _foreign_answer(reply: APIResponse, what: str) -> errors.DecodeError:
    """The error for a success that the API never sends, so that nobody knows whether the service did anything."""
    exchange = reply.exchange
    doubt = (
        ""
        if exchange.method in {"GET", "HEAD"}
        else " Whether the service carried the call out is unknown: list or retrieve what it was about before you repeat it."
    )
    error = errors.DecodeError(
        f"{exchange}: HTTP {reply.status}, but {what}.{doubt} {WHO_SENDS_PAGES}",
        body=kept(reply.body),
        exchange=exchange,
    )
    error.from_api = False
    return error


def _decode_error(reply: APIResponse, path: str, reason: str) -> errors.DecodeError:
    exchange = reply.exchange
    return errors.DecodeError(
        f"{exchange}: HTTP {reply.status}, but the answer does not fit: {path}: {reason}.{carried_out(exchange)} "
        "If this goes on, a newer version of imgwire-async may know the new form.",
        path=path,
        body=kept(reply.body),
        exchange=exchange,
    )


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
        path, reason = place(error)
    raise errors.DecodeError(
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
