"""What may be sent again, and how long to pause before: pure decisions, with the clock and the dice as arguments."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Literal, TypeAlias

import attrs

from imgwire_async.policies import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

# Why an attempt brought no usable answer. "unsent": the request never left (refused, DNS, TLS). "lost": it left, its answer
# did not come. "connect", "attempt" and "stall" are clocks that ran out; "connect" means that it never left, too. "absent": the
# caller, who reads the source in a thread of its own, was busy elsewhere for as long. "slot": no slot became free.
Fate: TypeAlias = Literal["unsent", "connect", "lost", "attempt", "stall", "absent", "slot"]

# POST is the exception; its requests say themselves whether they may be repeated. [contract 5]
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"})


@attrs.frozen
class Failure:
    """One failed attempt: either `fate` (no answer) or `status` (an answer that may be worth another try).

    `advice` is what to do about it, in sentences, where the reason knows more than the general words. `is_final`: another try
    would meet the same.
    """

    reason: str
    fate: Fate | None = None
    status: int | None = None
    retry_after: float | None = None
    advice: str = ""
    is_final: bool = False

    @classmethod
    def of(cls, status: int, headers: Mapping[str, str]) -> Failure:
        """Return the failure that a response with this status is, with the seconds that its `Retry-After` asks for."""
        return cls(f"HTTP {status}", status=status, retry_after=retry_after(headers))

    @property
    def unprocessed(self) -> bool:
        """Whether the service certainly did nothing: the request never left, or was turned away by the rate limit."""
        return self.fate in {"unsent", "connect"} or self.status == 429

    @property
    def in_doubt(self) -> bool:
        """Whether the service may have carried the request out although no success came back."""
        return self.fate in {"lost", "attempt", "stall"} or (self.status is not None and self.status >= 500)


def is_success(status: int) -> bool:
    """Return whether an HTTP status says that the request was carried out."""
    return 200 <= status < 300


def passing(status: int) -> bool:
    """Whether an answer with this status may be different a moment later."""
    return status in {408, 429} or (status >= 500 and status != 501)


def may_repeat(method: str, failure: Failure, *, repeatable: bool | None) -> bool:
    """Whether the request may go out again. `repeatable` is the operation's own word (a key, a plain check); None: by method."""
    if failure.is_final or (failure.status is not None and not passing(failure.status)):
        return False
    if failure.unprocessed:
        return True
    return method in _IDEMPOTENT if repeatable is None else repeatable


def pause(retry: int, told: float | None, *, policy: RetryPolicy, dice: float) -> float | None:
    """Seconds before retry number `retry` (from 1), or None to give up: the server's word first, else full jitter under a cap.

    `told` is what the server asked for; we come later than that, never earlier. `dice` is a random number in [0, 1).
    """
    cap = min(policy.max_backoff, policy.backoff * float(1 << min(retry - 1, 30)))
    if told is None:
        return cap * dice if dice else 0.0  # without end times nothing would be no number
    if told > policy.max_retry_after:
        return None
    return told + spread(told, dice)


@attrs.define
class RetryBudget:
    """Counts the retries of one operation. Used by one task.

    `jitter` returns a random number in [0, 1).
    """

    policy: RetryPolicy
    used: int = 0
    jitter: Callable[[], float] = random.random

    @property
    def is_spent(self) -> bool:
        """Whether no retry is left."""
        return self.used >= self.policy.max_retries

    def next_delay(self, failure: Failure) -> float | None:
        """Return the seconds before the next attempt, and count it. None when no retry is left, or the server asks for too long."""
        if self.is_spent:
            return None
        self.used += 1
        return pause(self.used, failure.retry_after, policy=self.policy, dice=self.jitter())


def spread(seconds: float, dice: float) -> float:
    """Extra seconds after a common waiting time, so that those who waited together do not come back together."""
    return dice * min(1.0, 0.05 + seconds / 4)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a response's `Retry-After` asks for, or None when it is absent, past or makes no sense.

    A date is compared with the response's own `Date`: this machine's clock may be hours off.
    """
    value = headers.get("Retry-After")
    if value is None or not (text := value.strip()):
        return None
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return min(float(text), 1e12) or None
    then = http_date(text)
    seconds = 0.0 if then is None else (then - response_time(headers)).total_seconds()
    return seconds if seconds > 0 else None


def response_time(headers: Mapping[str, str]) -> datetime:
    """Return the time at which a response was made: its own `Date`, else this machine's time.

    Every time that a server names (when to come back, when a URL ends) is by the server's clock, so it is compared with this.
    """
    from datetime import UTC, datetime

    return http_date(headers.get("Date")) or datetime.now(UTC)


def http_date(text: str | None) -> datetime | None:
    """Return the time that an HTTP date stands for, or None for anything else."""
    if not text:
        return None
    from datetime import UTC  # needed after a refusal only, and the mail package is large
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    # "-0000" and dates without a zone: HTTP dates are GMT
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
