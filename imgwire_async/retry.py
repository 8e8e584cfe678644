"""Decide whether a request may be retried, and after which delay.

The functions are pure: the random number and the response's headers are arguments.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Literal, TypeAlias

import attrs

from imgwire_async.policies import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

# Why an attempt brought no usable response.
FailureKind: TypeAlias = Literal[
    "not_sent",  # the request was never sent: connection refused, DNS, TLS
    "connect_timeout",  # no connection in time, so the request was never sent
    "connection_lost",  # the request was sent, and the connection broke before its response was complete
    "attempt_timeout",  # the request was sent, and its response did not come in time
    "stalled",  # no byte of a transfer moved for the `stall` timeout
    "caller_busy",  # the source of an upload needs the caller's thread, which ran other code for too long
    "no_slot",  # no slot became free in time
]

# POST is missing: a request with this method says itself whether a retry is safe. [contract 5]
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"})


@attrs.frozen
class Failure:
    """One failed attempt: `kind` is set when no response came, else `status` is set.

    `advice` holds sentences for the user where the cause is known well enough; else it is empty.
    `is_final` is true when a retry would fail in the same way.
    """

    reason: str
    kind: FailureKind | None = None
    status: int | None = None
    retry_after: float | None = None
    advice: str = ""
    is_final: bool = False

    @classmethod
    def of(cls, status: int, headers: Mapping[str, str]) -> Failure:
        """Return the failure for a response with this status, including the delay of its `Retry-After`."""
        return cls(f"HTTP {status}", status=status, retry_after=parse_retry_after(headers))

    @property
    def unprocessed(self) -> bool:
        """Whether the service certainly did not process the request (never sent, or rate limited)."""
        return self.kind in {"not_sent", "connect_timeout"} or self.status == 429

    @property
    def may_have_succeeded(self) -> bool:
        """Whether the service may have processed the request although no success was reported."""
        no_response = self.kind in {"connection_lost", "attempt_timeout", "stalled"}
        return no_response or (self.status is not None and self.status >= 500)


def is_success(status: int) -> bool:
    """Return whether an HTTP status reports success (2xx)."""
    return 200 <= status < 300


def is_transient(status: int) -> bool:
    """Return whether a retry after this HTTP status may succeed."""
    return status in {408, 429} or (status >= 500 and status != 501)


def may_retry(method: str, failure: Failure, *, repeatable: bool | None) -> bool:
    """Return whether a request may be sent again after a failure.

    `repeatable` is what the operation declares, for example because it sends an idempotency key. None means
    that the HTTP method decides.
    """
    if failure.is_final or (failure.status is not None and not is_transient(failure.status)):
        return False
    if failure.unprocessed:
        return True
    return method in _IDEMPOTENT if repeatable is None else repeatable


def retry_delay(retry: int, retry_after: float | None, *, policy: RetryPolicy, jitter: float) -> float | None:
    """Return the seconds before a retry, or None when `retry_after` is longer than the policy allows.

    `retry` counts from 1. With `retry_after` the delay is at least that long. Without it the delay is
    exponential backoff with full jitter. `jitter` is a random number in [0, 1).
    """
    if retry_after is None:
        limit = min(policy.max_backoff, policy.backoff * float(1 << min(retry - 1, 30)))
        # Both settings may be infinite, and inf * 0 is NaN.
        return limit * jitter if jitter else 0.0
    if retry_after > policy.max_retry_after:
        return None
    return retry_after + stagger(retry_after, jitter)


@attrs.define
class RetryBudget:
    """Count the retries of one operation.

    Only one task uses an instance. `jitter` returns a random number in [0, 1).
    """

    policy: RetryPolicy
    used: int = 0
    jitter: Callable[[], float] = random.random

    @property
    def is_spent(self) -> bool:
        """Whether no retry is left."""
        return self.used >= self.policy.max_retries

    def next_delay(self, failure: Failure) -> float | None:
        """Use up one retry and return the seconds before it.

        Return None when no retry is left, or when the server asks for too long a delay.
        """
        if self.is_spent:
            return None
        self.used += 1
        return retry_delay(self.used, failure.retry_after, policy=self.policy, jitter=self.jitter())


def stagger(seconds: float, jitter: float) -> float:
    """Return extra seconds, so that callers with the same `Retry-After` do not all send at the same moment.

    The extra is a share of `seconds`, at most one second. `jitter` is a random number in [0, 1).
    """
    return jitter * min(1.0, 0.05 + seconds / 4)


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of the header `Retry-After`, or None when it is missing, past or not valid.

    A date is compared with the response's own `Date`, because the clock of this machine may be hours off.
    """
    value = headers.get("Retry-After")
    if value is None or not (text := value.strip()):
        return None
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return min(float(text), 1e12) or None
    until = parse_http_date(text)
    seconds = 0.0 if until is None else (until - response_time(headers)).total_seconds()
    return seconds if seconds > 0 else None


def response_time(headers: Mapping[str, str]) -> datetime:
    """Return the time at which a response was made: its `Date` header, or else the time of this machine.

    A server names times (`Retry-After`, the expiry of a URL) by its own clock. Compare them with this time.
    """
    from datetime import UTC, datetime

    return parse_http_date(headers.get("Date")) or datetime.now(UTC)


def parse_http_date(text: str | None) -> datetime | None:
    """Return the time of an HTTP date, or None for any other text."""
    if not text:
        return None
    # Imported here because only failures need it, and the package `email` is slow to import.
    from datetime import UTC
    from email.utils import parsedate_to_datetime

    try:
        time = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    # HTTP dates are in GMT, also when the zone is missing or "-0000".
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time
