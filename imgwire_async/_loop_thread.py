"""The one loop thread of this process, on which all blocking clients do their work."""

from __future__ import annotations

import asyncio
import atexit
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from typing import Any

from imgwire_async import forks

# Seconds that an exit, or the end of an iterator, waits for the loop; what is left then ends by itself.
PATIENCE = 1.0
# So often, in seconds, a waiting thread looks whether the loop thread still lives: it may have died, or a signal handler may have
# forked. Windows does not wake a thread that waits at a lock for Ctrl-C: there it looks up more often.
PULSE = 0.2 if os.name == "nt" else 1.0


class _Process:
    """What this process has one of. A forked child begins anew."""

    def __init__(self) -> None:
        self.exiting = False
        self.reset()

    def reset(self) -> None:
        self.starting = threading.RLock()  # a signal handler may call in the midst of a start
        self.thread: LoopThread | None = None  # set by the loop thread itself, once it takes calls
        self.election = threading.Lock()  # held by loop threads only, for no longer than it takes to look


class LoopThread:
    """The daemon thread that runs the loop of all blocking clients. Started on first use, stopped at exit."""

    def __init__(self) -> None:
        self.lost = False  # in a forked child: the thread, and whoever waits for it, stayed with the parent
        self.tasks: set[asyncio.Task[Any]] = set()  # the loop itself holds tasks only weakly
        self._posted: deque[tuple[Context, Callable[..., object], tuple[object, ...]]] = deque()
        self._woken = False  # and has not looked yet
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="imgwire-async", daemon=True)
        forks.renew_in_child(self)

    def start(self) -> None:
        """Start it, and return once its loop runs, or once another one had come first."""
        self._thread.start()
        while not self._ready.done():
            with suppress(TimeoutError):
                self._ready.result(PULSE)
            if self.gone and not self._ready.done():
                raise self.ended()
        self._ready.result()

    def after_fork(self) -> None:
        """In a forked child: it stays as it was, for its loop shares an epoll set with the parent's."""
        self.lost = True
        forks.make_immortal(self)

    def _run(self) -> None:
        try:
            # Debug mode, which -X dev switches on, would time and report code that is none of the user's.
            with asyncio.Runner(debug=False, loop_factory=_new_loop) as runner:
                runner.run(self._live())
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)  # no loop, perhaps for want of file descriptors
        finally:
            if process.thread is self:
                process.thread = None

    async def _live(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        with process.election:
            elected = process.thread is None
            if elected:
                process.thread = self
        self._ready.set_result(None)
        if elected:
            await self._over.wait()
        # What still runs is cancelled now, and async generators, which hold the sessions, are closed.

    @property
    def is_here(self) -> bool:
        """Whether the running thread is this one."""
        return threading.get_ident() == self._thread.ident

    @property
    def gone(self) -> bool:
        """Whether nothing will come from there any more."""
        forks.check()
        return self.lost or not self._thread.is_alive()

    def ended(self) -> BaseException:
        """What to raise in a caller for whom nothing will come any more."""
        if self.lost:
            return RuntimeError("this process was forked in the midst of a call, which ends here")
        if process.exiting:
            return shut()
        return RuntimeError("the call was cancelled: the loop thread has ended")

    def post(self, function: Callable[..., object], *args: object, urgent: bool = False) -> bool:
        """Let the loop run `function` in a copy of this context. False when the loop is gone, at exit or after a fork.

        Waking the loop takes a system call, and with it the turn of every thread that waits for the interpreter: one wake-up
        serves all that was posted until the loop looks. What is `urgent` wakes it anyhow.
        """
        forks.check()
        if self.lost or self.loop.is_closed():
            return False
        try:
            self._posted.append((copy_context(), function, args))
            if urgent or not self._woken:
                self._woken = True
                self.loop.call_soon_threadsafe(self._take)
        except BaseException as error:
            if isinstance(error, RuntimeError) and self.loop.is_closed():  # meanwhile
                return False
            # Ctrl-C between any two steps, or a stack that is full; other threads may count on this wake-up by now.
            self._woken = False
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._take)
            raise
        return True

    def wake(self) -> None:
        """Let the loop look once more: a signal handler that waits for it may have come between a post and its wake-up."""
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._take)

    def _take(self) -> None:
        self._woken = False  # before looking: whoever posts from now on wakes the loop again
        for _ in range(len(self._posted)):
            context, function, args = self._posted.popleft()
            try:
                context.run(function, *args)
            except Exception as error:  # noqa: BLE001  # as the loop does: what stands behind it goes on
                told = {
                    "message": f"the loop of the blocking clients failed in {function!r}",
                    "exception": error,
                }
                self.loop.call_exception_handler(told)

    def stop(self) -> None:
        """End all that runs there, then the thread; one that is stuck is left to the end of the process."""
        self.post(self._over.set, urgent=True)
        self._thread.join(PATIENCE)


def _new_loop() -> asyncio.AbstractEventLoop:
    """Return a loop of asyncio's own make, whatever the application's policy makes: uvloop saves a fifth of a call over TLS, but a
    forked child then dies at its end, where libuv joins threads that stayed with the parent.

    It counts by a clock that no test freezes or sets, for it lives on when the test is over.
    """
    # A loop needs three files. One that gets fewer raises half made, and then warns that it was never closed.
    one, other = socket.socketpair()
    with one, other, one.dup():
        pass
    loop: asyncio.AbstractEventLoop = getattr(asyncio, "ProactorEventLoop", asyncio.SelectorEventLoop)()
    if hasattr(time, "clock_gettime"):
        loop.time = partial(time.clock_gettime, time.CLOCK_MONOTONIC)  # type: ignore[method-assign]  # this one's only
    return loop


process = _Process()


def loop_thread() -> LoopThread:
    """The loop thread, running. Raises `RuntimeError` on that very thread, which must not wait for itself."""
    forks.check()
    thread = process.thread or _start()
    if thread.is_here:
        raise RuntimeError(
            "ImgwireClient was called on its own loop thread, which would wait for itself for ever; use AsyncImgwireClient there"
        )
    return thread


def _start() -> LoopThread:
    with process.starting:
        if process.exiting:
            raise shut()
        if process.thread is not None:
            return process.thread
        # A signal handler that calls in the midst of this starts one of its own. One of the two is elected, the other ends.
        new = LoopThread()
        new.start()
        return process.thread or new


def shut() -> BaseException:
    """For a call that comes too late. In a daemon thread, which was left to its fate, nobody wants to read of it."""
    if threading.current_thread().daemon:
        return SystemExit()
    return RuntimeError("ImgwireClient cannot be used any more: the interpreter is shutting down")


@atexit.register
def _at_exit() -> None:
    forks.check()
    process.exiting = True
    thread, process.thread = process.thread, None
    if thread is not None:
        thread.stop()


forks.run_in_child(process.reset)
