"""The rate limit's gate: one 429 makes every caller of the client wait, on every loop and thread."""

from __future__ import annotations

import threading
import time


class Gate:
    """Closed until a moment of the monotonic clock. Shared by all loops, threads and `with_options` clones of a client."""

    __slots__ = ("_lock", "_until")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until = 0.0

    def close(self, seconds: float) -> None:
        """Keep the gate closed for at least `seconds` from now."""
        until = time.monotonic() + seconds
        with self._lock:
            self._until = max(self._until, until)

    def remaining(self) -> float:
        """Seconds until the gate opens; 0 or less when it is open."""
        return self._until - time.monotonic()
