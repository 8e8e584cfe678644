"""The stall watchdog: ends transfers that make no progress.

One timer serves all transfers of an event loop, because most transfers end long before their timeout.
"""

from __future__ import annotations

import asyncio
from typing import Protocol


class Watched(Protocol):
    """A transfer that a `StallWatchdog` checks."""

    def progress(self) -> object | None:
        """Return the progress of the transfer.

        Any change of the value counts, and None means "not started".
        """
        ...

    def on_stall(self) -> None:
        """End the transfer, which made no progress for too long."""
        ...


class StallWatchdog:
    """Ends the transfers of one event loop that make no progress for `seconds` seconds.

    It checks four times in that time.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        # The last progress of each transfer, and the time at which it was first seen.
        self._watched: dict[Watched, tuple[object, float]] = {}
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_idle(self) -> bool:
        """Whether there is no transfer to check."""
        return not self._watched

    def add(self, transfer: Watched) -> None:
        """Check this transfer until it is removed."""
        self._watched[transfer] = (None, 0.0)
        if self._timer is None:
            self._start_timer(asyncio.get_running_loop())

    def remove(self, transfer: Watched) -> None:
        """Stop checking this transfer. Idempotent."""
        self._watched.pop(transfer, None)

    def abort_all(self) -> None:
        """End every transfer and stop, because the client is being closed."""
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
        # The factor allows for rounding of the loop's clock.
        elif now - since >= self.seconds * 0.999:
            self.remove(transfer)
            transfer.on_stall()
