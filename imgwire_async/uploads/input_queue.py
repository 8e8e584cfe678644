"""The caller's files, handed to many workers: taken as they are wanted, each with its place in the order.

A plain iterator is somebody's code and may block, so it runs where `user_code` says. The way there and back
costs as much as sending a small file does, so it is made once for all workers that wait at that moment.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Generic, TypeVar

from imgwire_async import cancellation, user_code
from imgwire_async.thread_batcher import BatchTimer

FileT = TypeVar("FileT")


class InputQueue(BatchTimer, Generic[FileT]):
    """Files, numbered from 0. Never takes more from the caller than are waited for. Belongs to one loop."""

    def __init__(self, files: Iterable[FileT] | AsyncIterable[FileT]) -> None:
        super().__init__()
        self._count = 0
        self._async: AsyncIterator[FileT] | None = None
        self._plain: Iterator[FileT] = iter(())
        if isinstance(files, AsyncIterable):
            self._async = aiter(files)
        else:
            self._plain = _each(files)
        self._quick = isinstance(files, list | tuple | range | deque)  # nobody's code runs in these
        self._lock = asyncio.Lock()  # an async iterator takes one step at a time
        self._stepping: asyncio.Task[object] | None = None  # whose step that is
        self._waiting: deque[asyncio.Future[tuple[int, FileT] | None]] = deque()
        self._found: deque[FileT] = deque()  # filled in a thread, emptied on the loop; both ends are atomic
        self._fetching: asyncio.Task[None] | None = None
        # A thread may go on after its fetch was cancelled: the next one waits for it, and hears what became
        # of it.
        self._taking = threading.Lock()
        self._broken: BaseException | None = None
        self.over: bool = False

    async def next(self) -> tuple[int, FileT] | None:
        """The next file and its position, or None at the end. What the caller's iterator raises passes unchanged."""
        if self._async is not None:
            async with self._lock:
                return None if self.over else await self._step(self._async)
        if self.over:
            return None
        if self._quick:
            for file in self._plain:
                return self._numbered(file)
            self.over = True
            return None
        answer: asyncio.Future[tuple[int, FileT] | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        if self._fetching is None:
            self._schedule_batch()
        return await answer

    def stop(self) -> None:
        """End the feed now: who waits gets None, and what is found afterwards is given to nobody.

        A task in which an async iterator takes its step is cancelled: only so does the iterator hear of it.
        """
        self.over = True
        if self._stepping is not None:
            self._stepping.cancel()
        while self._waiting:
            answer = self._waiting.popleft()
            if not answer.done():
                answer.set_result(None)

    async def aclose(self) -> None:
        """Take no more. A thread in which the caller's iterator hangs is left to itself."""
        self.over = True
        self._waiting.clear()  # they have left
        if self._fetching is not None:
            self._fetching.cancel()
            await cancellation.wait_all([self._fetching])

    def _count_waiting(self) -> int:
        return len(self._waiting)

    def _start_batch(self) -> None:
        self._fetching = task = asyncio.ensure_future(self._fetch())
        task.add_done_callback(self._fetched)

    def _numbered(self, file: FileT) -> tuple[int, FileT]:
        index, self._count = self._count, self._count + 1
        return index, file

    async def _step(self, files: AsyncIterator[FileT]) -> tuple[int, FileT] | None:
        self._stepping = asyncio.current_task()
        try:
            file = await anext(files)
        except StopAsyncIteration:
            self.over = True
            return None
        except BaseException:
            self.over = True
            raise
        finally:
            self._stepping = None
        return None if self.over else self._numbered(file)

    async def _fetch(self) -> None:
        """Take files for those who wait; if it is over meanwhile, tell them."""
        try:
            if not self.over:
                await self._fetch_some()
        except BaseException as error:
            # Somebody else's cancellation is no end: those who still wait get another fetch.
            if cancellation.is_own_cancellation(error):
                raise
            self.over = True
            self._tell(error)
        finally:
            self._fetched()

    def _fetched(self, task: asyncio.Task[None] | None = None) -> None:
        """A fetch is over. With `task`: it may have been cancelled before it took a step."""
        if task is not None and task is not self._fetching:
            return
        self._fetching = None
        if self.over:
            self._tell()
            for answer in self._waiting:
                if not answer.done():
                    answer.set_result(None)
        elif any(not answer.done() for answer in self._waiting):
            self._schedule_batch()

    async def _fetch_some(self) -> None:
        # When the iterator hangs, those before it shall not wait.
        timer = asyncio.get_running_loop().call_later(2 * self.window, self._tell)
        try:
            self.over = (
                await user_code.run_reader(self._take, len(self._waiting), time.monotonic()) or self.over
            )
        finally:
            timer.cancel()
            self._tell()

    def _take(self, most: int, asked: float) -> bool:
        """Up to so many files, in a thread, and no further one after a moment; whether those were the last."""
        with self._taking:
            if self._broken is not None:
                raise self._broken
            most -= len(self._found)
            if most <= 0:
                return False
            try:
                for taken, file in enumerate(self._plain, 1):
                    self._found.append(file)
                    if taken >= most or time.monotonic() - asked > self.window:
                        return False
            except BaseException as error:
                self._broken = error
                raise
            return True

    def _tell(self, error: BaseException | None = None) -> None:
        """Hand out what was found, and then the error, if there is one."""
        while self._waiting and (self._found or error is not None):
            answer = self._waiting.popleft()
            if answer.done():  # whoever waited was cancelled
                continue
            if self._found:
                answer.set_result(self._numbered(self._found.popleft()))
            elif error is not None:
                answer.set_exception(error)
                return


def _each(files: Iterable[FileT]) -> Iterator[FileT]:
    yield from files  # even `iter(files)` may be somebody's code, so that is left to the first step
