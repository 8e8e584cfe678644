"""The calls of one loop that are under way: what ends them when the client is closed, and what looks after their sockets."""

from __future__ import annotations

import asyncio
import time
import weakref
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING

from imgwire_async.errors import CLIENT_CLOSED
from imgwire_async.transport.stall_watchdog import StallWatchdog

if TYPE_CHECKING:
    import aiohttp

    from imgwire_async.transport.loop_sessions import LoopSessions
    from imgwire_async.transport.sessions import Sessions


class OpenCalls:
    """What is under way on one loop: `end` ends all of it, wherever it waits."""

    def __init__(self) -> None:
        self.scopes: set[UntilClosed] = set()
        # By their timeout in seconds.
        self._watchdogs: dict[float, StallWatchdog] = {}
        # Responses whose bytes are being read: closing a session alone would leave their readers waiting.
        self.responses: weakref.WeakSet[aiohttp.ClientResponse] = weakref.WeakSet()

    def stall_watchdog(self, seconds: float | None) -> StallWatchdog | None:
        """Return the watchdog for transfers with this stall timeout, or None if they have no stall timeout."""
        if seconds is None:
            return None
        watchdog = self._watchdogs.get(seconds)
        if watchdog is None:
            # Idle ones may belong to options that no client uses any more.
            for timeout in [timeout for timeout, other in self._watchdogs.items() if other.is_idle]:
                self._watchdogs.pop(timeout).stop()
            watchdog = self._watchdogs[seconds] = StallWatchdog(seconds)
        return watchdog

    def end(self) -> None:
        """End every call and transfer. Called on the loop that they run on."""
        for scope in self.scopes:
            scope.end()
        self.scopes.clear()
        for response in list(self.responses):
            response.close()
        for watchdog in self._watchdogs.values():
            watchdog.abort_all()


class UntilClosed(AbstractAsyncContextManager["LoopSessions"]):
    """`async with UntilClosed(sessions) as here:` ends what runs inside, with a `RuntimeError`, when the client is closed.

    It is what `asyncio.timeout` does, without a clock: every call enters one, so it is kept short.
    """

    __slots__ = ("_calls", "_cancelling", "_ended", "_sessions", "_task")

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._ended = False

    async def __aenter__(self) -> LoopSessions:
        here = await self._sessions.get()
        self._calls = here.open_calls
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancelling = task, task.cancelling()
        self._calls.scopes.add(self)
        return here

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._calls.scopes.discard(self)
        # Another cancellation, of somebody else, goes on.
        if self._ended and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise RuntimeError(CLIENT_CLOSED) from None

    def end(self) -> None:
        """Cancel what runs inside."""
        self._ended = True
        self._task.cancel()


class IdleCheck:
    """Lets the loop look at its sockets before a request, where it may not have done so for a while.

    A server closes a connection that idles. While the loop does not run (it is stopped between two calls, or a callback
    computes) it does not see that, and would send the next request into the closed connection.
    """

    __slots__ = ("_last",)
    _AFTER = 0.1  # seconds
    _ROUNDS = 4  # of the loop: the end is read, passed through the TLS layer, and told to the connection

    def __init__(self) -> None:
        self._last = 0.0

    def is_due(self) -> bool:
        """Note that a request is made now. Return whether `run` is to be awaited before."""
        last, self._last = self._last, time.monotonic()
        return self._last - last > self._AFTER or self._last < last

    async def run(self) -> None:
        """Return when the loop has looked."""
        for _ in range(self._ROUNDS):
            await asyncio.sleep(0)
