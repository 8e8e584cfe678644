"""The gate of the rate limit: after one 429 it delays all requests of a client, in all loops and threads."""

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
    """Raised without a further wait, because the caller would have to wait longer than its maximum.

    `seconds` is the number of seconds that the caller would have to wait.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@attrs.frozen
class Permit:
    """The permission to send a request.

    `generation` is the generation of the `RateController`, or 0 if requests are not limited. `waited` is the
    number of seconds for which the caller waited for the permit.
    """

    generation: int = 0
    waited: float = 0.0


# Seconds added to each sleep, so that no request is sent too early if the event loop rounds times to
# milliseconds.
_TICK = 0.001


@attrs.frozen
class _Reservation:
    """A send time that is reserved for one caller, who has to wait `seconds` seconds for it."""

    controller: RateController
    generation: int
    send_time: float
    seconds: float


class _GateClock:
    """The clock of a gate, based on `time.monotonic`. It never runs backwards.

    The gate cannot use the clock of an event loop, because several loops share the gate. But sleeps use the
    clock of a loop. The clocks may differ, because users' tests freeze `time.monotonic` or set it back. So
    after a sleep this clock is set forward to the time for which the caller waited.
    """

    __slots__ = ("_last_reading", "_offset", "_read_clock")

    def __init__(self, read: Callable[[], float]) -> None:
        self._read_clock = read
        self._last_reading = -math.inf
        self._offset = 0.0

    def now(self) -> float:
        reading = self._read_clock()
        if reading < self._last_reading:
            self._offset += self._last_reading - reading
        self._last_reading = reading
        return reading + self._offset

    def advance_to(self, time_reached: float) -> float:
        """Set the clock forward to `time_reached` if it shows an earlier time. Return the clock's time."""
        now = self.now()
        if now < time_reached:
            self._offset += time_reached - now
            return time_reached
        return now


class RateGate:
    """Delays requests after a 429.

    All event loops, threads and `with_options` clones of a client share one gate.

    `controller` is None before the first 429, and again after an `acquire` finds that requests are no longer
    limited. While it is None, a caller may send requests without a permit. Otherwise a caller awaits
    `acquire` before it sends a request. After a 429 a caller calls `close`.
    """

    __slots__ = ("__weakref__", "_clock", "_last_generation", "_lock", "controller", "rejections")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        # Guards the clock, the controller and the generations.
        self._lock = threading.Lock()
        self._clock = _GateClock(clock)
        # The last generation number of a controller. A new controller continues with the next number, so a
        # late 429 shows that its request belongs to an earlier controller.
        self._last_generation = 0
        self.controller: RateController | None = None
        # The number of 429 responses so far. A batch run reads it without the lock.
        self.rejections: int = 0
        forks.renew_in_child(self)

    def close(self, seconds: float, generation: int) -> None:
        """Close the gate for at least `seconds` seconds, after a request got a 429.

        `generation` is the generation of the permit with which this request was sent.
        """
        forks.check()
        with self._lock:
            self.rejections += 1
            now = self._clock.now()
            if self.controller is None:
                self.controller = RateController.after_429(
                    now, seconds, self._last_generation + 1, jitter=random.random()
                )
            else:
                self.controller.on_429(now, seconds, generation, jitter=random.random())
            self._last_generation = self.controller.generation

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

        Raises `WaitTooLongError` without a further wait if the wait would take more than `max_wait` seconds
        in total. `sleep` is called to wait, and has to use the event loop's clock, as `asyncio.sleep` does.
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
        """Reserve a send time and return the reservation, or return None if requests are not limited."""
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
        """Count the request as sent, unless requests are no longer limited, and return True.

        Return False, and count nothing, if a 429 has closed the gate since the reservation.
        """
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
    """Sleep for at least `seconds` seconds of the event loop's clock."""
    clock = asyncio.get_running_loop().time
    end = clock() + seconds
    while (remaining := end - clock()) > 0:
        await sleep(remaining + _TICK)
