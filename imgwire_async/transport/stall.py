"""The stall clock: ends transfers that stand still. One timer for all of a loop, for most transfers end long before it fires."""

from __future__ import annotations

import asyncio
from typing import Protocol


class Moving(Protocol):
    """A transfer under way."""

    def position(self) -> object | None:
        """Where it stands: any change is progress. None before it can stand still."""
        ...

    def give_up(self) -> None:
        """End it: nothing has moved for too long."""
        ...


class StallClock:
    """Looks at the transfers of one loop, four times in `seconds`, and gives up those that did not move for so long."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._watched: dict[Moving, tuple[object, float]] = {}  # position, and since when
        self._timer: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Whether there is nothing to look at."""
        return not self._watched

    def watch(self, transfer: Moving) -> None:
        """Look at this transfer, too, until `leave`."""
        self._watched[transfer] = (None, 0.0)
        if self._timer is None:
            self._wind(asyncio.get_running_loop())

    def leave(self, transfer: Moving) -> None:
        """It is over."""
        self._watched.pop(transfer, None)

    def give_up_all(self) -> None:
        """Give up every transfer, and look no more: the client is being closed, and nothing may hold that up."""
        for transfer in list(self._watched):
            transfer.give_up()
        self.stop()

    def stop(self) -> None:
        """Look no more."""
        self._watched.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wind(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(self.seconds / 4, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        for transfer in list(self._watched):
            try:
                self._look_at(transfer, now)
            except Exception as error:  # noqa: BLE001  # a transport of another make; the others are looked at all the same
                self.leave(transfer)
                told = {"message": "a transfer could not be watched, so it may stand still for ever"}
                loop.call_exception_handler({**told, "exception": error})
        if self._watched:
            self._wind(loop)

    def _look_at(self, transfer: Moving, now: float) -> None:
        last, since = self._watched[transfer]
        position = transfer.position()
        if position is None or position != last:
            self._watched[transfer] = (position, now)
        elif now - since >= self.seconds * 0.999:
            self.leave(transfer)
            transfer.give_up()
