"""Run very short functions in worker threads, many of them in one batch.

Running one function in a worker thread and returning its result costs about as much CPU time as sending a
small file. So a function that is submitted while a batch runs has to wait. All waiting functions run together
in the next batch. In this way many simultaneous uploads need only few batches, and a single upload is not
delayed. If a function hangs, for example on a network drive, another batch starts some milliseconds later.
"""

from __future__ import annotations

import abc
import asyncio
import functools
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from imgwire_async.threads import ThreadPool, consume_exception

# The maximum number of functions in a batch. In a larger batch too many uploads would wait for the batch, and
# too few would send bytes meanwhile.
BATCH_SIZE = 16
# The maximum number of seconds to wait for further functions before a batch starts. A batch that runs longer
# than this counts as slow. On a healthy disk one function takes a tenth of this time.
_BATCH_WINDOW = 0.005
# The maximum interval in seconds between two checks of a slow batch.
_MAX_CHECK_INTERVAL = 0.1
# After a batch of n items, the start of the next batch waits for up to (n - 1) times this number of loop
# iterations. On a busy loop about one item arrives in two iterations, so three are enough. On an idle loop
# they take only some microseconds.
_ITERATIONS_PER_ITEM = 3


class _Receiver(NamedTuple):
    """The future of a submitted function, and two optional functions for the result.

    `finish` is called on the loop with the result, and its return value becomes the result of `future`. If
    `future` was cancelled, only `dispose` is called with the result.
    """

    future: asyncio.Future[Any]
    finish: Callable[[Any], Any] | None
    dispose: Callable[[Any], object] | None


_Submitted = tuple[_Receiver, Callable[[], Any]]
_Finished = tuple[_Receiver, Any, BaseException | None]


class BatchTimer(abc.ABC):
    """A timer that decides when a batch starts: at once, or slightly later when more items are expected.

    More items are expected when the last batch had more than one. The timer counts iterations of the event
    loop, because an expected item arrives in one of the next iterations, and an idle loop needs very little
    time for them. The timer waits for at most `window` seconds.
    """

    window: float = _BATCH_WINDOW

    def __init__(self) -> None:
        self._last_size = 1
        self._scheduled = False

    @abc.abstractmethod
    def _count_waiting(self) -> int:
        """Return how many items wait for a batch."""

    @abc.abstractmethod
    def _start_batch(self) -> None:
        """Start a batch."""

    def _schedule_batch(self) -> None:
        """Start a batch soon. Called when an item waits and no batch runs."""
        if not self._scheduled:
            self._scheduled = True
            loop = asyncio.get_running_loop()
            self._wait_for_more(_ITERATIONS_PER_ITEM * (self._last_size - 1), loop.time() + self.window, loop)

    def _wait_for_more(self, iterations: int, deadline: float, loop: asyncio.AbstractEventLoop) -> None:
        waiting = self._count_waiting()
        if iterations > 0 and waiting < BATCH_SIZE and loop.time() < deadline:
            loop.call_soon(self._wait_for_more, iterations - 1, deadline, loop)
            return
        self._scheduled = False
        self._last_size = max(1, min(waiting, BATCH_SIZE))
        # All items may have been taken by another batch, cancelled or dropped in the meantime.
        if waiting:
            self._start_batch()


class ThreadBatcher(BatchTimer):
    """A queue of functions of one event loop, which run in batches in the threads of `pool`.

    Usually one batch runs at a time. If a batch hangs, further batches start while the pool has free threads.
    """

    def __init__(self, pool: ThreadPool) -> None:
        super().__init__()
        self._pool = pool
        # The loop and the threads use these two deques without a lock, because the deque methods `append` and
        # `popleft` are atomic.
        self._submitted: deque[_Submitted] = deque()
        self._finished: deque[_Finished] = deque()
        self._running: set[asyncio.Future[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._check_interval = _BATCH_WINDOW

    def submit(
        self,
        function: Callable[[], Any],
        finish: Callable[[Any], Any] | None = None,
        dispose: Callable[[Any], object] | None = None,
    ) -> asyncio.Future[Any]:
        """Run `function` in a thread soon and return a future of its result.

        If `finish` is given, it is called on the loop with the result, and its return value becomes the
        result of the future. If the future was cancelled, `dispose` (if given) is called in a thread with the
        result, and `finish` is not called.
        """
        # The loop is not stored in an attribute, because the batcher would keep it alive.
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._submitted.append((_Receiver(future, finish, dispose), function))
        if not self._running:
            self._schedule_batch()
        elif self._timer is None or self._check_interval > _BATCH_WINDOW:
            self._start_timer(_BATCH_WINDOW)
        return future

    def _count_waiting(self) -> int:
        # Drop cancelled functions only while no batch runs, because the thread of a running batch also takes
        # functions from the left end.
        if not self._running:
            while self._submitted and self._submitted[0][0].future.cancelled():
                self._submitted.popleft()
        return len(self._submitted)

    def _start_batch(self) -> None:
        # `ThreadPool.submit` returns a future and no task. So code that cancels all tasks of the loop does
        # not cancel the batch.
        batch = self._pool.submit(self._run_batch)
        self._running.add(batch)
        batch.add_done_callback(self._on_done)

    def _on_done(self, batch: asyncio.Future[None]) -> None:
        self._running.discard(batch)
        self._deliver()
        if self._timer is not None and not self._submitted and not self._running:
            self._timer.cancel()
            self._timer = None
        # A batch itself fails only when no thread can be started. In this case all waiting functions fail
        # with the same exception.
        if (failure := batch.exception()) is not None:
            self._finished.extend((receiver, None, failure) for receiver, _ in self._submitted)
            self._submitted.clear()
            self._deliver()
        elif not self._running and self._count_waiting():
            self._schedule_batch()

    def clear(self) -> None:
        """Drop all functions and results.

        Called when the loop ends, because the futures refer to the loop and would keep it alive.
        """
        self._submitted.clear()
        self._finished.clear()
        self._running.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start_timer(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._check_interval = seconds
        self._timer = asyncio.get_running_loop().call_later(seconds, self._on_timeout)

    def _on_timeout(self) -> None:
        """Deliver the results that a slow batch has so far, and start a batch for the functions that wait."""
        self._timer = None
        idle = not self._submitted and not self._finished
        self._deliver()
        if self._submitted and self._pool.has_free_thread:
            self._start_batch()
        # While no function was submitted or finished, double the interval, so that a batch that hangs for
        # long does not wake the loop often.
        if self._running:
            self._start_timer(min(2 * self._check_interval, _MAX_CHECK_INTERVAL) if idle else _BATCH_WINDOW)

    def _deliver(self) -> None:
        while self._finished:
            (future, finish, dispose), value, error = self._finished.popleft()
            # The future is already done if the task that waited for it was cancelled.
            if future.done():
                if dispose is not None and error is None:
                    self._pool.submit(functools.partial(dispose, value)).add_done_callback(consume_exception)
                continue
            if finish is not None and error is None:
                try:
                    value = finish(value)
                except Exception as failure:  # noqa: BLE001  # raised by the future
                    error = failure
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)

    def _run_batch(self) -> None:
        """Run up to `BATCH_SIZE` functions. Called in a worker thread."""
        for _ in range(BATCH_SIZE):
            try:
                receiver, function = self._submitted.popleft()
            except IndexError:
                return
            if receiver.future.cancelled():
                continue
            try:
                self._finished.append((receiver, function(), None))
            except Exception as error:  # noqa: BLE001  # raised by the future
                self._finished.append((receiver, None, error))
