"""Encode JSON bodies of requests, decode those of responses, and make the error for invalid JSON."""

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
    """Return the module `orjson`, or None when the extra `speed` is not installed."""
    try:
        import orjson
    except ImportError:
        return None
    return orjson


def json_reader(orjson: Any) -> Callable[[bytes], Any]:
    """Return orjson's parser, or one that accepts and rejects the same when orjson is not installed."""
    return parsing.loads_strictly if orjson is None else orjson.loads


# Returns the parsed body. Raises `ValueError` for invalid JSON.
loads: Callable[[bytes], Any] = json_reader(_installed_orjson())

# Requests reject the same values with and without orjson. It writes NaN as null, so it encodes only data
# without floats.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_fast_dumps: Callable[[object], bytes] | None = getattr(_installed_orjson(), "dumps", None)
_PLAIN_TYPES = frozenset({str, int, bool})


def _is_plain(data: object) -> bool:
    """Return whether `data` is an object of text, int and bool values, which both encoders write alike."""
    return isinstance(data, dict) and _PLAIN_TYPES.issuperset(
        map(type, cast("dict[str, object]", data).values())
    )


def dumps(data: object) -> bytes:
    """Return `data` as compact JSON in UTF-8.

    Raises `TypeError` or `ValueError` for a value that JSON cannot represent.
    """
    if _fast_dumps is not None and _is_plain(data):
        try:
            return _fast_dumps(data)
        # The other encoder raises a better message.
        except TypeError:
            pass
    try:
        return _ENCODER.encode(data).encode()
    except UnicodeError:
        raise ValueError("json holds half a surrogate pair, which is not valid text") from None
    except RecursionError:
        raise ValueError("json is nested too deeply") from None
    except TypeError as error:
        raise TypeError(
            f"json holds a value that JSON cannot represent: {excerpt(str(error), 120)}"
        ) from error
    except ValueError as error:
        raise ValueError(
            f"json holds a value that JSON cannot represent: {excerpt(str(error), 120)}"
        ) from error


def loads_response(body: bytes, exchange: Exchange) -> Any:
    """Return the parsed body of a response. Odd values in it are repaired, and a warning is logged.

    Raises `ValueError` when the body cannot be repaired.
    """
    try:
        return loads(body)
    except ValueError as error:
        data = parsing.loads_repaired(body, error)
        logger.warning(
            "%s: the response is not valid JSON (%s); invalid values in it were replaced",
            exchange,
            _parser_message(error),
        )
        return data


def parse(body: bytes, exchange: Exchange) -> Any:
    """Return the parsed body of a successful response. Raises `DecodeError` for invalid JSON."""
    try:
        return loads_response(body, exchange)
    except ValueError as error:
        decode_failure = _invalid_json(body, exchange, _parser_message(error))
    # The body may hold a presigned URL, and an error report may list the variables of this frame.
    del body
    # Raised outside of the handler, because the parser's error holds the whole body.
    raise decode_failure


def _invalid_json(body: bytes, exchange: Exchange, position: str) -> DecodeError:
    """Return the error for a successful response whose body is not JSON."""
    page = web_page_title(exchange.headers, body)
    if page is not None:
        return _not_from_api(body, exchange, f"the response is a web page, not the API's ({page})")
    if body.strip() and not body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[", b'"')):
        # Invalid JSON may come from the service. Text without any sign of JSON comes from another server.
        return _not_from_api(
            body, exchange, f"the response is text and not JSON, so not the API's ({position})"
        )
    what = f"the body is not valid JSON ({position})" if body.strip() else "the body is empty"
    return decode_error(body, exchange, "$", what)


def _parser_message(error: ValueError) -> str:
    """Return the parser's message, which has the position of the error. It never quotes the body."""
    return excerpt(str(error), 120)


def _not_from_api(body: bytes, exchange: Exchange, what: str) -> DecodeError:
    """Return the error for a success that the API never sends.

    Another server sent the response, so it is unknown whether the service carried out the call.
    """
    warning = "" if exchange.method in {"GET", "HEAD"} else f" {MAY_HAVE_SUCCEEDED}"
    error = DecodeError(
        f"{exchange}: HTTP {exchange.status}, but {what}.{warning} {WEB_PAGE_ADVICE}",
        body=redacted_body(body),
        exchange=exchange,
    )
    error.from_api = False
    return error


def decode_error(body: bytes, exchange: Exchange, path: str, reason: str) -> DecodeError:
    """Return the error for a response of the API that does not fit the operation's model.

    `path` is the JSON path of the value that does not fit, and `reason` says why.
    """
    return DecodeError(
        f"{exchange}: HTTP {exchange.status}, but the response does not fit: {path}: {reason}.{side_effect_warning(exchange)} "
        "If this persists, a newer version of imgwire-async may know the new format.",
        path=path,
        body=redacted_body(body),
        exchange=exchange,
    )


def side_effect_warning(exchange: Exchange) -> str:
    """Return a warning for callers who might repeat a call whose successful response cannot be decoded.

    It is empty for a GET, which may be repeated.
    """
    if exchange.method in {"GET", "HEAD"}:
        return ""
    return " The service carried out this call, but its response is unreadable: check the records before you repeat it."
