"""The emulator's time: it runs by itself and jumps when a test says so."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

__all__ = ["Clock"]


class Clock:
    """Real time plus what `advance` added. Owned by the emulator; safe to read and move from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._start = datetime.now(UTC)
        self._zero = time.monotonic()
        self._ahead = 0.0

    def now(self) -> datetime:
        """The present rfc3339, with_time_zone, in UTC."""
        # A base plus the monotonic clock: a correction of the machine's wall clock can't move a test's time back.
        with self._lock:
            return self._start + timedelta(seconds=time.monotonic() - self._zero + self._ahead)

    def advance(self, seconds: float) -> None:
        """Jump ahead by `seconds`. `ValueError` when they are negative: signed dates would lie in the future."""
        if not seconds >= 0:
            raise ValueError(f"seconds: {seconds!r} would move the clock back; give 0 or more")
        with self._lock:
            self._ahead += seconds

    def reset(self) -> None:
        """Back to real time."""
        with self._lock:
            self._ahead = 0.0
