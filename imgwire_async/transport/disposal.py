"""Close the sessions of clients that were garbage-collected without being closed.

A client may be part of a reference cycle, so the garbage collector may run this code in any thread at any
time. The sessions may belong to the event loop of another thread. As long as the other thread is alive, this
module does not run its loop, not even an idle loop, because that thread may start to run the loop at any
moment.
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

# Sessions that will be closed by their event loop when it runs next. They are referenced here, because
# aiohttp warns if an unclosed session is garbage-collected.
_scheduled: dict[LoopSessions, asyncio.AbstractEventLoop] = {}


def dispose(by_loop: SessionsByLoop) -> None:
    """Remove all sessions from `by_loop` and close them, because their client does not exist any more."""
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
    """Close the sessions of loops that do not run. Called when the interpreter exits.

    No other thread will run these loops any more. A loop that still runs closes its own sessions.
    """
    for loop, sessions in list(by_loop.items()):
        if not loop.is_running():
            del by_loop[loop]
            _close(loop, sessions, exiting=True)


def close_scheduled() -> None:
    """Close scheduled sessions whose loop does not run. Called when the interpreter exits."""
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
        close_without_waiting(sessions)
    elif loop.is_running() or not (exiting or _may_run_loop_of(sessions)):
        _schedule_close(loop, sessions)
    elif _in_running_loop():
        close_without_waiting(sessions)
    else:
        loop.run_until_complete(sessions.cleanup_generator.aclose())


def _may_run_loop_of(sessions: LoopSessions) -> bool:
    """Return whether this thread may run the loop of the sessions, because no other thread can run it."""
    thread = sessions.thread
    return thread.ident == threading.get_ident() or not thread.is_alive()


def _in_running_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _schedule_close(loop: asyncio.AbstractEventLoop, sessions: LoopSessions) -> None:
    _scheduled[sessions] = loop
    try:
        loop.call_soon_threadsafe(_close_now, sessions)
    except RuntimeError:
        # The loop was closed since the check in `_close`.
        _close_now(sessions)


def _close_now(sessions: LoopSessions) -> None:
    """Close scheduled sessions, in a callback of their loop.

    This is not done in a task, because a loop that stops at once would leave the task pending.
    """
    if _scheduled.pop(sessions, None) is not None:
        close_without_waiting(sessions)


def close_without_waiting(sessions: LoopSessions) -> None:
    """Close the sessions without waiting until their connections are closed."""
    for session in (sessions.untraced_api, sessions.api, sessions.downloads, sessions.uploads):
        connector = session.connector
        session.detach()
        if connector is not None and not connector.closed:
            closing = connector.close()
            try:
                # The first step of the coroutine closes all connections. The later steps would only wait.
                closing.__await__().__next__()
            except (StopIteration, RuntimeError):
                pass
    try:
        # All sessions are closed, so the generator ends at its first step.
        sessions.cleanup_generator.aclose().send(None)
    except (StopIteration, RuntimeError):
        pass
