"""The sessions of a client: one set for each event loop that uses the client.

aiohttp is imported when the first set is opened, not when this module is imported.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
import weakref
from typing import TYPE_CHECKING

from imgwire_async import forks
from imgwire_async.config import Config
from imgwire_async.messages import CLIENT_CLOSED
from imgwire_async.transport import disposal
from imgwire_async.transport.open_calls import UntilClosed
from imgwire_async.transport.slots import without_slot

if TYPE_CHECKING:
    import ssl

    from imgwire_async.transport.loop_sessions import LoopSessions

_NO_LOOP = (
    "AsyncImgwireClient needs a running asyncio loop: aiohttp does not run on trio. Under trio call the blocking "
    "ImgwireClient in a worker thread (anyio.to_thread.run_sync)."
)


class Sessions:
    """The sessions of one client, one set for each event loop. Several threads may use this object."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._by_loop: dict[asyncio.AbstractEventLoop, LoopSessions] = {}
        self._lock = threading.Lock()
        self._tls_context: ssl.SSLContext | None = None
        self.closed: bool = False
        weakref.finalize(self, disposal.dispose, self._by_loop).atexit = False
        _instances.add(self)
        forks.renew_in_child(self)

    def require_usable(self) -> asyncio.AbstractEventLoop:
        """Return the running event loop.

        Raises `RuntimeError` if no asyncio loop runs, or if the client was closed.
        """
        forks.check()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(_NO_LOOP) from None
        if self.closed:
            raise RuntimeError(CLIENT_CLOSED)
        return loop

    async def get(self) -> LoopSessions:
        """Return the sessions of the running loop, and open them on first use.

        If the sessions are open, this method does not suspend.
        """
        forks.check()
        try:
            sessions = self._by_loop.get(asyncio.get_running_loop())
        except RuntimeError:
            # No asyncio loop runs: `_open` raises the error for that.
            sessions = None
        return await self._open() if sessions is None or self.closed else sessions

    async def _open(self) -> LoopSessions:
        """Open the sessions of the running loop."""
        loop = self.require_usable()
        from imgwire_async.transport.loop_sessions import open_sessions, read_ca_bundle

        bundle = self._config.ssl
        if isinstance(bundle, str) and self._tls_context is None:
            self._tls_context = await read_ca_bundle(bundle)
            self.require_usable()
            # Another call may have opened the sessions while this call waited for the file.
            opened = self._by_loop.get(loop)
            if opened is not None:
                return opened
        with self._lock:
            closed_loops = [other for other in self._by_loop if other.is_closed()]
            sessions_of_closed_loops = {other: self._by_loop.pop(other) for other in closed_loops}
        disposal.dispose(sessions_of_closed_loops)
        sessions = open_sessions(self._config, self._tls_context)
        # Start the generator, so that the event loop closes it when the loop ends. The start does not suspend
        # this task, so two tasks cannot both open sessions for the same loop.
        await anext(sessions.cleanup_generator)
        if not self._add(loop, sessions):
            await sessions.cleanup_generator.aclose()
            raise RuntimeError(CLIENT_CLOSED)
        return sessions

    def _add(self, loop: asyncio.AbstractEventLoop, sessions: LoopSessions) -> bool:
        """Store the sessions of a loop, and return True. Return False if another thread closed the client."""
        with self._lock:
            if not self.closed:
                self._by_loop[loop] = sessions
            return not self.closed

    async def sleep(self, seconds: float) -> None:
        """Release the put slot of the current task, sleep for `seconds` seconds, and acquire the slot again.

        Raises `RuntimeError` as soon as the client is closed.
        """
        async with UntilClosed(self):
            await without_slot(lambda: asyncio.sleep(seconds))

    async def aclose(self) -> None:
        """Close the sessions of the running loop, and cancel the calls on all other running loops.

        The other loops close their own sessions when they end. `aclose` may be called more than once.
        """
        forks.check()
        self.closed = True
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        with self._lock:
            own_sessions = self._by_loop.pop(loop, None) if loop is not None else None
            others = list(self._by_loop.items())
        for other, sessions in others:
            if other.is_running():
                # RuntimeError means that the loop was closed since the check.
                with contextlib.suppress(RuntimeError):
                    other.call_soon_threadsafe(sessions.open_calls.abort_all)
        if own_sessions is not None:
            await own_sessions.cleanup_generator.aclose()

    def close_idle(self) -> None:
        """Close the sessions of loops that do not run. Called when the interpreter exits."""
        disposal.close_idle(self._by_loop)

    def after_fork(self) -> None:
        """Forget the parent's sessions in a forked child, but neither close nor free them.

        Parent and child share the epoll set that contains the sockets of these sessions. Closing a socket in
        the child would remove it from this set, and the parent's loop would wait for the socket forever.
        """
        for sessions in self._by_loop.values():
            forks.make_immortal(sessions)
        self._by_loop.clear()
        self._lock = threading.Lock()


_instances: weakref.WeakSet[Sessions] = weakref.WeakSet()


@atexit.register
def _at_exit() -> None:
    forks.check()
    for instance in list(_instances):
        instance.close_idle()
    disposal.close_scheduled()
