"""Wait until stored images are READY, without holding an upload slot.

Thousands of images may wait at the same time. Each is retrieved for the first time at the age at which the
last images were READY, so most images need one request.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import itertools
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeAlias, TypeVar

from imgwire_async.batch.hold import outcome_of
from imgwire_async.batch.ready_times import ReadyTimes, is_probe
from imgwire_async.cancellation import is_own_cancellation, wait_all
from imgwire_async.errors import APIStatusError, WaitTimeoutError
from imgwire_async.formatting import shortened
from imgwire_async.models import Image
from imgwire_async.resources.waiting import is_ready, timeout_error

P = TypeVar("P")

# As long as no image has been READY, so many images are checked for the first time at the same time.
_FIRST_CHECKS = 2
# A first check is postponed if the estimate has grown by more than this many seconds.
_TOLERANCE = 0.02
# First checks are advanced if the estimate falls below this share of the former one.
_RESCHEDULE = 0.75


class _Waiting(Generic[P]):
    """One image that waits. `due` is the time of its next check, `error` the last transient error."""

    __slots__ = (
        "added_at",
        "checks",
        "deadline",
        "due",
        "error",
        "image",
        "image_id",
        "is_new",
        "is_probe",
        "payload",
    )

    def __init__(
        self, image_id: str, payload: P, now: float, timeout: float, *, is_new: bool, is_probe: bool
    ) -> None:
        self.image_id = image_id
        self.payload = payload
        self.added_at = self.due = now
        self.deadline = now + timeout
        # Whether its bytes have just been stored. Otherwise its age is unknown.
        self.is_new = is_new
        self.is_probe = is_probe
        self.checks = 0
        self.image: Image | None = None
        self.error: Exception | None = None

    @property
    def is_first(self) -> bool:
        """Whether the next check is the first one, whose time the last images decide."""
        return self.is_new and not self.checks


_Heap: TypeAlias = "list[tuple[float, int, _Waiting[P]]]"


class WaitList(Generic[P]):
    """The images of one run that are stored and not READY yet. It belongs to the event loop of the run.

    The checks run in tasks of their own, in the `contextvars` context in which the list was created.

    Args:
        retrieve: Sends one request for a record.
        timeout: The seconds after which an image has failed with `WaitTimeoutError`.
        max_checks: How many requests may run at the same time.
        capacity: With so many images the run should pause.
        last_check: The seconds that a request may last beyond the timeout. An image whose time is up gets
            one more request if none is running.
    """

    def __init__(
        self,
        retrieve: Callable[[str], Awaitable[Image]],
        *,
        timeout: float,
        max_checks: int,
        capacity: int = 10_000,
        last_check: float = 5.0,
    ) -> None:
        self._retrieve = retrieve
        self._timeout = timeout
        self._max_checks = max_checks
        self._capacity = capacity
        self._last_check = last_check
        self._context = contextvars.copy_context()
        self._times = ReadyTimes()
        # The images without a running check, as heaps ordered by the time of their next check: new images
        # before their first check, and all others.
        self._first: _Heap[P] = []
        self._again: _Heap[P] = []
        self._numbers = itertools.count()
        self._added = itertools.count()
        self._checks: dict[asyncio.Task[None], _Waiting[P]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._results: deque[tuple[P, Image | Exception]] = deque()
        self._length = 0
        # Set when `next` and `wait_until_room` should look again.
        self._has_result = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._is_closed = False

    def __len__(self) -> int:
        """Return the number of images that `next` has not returned yet."""
        return self._length

    @property
    def is_full(self) -> bool:
        """Whether so many images wait that the run should pause. `add` still accepts images."""
        return not self._has_room.is_set()

    async def wait_until_room(self) -> None:
        """Wait until `is_full` is false, or the list is closed."""
        await self._has_room.wait()

    def add(self, image_id: str, payload: P, *, check_now: bool = False) -> None:
        """Wait for an image whose bytes have just been stored. `next` returns `payload` with the result.

        With `check_now` the bytes were stored some time ago, so the first check is at once.
        """
        if self._is_closed:
            raise RuntimeError("the wait list is closed")
        now = asyncio.get_running_loop().time()
        number = next(self._added)
        entry = _Waiting(
            image_id, payload, now, self._timeout, is_new=not check_now, is_probe=is_probe(number)
        )
        self._length += 1
        self._push(entry, now if check_now else self._first_due(entry))
        self._update_room()
        self._start_checks()

    async def next(self) -> tuple[P, Image | Exception]:
        """Return the payload of an image with its record, which is READY, or with the error.

        The error is `WaitTimeoutError`, `ImageQuarantinedError`, or the error of a request that does not
        succeed later. Raises `RuntimeError` when the list is closed.
        """
        while not self._results:
            if self._is_closed:
                raise RuntimeError("the wait list is closed")
            self._has_result.clear()
            await self._has_result.wait()
        result = self._results.popleft()
        self._length -= 1
        self._update_room()
        return result

    async def aclose(self) -> None:
        """Stop waiting, and wait until the running requests have ended. Idempotent."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._first.clear()
        self._again.clear()
        self._has_room.set()
        self._has_result.set()
        for task in self._checks:
            task.cancel()
        await wait_all(list(self._checks))

    def _first_due(self, entry: _Waiting[P]) -> float:
        return min(entry.added_at + self._times.first_check(is_probe=entry.is_probe), entry.deadline)

    def _push(self, entry: _Waiting[P], due: float) -> None:
        entry.due = min(due, entry.deadline)
        heap = self._first if entry.is_first else self._again
        heapq.heappush(heap, (entry.due, next(self._numbers), entry))

    def _next_heap(self, now: float) -> _Heap[P] | None:
        """Return the heap with the next check that may start, or None if there is none."""
        if not self._first or self._must_postpone(now):
            return self._again or None
        return self._again if self._again and self._again[0] < self._first[0] else self._first

    def _must_postpone(self, now: float) -> bool:
        """Return whether no first check may start, because nothing is known and some run already."""
        if self._times.is_known or self._first[0][2].deadline <= now:
            return False
        return sum(entry.is_new and entry.checks == 1 for entry in self._checks.values()) >= _FIRST_CHECKS

    def _update_room(self) -> None:
        if self._length < self._capacity or self._is_closed:
            self._has_room.set()
        else:
            self._has_room.clear()

    def _start_checks(self) -> None:
        """Start the checks that are due, and set the timer for the next one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        while len(self._checks) < self._max_checks and (heap := self._next_heap(now)) is not None:
            due, _, entry = heap[0]
            if due > now:
                # An upload may have called `add`, and its context has a deadline of its own.
                self._timer = loop.call_at(due, self._start_checks, context=self._context.copy())
                return
            heapq.heappop(heap)
            if entry.is_first and (first_due := self._first_due(entry)) > now + _TOLERANCE:
                self._push(entry, first_due)
                continue
            entry.checks += 1
            task = loop.create_task(self._check(entry), context=self._context.copy())
            self._checks[task] = entry
            task.add_done_callback(self._on_check_done)

    def _on_check_done(self, task: asyncio.Task[None]) -> None:
        entry = self._checks.pop(task)
        if not self._is_closed:
            if task.cancelled():
                # Other code has cancelled the task.
                self._after_not_ready(entry, asyncio.get_running_loop().time())
            self._start_checks()

    async def _check(self, entry: _Waiting[P]) -> None:
        """Retrieve the record of an image once. Pass on the result, or choose the time of the next check."""
        loop = asyncio.get_running_loop()
        timer = asyncio.timeout_at(max(entry.deadline, loop.time()) + self._last_check)
        try:
            async with timer:
                entry.image = image = await self._retrieve(entry.image_id)
            if is_ready(image, metadata=False):
                self._note_ready(entry)
                self._finish(entry, image)
                return
            entry.error = None
        except asyncio.CancelledError as error:
            # If other code has cancelled the request, it is sent again.
            if is_own_cancellation(error):
                raise
        except Exception as error:  # noqa: BLE001  # the result of the image
            if not timer.expired() and not _is_transient(error):
                self._finish(entry, error)
                return
            entry.error = error
        self._after_not_ready(entry, loop.time())

    def _after_not_ready(self, entry: _Waiting[P], now: float) -> None:
        if now >= entry.deadline:
            self._finish(entry, _timeout_error(entry, self._timeout))
            return
        if entry.is_new and entry.image is not None and entry.error is None:
            self._times = self._times.after_not_ready(
                now - entry.added_at, is_probe=entry.is_probe and entry.checks == 1
            )
        self._push(entry, now + self._times.next_delay(entry.checks, random.random()))

    def _note_ready(self, entry: _Waiting[P]) -> None:
        if not entry.is_new:
            return
        before = self._times.estimate
        # A check may have started late, when many were due.
        age = entry.due - entry.added_at
        self._times = self._times.after_ready(age, entry.checks, is_probe=entry.is_probe)
        if self._times.estimate < before * _RESCHEDULE:
            waiting, self._first = self._first, []
            for _, _, other in waiting:
                self._push(other, self._first_due(other))

    def _finish(self, entry: _Waiting[P], result: Image | Exception) -> None:
        self._results.append((entry.payload, result))
        self._has_result.set()


def _is_transient(error: Exception) -> bool:
    """Return whether a request may succeed later."""
    is_rate_limit = isinstance(error, APIStatusError) and error.status == 429
    return is_rate_limit or outcome_of(error).is_transient


def _timeout_error(entry: _Waiting[P], timeout: float) -> WaitTimeoutError:
    what = f"the upload itself succeeded, but image {shortened(entry.image_id)}"
    error = timeout_error(entry.image, timeout, what, entry.checks)
    error.__cause__ = entry.error
    return error
