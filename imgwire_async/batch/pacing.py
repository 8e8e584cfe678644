"""Decide when the next file of a run may begin, so that at most `rate` files begin per second.

No I/O and no clock: the current time is an argument.
"""

from __future__ import annotations

import math
from collections import deque

import attrs

# Seconds that a file may begin late without a change of the schedule. An event loop wakes up some
# milliseconds late, which would lower the rate. After a longer pause the schedule begins again, without a
# burst.
_CATCH_UP = 0.05
# The times of the files of one second are kept. No run begins more files in a second than this.
_MAX_RATE = 10_000.0


@attrs.define
class Pacer:
    """The times at which files of a run began. Used by the one task that begins files.

    Files begin `1 / rate` seconds apart. A file that begins a little late does not delay the next ones. In no
    second more than `rate` + 1 files begin.
    """

    rate: float
    # The time of the next file, by schedule.
    _scheduled: float = attrs.field(default=-math.inf, init=False)
    # The times of the last files, as many as may begin in one second.
    _begun: deque[float] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.rate = min(self.rate, _MAX_RATE)
        self._begun = deque(maxlen=math.floor(self.rate) + 1)

    def next_begin(self, now: float) -> float:
        """Return when the next file may begin: `now` or later."""
        earliest = max(now, self._scheduled)
        if len(self._begun) == self._begun.maxlen:
            earliest = max(earliest, self._begun[0] + 1)
        return earliest

    def begin(self, now: float) -> None:
        """Count a file that begins now."""
        is_on_schedule = now - self._scheduled <= _CATCH_UP
        self._scheduled = (self._scheduled if is_on_schedule else now) + 1 / self.rate
        self._begun.append(now)
