"""Decide when the next file of a run may begin.

The gate combines all reasons to wait: the rate of the user, a service that is not available, the rate limit
of the service, and too many stored images that are not ready yet.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable

import attrs

from imgwire_async.batch.hold import HoldState, Outcome, after_upload
from imgwire_async.batch.pacing import Pacer

# Bounds in seconds of a pause after a file that the service rejected with the status 429.
_SHORTEST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0


@attrs.define(eq=False)
class Gate:
    """The reasons why a run does not begin the next file now. Used by the event loop of the run.

    Args:
        pacer: The rate of the user, None without a rate.
        is_full: Returns whether so much waits for something else that no file may begin.
        on_held: Called with the reason when the run is held.
        on_resumed: Called when the run goes on.
        clock: Returns the time in seconds.
        jitter: Returns a random number in [0, 1).
    """

    pacer: Pacer | None
    is_full: Callable[[], bool]
    on_held: Callable[[str], object]
    on_resumed: Callable[[], object]
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random
    # Whether the files that begin now are those that failed before.
    is_repeating: bool = attrs.field(default=False, init=False)
    hold: HoldState = attrs.field(factory=HoldState, init=False)
    _probe_at: float = attrs.field(default=0.0, init=False)
    _probes: int = attrs.field(default=0, init=False)
    _paused_until: float = attrs.field(default=0.0, init=False)

    def seconds_until_begin(self) -> float:
        """Return how long the next file has to wait: 0 if it may begin, infinity until something changes."""
        if self.is_full():
            return math.inf
        # Without any of these reasons no clock is read.
        if self.pacer is None and not self.hold.is_held and not self._paused_until:
            return 0.0
        now = self.clock()
        begin = max(now, self._paused_until)
        if begin == now:
            self._paused_until = 0.0
        if self.hold.is_held:
            if self._probes:
                return math.inf
            begin = max(begin, self._probe_at)
        if self.pacer is not None:
            begin = max(begin, self.pacer.next_begin(now))
        return begin - now

    def begin(self) -> bool:
        """Count a file that begins now. Return whether it is a probe."""
        if self.pacer is not None:
            self.pacer.begin(self.clock())
        self._probes += self.hold.is_held
        return self.hold.is_held

    def end(self, outcome: Outcome, *, is_probe: bool) -> None:
        """Count a file whose upload has ended."""
        self._probes -= is_probe
        before = self.hold
        # Most files succeed while the service is available.
        if outcome is Outcome.RESPONDED and not before.failures:
            return
        if self.is_repeating and not before.is_held and outcome is not Outcome.NO_CONNECTION:
            # All of these files failed before, so many failures in a row say little about the service.
            return
        self.hold = after_upload(before, outcome, is_probe=is_probe)
        if self.hold.is_held and self.hold != before:
            self._probe_at = self.clock() + self.hold.delay(self.jitter())
        if self.hold.is_held and not before.is_held:
            self.on_held(outcome.value)
        elif before.is_held and not self.hold.is_held:
            self.on_resumed()

    def pause(self, seconds: float) -> None:
        """Begin no file for some seconds, because the service asked for fewer requests."""
        seconds = min(max(seconds, _SHORTEST_PAUSE), _LONGEST_PAUSE)
        self._paused_until = max(self._paused_until, self.clock() + seconds)
