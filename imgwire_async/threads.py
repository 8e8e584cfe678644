"""Worker threads that a process can end without, and limits for them, kept for each event loop.

A disk or a reader that hangs keeps its thread in the kernel until the system lets go. So nobody waits for a thread that was
left, the interpreter does not join it, and its place goes to the next job.
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

# Seconds. Work on a file takes milliseconds, and what takes longer than this counts as stuck.
CANCEL_GRACE = 0.5
STUCK_LIMIT = 64  # threads that may be stuck beside those that work, per pool
_IDLE = 10.0  # seconds that a thread waits for its next job


def seen(task: asyncio.Future[Any]) -> None:
    """Take note of what came of a future that nobody else asks: its error is no news to asyncio then."""
    if not task.cancelled():
        task.exception()


class _Job(Generic[T]):
    """One function on its way through a thread. Written to by the thread until it has delivered, by the loop afterwards."""

    __slots__ = ("error", "function", "future", "late", "loop", "pool", "started_at", "stuck", "value")

    def __init__(
        self,
        pool: ThreadPool,
        loop: asyncio.AbstractEventLoop,
        function: Callable[[], T],
        late: Callable[[T], object] | None,
    ) -> None:
        self.pool: ThreadPool = pool
        self.loop: asyncio.AbstractEventLoop = loop
        self.function: Callable[[], T] | None = function
        self.late: Callable[[T], object] | None = late
        self.future: asyncio.Future[T] = loop.create_future()
        self.started_at: float = 0.0
        self.stuck: bool = False
        self.value: T | None = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """Run the function, in a thread."""
        function, self.function = self.function, None
        assert function is not None
        try:
            self.value = function()
        except StopIteration as error:  # a future takes none; a coroutine makes the same of it
            self.error = RuntimeError("the function raised StopIteration")
            self.error.__cause__ = error
        except BaseException as error:  # noqa: BLE001  # it belongs to whoever waits
            self.error = error

    def deliver(self) -> bool:
        """Hand the outcome to the loop, from the thread. Return False where the loop has ended."""
        try:
            self.loop.call_soon_threadsafe(self.pool.finish, self)
        except RuntimeError:
            return False
        return True

    def discard(self) -> None:
        """Clean up what nobody takes, in a thread: that may hang as the function may."""
        if self.late is not None and self.error is None:
            with contextlib.suppress(Exception):  # there is nobody to tell
                self.late(self.value)  # type: ignore[arg-type]  # a result that is None, too, is a T
        self.value = self.error = None


class _Workers:
    """The threads of this process, each with an inbox. Used by all loops."""

    def __init__(self) -> None:
        # Both ends of a list are atomic, so loops and threads may use it without a lock.
        self._idle: list[SimpleQueue[_Job[Any]]] = []

    def start(self, job: _Job[Any]) -> None:
        """Run a job in a thread. Raises `RuntimeError` when no thread can be had."""
        forks.check()
        inbox: SimpleQueue[_Job[Any]]
        try:
            inbox = self._idle.pop()
        except IndexError:
            inbox = SimpleQueue()
            # A daemon: the interpreter would join any other, and one that is stuck never ends.
            threading.Thread(
                target=self._serve, args=(inbox, self._idle), name="imgwire_async worker", daemon=True
            ).start()
        inbox.put(job)

    def after_fork(self) -> None:
        """Forget the idle threads: a fork takes none along."""
        self._idle = []

    @staticmethod
    def _serve(inbox: SimpleQueue[_Job[Any]], idle: list[SimpleQueue[_Job[Any]]]) -> None:
        while True:
            try:
                job = inbox.get(timeout=_IDLE)
            except Empty:
                try:
                    idle.remove(inbox)
                except ValueError:  # a job is on its way
                    continue
                return
            job.run()
            idle.append(inbox)  # first, so that the loop finds it when it hears of the outcome
            if not job.deliver():
                # Not here: another loop's job may be in the inbox already. Without a thread the result closes itself.
                with contextlib.suppress(RuntimeError):
                    threading.Thread(target=job.discard, name="imgwire_async late", daemon=True).start()
            del job


_workers = _Workers()
forks.after_fork(_workers.after_fork)


class ThreadPool:
    """Runs functions in threads for one loop, at most `limit` at once; one that is stuck gives its place away.

    Futures, not tasks: nobody who cancels all tasks of a loop can take away what others wait for.
    """

    def __init__(self, limit: int, stuck_limit: int = STUCK_LIMIT) -> None:
        self._limit = limit
        self._stuck_limit = stuck_limit
        self._running: set[_Job[Any]] = set()
        self._stuck = 0
        self._waiting: deque[_Job[Any]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def submit(
        self, function: Callable[[], T], late: Callable[[T], object] | None = None
    ) -> asyncio.Future[T]:
        """Return the future of what `function` gives, run in a thread as soon as there is a place.

        To need the result no more, cancel the future. A result that comes after that is given to `late`, in a thread.
        """
        job = _Job(self, asyncio.get_running_loop(), function, late)
        if len(self._running) < self._limit:
            self._start(job)
        else:
            self._waiting.append(job)
            self._watch()
        return job.future

    @property
    def has_place(self) -> bool:
        """Whether a function given now would start at once."""
        if len(self._running) >= self._limit:
            self._set_stuck_aside()
        return len(self._running) < self._limit

    def finish(self, job: _Job[Any]) -> None:
        """Take a job's outcome, on the loop."""
        if job.stuck:
            self._stuck -= 1
        else:
            self._running.discard(job)
        value, error, future = job.value, job.error, job.future
        job.value = job.error = None  # a traceback leads back to the job
        if not future.cancelled():
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)
        elif job.late is not None and error is None:
            late = job.late
            self.submit(lambda: late(value)).add_done_callback(seen)
        self._start_waiting()

    def forget(self) -> None:
        """Drop all that waits here, as the loop ends: it would keep the loop."""
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
        except RuntimeError as error:  # no thread can be had
            self._running.discard(job)
            job.future.set_exception(error)

    def _start_waiting(self) -> None:
        while self._waiting and len(self._running) < self._limit:
            job = self._waiting.popleft()
            if not job.future.done():
                self._start(job)
        if self._waiting:
            self._watch()

    def _watch(self) -> None:
        """Look for stuck jobs as long as others wait for their places."""
        if self._timer is None and self._stuck < self._stuck_limit:
            self._timer = asyncio.get_running_loop().call_later(CANCEL_GRACE, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._set_stuck_aside()
        self._start_waiting()

    def _set_stuck_aside(self) -> None:
        latest = asyncio.get_running_loop().time() - CANCEL_GRACE
        for job in list(self._running):
            if job.started_at <= latest and self._stuck < self._stuck_limit:
                self._running.discard(job)
                job.stuck = True
                self._stuck += 1
