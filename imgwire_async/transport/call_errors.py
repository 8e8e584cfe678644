"""The errors of API calls: made of what the last attempt brought back. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from yarl import URL

from imgwire_async import errors
from imgwire_async.exchange import Exchange
from imgwire_async.policies import Timeouts
from imgwire_async.protocol.json import side_effect_warning
from imgwire_async.protocol.signed_urls import origin, without_query
from imgwire_async.redaction import Secret, redact, redacted_body
from imgwire_async.retry import Failure
from imgwire_async.transport.call_state import RawResponse

_LONGEST_HEADER = 8_190  # bytes that most servers take
_LOOK_AROUND = "Check base_url, DNS, proxy and firewall."


def long_header(headers: Iterable[tuple[str, str]]) -> str | None:
    """Return the name of a default header that many servers refuse for its length, None if there is none."""
    return next((name for name, value in headers if len(name) + len(value.encode()) > _LONGEST_HEADER), None)


def connection_error(
    exchange: Exchange, failure: Failure, timeouts: Timeouts
) -> errors.APIConnectionError | errors.APITimeoutError:
    """Return the error for a call whose last attempt brought no response."""
    doubt = (
        f" {errors.MAY_HAVE_SUCCEEDED}"
        if failure.may_have_succeeded and exchange.method not in {"GET", "HEAD"}
        else ""
    )
    error: errors.APIConnectionError
    if failure.kind == "connect_timeout" or failure.kind == "attempt_timeout":
        which, seconds = _shortest(failure.kind, timeouts)
        clock = "the system's own" if seconds is None else f"Timeouts({which}={seconds:g})"
        error = errors.APITimeoutError(
            f"{exchange}: {failure.reason}.{doubt} The clock was {clock}: allow more, or look at the network. "
            f"{failure.advice}".rstrip(),
            which=which,
            exchange=exchange,
        )
    else:
        error = errors.APIConnectionError(
            f"{exchange}: {failure.reason}.{doubt} {failure.advice or _LOOK_AROUND}", exchange=exchange
        )
    error.sent = not failure.unprocessed
    return error


def _shortest(
    kind: Literal["connect_timeout", "attempt_timeout"], timeouts: Timeouts
) -> tuple[Literal["connect", "attempt"], float | None]:
    """Return which of the user's clocks ran out, and its seconds: a connection that takes too long may meet either."""
    connect, attempt = timeouts.connect, timeouts.attempt
    if kind == "connect_timeout" and connect is not None and (attempt is None or connect < attempt):
        return "connect", connect
    return "attempt", attempt


def rate_limit_error(
    exchange: Exchange, *, waited: float, more: float, limit: float, retry_after: float
) -> errors.RateLimitError:
    """Return the error for a call that was not sent, because the rate limit would keep it waiting for too long."""
    error = errors.RateLimitError(
        f"{exchange}: not sent, because the service's rate limit has kept this call waiting for "
        f"{waited:.0f} s and would for {more:.0f} s more (max_rate_wait is {limit:g} s). "
        "Lower the concurrency, or allow more waiting in RetryPolicy.",
        status=429,
        exchange=exchange,
    )
    error.retry_after = retry_after
    return error


def refuse_foreign_redirect(response: RawResponse, exchange: Exchange, base: str) -> None:
    """Raise `UnsafeURLError` for a redirect to another origin than that of `base`."""
    location = Secret(response.headers.get("Location", ""))
    try:
        leads_away = origin(str(URL(base).join(URL(location)))) != origin(base)
    except ValueError:
        leads_away = True
    if leads_away:
        raise errors.UnsafeURLError(
            f"{exchange}: HTTP {response.status} sends the call to another origin "
            f"({_shown(location)!r}). It was not followed, so the key went nowhere. {_redirect_advice(location, base)}",
            exchange=exchange,
        )


def _redirect_advice(location: str, base: str) -> str:
    if base.startswith("http:") and location[:6].lower() == "https:":
        return "Check base_url: it may have to begin with https://."
    return "Check base_url, and whether this network wants a login first (captive portal), which sends calls to its page."


def _shown(location: str) -> str:
    try:
        return without_query(location)[:100]
    except ValueError:  # no URL at all
        return redact(location)[:100]


def too_large(response: RawResponse, exchange: Exchange, limit: int) -> errors.DecodeError:
    """Return the error for a success whose body is longer than `limit` bytes."""
    return errors.DecodeError(
        f"{exchange}: HTTP {response.status}, but the answer is larger than {limit} bytes (Timeouts.max_answer_bytes); the rest was "
        f"not read.{side_effect_warning(exchange)} Ask for less in one call, or allow more with Timeouts(max_answer_bytes=...).",
        path="$",
        body=redacted_body(response.body),
        exchange=exchange,
    )
