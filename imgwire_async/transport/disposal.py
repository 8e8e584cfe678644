"""Closes the sessions of clients that were dropped, on loops that may be anybody's, in whatever thread the collector runs.

A client may be part of a reference cycle, so any thread may collect it, in the midst of anything. A loop that another thread owns is
never run here, not even while it is idle: that thread may be about to run it.
"""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING

from imgwire_async import forks

if TYPE_CHECKING:
    from imgwire_async.transport.loop_sessions import LoopSessions

ByLoop = dict[asyncio.AbstractEventLoop, "LoopSessions"]

# Sessions that their loop will close when it next runs. Kept here, so that nothing is reported as forgotten meanwhile.
_waiting: dict[LoopSessions, asyncio.AbstractEventLoop] = {}


def let_go(by_loop: ByLoop) -> None:
    """Close the sessions of a client that nobody uses any more, each where it can be done."""
    while by_loop:
        loop, sessions = by_loop.popitem()
        _close(loop, sessions)
    sweep()


def sweep() -> None:
    """Close what still waits for a loop that was closed, or whose thread has ended without running it once more."""
    for sessions, loop in list(_waiting.items()):
        if loop.is_closed() or not (loop.is_running() or sessions.made_in.is_alive()):
            _waiting.pop(sessions, None)
            _close(loop, sessions)


def close_idle(by_loop: ByLoop) -> None:
    """At exit: close sessions of loops that do not run, for the threads that ran them have ended. The others close theirs."""
    for loop, sessions in list(by_loop.items()):
        if not loop.is_running():
            del by_loop[loop]
            _close(loop, sessions, exiting=True)


def close_waiting() -> None:
    """At exit: close what still waits for an idle loop."""
    for sessions, loop in list(_waiting.items()):
        if not loop.is_running():
            _waiting.pop(sessions, None)
            _close(loop, sessions, exiting=True)


def _after_fork() -> None:
    for sessions in _waiting:
        forks.make_immortal(sessions)
    _waiting.clear()


forks.run_in_child(_after_fork)


def _close(loop: asyncio.AbstractEventLoop, sessions: LoopSessions, *, exiting: bool = False) -> None:
    if sessions.pid != os.getpid():
        forks.make_immortal(sessions)
    elif loop.is_closed():
        abandon(sessions)
    elif loop.is_running() or not (exiting or _is_ours(sessions)):
        _close_later(loop, sessions)
    elif _inside_a_loop():
        abandon(sessions)
    else:
        loop.run_until_complete(sessions.keeper.aclose())


def _is_ours(sessions: LoopSessions) -> bool:
    """Whether nobody but this thread can be about to run the sessions' loop."""
    owner = sessions.made_in
    return owner.ident == threading.get_ident() or not owner.is_alive()


def _inside_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _close_later(loop: asyncio.AbstractEventLoop, sessions: LoopSessions) -> None:
    _waiting[sessions] = loop
    try:
        loop.call_soon_threadsafe(_close_now, sessions)
    except RuntimeError:  # closed meanwhile
        _close_now(sessions)


def _close_now(sessions: LoopSessions) -> None:
    """On the loop of the sessions. Not in a task, which a loop that stops at once would leave pending."""
    if _waiting.pop(sessions, None) is not None:
        abandon(sessions)


def abandon(sessions: LoopSessions) -> None:
    """Close sessions without waiting for their connections to say good-bye."""
    for session in (sessions.untraced_api, sessions.api, sessions.fetches, sessions.files):
        connector = session.connector
        session.detach()
        if connector is not None and not connector.closed:
            closing = connector.close()
            try:
                closing.__await__().__next__()  # what is left of it would only wait
            except (StopIteration, RuntimeError):
                pass
    try:
        sessions.keeper.aclose().send(None)  # finds everything closed, so it ends at once
    except (StopIteration, RuntimeError):
        pass
