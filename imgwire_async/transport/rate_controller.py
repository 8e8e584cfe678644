"""Decide how many requests per second may be sent after a 429.

The functions are pure: the current time and the jitter are arguments.

A 429 closes the gate (`RateGate`): no request may be sent until the gate opens. The `Retry-After` of a 429
says when requests may be sent again, but not how many per second. So the controller finds out the rate that
the service accepts. The rate starts low, rises fast to the last accepted rate, stays near that rate for some
time, and rises fast again. Some time after the last 429, requests are no longer limited.
"""

from __future__ import annotations

import heapq
import math

import attrs

from imgwire_async.retry import stagger

# Requests are limited for this number of seconds after the gate opened.
RECOVERY_TIME = 30.0
# Requests per second when the gate opens, if no accepted rate is known. The rate doubles every second.
_INITIAL_RATE = 4.0
# The rate reaches the last accepted rate again this number of seconds after the gate opened.
_RAMP_TIME = 8.0
# The minimum of the accepted rate, in requests per second. A service that accepts less sends a long
# Retry-After.
_MINIMUM_RATE = 1.0
# A rejected rate times this factor counts as the accepted rate.
_SAFETY_FACTOR = 0.96


def allowed_rate(seconds_open: float, accepted_rate: float | None) -> float:
    """Return the requests per second that are allowed `seconds_open` seconds after the gate opened.

    `accepted_rate` is the last rate that the service accepted, or None if it is not known. If it is known,
    the allowed rate is a cubic function of time: it starts at half of the accepted rate, rises fast, stays
    near the accepted rate for some time, and then rises fast again.
    """
    if seconds_open >= RECOVERY_TIME:
        return math.inf
    if accepted_rate is None:
        return _INITIAL_RATE * math.pow(2.0, seconds_open)
    return accepted_rate * (1 + 0.5 * math.pow((seconds_open - _RAMP_TIME) / _RAMP_TIME, 3))


@attrs.define
class RateController:
    """The state after a 429: when the gate opens, and which send times after the opening are reserved.

    `RateGate` guards this object with a lock. Each 429 that closes the gate starts a new generation, which
    has a number. A 429 for a request of an earlier generation says nothing about the current rate, because
    this request was sent before the gate closed.
    """

    opens_at: float
    generation: int
    accepted_rate: float | None = None
    # The first send time that is not reserved.
    _next_free: float = attrs.field(default=0.0, alias="next_free")
    # A heap of send times that were reserved and released again.
    _released: list[float] = attrs.field(factory=list[float])
    # The number of requests sent in this generation.
    _sent: int = 0
    # The weighted number of requests at the time `_counted_at`. A request counts less the older it is, so
    # this is about the number of requests in the last second.
    _recent: float = 0.0
    _counted_at: float = 0.0

    @classmethod
    def after_429(cls, now: float, seconds: float, generation: int, *, jitter: float) -> RateController:
        """Return the state after the first 429, which closes the gate for `seconds` seconds."""
        opens_at = now + seconds
        return cls(opens_at, generation, next_free=opens_at + stagger(seconds, jitter))

    def has_recovered(self, now: float) -> bool:
        """Return whether requests are no longer limited."""
        return now >= self.opens_at + RECOVERY_TIME

    def reserve(self, now: float, latest: float) -> float:
        """Return the first free send time from `now` on, and reserve it for the caller.

        A send time after `latest` is returned, but not reserved.
        """
        while self._released and self._released[0] < now:
            heapq.heappop(self._released)
        if self._released:
            return heapq.heappop(self._released) if self._released[0] <= latest else self._released[0]
        send_time = max(now, self.opens_at, self._next_free)
        if send_time <= latest:
            self._next_free = send_time + 1 / allowed_rate(send_time - self.opens_at, self.accepted_rate)
        return send_time

    def release(self, send_time: float) -> None:
        """Make a reserved send time free again, because its caller was cancelled."""
        heapq.heappush(self._released, send_time)

    def on_sent(self, now: float) -> None:
        """Count a request that is sent at `now`."""
        self._sent += 1
        self._recent = self._recent_rate(now) + 1
        self._counted_at = now

    def on_429(self, now: float, seconds: float, generation: int, *, jitter: float) -> None:
        """Close the gate for `seconds` seconds, because a request of `generation` was rejected with a 429."""
        opens_at = now + seconds
        if generation == self.generation:
            self.accepted_rate = self._rate_after_429(now)
        elif opens_at <= self.opens_at:
            return
        self.opens_at = max(self.opens_at, opens_at)
        self.generation += 1
        # Other processes may have got a 429 at the same moment, and should not all send at the same moment.
        self._next_free = self.opens_at + stagger(seconds, jitter)
        self._recent = 0.0
        self._sent = 0
        self._released.clear()

    def _rate_after_429(self, now: float) -> float | None:
        if self._sent <= 1:
            # The first request was rejected, so the gate had opened too early. This says little about the
            # rate.
            return None if self.accepted_rate is None else max(_MINIMUM_RATE, self.accepted_rate / 2)
        # Take the lower of two rates, because the real rate of requests may have been lower than the allowed
        # rate.
        rejected_rate = min(
            allowed_rate(max(0.0, now - self.opens_at), self.accepted_rate), self._recent_rate(now)
        )
        return max(_MINIMUM_RATE, rejected_rate * _SAFETY_FACTOR)

    def _recent_rate(self, now: float) -> float:
        return self._recent * math.exp(self._counted_at - now)
