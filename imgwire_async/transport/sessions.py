"""The sessions of a client, one set for each event loop that it is used on. aiohttp is loaded with the first set."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import threading
import weakref
from typing import TYPE_CHECKING

from imgwire_async import forks
from imgwire_async.config import Config
from imgwire_async.errors import CLIENT_CLOSED
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
    """The sessions of one client, by loop. May be used from several loops and threads."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._by_loop: dict[asyncio.AbstractEventLoop, LoopSessions] = {}
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None
        self.closed: bool = False
        weakref.finalize(self, disposal.let_go, self._by_loop).atexit = False
        _holders.add(self)
        forks.renew_in_child(self)

    def require_usable(self) -> asyncio.AbstractEventLoop:
        """Return the running loop. Raises `RuntimeError` where no asyncio loop runs, and when the client was closed."""
        forks.check()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError(_NO_LOOP) from None
        if self.closed:
            raise RuntimeError(CLIENT_CLOSED)
        return loop

    async def get(self) -> LoopSessions:
        """Return what the running loop owns, made on first use. Does not suspend when it is made already."""
        forks.check()
        try:
            found = self._by_loop.get(asyncio.get_running_loop())
        except RuntimeError:  # no loop of asyncio's
            found = None
        return await self._open() if found is None or self.closed else found

    async def _open(self) -> LoopSessions:
        """Make what the running loop owns."""
        loop = self.require_usable()
        from imgwire_async.transport.loop_sessions import open_sessions, read_ca_bundle

        bundle = self._config.ssl
        if isinstance(bundle, str) and self._tls is None:
            self._tls = await read_ca_bundle(bundle)
            self.require_usable()
            found = self._by_loop.get(loop)  # another call may have made it meanwhile
            if found is not None:
                return found
        with self._lock:
            dead = [other for other in self._by_loop if other.is_closed()]
            gone = {other: self._by_loop.pop(other) for other in dead}
        disposal.let_go(gone)
        made = open_sessions(self._config, self._tls)
        await anext(made.keeper)  # does not suspend, so first calls that come together make one session
        if not self._add(loop, made):
            await made.keeper.aclose()
            raise RuntimeError(CLIENT_CLOSED)
        return made

    def _add(self, loop: asyncio.AbstractEventLoop, made: LoopSessions) -> bool:
        """Keep what a loop owns. False when the client was closed in another thread meanwhile."""
        with self._lock:
            if not self.closed:
                self._by_loop[loop] = made
            return not self.closed

    async def sleep(self, seconds: float) -> None:
        """Let time pass. Raises `RuntimeError` as soon as this loop's sessions are closed: nothing could follow the pause."""
        async with UntilClosed(self):
            await without_slot(lambda: asyncio.sleep(seconds))

    async def aclose(self) -> None:
        """Close what the running loop owns. On other loops end what is under way, and let them close theirs. Idempotent."""
        forks.check()
        self.closed = True
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        with self._lock:
            mine = self._by_loop.pop(loop, None) if loop is not None else None
            others = list(self._by_loop.items())
        for other, sessions in others:
            if other.is_running():
                with contextlib.suppress(RuntimeError):  # it ends just now
                    other.call_soon_threadsafe(sessions.open_calls.end)
        if mine is not None:
            await mine.keeper.aclose()

    def close_idle(self) -> None:
        """At exit: close what loops own that do not run."""
        disposal.close_idle(self._by_loop)

    def after_fork(self) -> None:
        """In a forked child: forget the parent's sessions without touching them, for good.

        Their sockets sit in an epoll set that both processes share; closing them here would stop the parent's loop.
        """
        for sessions in self._by_loop.values():
            forks.make_immortal(sessions)
        self._by_loop.clear()
        self._lock = threading.Lock()


_holders: weakref.WeakSet[Sessions] = weakref.WeakSet()


@atexit.register
def _at_exit() -> None:
    forks.check()
    for holder in list(_holders):
        holder.close_idle()
    disposal.close_waiting()
