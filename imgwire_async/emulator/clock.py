"""The clock of the emulator, which a test can move forward."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

__all__ = ["Clock"]


class Clock:
    """Real time plus the seconds that `advance` added. Any thread may call the methods."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._start_time = datetime.now(UTC)
        self._monotonic_start = time.monotonic()
        self._offset = 0.0

    def now(self) -> datetime:
        """Return the emulator's current time in UTC."""
        # The monotonic clock measures the elapsed time, because the machine's wall clock may be set back.
        with self._lock:
            return self._start_time + timedelta(
                seconds=time.monotonic() - self._monotonic_start + self._offset
            )

    def advance(self, seconds: float) -> None:
        """Move the clock forward by `seconds`.

        Raises `ValueError` for a negative number, because existing records and signed URLs would get dates in
        the future.
        """
        if not seconds >= 0:
            raise ValueError(f"seconds: {seconds!r} would move the clock back; pass 0 or more")
        with self._lock:
            self._offset += seconds

    def reset(self) -> None:
        """Undo all calls of `advance`, so that the clock shows real time again."""
        with self._lock:
            self._offset = 0.0
