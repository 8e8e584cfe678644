"""What may be sent again, and how long to pause before: pure decisions, with the clock and the dice as arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import attrs

from imgwire_async.policies import RetryPolicy

if TYPE_CHECKING:
    from datetime import datetime

# Why an attempt brought no usable answer. "unsent": the request never left (refused, DNS, TLS). "lost": it left, its answer
# did not come. "connect", "attempt" and "stall" are clocks that ran out; "connect" means that it never left, too.
Fate: TypeAlias = Literal["unsent", "connect", "lost", "attempt", "stall"]

# POST is the exception; its requests say themselves whether they may be repeated. [contract 5]
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"})


@attrs.frozen
class Failure:
    """One failed attempt: either `fate` (no answer) or `status` (an answer that may be worth another try)."""

    reason: str
    fate: Fate | None = None
    status: int | None = None
    retry_after: float | None = None

    @property
    def unprocessed(self) -> bool:
        """Whether the service certainly did nothing: the request never left, or was turned away by the rate limit."""
        return self.fate in {"unsent", "connect"} or self.status == 429

    @property
    def in_doubt(self) -> bool:
        """Whether the service may have carried the request out although no success came back."""
        return self.fate in {"lost", "attempt", "stall"} or (self.status is not None and self.status >= 500)


def passing(status: int) -> bool:
    """Whether an answer with this status may be different a moment later."""
    return status in {408, 429} or (status >= 500 and status != 501)


def may_repeat(method: str, failure: Failure, *, repeatable: bool | None) -> bool:
    """Whether the request may go out again. `repeatable` is the operation's own word (a key, a plain check); None: by method."""
    if failure.status is not None and not passing(failure.status):
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


def spread(seconds: float, dice: float) -> float:
    """Extra seconds after a common waiting time, so that those who waited together do not come back together."""
    return dice * min(1.0, 0.05 + seconds / 4)


def retry_after(value: str | None, *, now: datetime) -> float | None:
    """Seconds from a `Retry-After` header, given as seconds or as a date; None when it is absent, past or makes no sense."""
    if value is None or not (text := value.strip()):
        return None
    if text.isascii() and text.replace(".", "", 1).isdigit():
        return min(float(text), 1e12) or None
    from datetime import UTC  # needed after a refusal only, and the mail package is large
    from email.utils import parsedate_to_datetime

    try:
        then = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if then.tzinfo is None:  # "-0000" and bare dates: HTTP dates are GMT
        then = then.replace(tzinfo=UTC)
    seconds = (then - now).total_seconds()
    return seconds if seconds > 0 else None
