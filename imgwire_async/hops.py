"""Quick looks at the disk that share their way into a worker thread.

A hop into a thread and back costs about as much as sending a small file does. So looks that come while others are under way
wait for the next hop, and go together: many uploads at once need few hops, a single one is not delayed. One look that hangs,
on a network drive perhaps, holds nobody up for longer than a moment.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import anyio
import anyio.to_thread

T = TypeVar("T")

_TOGETHER = 8  # looks per hop; more gain nothing
_A_MOMENT = 0.005  # seconds; looks take a tenth of that, as long as a disk behaves

_Look = tuple["asyncio.Future[Any]", Callable[[], Any]]


class Hops:
    """Takes looks on one loop and makes them in worker threads, at most as many at once as `limiter` has places."""

    def __init__(self, limiter: anyio.CapacityLimiter) -> None:
        self._limiter = limiter
        # Both ends of these are atomic, so loop and threads may use them without a lock.
        self._asked: deque[_Look] = deque()
        self._seen: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def look(self, function: Callable[[], T]) -> asyncio.Future[T]:
        """What `function` returns or raises, run in a thread soon."""
        loop = asyncio.get_running_loop()  # not kept: who keeps this one would keep the loop for good
        answer: asyncio.Future[T] = loop.create_future()
        self._asked.append((answer, function))
        if not self._under_way:
            self._go()
        elif self._timer is None:
            self._timer = loop.call_later(_A_MOMENT, self._hurry)
        return answer

    def _go(self) -> None:
        task = asyncio.ensure_future(self._hop())
        self._under_way.add(task)
        task.add_done_callback(self._back)

    async def _hop(self) -> None:
        await anyio.to_thread.run_sync(self._look_around, limiter=self._limiter)

    def _back(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._tell()
        if task.cancelled():  # the loop ends
            return
        if (trouble := task.exception()) is not None:  # no thread could be had
            self._seen.extend((answer, None, trouble) for answer, _ in self._asked)
            self._asked.clear()
            self._tell()
        elif self._asked and not self._under_way:
            self._go()

    def _hurry(self) -> None:
        """Some wait longer than a look takes: a thread hangs, or has much to do. Tell what it has seen, and send another."""
        self._timer = None
        self._tell()
        if self._asked and len(self._under_way) < self._limiter.total_tokens:
            self._go()
        if self._under_way:
            self._timer = asyncio.get_running_loop().call_later(_A_MOMENT, self._hurry)

    def _tell(self) -> None:
        while self._seen:
            answer, value, error = self._seen.popleft()
            if answer.done():  # who asked was cancelled
                continue
            if error is None:
                answer.set_result(value)
            else:
                answer.set_exception(error)

    def _look_around(self) -> None:
        """In a worker thread."""
        for _ in range(_TOGETHER):
            try:
                answer, function = self._asked.popleft()
            except IndexError:
                return
            if answer.cancelled():
                continue
            try:
                self._seen.append((answer, function(), None))
            except Exception as error:  # noqa: BLE001  # for whoever asked
                self._seen.append((answer, None, error))
