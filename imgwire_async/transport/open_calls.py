"""The calls that run on one event loop, and a check for connections that the server has closed.

Closing the client cancels the running calls.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING

from imgwire_async.messages import CLIENT_CLOSED
from imgwire_async.transport.stall_watchdog import StallWatchdog

if TYPE_CHECKING:
    import aiohttp

    from imgwire_async.transport.loop_sessions import LoopSessions
    from imgwire_async.transport.sessions import Sessions


class OpenCalls:
    """The calls and transfers that run on one event loop."""

    def __init__(self) -> None:
        # The context managers of the open calls.
        self.scopes: set[UntilClosed] = set()
        # The stall watchdogs, which end transfers without progress. The keys are their timeouts in seconds.
        self._watchdogs: dict[float, StallWatchdog] = {}
        # Responses whose bodies are being read. `abort_all` closes them, because closing their session would
        # not wake up the tasks that read.
        self.responses: weakref.WeakSet[aiohttp.ClientResponse] = weakref.WeakSet()

    def stall_watchdog(self, seconds: float | None) -> StallWatchdog | None:
        """Return the watchdog for transfers with this stall timeout, or None without a timeout."""
        if seconds is None:
            return None
        watchdog = self._watchdogs.get(seconds)
        if watchdog is None:
            # Remove idle watchdogs, because their timeouts may belong to options that no client uses any
            # more.
            for timeout in [timeout for timeout, other in self._watchdogs.items() if other.is_idle]:
                self._watchdogs.pop(timeout).stop()
            watchdog = self._watchdogs[seconds] = StallWatchdog(seconds)
        return watchdog

    def abort_all(self) -> None:
        """Cancel every call and abort every transfer. Call this method only in the thread of the loop."""
        for scope in self.scopes:
            scope.abort()
        self.scopes.clear()
        for response in list(self.responses):
            response.close()
        for watchdog in self._watchdogs.values():
            watchdog.abort_all()


class UntilClosed(AbstractAsyncContextManager["LoopSessions"]):
    """A context manager that cancels its body when the client is closed, and then raises `RuntimeError`.

    `async with` returns the sessions of the running loop. The class works like `asyncio.timeout`, but the
    closing of the client cancels the body, not a timer. Every call uses this class, so it has to be fast.
    """

    __slots__ = ("_aborted", "_cancel_requests", "_open_calls", "_sessions", "_task")

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._aborted = False

    async def __aenter__(self) -> LoopSessions:
        sessions = await self._sessions.get()
        self._open_calls = sessions.open_calls
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancel_requests = task, task.cancelling()
        self._open_calls.scopes.add(self)
        return sessions

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open_calls.scopes.discard(self)
        # Only the cancellation by `abort` becomes a RuntimeError. A cancellation by other code does not.
        if (
            self._aborted
            and self._task.uncancel() <= self._cancel_requests
            and kind is asyncio.CancelledError
        ):
            raise RuntimeError(CLIENT_CLOSED) from None

    def abort(self) -> None:
        """Cancel the task that runs the body of the `async with`."""
        self._aborted = True
        self._task.cancel()


class IdleCheck:
    """Lets the event loop notice closed connections before a request is sent.

    Servers close idle connections. An event loop cannot notice a closed connection while the loop is stopped
    between two calls, or while a callback blocks the loop. Without this check, the next request would be sent
    over a closed connection.
    """

    __slots__ = ("_last_request_at",)
    # The check is due when no request was sent for this number of seconds.
    _IDLE_TIME = 0.1
    # For how many iterations of the event loop the check waits. In these iterations the loop reads the end of
    # the stream from the socket, passes it through the TLS layer, and reports it to aiohttp's connection.
    _ITERATIONS = 4

    def __init__(self) -> None:
        self._last_request_at = 0.0

    def is_due(self) -> bool:
        """Return whether the caller has to await `run` before it sends its request.

        The method also stores the current time as the time of the last request.
        """
        last, self._last_request_at = self._last_request_at, time.monotonic()
        return self._last_request_at - last > self._IDLE_TIME or self._last_request_at < last

    async def run(self) -> None:
        """Let the loop poll its sockets, so that it notices closed connections."""
        for _ in range(self._ITERATIONS):
            await asyncio.sleep(0)
