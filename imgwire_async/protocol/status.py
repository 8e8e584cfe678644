"""Answers that are no success -> the error that says what happened and what to do.

[contract 5]
"""

from __future__ import annotations

from typing import cast

from imgwire_async import errors, models
from imgwire_async.exchange import Exchange
from imgwire_async.messages import MAY_HAVE_SUCCEEDED
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

# One row per status: the class, and what its reader should do next.
_BY_STATUS: dict[int, tuple[type[errors.APIStatusError], str]] = {
    400: (
        errors.BadRequestError,
        "Check the arguments; if they are right, a proxy in between may have changed the request.",
    ),
    401: (
        errors.AuthenticationError,
        "Check the key (api_key= or IMGWIRE_API_KEY), or the upload token, which works once and not for long.",
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
        "Something with this name or idempotency key exists already: look it up, or choose another.",
    ),
    413: (errors.PayloadTooLargeError, "Send less in one request."),
    414: (errors.APIStatusError, "The address is too long for the server: send fewer or shorter params."),
    422: (errors.UnprocessableEntityError, "The service refuses these values: correct what it names."),
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
        "The network wants a login first (captive portal): open any page in a browser and log in.",
    ),
}
_REDIRECT = "The API moved within its origin: check base_url (http instead of https, a missing path?)."
_SERVER = "The service failed; try again later. Give the request id when you ask for help."
# Of a refusal the reason is wanted, not every value of a body of 1 MiB: redacting takes its time.
_MOST_ISSUES = 1_000
_NAMED_ISSUES = 100
_MAYBE_TOO_LONG = frozenset({400, 413, 431, 494})
_SAYS_ENOUGH = frozenset({414, 431, 511})  # whoever answers so means just that
_PAGE_PREFIX = 4_096  # bytes
# After these the service may have carried out the call. Not after 501 and 511, which reject it.
_MAY_HAVE_SUCCEEDED = frozenset(range(500, 600)) - {501, 511}
# How nginx, Apache and Go tell plain http that TLS is spoken at a port.
_TLS_WANTED = (b"sent to https port", b"http request to an https server", b"plain http to an ssl-enabled")
_GATEWAY = "A gateway, proxy or firewall on the way to the service sends such pages when it does not get through; try again later."
_OTHER = "No request like this is expected to fail so; see .body."


def status_error(
    status: int,
    exchange: Exchange,
    body: bytes,
    *,
    key: str = "",
    retry_after: float | None = None,
    proxy: ProxyInUse | None = None,
    long_header: str | None = None,
) -> errors.APIStatusError:
    """The error for an answer that is no success, whatever its body looks like.

    `proxy` is one that may have answered in place of the API, `long_header` one of the request that may be too long.
    """
    text = redacted_body(body, key)
    message, error_type, issues, is_json = _detail(body, key, exchange)
    default = (
        (errors.ServerError, _SERVER)
        if status >= 500
        else (errors.APIStatusError, _REDIRECT if status < 400 else _OTHER)
    )
    cls, advice = _BY_STATUS.get(status, default)
    if long_header is not None and status in _MAYBE_TOO_LONG:
        advice = f"The header {long_header} (default_headers) may be too long: many servers take 8,190 bytes."
    elif not is_json and status not in _SAYS_ENOUGH:
        advice = _not_the_api(status, exchange, body, proxy) or advice
    if status in _MAY_HAVE_SUCCEEDED and exchange.method not in {"GET", "HEAD"}:
        advice = f"{MAY_HAVE_SUCCEEDED} {advice}"
    said = excerpt(message or text) or "no message"
    named = f" ({excerpt(error_type, 80)})" if error_type else ""
    error = cls(
        f"{exchange}: HTTP {status}{named}: {said}{'' if said.endswith('.') else '.'} {advice}",
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


def _detail(
    body: bytes, key: str, exchange: Exchange
) -> tuple[str, str | None, tuple[models.ValidationError, ...], bool]:
    """The message, the error type and the refused values of an error body, as far as it has them; and whether it is an object of JSON."""
    try:
        data: object = loads_response(body, exchange)
    except ValueError:
        return "", None, (), False
    if not isinstance(data, dict):
        return "", None, (), False
    fields = cast("dict[str, object]", data)
    detail, named = fields.get("detail"), fields.get("error_type")
    error_type = _shown(named, key) if isinstance(named, str) else None
    if isinstance(detail, str):
        return _shown(detail, key), error_type, (), True
    try:
        # They quote what was sent, and stay on the error.
        issues = structure(_without_secrets(detail, key), tuple[models.ValidationError, ...])
    except Exception:  # noqa: BLE001  # any other form of detail is left to the body
        return "", error_type, (), True
    return "; ".join(map(str, issues[:_NAMED_ISSUES])), error_type, issues, True


def _not_the_api(status: int, exchange: Exchange, body: bytes, proxy: ProxyInUse | None) -> str | None:
    """Return what to do about an answer in which the API's form of error is missing; None if there is no sign of somebody else."""
    headers = exchange.headers
    page = web_page_title(headers, body) is not None
    if page and status == 400 and any(words in body[:_PAGE_PREFIX].lower() for words in _TLS_WANTED):
        return "The server speaks https at that port: begin base_url with https://."
    if not page and proxy is None and not is_proxy_response(headers):
        return None
    who = "a proxy that no setting here names" if proxy is None else str(proxy)
    said = "This is a web page, not the API's answer" if page else "These are not the API's words"
    if is_proxy_response(headers):
        said = f"This is the answer of {who}, not of the API"
    elif proxy is not None:
        said += f"; it may be the answer of {who}"
    if proxy is not None:
        return f"{said}. {proxy.advice(status)}"
    return f"{said}. {_GATEWAY if status >= 500 else WEB_PAGE_ADVICE}"


def _shown(text: str, key: str) -> str:
    return escape_unprintable(redacted_prefix(text, MAX_BODY_CHARS, key))


def _without_secrets(value: object, key: str) -> object:
    if isinstance(value, str):
        return redacted_prefix(value, MAX_BODY_CHARS, key)
    if isinstance(value, list):
        return [_without_secrets(item, key) for item in cast("list[object]", value)[:_MOST_ISSUES]]
    if isinstance(value, dict):
        return {name: _without_secrets(item, key) for name, item in cast("dict[str, object]", value).items()}
    return value
