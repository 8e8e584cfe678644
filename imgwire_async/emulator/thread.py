"""A thread with a loop of its own, in which an emulator runs for those who have none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeAlias

__all__ = ["EmulatorThread"]

_Step: TypeAlias = Callable[[], Coroutine[Any, Any, None]]


class EmulatorThread:
    """A daemon thread with its own loop. `start` and `stop` are called by the thread that uses the emulator."""

    def __init__(self, begin: _Step, end: _Step) -> None:
        self._begin = begin
        self._end = end
        self._started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=self._run, name="imgwire-emulator", daemon=True)

    def start(self) -> None:
        """Return when the hosts listen; raises what kept them from it."""
        self._thread.start()
        try:
            self._started.result()
        except BaseException:
            self._thread.join()
            raise

    def stop(self) -> None:
        """Return when everything has ended."""
        loop, over = self._started.result()
        loop.call_soon_threadsafe(over.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._live())

    async def _live(self) -> None:
        over = asyncio.Event()
        try:
            await self._begin()
        except BaseException as error:  # noqa: BLE001  it belongs to the thread that waits in `start`
            self._started.set_exception(error)
            return
        self._started.set_result((asyncio.get_running_loop(), over))
        await over.wait()
        await self._end()
