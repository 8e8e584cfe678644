"""A thread with its own event loop, which runs an emulator for synchronous code."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeAlias

__all__ = ["EmulatorThread"]

_AsyncFunction: TypeAlias = Callable[[], Coroutine[Any, Any, None]]


class EmulatorThread:
    """A daemon thread with its own event loop.

    The coroutine functions `start` and `stop` start and stop the emulator. They run in the event loop of this
    thread. The methods `start` and `stop` are called in the user's thread.
    """

    def __init__(self, start: _AsyncFunction, stop: _AsyncFunction) -> None:
        self._start_emulator = start
        self._stop_emulator = stop
        self._started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=self._run, name="imgwire-emulator", daemon=True)

    def start(self) -> None:
        """Start the thread, and wait until the emulator listens. Raises the exception of a failed start."""
        self._thread.start()
        try:
            self._started.result()
        except BaseException:
            self._thread.join()
            raise

    def stop(self) -> None:
        """Stop the emulator, and wait until its thread has ended."""
        loop, stopping = self._started.result()
        loop.call_soon_threadsafe(stopping.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        stopping = asyncio.Event()
        try:
            await self._start_emulator()
        except BaseException as error:  # noqa: BLE001  the method `start` raises it in the user's thread
            self._started.set_exception(error)
            return
        self._started.set_result((asyncio.get_running_loop(), stopping))
        await stopping.wait()
        await self._stop_emulator()
