"""JSON as it travels: bodies of requests written, bodies of answers read, and the error for what is no JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

from imgwire_async.errors import DecodeError
from imgwire_async.exchange import Exchange
from imgwire_async.logs import logger
from imgwire_async.messages import MAY_HAVE_SUCCEEDED
from imgwire_async.protocol import parsing
from imgwire_async.protocol.intermediaries import WEB_PAGE_ADVICE, web_page_title
from imgwire_async.redaction import excerpt, redacted_body


def _installed_orjson() -> Any:
    """The module, when the extra `speed` is installed, else None."""
    try:
        import orjson
    except ImportError:
        return None
    return orjson


def json_reader(orjson: Any) -> Callable[[bytes], Any]:
    """Return what parses JSON: the faster module when there is one, else the standard library. Both give and refuse the same."""
    return parsing.loads_strictly if orjson is None else orjson.loads


# Returns parsed JSON, or raises `ValueError` for what is no JSON.
loads: Callable[[bytes], Any] = json_reader(_installed_orjson())

# Requests refuse the same things with and without orjson: it writes NaN as null, so it gets those without numbers of that kind.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_quick_dumps: Callable[[object], bytes] | None = getattr(_installed_orjson(), "dumps", None)
_PLAIN_TYPES = frozenset({str, int, bool})


def _is_plain(data: object) -> bool:
    """Return whether both encoders write `data` alike: an object of nothing but plain values."""
    return isinstance(data, dict) and _PLAIN_TYPES.issuperset(
        map(type, cast("dict[str, object]", data).values())
    )


def dumps(data: object) -> bytes:
    """Return `data` as compact JSON in UTF-8. Raises `TypeError` or `ValueError` for what JSON cannot say."""
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


def loads_response(body: bytes, exchange: Exchange) -> Any:
    """Return the parsed body of an answer; odd values in it are repaired, and logged. Raises `ValueError` when it is no JSON all the same."""
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


def parse(body: bytes, exchange: Exchange) -> Any:
    """Return the body of a successful answer as parsed JSON. Raises `DecodeError` when it is none."""
    try:
        return loads_response(body, exchange)
    except ValueError as error:
        failure = _unreadable(body, exchange, _position(error))
    del body  # it may hold a signed URL, and an error report may list the variables of this frame
    raise failure  # here, because the parser's error holds the whole body


def _unreadable(body: bytes, exchange: Exchange, position: str) -> DecodeError:
    page = web_page_title(exchange.headers, body)
    if page is not None:
        return _not_from_api(body, exchange, f"a web page, not the API, answered ({page})")
    if body.strip() and not body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[", b'"')):
        # Broken JSON is the service's; words in its place are somebody else's.
        return _not_from_api(body, exchange, f"text that is no JSON, so not the API's, came ({position})")
    what = f"a body that is no JSON ({position})" if body.strip() else "an empty body"
    return decode_error(body, exchange, "$", what)


def _position(error: ValueError) -> str:
    text = str(error)  # may quote the offending text in neither library
    return excerpt(text, 120)


def _not_from_api(body: bytes, exchange: Exchange, what: str) -> DecodeError:
    """Return the error for a success that the API never sends, so that nobody knows whether the service did anything."""
    doubt = "" if exchange.method in {"GET", "HEAD"} else f" {MAY_HAVE_SUCCEEDED}"
    error = DecodeError(
        f"{exchange}: HTTP {exchange.status}, but {what}.{doubt} {WEB_PAGE_ADVICE}",
        body=redacted_body(body),
        exchange=exchange,
    )
    error.from_api = False
    return error


def decode_error(body: bytes, exchange: Exchange, path: str, reason: str) -> DecodeError:
    """Return the error for an answer of the API that is not what the operation gives; `path` is the place in it."""
    return DecodeError(
        f"{exchange}: HTTP {exchange.status}, but the answer does not fit: {path}: {reason}.{side_effect_warning(exchange)} "
        "If this goes on, a newer version of imgwire-async may know the new form.",
        path=path,
        body=redacted_body(body),
        exchange=exchange,
    )


def side_effect_warning(exchange: Exchange) -> str:
    """Return the sentence for callers who might repeat a call whose answer, a success, cannot be read; nothing for a GET."""
    if exchange.method in {"GET", "HEAD"}:
        return ""
    return " The service carried out this call, but its response is unreadable: check the records before you repeat it."
