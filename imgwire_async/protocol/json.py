"""Encode the JSON bodies of requests, parse the bodies of responses, and create errors for invalid JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

from imgwire_async.errors import DecodeError
from imgwire_async.exchange import Exchange
from imgwire_async.logs import logger
from imgwire_async.messages import outcome_warning
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


def json_parser(orjson: Any) -> Callable[[bytes], Any]:
    """Return the parser of the module `orjson`. If `orjson` is None, return an equally strict parser."""
    return parsing.loads_strictly if orjson is None else orjson.loads


# Parses a body. Raises `ValueError` for invalid JSON.
loads: Callable[[bytes], Any] = json_parser(_installed_orjson())

# The same values must be rejected with and without orjson, but orjson would write NaN as null. So orjson
# encodes only data without floats, and this encoder encodes all other data.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_fast_dumps: Callable[[object], bytes] | None = getattr(_installed_orjson(), "dumps", None)
_PLAIN_TYPES = frozenset({str, int, bool})


def _is_plain(data: object) -> bool:
    """Return whether `data` is a dict of text, int and bool values, which orjson and `json` encode alike."""
    return isinstance(data, dict) and _PLAIN_TYPES.issuperset(
        map(type, cast("dict[str, object]", data).values())
    )


def dumps(data: object) -> bytes:
    """Encode `data` as compact JSON in UTF-8.

    Raises `TypeError` or `ValueError` for a value that JSON cannot represent.
    """
    if _fast_dumps is not None and _is_plain(data):
        try:
            return _fast_dumps(data)
        except TypeError:
            # The data is encoded again below. That encoder raises an error with a better message.
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
    """Parse the body of a response.

    When the body is not valid JSON, its invalid values are replaced, and a warning is logged. Raises
    `ValueError` when the body cannot be repaired.
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
    """Parse the body of a successful response. Raises `DecodeError` when it is not JSON."""
    try:
        return loads_response(body, exchange)
    except ValueError as error:
        decode_failure = _invalid_json_error(body, exchange, _parser_message(error))
    # Tools for error reports list the local variables of this frame, and the body may hold a presigned URL.
    del body
    # Raised outside of the `except` block, because the parser's error contains the body. Inside the block,
    # Python would store the parser's error in `__context__` of this error.
    raise decode_failure


def _invalid_json_error(body: bytes, exchange: Exchange, parser_message: str) -> DecodeError:
    """Return the error for a successful response whose body is not JSON.

    `parser_message` contains the position of the fault.
    """
    page = web_page_title(exchange.headers, body)
    if page is not None:
        return _not_from_api_error(body, exchange, f"the response is a web page, not the API's ({page})")
    if body.strip() and not body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[", b'"')):
        # A body that begins like JSON may be JSON of the service with a fault. This body does not, so another
        # server has sent it.
        return _not_from_api_error(
            body, exchange, f"the response is text and not JSON, so not the API's ({parser_message})"
        )
    what = f"the body is not valid JSON ({parser_message})" if body.strip() else "the body is empty"
    return decode_error(body, exchange, "$", what)


def _parser_message(error: ValueError) -> str:
    """Return the message of the JSON parser, shortened.

    It contains the position of the fault, and never a part of the body.
    """
    return excerpt(str(error), 120)


def _not_from_api_error(body: bytes, exchange: Exchange, what: str) -> DecodeError:
    """Return the error for a response that has a successful status, but does not come from the API.

    For calls that change something, the message says that the service may have carried out the call.
    `what` describes the body.
    """
    warning = outcome_warning(exchange.method, exchange.path)
    error = DecodeError(
        f"{exchange}: HTTP {exchange.status}, but {what}. {WEB_PAGE_ADVICE} {warning}".rstrip(),
        body=redacted_body(body),
        exchange=exchange,
    )
    error.from_api = False
    return error


def decode_error(body: bytes, exchange: Exchange, path: str, reason: str) -> DecodeError:
    """Return the error for a response of the API that cannot be decoded to the model of the operation.

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
    """Return a warning that the service may have carried out a call whose response cannot be decoded.

    The result is empty for GET and HEAD, which change nothing.
    """
    if exchange.method in {"GET", "HEAD"}:
        return ""
    return " The service carried out this call, but its response is unreadable: check the records before you repeat it."
