"""The rate limit's gate: one 429 makes every caller of the client wait, on every loop and thread."""

from __future__ import annotations

import asyncio
import math
import random
import threading
import time
from collections.abc import Awaitable, Callable

import attrs

from imgwire_async import forks
from imgwire_async.transport.pace import Pace


class TooLongError(Exception):
    """The wait would be longer than the caller's patience: `seconds` from now. Nothing was waited."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@attrs.frozen
class Passed:
    """How a caller came through: in which round of the gate, and after how many seconds of waiting."""

    round: int = 0
    waited: float = 0.0


# Seconds. A loop that counts in milliseconds rounds, and nobody shall leave too early.
_TICK = 0.001


@attrs.frozen
class _Place:
    """A moment that one caller has to itself, `seconds` after it was taken."""

    pace: Pace
    round: int
    moment: float
    seconds: float


class _GateClock:
    """The seconds by which a gate counts: those of `time.monotonic`, as long as nobody sets that clock.

    Loops and threads share a gate, so its moments cannot be those of a loop. Tests freeze `time.monotonic`, and set it forward and
    back again; a wait is let pass by a loop, whose clock may go on. So this clock never runs backwards, and is put
    forward to the moment that was waited for.
    """

    __slots__ = ("_ahead", "_last", "_read")

    def __init__(self, read: Callable[[], float]) -> None:
        self._read = read
        self._last = -math.inf
        self._ahead = 0.0

    def now(self) -> float:
        told = self._read()
        if told < self._last:
            self._ahead += self._last - told
        self._last = told
        return told + self._ahead

    def reached(self, moment: float) -> float:
        """The moment now, which is not before `moment`."""
        now = self.now()
        if now < moment:
            self._ahead += moment - now
            return moment
        return now


class Gate:
    """Shared by all loops, threads and `with_options` clones of a client.

    `pace` is None while no 429 was met lately; then nobody needs to ask. Whoever finds one takes a place with `turn`, and
    tells a 429 with `close`, giving the round in which its request left.
    """

    __slots__ = ("__weakref__", "_clock", "_lock", "_rounds", "pace")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._clock = _GateClock(clock)  # the lock guards it, too
        self._rounds = 0  # never used twice, so that a straggler of an older pace is known as one
        self.pace: Pace | None = None
        forks.renew_after_fork(self)

    def close(self, seconds: float, sent_in: int) -> None:
        """A request that left in round `sent_in` met a 429: nobody leaves for at least `seconds`, then few at first."""
        forks.check()
        with self._lock:
            now = self._clock.now()
            if self.pace is None:
                self.pace = Pace.after(now, seconds, self._rounds + 1, dice=random.random())
            else:
                self.pace.refused(now, seconds, sent_in, dice=random.random())
            self._rounds = self.pace.round

    def closed_since(self, round_: int) -> bool:
        """Whether a 429 has closed the gate since a caller came through in this round; 0 stands for: when it was open to all."""
        pace = self.pace
        return pace is not None and pace.round != round_ and not pace.over(self._now())

    def remaining(self) -> float:
        """Seconds until the gate opens; 0 when it is open."""
        pace = self.pace
        return 0.0 if pace is None else max(0.0, pace.opens - self._now())

    def _now(self) -> float:
        forks.check()
        with self._lock:
            return self._clock.now()

    async def turn(
        self, patience: float, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> Passed:
        """Wait until this caller may send its request. Raises `TooLongError` instead of waiting longer than `patience` seconds.

        `pause` lets time pass by the loop's clock, and that is what counts as waited.
        """
        clock = asyncio.get_running_loop().time
        began = clock()
        while True:
            place = self._take(patience - (clock() - began))
            if place is None:
                return Passed(0, clock() - began)
            try:
                await _let_pass(place.seconds, pause)
            except BaseException:
                self._give_back(place)
                raise
            if self._leave(place):
                return Passed(place.round, clock() - began)

    def _take(self, patience: float) -> _Place | None:
        """A place in the pace that counts; None when nobody has to wait any more."""
        forks.check()
        with self._lock:
            now = self._clock.now()
            pace = self.pace
            if pace is None or pace.over(now):
                self.pace = None
                return None
            moment = pace.place(now, now + patience)
            if moment > now + patience:
                raise TooLongError(moment - now)
            return _Place(pace, pace.round, moment, moment - now)

    def _leave(self, place: _Place) -> bool:
        """Whether the place still holds: another 429 may have closed the gate since it was taken."""
        forks.check()
        with self._lock:
            now = self._clock.reached(place.moment)
            if self.pace is None:
                return True
            if self.pace is not place.pace or self.pace.round != place.round:
                return False
            self.pace.leaves(now)
            return True

    def _give_back(self, place: _Place) -> None:
        forks.check()
        with self._lock:
            if self.pace is place.pace and place.pace.round == place.round:
                place.pace.give_back(place.moment)

    def after_fork(self) -> None:
        """In a forked child: another thread of the parent may have held the lock."""
        self._lock = threading.Lock()


async def _let_pass(seconds: float, pause: Callable[[float], Awaitable[None]]) -> None:
    """Let so many seconds of the loop's own clock pass, and not a tick too little."""
    clock = asyncio.get_running_loop().time
    until = clock() + seconds
    while (left := until - clock()) > 0:
        await pause(left + _TICK)
