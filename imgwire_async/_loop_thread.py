"""The loop thread: the one thread of this process that runs the event loop of all blocking clients."""

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

# The maximum number of seconds to wait for the loop thread, at the exit of the process or at the end of an
# iterator.
EXIT_TIMEOUT = 1.0
# A waiting thread checks at this interval, in seconds, whether the loop thread is still alive. The loop
# thread may have died, or a signal handler may have forked the process. The interval is shorter on Windows,
# where Ctrl-C does not wake a thread that waits for a lock.
POLL_INTERVAL = 0.2 if os.name == "nt" else 1.0


class _ProcessState:
    """The loop thread of this process, and the locks for its start. A forked child resets both."""

    def __init__(self) -> None:
        self.exiting = False
        self.reset()

    def reset(self) -> None:
        """Forget the loop thread, and create new locks."""
        # Reentrant, because a signal handler may make a call while the loop thread starts.
        self.start_lock = threading.RLock()
        # The loop thread sets this attribute itself as soon as it accepts calls.
        self.thread: LoopThread | None = None
        # Only loop threads acquire this lock, for the short time in which one of them registers itself.
        self.registration_lock = threading.Lock()


class LoopThread:
    """The daemon thread that runs the event loop of all blocking clients.

    The thread is started by the first call and stopped at exit.
    """

    def __init__(self) -> None:
        # True in a forked child, where this thread and the callers that wait for it do not exist.
        self.forked = False
        # The running tasks. This set keeps them alive, because the loop holds only weak references to tasks.
        self.tasks: set[asyncio.Task[Any]] = set()
        self._posted: deque[tuple[Context, Callable[..., object], tuple[object, ...]]] = deque()
        # Whether the loop was woken, but has not run the posted functions yet.
        self._woken = False
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="imgwire-async", daemon=True)
        forks.renew_in_child(self)

    def start(self) -> None:
        """Start the thread and wait until its loop runs.

        If another loop thread registers first, this thread ends at once.
        """
        self._thread.start()
        while not self._ready.done():
            with suppress(TimeoutError):
                self._ready.result(POLL_INTERVAL)
            if self.has_ended and not self._ready.done():
                raise self.ended_error()
        self._ready.result()

    def after_fork(self) -> None:
        """Mark the thread as lost in a forked child, and keep its loop unclosed.

        The loop shares an epoll set with the parent's loop, so closing it would disturb the parent.
        """
        self.forked = True
        forks.make_immortal(self)

    def _run(self) -> None:
        try:
            # In debug mode, which -X dev turns on, asyncio would time and log the package's own code.
            with asyncio.Runner(debug=False, loop_factory=_new_loop) as runner:
                runner.run(self._run_until_stopped())
        except BaseException as error:
            if self._ready.done():
                raise
            # The loop could not be created, for example because no file descriptors were left.
            self._ready.set_exception(error)
        finally:
            if process.thread is self:
                process.thread = None

    async def _run_until_stopped(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        with process.registration_lock:
            registered = process.thread is None
            if registered:
                process.thread = self
        self._ready.set_result(None)
        if registered:
            await self._stopped.wait()
        # Now `asyncio.Runner` cancels the remaining tasks, and closes the async generators, which hold the
        # HTTP sessions.

    @property
    def is_current(self) -> bool:
        """Whether the code that reads this property runs in the loop thread."""
        return threading.get_ident() == self._thread.ident

    @property
    def has_ended(self) -> bool:
        """Whether the thread no longer runs, so that it delivers no more results."""
        forks.check()
        return self.forked or not self._thread.is_alive()

    def ended_error(self) -> BaseException:
        """Return the exception for a call that cannot finish, because the loop thread has ended."""
        if self.forked:
            return RuntimeError("this process was forked during a call, which ends here")
        if process.exiting:
            return shutdown_error()
        return RuntimeError("the call was cancelled: the loop thread has ended")

    def post(self, function: Callable[..., object], *args: object, urgent: bool = False) -> bool:
        """Let the loop run `function` in a copy of the current context.

        Returns False when the loop no longer exists, which happens at exit and after a fork.

        Waking the loop needs a system call and releases the interpreter lock. So one wake-up is enough for
        all functions that are posted before the loop runs. An `urgent` function wakes the loop in any case.
        """
        forks.check()
        if self.forked or self.loop.is_closed():
            return False
        try:
            self._posted.append((copy_context(), function, args))
            if urgent or not self._woken:
                self._woken = True
                self.loop.call_soon_threadsafe(self._run_posted)
        except BaseException as error:
            # The loop was closed after the check above.
            if isinstance(error, RuntimeError) and self.loop.is_closed():
                return False
            # Ctrl-C or a full stack may have interrupted the `try` block. Wake the loop, because other
            # threads may already rely on this wake-up.
            self._woken = False
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._run_posted)
            raise
        return True

    def wake(self) -> None:
        """Wake the loop once more.

        A signal handler may have interrupted `post` after it added a function and before it woke the loop.
        Without this method, a call in that handler would wait for ever.
        """
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._run_posted)

    def _run_posted(self) -> None:
        # Clear the flag first, so that functions that are posted from now on wake the loop again.
        self._woken = False
        for _ in range(len(self._posted)):
            context, function, args = self._posted.popleft()
            try:
                context.run(function, *args)
            except Exception as error:  # noqa: BLE001  # as asyncio does for callbacks: the next functions still run
                details = {
                    "message": f"the loop of the blocking clients failed in {function!r}",
                    "exception": error,
                }
                self.loop.call_exception_handler(details)

    def stop(self) -> None:
        """Cancel all tasks and end the thread. A thread that hangs continues until the process ends."""
        self.post(self._stopped.set, urgent=True)
        self._thread.join(EXIT_TIMEOUT)


def _new_loop() -> asyncio.AbstractEventLoop:
    """Create an asyncio loop, regardless of the application's event loop policy.

    With uvloop a call over TLS would take a fifth less time. But a forked child would crash at its exit,
    where libuv joins threads that exist in the parent only.

    The loop reads the system's monotonic clock directly, so that a test that replaces `time.monotonic` does
    not affect the loop.
    """
    # An event loop needs three file descriptors. Without them its constructor fails halfway, and leaves an
    # object that warns that it was not closed. So check first that three descriptors can be opened.
    one, other = socket.socketpair()
    with one, other, one.dup():
        pass
    loop: asyncio.AbstractEventLoop = getattr(asyncio, "ProactorEventLoop", asyncio.SelectorEventLoop)()
    if hasattr(time, "clock_gettime"):
        loop.time = partial(time.clock_gettime, time.CLOCK_MONOTONIC)  # type: ignore[method-assign]  # of this loop only
    return loop


process = _ProcessState()


def loop_thread() -> LoopThread:
    """Return the loop thread. Start it if it does not run.

    Raises `RuntimeError` when called on the loop thread itself, because that thread would wait for itself.
    """
    forks.check()
    thread = process.thread or _start()
    if thread.is_current:
        raise RuntimeError(
            "ImgwireClient was called on its own loop thread, which would wait for itself for ever; use AsyncImgwireClient there"
        )
    return thread


def _start() -> LoopThread:
    with process.start_lock:
        if process.exiting:
            raise shutdown_error()
        if process.thread is not None:
            return process.thread
        # A signal handler may make a call during this start, and so start a second loop thread. The thread
        # that registers first is used.
        new = LoopThread()
        new.start()
        return process.thread or new


def shutdown_error() -> BaseException:
    """Return the exception for a call while the interpreter shuts down.

    In a daemon thread the exception is `SystemExit`, which ends the thread without a traceback.
    """
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
