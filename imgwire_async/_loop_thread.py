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

# How many seconds a thread waits at most for the loop thread to finish, when the process exits, or when an
# iterator or a `with` block ends early.
EXIT_TIMEOUT = 1.0
# A waiting thread checks at this interval, in seconds, whether the loop thread is still alive. The loop
# thread may have died, or a signal handler may have forked the process. The interval is shorter on Windows,
# where Ctrl-C does not wake a thread that waits for a lock.
POLL_INTERVAL = 0.2 if os.name == "nt" else 1.0


class _ProcessState:
    """The loop thread of this process, and the locks for its start. A forked child calls `reset`."""

    def __init__(self) -> None:
        self.exiting = False
        self.reset()

    def reset(self) -> None:
        """Forget the loop thread, and create new locks."""
        # The lock is reentrant, because a signal handler may call a blocking client while its thread holds
        # the lock.
        self.start_lock = threading.RLock()
        # The loop thread sets this attribute itself, as soon as it accepts calls.
        self.thread: LoopThread | None = None
        # A loop thread holds this lock while it registers itself in `thread`. No other thread acquires the
        # lock.
        self.registration_lock = threading.Lock()


class LoopThread:
    """The daemon thread that runs the event loop of all blocking clients.

    The thread is started by the first call and stopped at exit.
    """

    def __init__(self) -> None:
        # True in a forked child, where this thread does not exist.
        self.forked = False
        # The running tasks. This set keeps them alive, because the loop has only weak references to its
        # tasks.
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
        """Record in a forked child that this thread does not exist, and keep its loop from being closed.

        The loop shares an epoll set with the parent's loop, so closing it would disturb the parent.
        """
        self.forked = True
        forks.make_immortal(self)

    def _run(self) -> None:
        try:
            # Debug mode stays off even with `python -X dev`, because asyncio would log slow steps of the
            # package's own code.
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
        # When this coroutine returns, `asyncio.Runner` cancels the remaining tasks. It also closes the async
        # generators, which hold the HTTP sessions.

    @property
    def is_current(self) -> bool:
        """Whether the code that reads this property runs in the loop thread."""
        return threading.get_ident() == self._thread.ident

    @property
    def has_ended(self) -> bool:
        """Whether the thread no longer runs. Such a thread delivers no more results."""
        forks.check()
        return self.forked or not self._thread.is_alive()

    def ended_error(self) -> BaseException:
        """Return the exception for a call that cannot finish because the loop thread has ended."""
        if self.forked:
            return RuntimeError("this process was forked during a call, which ends here")
        if process.exiting:
            return shutdown_error()
        return RuntimeError("the call was cancelled: the loop thread has ended")

    def post(self, function: Callable[..., object], *args: object, urgent: bool = False) -> bool:
        """Let the loop run `function` in a copy of the current `contextvars` context.

        Returns False when the loop no longer exists, as at exit and in a forked child.

        A wake-up of the loop is slow, because it needs a system call and releases the interpreter lock. So
        only the first of several posted functions wakes the loop, which runs them all together. An `urgent`
        function always wakes the loop.
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
            # A KeyboardInterrupt or RecursionError may have interrupted the `try` block before the wake-up.
            # Wake the loop here, because other threads saw `_woken` and rely on the wake-up.
            self._woken = False
            with suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._run_posted)
            raise
        return True

    def wake(self) -> None:
        """Wake the loop once more.

        A signal handler may interrupt `post` after it has set `_woken` and before it wakes the loop. If the
        handler makes a call itself, that call does not wake the loop. Without this method it would wait
        forever.
        """
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._run_posted)

    def _run_posted(self) -> None:
        # Clear `_woken` first, so that a function that is posted from now on wakes the loop again.
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
        """Cancel all tasks and end the thread. If it hangs, return after `EXIT_TIMEOUT` seconds."""
        self.post(self._stopped.set, urgent=True)
        self._thread.join(EXIT_TIMEOUT)


def _new_loop() -> asyncio.AbstractEventLoop:
    """Create an asyncio loop, regardless of the application's event loop policy.

    uvloop is not used, although a call over TLS would take a fifth less time. A forked child would crash at
    its exit, because libuv would wait there for threads that exist only in the parent.

    The loop reads the system's monotonic clock directly, and not through `time.monotonic`. A test may replace
    that function, but the loop continues to run after the test.
    """
    # An event loop needs three file descriptors. If they cannot be opened, the constructor fails halfway and
    # leaves an object, and Python warns that this object was not closed. So check first that three
    # descriptors can be opened.
    one, other = socket.socketpair()
    with one, other, one.dup():
        pass
    loop: asyncio.AbstractEventLoop = getattr(asyncio, "ProactorEventLoop", asyncio.SelectorEventLoop)()
    if hasattr(time, "clock_gettime"):
        loop.time = partial(time.clock_gettime, time.CLOCK_MONOTONIC)  # type: ignore[method-assign]  # of this loop only
    return loop


process = _ProcessState()


def loop_thread() -> LoopThread:
    """Return the loop thread, and start it if it does not run.

    Raises `RuntimeError` when called on the loop thread itself, because that thread would wait for itself.
    """
    forks.check()
    thread = process.thread or _start()
    if thread.is_current:
        raise RuntimeError(
            "ImgwireClient was called on its own loop thread, which would wait for itself forever; use AsyncImgwireClient there"
        )
    return thread


def _start() -> LoopThread:
    with process.start_lock:
        if process.exiting:
            raise shutdown_error()
        if process.thread is not None:
            return process.thread
        # If a signal handler makes a call during this start, it starts a second loop thread. The thread that
        # registers first is used, and the other one ends.
        new = LoopThread()
        new.start()
        return process.thread or new


def shutdown_error() -> BaseException:
    """Return the exception for a call that is made while the interpreter shuts down.

    In a daemon thread the exception is `SystemExit`, because it ends the thread without a traceback.
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
