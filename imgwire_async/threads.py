"""Worker threads that do not keep a process alive, and thread pools that limit the number of busy threads.

A disk or a reader that hangs blocks its thread inside the kernel. So neither the pool nor the interpreter
waits for such a thread, and it no longer counts towards the limit of its pool.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from imgwire_async import forks

T = TypeVar("T")

# How many seconds a cancelled task still waits for its job in a thread. Work on a file takes milliseconds. So
# a job counts as stuck if it runs longer than this.
CANCEL_GRACE = 0.5
# The maximum number of threads of one pool that are excluded from its limit because they are stuck.
MAX_STUCK = 64
# How many seconds an idle thread waits for its next job before it ends.
_IDLE_TIMEOUT = 10.0


def consume_exception(task: asyncio.Future[Any]) -> None:
    """Retrieve the exception of a finished future, so that asyncio does not log it as never retrieved."""
    if not task.cancelled():
        task.exception()


class _Job(Generic[T]):
    """A function to run in a thread, and its result or exception.

    Only the thread changes the job until `deliver` passes the job to the loop. After that, only the loop
    changes it.
    """

    __slots__ = ("dispose", "error", "function", "future", "loop", "pool", "started_at", "stuck", "value")

    def __init__(
        self,
        pool: ThreadPool,
        loop: asyncio.AbstractEventLoop,
        function: Callable[[], T],
        dispose: Callable[[T], object] | None,
    ) -> None:
        self.pool: ThreadPool = pool
        self.loop: asyncio.AbstractEventLoop = loop
        self.function: Callable[[], T] | None = function
        self.dispose: Callable[[T], object] | None = dispose
        self.future: asyncio.Future[T] = loop.create_future()
        self.started_at: float = 0.0
        self.stuck: bool = False
        self.value: T | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """Run the function and keep its result or exception. Called in a thread."""
        function, self.function = self.function, None
        assert function is not None
        try:
            self.value = function()
        except StopIteration as error:
            # A future rejects a StopIteration. So it is replaced by a RuntimeError, as Python does in a
            # coroutine.
            self.error = RuntimeError("the function raised StopIteration")
            self.error.__cause__ = error
        except BaseException as error:  # noqa: BLE001  # raised by the future
            self.error = error

    def deliver(self) -> bool:
        """Pass the finished job to the loop. Return False if the loop is closed. Called in a thread."""
        try:
            self.loop.call_soon_threadsafe(self.pool.finish, self)
        except RuntimeError:
            return False
        return True

    def dispose_result(self) -> None:
        """Call `dispose` with the result, because the loop is closed and cannot receive the result.

        Called in a thread, because `dispose` may hang.
        """
        if self.dispose is not None and self.error is None:
            # Ignore an exception of `dispose`, because no caller waits for it.
            with contextlib.suppress(Exception):
                self.dispose(self.value)  # type: ignore[arg-type]  # a T, even if it is None
        self.value = self.error = None


class _Workers:
    """The worker threads of this process, which all event loops share. Each thread has an inbox for jobs."""

    def __init__(self) -> None:
        # The inboxes of the idle threads. The list methods `append`, `pop` and `remove` are atomic, so this
        # list needs no lock.
        self._idle_inboxes: list[SimpleQueue[_Job[Any]]] = []

    def start(self, job: _Job[Any]) -> None:
        """Run a job in an idle or a new thread.

        Raises `RuntimeError` when the system cannot start another thread.
        """
        forks.check()
        inbox: SimpleQueue[_Job[Any]]
        try:
            inbox = self._idle_inboxes.pop()
        except IndexError:
            inbox = SimpleQueue()
            # The thread is a daemon, because at exit the interpreter waits for all other threads, and a stuck
            # thread may never end.
            threading.Thread(
                target=self._serve, args=(inbox, self._idle_inboxes), name="imgwire_async worker", daemon=True
            ).start()
        inbox.put(job)

    def after_fork(self) -> None:
        """Forget the idle threads, which do not exist in a forked child."""
        self._idle_inboxes = []

    @staticmethod
    def _serve(inbox: SimpleQueue[_Job[Any]], idle: list[SimpleQueue[_Job[Any]]]) -> None:
        while True:
            try:
                job = inbox.get(timeout=_IDLE_TIMEOUT)
            except Empty:
                try:
                    idle.remove(inbox)
                except ValueError:
                    # `start` has taken the inbox in the meantime, so a job will arrive.
                    continue
                return
            job.run()
            # The thread counts as idle before it delivers the job, so that the loop can give it another job
            # as soon as the loop has the result.
            idle.append(inbox)
            if not job.deliver():
                # The loop is closed. A new thread disposes of the result, because `dispose` may hang and a
                # job of another loop may already wait in this inbox. If no thread can be started, the result
                # is left to the garbage collector.
                with contextlib.suppress(RuntimeError):
                    threading.Thread(
                        target=job.dispose_result, name="imgwire_async cleanup", daemon=True
                    ).start()
            del job


_workers = _Workers()
forks.run_in_child(_workers.after_fork)


class ThreadPool:
    """A pool that runs functions of one event loop in threads, at most `limit` at the same time.

    Up to `max_stuck` functions that run longer than `CANCEL_GRACE` seconds do not count towards the limit.
    The pool uses futures and no tasks. So code that cancels all tasks of the loop does not cancel the jobs of
    the pool.
    """

    def __init__(self, limit: int, max_stuck: int = MAX_STUCK) -> None:
        self._limit = limit
        self._max_stuck = max_stuck
        self._running: set[_Job[Any]] = set()
        self._stuck = 0
        self._waiting: deque[_Job[Any]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def submit(
        self, function: Callable[[], T], dispose: Callable[[T], object] | None = None
    ) -> asyncio.Future[T]:
        """Run `function` in a thread as soon as the limit allows, and return the future of its result.

        The caller may cancel the future if it no longer needs the result. If the function ends after that,
        `dispose` is called with the result in a thread.
        """
        job = _Job(self, asyncio.get_running_loop(), function, dispose)
        if len(self._running) < self._limit:
            self._start(job)
        else:
            self._waiting.append(job)
            self._start_timer()
        return job.future

    @property
    def has_free_thread(self) -> bool:
        """Whether a function that is submitted now would start at once."""
        if len(self._running) >= self._limit:
            self._exclude_stuck_jobs()
        return len(self._running) < self._limit

    def finish(self, job: _Job[Any]) -> None:
        """Set the result of a job's future, and start the next job. Called on the loop."""
        if job.stuck:
            self._stuck -= 1
        else:
            self._running.discard(job)
        value, error, future = job.value, job.error, job.future
        # The traceback of the error refers to the job. So the job must not refer to the error, because both
        # would form a reference cycle.
        job.value = job.error = None
        if not future.cancelled():
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)
        elif job.dispose is not None and error is None:
            dispose = job.dispose
            self.submit(lambda: dispose(value)).add_done_callback(consume_exception)
        self._start_waiting()

    def clear(self) -> None:
        """Drop all references to jobs.

        Called when the loop ends, because the jobs refer to the loop and would keep it alive.
        """
        self._waiting.clear()
        self._running.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self, job: _Job[Any]) -> None:
        job.started_at = job.loop.time()
        self._running.add(job)
        try:
            _workers.start(job)
        except RuntimeError as error:
            self._running.discard(job)
            job.future.set_exception(error)

    def _start_waiting(self) -> None:
        while self._waiting and len(self._running) < self._limit:
            job = self._waiting.popleft()
            if not job.future.done():
                self._start(job)
        if self._waiting:
            self._start_timer()

    def _start_timer(self) -> None:
        """Start the timer that excludes stuck jobs from the limit. Called while jobs wait."""
        if self._timer is None and self._stuck < self._max_stuck:
            self._timer = asyncio.get_running_loop().call_later(CANCEL_GRACE, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._exclude_stuck_jobs()
        self._start_waiting()

    def _exclude_stuck_jobs(self) -> None:
        """Stop counting jobs towards the limit that have run longer than `CANCEL_GRACE` seconds."""
        stuck_before = asyncio.get_running_loop().time() - CANCEL_GRACE
        for job in list(self._running):
            if job.started_at <= stuck_before and self._stuck < self._max_stuck:
                self._running.discard(job)
                job.stuck = True
                self._stuck += 1
