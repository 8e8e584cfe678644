"""Create the errors of API calls from the outcome of the last attempt. The functions are pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from yarl import URL

from imgwire_async import errors
from imgwire_async.exchange import Exchange
from imgwire_async.messages import outcome_warning
from imgwire_async.policies import Timeouts
from imgwire_async.protocol.json import side_effect_warning
from imgwire_async.protocol.signed_urls import origin, without_query
from imgwire_async.redaction import Secret, redact, redacted_body
from imgwire_async.retry import Failure
from imgwire_async.transport.call_state import RawResponse

# The maximum size of a header, in bytes, that most servers accept.
_MAXIMUM_HEADER_SIZE = 8_190
_CONNECTION_ADVICE = "Check base_url, DNS, proxy and firewall."


def long_header(headers: Iterable[tuple[str, str]]) -> str | None:
    """Return the name of the first header that many servers would reject as too long, or None."""
    return next(
        (name for name, value in headers if len(name) + len(value.encode()) > _MAXIMUM_HEADER_SIZE), None
    )


def connection_error(
    exchange: Exchange, failure: Failure, timeouts: Timeouts
) -> errors.APIConnectionError | errors.APITimeoutError:
    """Return the error for a call whose last attempt got no response."""
    warning = outcome_warning(exchange.method, exchange.path) if failure.may_have_succeeded else ""
    error: errors.APIConnectionError
    if failure.kind == "connect_timeout" or failure.kind == "attempt_timeout":
        which, seconds = _expired_timeout(failure.kind, timeouts)
        timeout = "the system's own" if seconds is None else f"Timeouts({which}={seconds:g})"
        error = errors.APITimeoutError(
            f"{exchange}: {failure.reason}. {warning}The timeout was {timeout}: increase it, or check the network. "
            f"{failure.advice}".rstrip(),
            which=which,
            exchange=exchange,
        )
    else:
        error = errors.APIConnectionError(
            f"{exchange}: {failure.reason}. {warning}{failure.advice or _CONNECTION_ADVICE}",
            exchange=exchange,
        )
    error.sent = not failure.unprocessed
    return error


def _expired_timeout(
    kind: Literal["connect_timeout", "attempt_timeout"], timeouts: Timeouts
) -> tuple[Literal["connect", "attempt"], float | None]:
    """Return the name and the seconds of the timeout that expired.

    Both timeouts run while a request waits for its connection. So the shorter of the two has expired.
    """
    connect, attempt = timeouts.connect, timeouts.attempt
    if kind == "connect_timeout" and connect is not None and (attempt is None or connect < attempt):
        return "connect", connect
    return "attempt", attempt


def rate_limit_error(
    exchange: Exchange, *, waited: float, remaining: float, limit: float, retry_after: float
) -> errors.RateLimitError:
    """Return the error for a call that was not sent, because it would wait too long for the rate limit."""
    error = errors.RateLimitError(
        f"{exchange}: not sent, because this call has waited for the service's rate limit for "
        f"{waited:.0f} s and would wait for {remaining:.0f} s more (max_rate_wait is {limit:g} s). "
        "Lower the concurrency, or increase max_rate_wait in RetryPolicy.",
        status=429,
        exchange=exchange,
    )
    error.retry_after = retry_after
    return error


def reject_foreign_redirect(response: RawResponse, exchange: Exchange, base: str) -> None:
    """Raise `UnsafeURLError` if the response redirects to another origin than that of the URL `base`."""
    location = Secret(response.headers.get("Location", ""))
    try:
        is_foreign = origin(str(URL(base).join(URL(location)))) != origin(base)
    except ValueError:
        is_foreign = True
    if is_foreign:
        raise errors.UnsafeURLError(
            f"{exchange}: HTTP {response.status} redirects the call to another origin "
            f"({_for_message(location)!r}). The client did not follow the redirect, so it sent no key to that origin. {_redirect_advice(location, base)}",
            exchange=exchange,
        )


def _redirect_advice(location: str, base: str) -> str:
    if base.startswith("http:") and location[:6].lower() == "https:":
        return "Check base_url: it may have to begin with https://."
    return "Check base_url, and whether this network requires a login (captive portal) and redirects calls to its login page."


def _for_message(location: str) -> str:
    try:
        return without_query(location)[:100]
    except ValueError:
        # The location is not a URL.
        return redact(location)[:100]


def too_large_error(response: RawResponse, exchange: Exchange, limit: int) -> errors.DecodeError:
    """Return the error for a successful response whose body is longer than `limit` bytes."""
    return errors.DecodeError(
        f"{exchange}: HTTP {response.status}, but the response is larger than {limit} bytes (Timeouts.max_response_bytes). The rest was "
        f"not read.{side_effect_warning(exchange)} Request less in one call, or allow more with Timeouts(max_response_bytes=...).",
        path="$",
        body=redacted_body(response.body),
        exchange=exchange,
    )
