"""Take files from the iterator given to `upload_many`, number them, and pass them to workers.

A plain iterator is user code and may block, so it runs in the thread that `user_code` chooses. Switching to
another thread and back costs about as much as sending a small file. So one switch fetches the files for all
workers that wait.
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
    """A queue that numbers the caller's files from 0 and passes each file to one worker.

    The queue belongs to one event loop. The caller's iterator is advanced only while a worker waits for a
    file. The base class sets `window`, the seconds for which one batch of files is collected.
    """

    def __init__(self, files: Iterable[FileT] | AsyncIterable[FileT]) -> None:
        super().__init__()
        self._count = 0
        self._async_iterator: AsyncIterator[FileT] | None = None
        self._iterator: Iterator[FileT] = iter(())
        if isinstance(files, AsyncIterable):
            self._async_iterator = aiter(files)
        else:
            self._iterator = _lazy_iterator(files)
        # The iterators of these types run no user code, so no thread is needed.
        self._never_blocks = isinstance(files, list | tuple | range | deque)
        # An async iterator must not be advanced by two tasks at the same time.
        self._lock = asyncio.Lock()
        # The task that advances the async iterator at the moment.
        self._advance_task: asyncio.Task[object] | None = None
        self._waiters: deque[asyncio.Future[tuple[int, FileT] | None]] = deque()
        # A worker thread appends files, and the event loop removes them. Both operations are atomic.
        self._fetched: deque[FileT] = deque()
        self._fetch_task: asyncio.Task[None] | None = None
        # The thread of a cancelled fetch may still advance the iterator, so the next fetch waits for this
        # lock.
        self._iterator_lock = threading.Lock()
        # The exception that the iterator has raised. Each later fetch raises the exception again, because the
        # result of a cancelled fetch is lost.
        self._iterator_error: BaseException | None = None
        self.is_over: bool = False

    async def next(self) -> tuple[int, FileT] | None:
        """Return the next file with its index, or None at the end.

        Exceptions of the caller's iterator are raised unchanged.
        """
        if self._async_iterator is not None:
            async with self._lock:
                return None if self.is_over else await self._advance(self._async_iterator)
        if self.is_over:
            return None
        if self._never_blocks:
            for file in self._iterator:
                return self._numbered(file)
            self.is_over = True
            return None
        waiter: asyncio.Future[tuple[int, FileT] | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        if self._fetch_task is None:
            self._schedule_batch()
        return await waiter

    def stop(self) -> None:
        """End the queue: workers that wait get None, and files that are fetched later are dropped.

        The task that advances an async iterator is cancelled, so that the iterator ends.
        """
        self.is_over = True
        if self._advance_task is not None:
            self._advance_task.cancel()
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)

    async def aclose(self) -> None:
        """Stop fetching files. Do not wait for a thread in which the caller's iterator hangs."""
        self.is_over = True
        # No worker waits any more, because the run has cancelled all workers.
        self._waiters.clear()
        if self._fetch_task is not None:
            self._fetch_task.cancel()
            await cancellation.wait_all([self._fetch_task])

    def _count_waiting(self) -> int:
        return len(self._waiters)

    def _start_batch(self) -> None:
        self._fetch_task = task = asyncio.ensure_future(self._fetch())
        task.add_done_callback(self._on_fetch_done)

    def _numbered(self, file: FileT) -> tuple[int, FileT]:
        index, self._count = self._count, self._count + 1
        return index, file

    async def _advance(self, files: AsyncIterator[FileT]) -> tuple[int, FileT] | None:
        self._advance_task = asyncio.current_task()
        try:
            file = await anext(files)
        except StopAsyncIteration:
            self.is_over = True
            return None
        except BaseException:
            self.is_over = True
            raise
        finally:
            self._advance_task = None
        return None if self.is_over else self._numbered(file)

    async def _fetch(self) -> None:
        """Fetch files for the workers that wait. If the iterator raises, pass the exception to one worker."""
        try:
            if not self.is_over:
                await self._fetch_batch()
        except BaseException as error:
            # Other code has cancelled this task, so the iterator has not ended. `_on_fetch_done` starts
            # another fetch.
            if cancellation.is_own_cancellation(error):
                raise
            self.is_over = True
            self._deliver(error)
        finally:
            self._on_fetch_done()

    def _on_fetch_done(self, task: asyncio.Task[None] | None = None) -> None:
        """Start another fetch for the workers that wait, or pass them None at the end.

        `_fetch` calls this method at its end. The done callback calls it again with the `task`, because a
        task that is cancelled before its first step never runs `_fetch`.
        """
        if task is not None and task is not self._fetch_task:
            return
        self._fetch_task = None
        if self.is_over:
            self._deliver()
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)
        elif any(not waiter.done() for waiter in self._waiters):
            self._schedule_batch()

    async def _fetch_batch(self) -> None:
        # This timer delivers the files that were fetched before the iterator began to hang.
        timer = asyncio.get_running_loop().call_later(2 * self.window, self._deliver)
        try:
            self.is_over = (
                await user_code.run_reader(self._fetch_in_thread, len(self._waiters), time.monotonic())
                or self.is_over
            )
        finally:
            timer.cancel()
            self._deliver()

    def _fetch_in_thread(self, maximum: int, started_at: float) -> bool:
        """Fetch up to `maximum` files within the batch window, and return whether the iterator has ended.

        Runs in a worker thread.
        """
        with self._iterator_lock:
            if self._iterator_error is not None:
                raise self._iterator_error
            maximum -= len(self._fetched)
            if maximum <= 0:
                return False
            try:
                for count, file in enumerate(self._iterator, 1):
                    self._fetched.append(file)
                    if count >= maximum or time.monotonic() - started_at > self.window:
                        return False
            except BaseException as error:
                self._iterator_error = error
                raise
            return True

    def _deliver(self, error: BaseException | None = None) -> None:
        """Pass the fetched files to the workers that wait. Pass `error`, if given, to the next worker."""
        while self._waiters and (self._fetched or error is not None):
            waiter = self._waiters.popleft()
            # The future is already done if its worker was cancelled.
            if waiter.done():
                continue
            if self._fetched:
                waiter.set_result(self._numbered(self._fetched.popleft()))
            elif error is not None:
                waiter.set_exception(error)
                return


def _lazy_iterator(files: Iterable[FileT]) -> Iterator[FileT]:
    # `iter(files)` may be user code. A generator calls it only at its first step, which `InputQueue` runs in
    # the thread for user code.
    yield from files
