"""Close the sessions of clients that were garbage-collected without being closed.

A client may be part of a reference cycle, so the garbage collector may run this code in any thread at any
time. The sessions belong to event loops that may belong to other threads. Such a loop is never run here, not
even while it is idle, because its thread may be about to run it.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING

from imgwire_async import forks

if TYPE_CHECKING:
    from imgwire_async.transport.loop_sessions import LoopSessions

SessionsByLoop = dict[asyncio.AbstractEventLoop, "LoopSessions"]

# Sessions that their loop closes when it runs next. The reference keeps aiohttp from warning about unclosed
# sessions.
_scheduled: dict[LoopSessions, asyncio.AbstractEventLoop] = {}


def dispose(by_loop: SessionsByLoop) -> None:
    """Close the sessions of a client that no code uses any more."""
    while by_loop:
        loop, sessions = by_loop.popitem()
        _close(loop, sessions)
    _close_overdue()


def _close_overdue() -> None:
    """Close scheduled sessions whose loop was closed, or whose thread ended before the loop ran again."""
    for sessions, loop in list(_scheduled.items()):
        if loop.is_closed() or not (loop.is_running() or sessions.thread.is_alive()):
            _scheduled.pop(sessions, None)
            _close(loop, sessions)


def close_idle(by_loop: SessionsByLoop) -> None:
    """Close the sessions of loops that do not run, at interpreter exit.

    The threads of these loops have ended. A loop that runs closes its own sessions.
    """
    for loop, sessions in list(by_loop.items()):
        if not loop.is_running():
            del by_loop[loop]
            _close(loop, sessions, exiting=True)


def close_scheduled() -> None:
    """Close scheduled sessions whose loop does not run, at interpreter exit."""
    for sessions, loop in list(_scheduled.items()):
        if not loop.is_running():
            _scheduled.pop(sessions, None)
            _close(loop, sessions, exiting=True)


def _after_fork() -> None:
    for sessions in _scheduled:
        forks.make_immortal(sessions)
    _scheduled.clear()


forks.run_in_child(_after_fork)


def _close(loop: asyncio.AbstractEventLoop, sessions: LoopSessions, *, exiting: bool = False) -> None:
    if sessions.pid != os.getpid():
        forks.make_immortal(sessions)
    elif loop.is_closed():
        abandon(sessions)
    elif loop.is_running() or not (exiting or _may_run_loop_of(sessions)):
        _schedule(loop, sessions)
    elif _in_running_loop():
        abandon(sessions)
    else:
        loop.run_until_complete(sessions.closer.aclose())


def _may_run_loop_of(sessions: LoopSessions) -> bool:
    """Return whether no other thread can run the loop of the sessions."""
    thread = sessions.thread
    return thread.ident == threading.get_ident() or not thread.is_alive()


def _in_running_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _schedule(loop: asyncio.AbstractEventLoop, sessions: LoopSessions) -> None:
    _scheduled[sessions] = loop
    try:
        loop.call_soon_threadsafe(_close_now, sessions)
    except RuntimeError:
        # The loop was closed meanwhile.
        _close_now(sessions)


def _close_now(sessions: LoopSessions) -> None:
    """Close the sessions on their loop.

    No task is used, because a loop that stops at once would leave it pending.
    """
    if _scheduled.pop(sessions, None) is not None:
        abandon(sessions)


def abandon(sessions: LoopSessions) -> None:
    """Close the sessions without waiting until their connections are closed."""
    for session in (sessions.untraced_api, sessions.api, sessions.downloads, sessions.uploads):
        connector = session.connector
        session.detach()
        if connector is not None and not connector.closed:
            closing = connector.close()
            try:
                # The first step closes everything; the later steps only wait.
                closing.__await__().__next__()
            except (StopIteration, RuntimeError):
                pass
    try:
        # All sessions are closed, so this ends at once.
        sessions.closer.aclose().send(None)
    except (StopIteration, RuntimeError):
        pass
