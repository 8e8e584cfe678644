"""The rate limit's gate: one 429 makes every caller of the client wait, on every loop and thread."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
import weakref
from collections.abc import Awaitable, Callable

import attrs

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


class Gate:
    """Shared by all loops, threads and `with_options` clones of a client.

    `pace` is None while no 429 was met lately; then nobody needs to ask. Whoever finds one takes a place with `turn`, and
    tells a 429 with `close`, giving the round in which its request left.
    """

    __slots__ = ("__weakref__", "_lock", "_rounds", "pace")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rounds = 0  # never used twice, so that a straggler of an older pace is known as one
        self.pace: Pace | None = None
        _gates.add(self)

    def close(self, seconds: float, sent_in: int) -> None:
        """A request that left in round `sent_in` met a 429: nobody leaves for at least `seconds`, then few at first."""
        with self._lock:
            now = time.monotonic()
            if self.pace is None:
                self.pace = Pace.after(now, seconds, self._rounds + 1, dice=random.random())
            else:
                self.pace.refused(now, seconds, sent_in, dice=random.random())
            self._rounds = self.pace.round

    def closed_since(self, round_: int) -> bool:
        """Whether a 429 has closed the gate since a caller came through in this round; 0 stands for: when it was open to all."""
        pace = self.pace
        return pace is not None and pace.round != round_ and not pace.over(time.monotonic())

    def remaining(self) -> float:
        """Seconds until the gate opens; 0 when it is open."""
        pace = self.pace
        return 0.0 if pace is None else max(0.0, pace.opens - time.monotonic())

    async def turn(
        self, patience: float, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> Passed:
        """Wait until this caller may send its request. Raises `TooLongError` instead of waiting longer than `patience` seconds.

        `pause` lets time pass.
        """
        began = time.monotonic()
        while True:
            taken = self._take(began + patience)
            if taken is None:
                return Passed(0, time.monotonic() - began)
            pace, place, of_round = taken
            try:
                await _sleep_until(place, pause)
            except BaseException:
                self._give_back(pace, place, of_round)
                raise
            if self._leave(pace, of_round):
                return Passed(of_round, time.monotonic() - began)

    def _take(self, latest: float) -> tuple[Pace, float, int] | None:
        """The pace that counts, a place in it and its round; None when nobody has to wait any more."""
        with self._lock:
            now = time.monotonic()
            pace = self.pace
            if pace is None or pace.over(now):
                self.pace = None
                return None
            place = pace.place(now, latest)
            if place > latest:
                raise TooLongError(place - now)
            return pace, place, pace.round

    def _leave(self, pace: Pace, of_round: int) -> bool:
        """Whether the place still holds: another 429 may have closed the gate since it was taken."""
        with self._lock:
            if self.pace is None:
                return True
            if self.pace is not pace or pace.round != of_round:
                return False
            pace.leaves(time.monotonic())
            return True

    def _give_back(self, pace: Pace, place: float, of_round: int) -> None:
        with self._lock:
            if self.pace is pace and pace.round == of_round:
                pace.give_back(place)

    def renew_lock(self) -> None:
        """In a forked child: another thread of the parent may have held the lock."""
        self._lock = threading.Lock()


async def _sleep_until(moment: float, pause: Callable[[float], Awaitable[None]]) -> None:
    """Let time pass, and not a tick too little: loops round, and two clocks need not agree."""
    left = moment - time.monotonic()
    while left > 0:
        await pause(left)
        left = moment - time.monotonic()


_gates: weakref.WeakSet[Gate] = weakref.WeakSet()


def _after_fork() -> None:
    for gate in list(_gates):
        gate.renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
