"""Decide whether a request may be retried, and after which delay.

The functions do no I/O: random numbers and the headers of responses are arguments.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Literal, TypeAlias

import attrs

from imgwire_async.policies import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

# Why an attempt got no usable response.
FailureKind: TypeAlias = Literal[
    "not_sent",  # the request was never sent: connection refused, DNS, TLS
    "connect_timeout",  # no connection in time, so the request was never sent
    "connection_lost",  # the request was sent, and the connection broke before the response was complete
    "attempt_timeout",  # the request was sent, and the response did not come in time
    "stalled",  # no byte of a transfer moved for the `stall` timeout
    "caller_busy",  # the source of an upload needs the caller's thread, which ran other code for too long
    "no_slot",  # too many transfers were running, and none of them ended in time
]

# POST is not idempotent, so an operation that sends a POST declares whether a retry is safe. [contract 5]
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"})


@attrs.frozen
class Failure:
    """One failed attempt.

    `reason` describes the failure for messages. `kind` is set if no usable response came. Otherwise `status`
    is set. `retry_after` is the `Retry-After` of the response in seconds, or None. `advice` tells the user
    what to do, or is empty. `is_final` is true if a retry cannot succeed.
    """

    reason: str
    kind: FailureKind | None = None
    status: int | None = None
    retry_after: float | None = None
    advice: str = ""
    is_final: bool = False

    @classmethod
    def of(cls, status: int, headers: Mapping[str, str]) -> Failure:
        """Return the failure for a response with this `status` and these `headers`."""
        return cls(f"HTTP {status}", status=status, retry_after=parse_retry_after(headers))

    @property
    def unprocessed(self) -> bool:
        """Whether the service did not process the request: it was not sent, or it was rate limited."""
        return self.kind in {"not_sent", "connect_timeout"} or self.status == 429

    @property
    def may_have_succeeded(self) -> bool:
        """Whether the service may have processed the request, although the client got no success status."""
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

    `repeatable` says whether the operation declares that a retry is safe, for example because it sends an
    idempotency key. If `repeatable` is None, a retry is safe for every HTTP method except POST.
    """
    if failure.is_final or (failure.status is not None and not is_transient(failure.status)):
        return False
    if failure.unprocessed:
        return True
    return method in _IDEMPOTENT if repeatable is None else repeatable


def retry_delay(retry: int, retry_after: float | None, *, policy: RetryPolicy, jitter: float) -> float | None:
    """Return the seconds before a retry, or None if `retry_after` is longer than the policy allows.

    `retry` is the number of the retry, counted from 1. The delay is at least `retry_after` seconds. If
    `retry_after` is None, the delay is exponential backoff with full jitter. `jitter` is a random number in
    [0, 1).
    """
    if retry_after is None:
        limit = min(policy.max_backoff, policy.backoff * float(1 << min(retry - 1, 30)))
        # The limit may be infinite, and inf * 0 is NaN.
        return limit * jitter if jitter else 0.0
    if retry_after > policy.max_retry_after:
        return None
    return retry_after + stagger(retry_after, jitter)


@attrs.define
class RetryBudget:
    """The retries of one operation, and the delay before each of them.

    Only one task may use an instance. `jitter` returns a random number in [0, 1).
    """

    policy: RetryPolicy
    used: int = 0
    jitter: Callable[[], float] = random.random

    @property
    def is_spent(self) -> bool:
        """Whether no retry is left."""
        return self.used >= self.policy.max_retries

    def next_delay(self, failure: Failure) -> float | None:
        """Use up one retry, and return the seconds to wait before this retry.

        Return None if no retry is left, or if the `Retry-After` is longer than the policy allows.
        """
        if self.is_spent:
            return None
        self.used += 1
        return retry_delay(self.used, failure.retry_after, policy=self.policy, jitter=self.jitter())


def stagger(seconds: float, jitter: float) -> float:
    """Return the seconds to add to a `Retry-After`, so that callers do not all send at the same moment.

    `seconds` is the `Retry-After`. The result is a random number between 0 and a maximum, which grows with
    `seconds` up to one second. `jitter` is a random number in [0, 1).
    """
    return jitter * min(1.0, 0.05 + seconds / 4)


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the delay in the header `Retry-After` in seconds, or None.

    None means that the header is missing, that it is neither a number nor a date, or that the delay is over.
    A date is compared with the header `Date` of the response, because the clock of this machine may be wrong.
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
    """Return the time in the `Date` header of a response, or this machine's time if there is none.

    A server uses its own clock for times in `Retry-After` and for the expiry of a URL. So these times have to
    be compared with the server's `Date`.
    """
    from datetime import UTC, datetime

    return parse_http_date(headers.get("Date")) or datetime.now(UTC)


def parse_http_date(text: str | None) -> datetime | None:
    """Return the time of an HTTP date, or None if `text` is not an HTTP date."""
    if not text:
        return None
    # Imported here, because the package `email` is slow to import and few calls need it.
    from datetime import UTC
    from email.utils import parsedate_to_datetime

    try:
        time = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    # HTTP dates are always in GMT, so a missing time zone or "-0000" means GMT, too.
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time
