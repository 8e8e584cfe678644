"""The stall watchdog, which ends transfers that make no progress.

All transfers with the same timeout share one timer, because most transfers end long before the timeout.
"""

from __future__ import annotations

import asyncio
from typing import Protocol


class Watched(Protocol):
    """A transfer that a `StallWatchdog` checks."""

    def progress(self) -> object | None:
        """Return a value that changes with every progress of the transfer.

        None means that the stall timeout does not run now, for example before the request was sent.
        """
        ...

    def on_stall(self) -> None:
        """End the transfer, because it made no progress for too long or the client is being closed."""
        ...


class StallWatchdog:
    """Ends the transfers of one event loop that make no progress for `seconds` seconds.

    It checks every transfer four times in `seconds` seconds.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        # The last progress value of each transfer, and the time at which this value was first seen.
        self._watched: dict[Watched, tuple[object, float]] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_idle(self) -> bool:
        """Whether there is no transfer to check."""
        return not self._watched

    def add(self, transfer: Watched) -> None:
        """Check this transfer from now on, until `remove` is called for it."""
        self._watched[transfer] = (None, 0.0)
        if self._timer is None:
            self._start_timer(asyncio.get_running_loop())

    def remove(self, transfer: Watched) -> None:
        """Stop checking this transfer. Do nothing if it is not being checked."""
        self._watched.pop(transfer, None)

    def abort_all(self) -> None:
        """End every transfer and stop the timer, because the client is being closed."""
        for transfer in list(self._watched):
            transfer.on_stall()
        self.stop()

    def stop(self) -> None:
        """Stop checking all transfers."""
        self._watched.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(self.seconds / 4, self._check_all, loop)

    def _check_all(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        for transfer in list(self._watched):
            try:
                self._check(transfer, now)
            except Exception as error:  # noqa: BLE001  # an unknown kind of transport; the other transfers still need a check
                self.remove(transfer)
                message = "the progress of a transfer could not be read, so it has no stall timeout"
                loop.call_exception_handler({"message": message, "exception": error})
        if self._watched:
            self._start_timer(loop)

    def _check(self, transfer: Watched, now: float) -> None:
        last, since = self._watched[transfer]
        progress = transfer.progress()
        if progress is None or progress != last:
            self._watched[transfer] = (progress, now)
        # The factor 0.999 allows for rounding of the loop's clock.
        elif now - since >= self.seconds * 0.999:
            self.remove(transfer)
            transfer.on_stall()
