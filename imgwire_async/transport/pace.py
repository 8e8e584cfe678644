"""How fast requests may leave after a 429: decisions on values alone; clock and dice are arguments.

The service tells when to come back, never how fast. So the pace is found out: it starts low, rises fast up to the pace that
went well last, slowly above it, and is full again some time after the last refusal.
"""

from __future__ import annotations

import heapq
import math

import attrs

from imgwire_async.retry import spread

FULL_AFTER = 30.0  # seconds after the gate opened: from then on nobody waits
_FIRST = (
    4.0  # requests per second at first, when all that is known is that it was too much; doubled every second
)
_KNEE = 8.0  # seconds until the last accepted pace is reached again, and over which the curve lies flat
_LEAST = 1.0  # requests per second; a service that wants less says so in Retry-After
_BELOW = 0.96  # of the pace that was refused counts as accepted


def pace(since: float, accepted: float | None) -> float:
    """Requests per second `since` seconds after the gate opened; `accepted` is the pace that went well last, if one is known.

    The cubic begins at one half, is steep far below `accepted`, flat around it, and steep again far above.
    """
    if since >= FULL_AFTER:
        return math.inf
    if accepted is None:
        return _FIRST * math.pow(2.0, since)
    return accepted * (1 + 0.5 * math.pow((since - _KNEE) / _KNEE, 3))


@attrs.define
class Pace:
    """What a 429 left behind: when the gate opens, and which moments after that are taken. `Gate` guards it.

    A `round` lasts from one closing to the next. Only a request that left in the running round and was refused teaches
    something about the pace; those of earlier rounds were under way when the gate closed.
    """

    opens: float
    round: int
    accepted: float | None = None
    _next: float = attrs.field(default=0.0, alias="next")  # the first moment that nobody has taken
    _free: list[float] = attrs.field(factory=list[float])  # a heap: places whose callers went away
    _left: int = 0  # how many requests left in this round
    _recent: float = 0.0  # about how many of them in the last second, as of `_counted`
    _counted: float = 0.0

    @classmethod
    def after(cls, now: float, seconds: float, number: int, *, dice: float) -> Pace:
        """The pace after the first 429, which said to come back after `seconds`, in round `number`."""
        opens = now + seconds
        return cls(opens, number, next=opens + spread(seconds, dice))

    def over(self, now: float) -> bool:
        """Whether the pace is full again."""
        return now >= self.opens + FULL_AFTER

    def place(self, now: float, latest: float) -> float:
        """The first free moment from `now` on. The caller then has it to itself, unless it is after `latest`."""
        while self._free and self._free[0] < now:
            heapq.heappop(self._free)
        if self._free:
            return heapq.heappop(self._free) if self._free[0] <= latest else self._free[0]
        place = max(now, self.opens, self._next)
        if place <= latest:
            self._next = place + 1 / pace(place - self.opens, self.accepted)
        return place

    def give_back(self, place: float) -> None:
        """A caller went away before its place came: the next one may have it."""
        heapq.heappush(self._free, place)

    def leaves(self, now: float) -> None:
        """A request leaves."""
        self._left += 1
        self._recent = self._recently(now) + 1
        self._counted = now

    def refused(self, now: float, seconds: float, sent_in: int, *, dice: float) -> None:
        """A request that left in round `sent_in` met a 429, and is to come back after `seconds`."""
        opens = now + seconds
        if sent_in == self.round:
            self.accepted = self._learned(now)
        elif opens <= self.opens:
            return
        self.opens = max(self.opens, opens)
        self.round += 1
        # Other processes may have been sent away together with us.
        self._next = self.opens + spread(seconds, dice)
        self._recent = 0.0
        self._left = 0
        self._free.clear()

    def _learned(self, now: float) -> float | None:
        if self._left <= 1:
            # Nothing went well: the gate had opened too early, which says little about the pace.
            return None if self.accepted is None else max(_LEAST, self.accepted / 2)
        # Where nobody had to wait, less was asked for than the pace allowed.
        refused = min(pace(max(0.0, now - self.opens), self.accepted), self._recently(now))
        return max(_LEAST, refused * _BELOW)

    def _recently(self, now: float) -> float:
        return self._recent * math.exp(self._counted - now)
