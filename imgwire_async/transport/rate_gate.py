"""The gate of the rate limit: one 429 delays all requests of a client, on every event loop and thread."""

from __future__ import annotations

import asyncio
import math
import random
import threading
import time
from collections.abc import Awaitable, Callable

import attrs

from imgwire_async import forks
from imgwire_async.transport.rate_controller import RateController


class WaitTooLongError(Exception):
    """The wait of `seconds` seconds would exceed the caller's maximum. The caller did not wait."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@attrs.frozen
class Permit:
    """The permission to send a request, with the generation of the gate and the seconds waited for it.

    Generation 0 means that the gate was open to all.
    """

    generation: int = 0
    waited: float = 0.0


# Seconds added to each sleep. An event loop with a clock of milliseconds rounds, and no request may be sent
# too early.
_TICK = 0.001


@attrs.frozen
class _Reservation:
    """A send time reserved for one caller, `seconds` seconds after it was reserved."""

    controller: RateController
    generation: int
    send_time: float
    seconds: float


class _GateClock:
    """A clock that never runs backwards. It follows `time.monotonic` until a test sets that clock.

    Event loops and threads share a gate, so the gate cannot use the clock of one loop. Tests freeze
    `time.monotonic`, set it forward and set it back. Waiting uses the clock of a loop, which may continue
    meanwhile. After a wait, this clock is therefore set forward to the time that the caller waited for.
    """

    __slots__ = ("_last", "_offset", "_read")

    def __init__(self, read: Callable[[], float]) -> None:
        self._read = read
        self._last = -math.inf
        self._offset = 0.0

    def now(self) -> float:
        reading = self._read()
        if reading < self._last:
            self._offset += self._last - reading
        self._last = reading
        return reading + self._offset

    def advance_to(self, time_reached: float) -> float:
        """Set the clock forward to `time_reached`, and return its time.

        A clock that shows a later time already is not changed.
        """
        now = self.now()
        if now < time_reached:
            self._offset += time_reached - now
            return time_reached
        return now


class RateGate:
    """Delays requests after a 429.

    All event loops, threads and `with_options` clones of a client share one gate.

    `controller` is None while requests are not limited, and a caller needs no permit then. Otherwise a caller
    awaits `acquire` before it sends a request, and calls `close` if the response is a 429.
    """

    __slots__ = ("__weakref__", "_clock", "_generations", "_lock", "controller")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        # The lock guards the clock, too.
        self._lock = threading.Lock()
        self._clock = _GateClock(clock)
        # Generations are never used twice, so that a late 429 for an earlier controller is recognised.
        self._generations = 0
        self.controller: RateController | None = None
        forks.renew_in_child(self)

    def close(self, seconds: float, generation: int) -> None:
        """Close the gate for at least `seconds` seconds, after a 429 for a request of `generation`."""
        forks.check()
        with self._lock:
            now = self._clock.now()
            if self.controller is None:
                self.controller = RateController.after_429(
                    now, seconds, self._generations + 1, jitter=random.random()
                )
            else:
                self.controller.on_429(now, seconds, generation, jitter=random.random())
            self._generations = self.controller.generation

    def closed_since(self, generation: int) -> bool:
        """Return whether a 429 has closed the gate since a permit of `generation` was acquired."""
        controller = self.controller
        return (
            controller is not None
            and controller.generation != generation
            and not controller.has_recovered(self._now())
        )

    def seconds_until_open(self) -> float:
        """Return the seconds until the gate opens, or 0 when it is open."""
        controller = self.controller
        return 0.0 if controller is None else max(0.0, controller.opens_at - self._now())

    def _now(self) -> float:
        forks.check()
        with self._lock:
            return self._clock.now()

    async def acquire(
        self, max_wait: float, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> Permit:
        """Wait until the caller may send a request, and return the permit.

        Raises `WaitTooLongError` at once when the wait would take more than `max_wait` seconds. `sleep` waits
        by the event loop's clock, which also measures the time waited.
        """
        clock = asyncio.get_running_loop().time
        started_at = clock()
        while True:
            reservation = self._reserve(max_wait - (clock() - started_at))
            if reservation is None:
                return Permit(0, clock() - started_at)
            try:
                await _sleep_for(reservation.seconds, sleep)
            except BaseException:
                self._release(reservation)
                raise
            if self._redeem(reservation):
                return Permit(reservation.generation, clock() - started_at)

    def _reserve(self, max_wait: float) -> _Reservation | None:
        """Reserve a send time. Return None when requests are not limited."""
        forks.check()
        with self._lock:
            now = self._clock.now()
            controller = self.controller
            if controller is None or controller.has_recovered(now):
                self.controller = None
                return None
            send_time = controller.reserve(now, now + max_wait)
            if send_time > now + max_wait:
                raise WaitTooLongError(send_time - now)
            return _Reservation(controller, controller.generation, send_time, send_time - now)

    def _redeem(self, reservation: _Reservation) -> bool:
        """Return whether the reservation is still valid. Another 429 may have closed the gate meanwhile."""
        forks.check()
        with self._lock:
            now = self._clock.advance_to(reservation.send_time)
            if self.controller is None:
                return True
            if not self._is_current(reservation):
                return False
            reservation.controller.on_sent(now)
            return True

    def _release(self, reservation: _Reservation) -> None:
        forks.check()
        with self._lock:
            if self._is_current(reservation):
                reservation.controller.release(reservation.send_time)

    def _is_current(self, reservation: _Reservation) -> bool:
        controller = reservation.controller
        return self.controller is controller and controller.generation == reservation.generation

    def after_fork(self) -> None:
        """Replace the lock in a forked child, because another thread of the parent may have held it."""
        self._lock = threading.Lock()


async def _sleep_for(seconds: float, sleep: Callable[[float], Awaitable[None]]) -> None:
    """Sleep for `seconds` seconds by the event loop's clock, never for less."""
    clock = asyncio.get_running_loop().time
    end = clock() + seconds
    while (remaining := end - clock()) > 0:
        await sleep(remaining + _TICK)
