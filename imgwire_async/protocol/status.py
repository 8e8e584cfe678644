"""Create the error for a response of the API that is not successful, with advice for the user.

[contract 5]
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from imgwire_async import errors, models
from imgwire_async.exchange import Exchange
from imgwire_async.formatting import shortened
from imgwire_async.messages import outcome_warning
from imgwire_async.protocol.intermediaries import (
    WEB_PAGE_ADVICE,
    ProxyInUse,
    is_proxy_response,
    web_page_title,
)
from imgwire_async.protocol.json import loads_response
from imgwire_async.protocol.structure import structure
from imgwire_async.redaction import (
    MAX_BODY_CHARS,
    escape_unprintable,
    excerpt,
    redacted_body,
    redacted_prefix,
)

# Maps a status to the class of its error and the advice in the message.
_BY_STATUS: dict[int, tuple[type[errors.APIStatusError], str]] = {
    400: (
        errors.BadRequestError,
        "Check the arguments; if they are right, a proxy in between may have changed the request.",
    ),
    401: (
        errors.AuthenticationError,
        "Check the key (api_key= or IMGWIRE_API_KEY).",
    ),
    402: (
        errors.PaymentRequiredError,
        "A subscription is missing or a plan limit is reached: see billing, or free some quota.",
    ),
    403: (
        errors.PermissionDeniedError,
        (
            "This key may not do that: most operations need a server key (an upload with a client key needs upload_token=), and "
            "the resource must be of the key's environment."
        ),
    ),
    404: (errors.NotFoundError, "Check the id, and that the key belongs to the environment that holds it."),
    409: (
        errors.ConflictError,
        "Something with this name or idempotency key exists already: use that one, or choose another name or key.",
    ),
    413: (errors.PayloadTooLargeError, "Send less in one request."),
    414: (errors.APIStatusError, "The address is too long for the server: send fewer or shorter params."),
    422: (errors.UnprocessableEntityError, "The service rejects these values: correct those that it names."),
    429: (
        errors.RateLimitError,
        "Wait as long as .retry_after says, lower the concurrency, or allow more waiting in RetryPolicy.",
    ),
    431: (
        errors.APIStatusError,
        "A header of the request is too long for the server: shorten default_headers, user_agent or the key.",
    ),
    511: (
        errors.ServerError,
        "The network requires a login (captive portal): open any page in a browser and log in.",
    ),
}
_UPLOAD_401_ADVICE = " Or check the upload token, which works once and not for long."
_REDIRECT_ADVICE = "The API moved within its origin: check base_url (http instead of https, a missing path?)."
_SERVER_ADVICE = "The service failed; try again later."
_REQUEST_ID_ADVICE = " Name the request id when you ask for help."
# A 422 response may list very many rejected values. Secrets are removed from each one, which takes time, so
# the error keeps only this many.
_MAX_ISSUES = 1_000
_MAX_ISSUES_IN_MESSAGE = 100
# Statuses that a server may send when a header of the request is too long.
_MAYBE_TOO_LONG = frozenset({400, 413, 431, 494})
# Statuses that mean the same when a proxy sends them instead of the API.
_UNAMBIGUOUS = frozenset({414, 431, 511})
# How many bytes at the start of a web page are searched for the texts of `_HTTPS_REQUIRED`.
_HTTPS_TEXT_BYTES = 4_096
# After these statuses it is unknown whether the service carried out the call. 501 and 511 reject the call.
_MAY_HAVE_SUCCEEDED = frozenset(range(500, 600)) - {501, 511}
# Servers (nginx, Apache, Go) send one of these texts when a client uses plain http at an https port.
_HTTPS_REQUIRED = (b"sent to https port", b"http request to an https server", b"plain http to an ssl-enabled")
_GATEWAY_ADVICE = "Such a response may come from a gateway, proxy or firewall that cannot reach the service; try again later."
_NO_IDS: Mapping[str, str] = {}
_UNEXPECTED_STATUS_ADVICE = "This status is unexpected; see .body."


def status_error(
    status: int,
    exchange: Exchange,
    body: bytes,
    *,
    api_key: str = "",
    retry_after: float | None = None,
    proxy: ProxyInUse | None = None,
    long_header: str | None = None,
    ids: Mapping[str, str] = _NO_IDS,
    has_upload_token: bool = False,
) -> errors.APIStatusError:
    """Return the error for a response that is not successful. The response may have any body.

    `api_key` is removed from all texts of the error. `proxy` is the proxy of the request, which may have sent
    the response. `long_header` is the name of a request header that may be too long. `ids` maps the
    names in the path to the ids of the request, for the message. `has_upload_token` says whether the request
    had an upload token.
    """
    text = redacted_body(body, api_key)
    message, error_type, issues, is_json = _parse_error_body(body, api_key, exchange)
    cls, advice = _class_and_advice(status, exchange, has_upload_token)
    if long_header is not None and status in _MAYBE_TOO_LONG:
        advice = f"The header {long_header} (default_headers) may be too long: many servers take 8,190 bytes."
    elif not is_json and status not in _UNAMBIGUOUS:
        advice = _foreign_response_advice(status, exchange, body, proxy) or advice
    if status in _MAY_HAVE_SUCCEEDED:
        advice = outcome_warning(exchange.method, exchange.path) + advice
    reason = excerpt(message or text) or "no message"
    type_text = f" ({excerpt(error_type, 80)})" if error_type else ""
    # The text of the exchange has only the template of the path, so the message adds the ids.
    ids_text = "".join(f" for {name} {shortened(_safe_text(value, api_key))}" for name, value in ids.items())
    error = cls(
        f"{exchange}: HTTP {status}{type_text}{ids_text}: {reason}{'' if reason.endswith('.') else '.'} {advice}",
        status=status,
        message=message,
        error_type=error_type,
        headers=exchange.headers,
        body=text,
        exchange=exchange,
    )
    if isinstance(error, errors.UnprocessableEntityError):
        error.errors = issues
    if isinstance(error, errors.RateLimitError):
        error.retry_after = retry_after
    return error


def _class_and_advice(
    status: int, exchange: Exchange, has_upload_token: bool
) -> tuple[type[errors.APIStatusError], str]:
    """Return the class of the error and the advice for a status."""
    if status in _BY_STATUS:
        cls, advice = _BY_STATUS[status]
        return cls, advice + (_UPLOAD_401_ADVICE if status == 401 and has_upload_token else "")
    if status >= 500:
        return errors.ServerError, _SERVER_ADVICE + (_REQUEST_ID_ADVICE if exchange.request_id else "")
    return errors.APIStatusError, _REDIRECT_ADVICE if status < 400 else _UNEXPECTED_STATUS_ADVICE


def _parse_error_body(
    body: bytes, api_key: str, exchange: Exchange
) -> tuple[str, str | None, tuple[models.ValidationError, ...], bool]:
    """Parse the body of an error response.

    Returns the message, the error type, the rejected values, and whether the body is a JSON object. Without a
    message or rejected values in the body, they are empty. Without an error type, it is None.
    """
    try:
        data: object = loads_response(body, exchange)
    except ValueError:
        return "", None, (), False
    if not isinstance(data, dict):
        return "", None, (), False
    fields = cast("dict[str, object]", data)
    detail, type_text = fields.get("detail"), fields.get("error_type")
    error_type = _safe_text(type_text, api_key) if isinstance(type_text, str) else None
    if isinstance(detail, str):
        return _safe_text(detail, api_key), error_type, (), True
    try:
        # The service repeats the rejected values of the request, which may be secrets. The error object keeps
        # them, so the secrets are removed.
        issues = structure(_without_secrets(detail, api_key), tuple[models.ValidationError, ...])
    except Exception:  # noqa: BLE001  # if `detail` has another form, the message shows the body
        return "", error_type, (), True
    return "; ".join(map(str, issues[:_MAX_ISSUES_IN_MESSAGE])), error_type, issues, True


def _foreign_response_advice(
    status: int, exchange: Exchange, body: bytes, proxy: ProxyInUse | None
) -> str | None:
    """Return advice for an error response that a server other than the API may have sent.

    The result is None when neither the body, the headers nor a configured proxy point to such a server.
    """
    headers = exchange.headers
    is_page = web_page_title(headers, body) is not None
    if (
        is_page
        and status == 400
        and any(text in body[:_HTTPS_TEXT_BYTES].lower() for text in _HTTPS_REQUIRED)
    ):
        return "The server speaks https at that port: write base_url with https://."
    if not is_page and proxy is None and not is_proxy_response(headers):
        return None
    sender = "a proxy that no setting names" if proxy is None else str(proxy)
    finding = f"The response {'is a web page' if is_page else 'does not have the form of the API'}"
    if is_proxy_response(headers):
        finding = f"The response comes from {sender}, not from the API"
    elif proxy is not None:
        finding += f"; it may come from {sender}"
    if proxy is not None:
        return f"{finding}. {proxy.advice(status)}"
    return f"{finding}. {_GATEWAY_ADVICE if status >= 500 else WEB_PAGE_ADVICE}"


def _safe_text(text: str, api_key: str) -> str:
    """Shorten a text for an error message, and remove secrets and control characters from it."""
    return escape_unprintable(redacted_prefix(text, MAX_BODY_CHARS, api_key))


def _without_secrets(value: object, api_key: str) -> object:
    """Return parsed JSON without secrets in its texts, and with at most `_MAX_ISSUES` items per list."""
    if isinstance(value, str):
        return redacted_prefix(value, MAX_BODY_CHARS, api_key)
    if isinstance(value, list):
        return [_without_secrets(item, api_key) for item in cast("list[object]", value)[:_MAX_ISSUES]]
    if isinstance(value, dict):
        return {
            name: _without_secrets(item, api_key) for name, item in cast("dict[str, object]", value).items()
        }
    return value
