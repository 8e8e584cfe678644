"""An iterable of paths and items as a source of files.

The iterable is user code. A plain one runs in the thread that `user_code` chooses, an asynchronous one in a
task of its own. Both may be slow or hang: items that are there do not wait for the next one.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

from imgwire_async import cancellation, disk_work, user_code
from imgwire_async.batch.items import Entry, Skip, Source
from imgwire_async.batch.sources.base import CHUNK, ChunkedSource
from imgwire_async.batch.sources.item_check import Checked, check, find_identities, stream_size
from imgwire_async.batch.sources.own_files import OwnFiles
from imgwire_async.batch_errors import BatchError
from imgwire_async.threads import CANCEL_GRACE, consume_exception

NAME = "iterable"

# Seconds in which one call collects items from a plain iterator.
_WINDOW = 0.02
# A chunk that has more bytes in memory than this is not filled further.
_MAX_BYTES = 8 * 2**20
# An asynchronous iterator lets other tasks run after this number of items.
_ITEMS_PER_STEP = 100
# Seconds that `aclose` waits for the end of an asynchronous iterator.
_CLOSE_TIMEOUT = 1.0


class Feed(abc.ABC):
    """The items of a user's iterable, in the order in which it yields them. Belongs to one event loop."""

    @abc.abstractmethod
    async def take(self) -> list[object]:
        """Return the items that are there, at least one, or an empty list at the end.

        Raises the exception of the iterable after its last item. Nothing is lost if the task is cancelled.
        """

    @abc.abstractmethod
    async def aclose(self) -> None:
        """Close the iterator. Do not wait for one that hangs."""


class PlainFeed(Feed):
    """The items of a plain iterable.

    The reader thread appends to `_found`, and the event loop removes. Both operations are atomic.
    """

    def __init__(self, files: Iterable[object]) -> None:
        self._files = files
        self._iterator: Iterator[object] | None = None
        self._found: deque[object] = deque()
        # Held while a thread runs the iterator.
        self._lock = threading.Lock()
        self._fetching: asyncio.Future[bool] | None = None
        self._is_closed = False
        self._is_over = False
        # What the loop waits for while the iterator hangs.
        self._wants_item = False
        self._item_ready = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def take(self) -> list[object]:
        """Return the items that are there, at least one, or an empty list at the end."""
        self._loop = asyncio.get_running_loop()
        while not self._found and not self._is_over:
            if self._fetching is None:
                self._fetching = user_code.submit_reader(self._fetch)
                self._fetching.add_done_callback(self._on_fetched)
            await asyncio.wait([self._fetching], timeout=2 * _WINDOW)
            await self._wait_for_item(self._fetching)
            if self._fetching.done():
                fetching, self._fetching = self._fetching, None
                self._is_over = self._end_of(fetching)
        return _taken(self._found)

    async def _wait_for_item(self, fetching: asyncio.Future[bool]) -> None:
        """Wait until the iterator has yielded an item or the thread has returned."""
        self._item_ready.clear()
        self._wants_item = True
        # The thread may have ended, or appended an item, before it could see that one is wanted.
        if not self._found and not fetching.done():
            await self._item_ready.wait()
        self._wants_item = False

    def _on_fetched(self, fetching: asyncio.Future[bool]) -> None:
        consume_exception(fetching)
        self._item_ready.set()

    def _end_of(self, fetching: asyncio.Future[bool]) -> bool:
        """Return whether the iterator is over. Raise its exception after its last item."""
        if fetching.cancelled():
            # The caller of the blocking client no longer waits.
            raise asyncio.CancelledError
        error = fetching.exception()
        if error is None:
            return fetching.result()
        if self._found:
            # The items before it come first.
            self._fetching = fetching
            return False
        self._is_over = True
        raise error

    def _fetch(self) -> bool:
        """Take items from the iterator. Return whether it is over. Runs in the thread for user code."""
        with self._lock:
            try:
                return self._fetch_locked()
            finally:
                if self._is_closed:
                    self._close_iterator()

    def _fetch_locked(self) -> bool:
        if self._iterator is None:
            self._iterator = iter(self._files)
        deadline = time.monotonic() + _WINDOW
        size = 0
        while not self._is_closed:
            try:
                item = next(self._iterator)
            except StopIteration:
                return True
            self._found.append(item)
            if self._wants_item:
                self._notify()
            size += _bytes_in_memory(item)
            if len(self._found) >= CHUNK or size > _MAX_BYTES or time.monotonic() > deadline:
                return False
        return True

    def _notify(self) -> None:
        self._wants_item = False
        assert self._loop is not None
        # The loop may have ended while the iterator was hanging.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._item_ready.set)

    async def aclose(self) -> None:
        """Close a generator, unless it hangs. Its thread closes it when it ends."""
        self._is_closed = self._is_over = True
        self._found.clear()
        fetching, self._fetching = self._fetching, None
        if fetching is not None:
            if user_code.busy_caller() is None:
                await cancellation.wait_all([fetching], timeout=CANCEL_GRACE)
            fetching.cancel()
        if isinstance(self._iterator, Generator) and user_code.busy_caller() is None:
            closing = user_code.submit_reader(self._close)
            await cancellation.wait_all([closing], timeout=CANCEL_GRACE)
            closing.cancel()

    def _close(self) -> None:
        if self._lock.acquire(blocking=False):
            try:
                self._close_iterator()
            finally:
                self._lock.release()

    def _close_iterator(self) -> None:
        iterator, self._iterator = self._iterator, None
        if isinstance(iterator, Generator):
            iterator.close()


class AsyncFeed(Feed):
    """The items of an asynchronous iterable. One task runs the iterator from its beginning to its end.

    So the iterator may use cancel scopes and task groups, which must be left in the task that entered them.
    """

    def __init__(self, files: AsyncIterable[object], *, closes: bool) -> None:
        self._files = files
        # Whether `files` is a source that the user has written, and has an `aclose`.
        self._closes = closes
        self._found: deque[object] = deque()
        # The bytes in memory of the items that are there.
        self._size = 0
        self._task: asyncio.Task[None] | None = None
        self._is_begun = False
        self._is_over = False
        self._has_items = asyncio.Event()
        self._has_room = asyncio.Event()

    async def take(self) -> list[object]:
        """Return the items that are there, at least one, or an empty list at the end."""
        if self._task is None and not self._is_over:
            self._task = asyncio.ensure_future(self._run())
            self._task.add_done_callback(self._on_end)
        while not self._found and self._task is not None:
            if self._task.done():
                task, self._task = self._task, None
                self._is_over = True
                if task.cancelled():
                    raise BatchError(
                        "other code cancelled the iterable of files, so the run has ended; run again"
                    )
                task.result()
                break
            self._has_items.clear()
            await self._has_items.wait()
        found = _taken(self._found)
        self._size = 0
        self._has_room.set()
        return found

    def _on_end(self, task: asyncio.Task[None]) -> None:
        consume_exception(task)
        self._has_items.set()

    async def _run(self) -> None:
        self._is_begun = True
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._close)
            iterator = aiter(self._files)
            if isinstance(iterator, AsyncGenerator):
                stack.push_async_callback(iterator.aclose)
            async for item in iterator:
                self._found.append(item)
                self._has_items.set()
                self._size += _bytes_in_memory(item)
                if not len(self._found) % _ITEMS_PER_STEP:
                    # An iterator that never waits must not block the event loop.
                    await asyncio.sleep(0)
                while len(self._found) >= CHUNK or self._size > _MAX_BYTES:
                    self._has_room.clear()
                    await self._has_room.wait()

    async def _close(self) -> None:
        if self._closes:
            files: Any = self._files
            await files.aclose()

    async def aclose(self) -> None:
        """End the iterator. Do not wait for one that hangs."""
        self._is_over = True
        self._found.clear()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await cancellation.wait_all([task], timeout=_CLOSE_TIMEOUT)
        if not self._is_begun:
            self._is_begun = True
            closing = asyncio.ensure_future(self._close())
            await cancellation.wait_all([closing], timeout=_CLOSE_TIMEOUT)
            closing.cancel()


def _taken(found: deque[object]) -> list[object]:
    return [found.popleft() for _ in range(min(CHUNK, len(found)))]


def _bytes_in_memory(item: object) -> int:
    file = getattr(item, "file", None)
    return len(file) if isinstance(file, bytes | bytearray) else 0


class IterableSource(ChunkedSource):
    """The source of one run over an iterable of the user."""

    def __init__(
        self,
        files: Iterable[object] | AsyncIterable[object],
        own_paths: frozenset[Path],
        name: str = NAME,
        *,
        closes: bool = False,
    ) -> None:
        """Create the source. With `closes`, `files` is a source that the user has written."""
        super().__init__(name, may_repeat=True)
        self._files = files
        self._own_paths = own_paths
        self._own: OwnFiles | None = None
        self._feed: Feed = (
            AsyncFeed(files, closes=closes) if isinstance(files, AsyncIterable) else PlainFeed(files)
        )
        self._count = 0
        # Items whose identities are not known yet.
        self._checked: list[Checked | Entry | Skip] = []
        self._error: BaseException | None = None

    async def read(self) -> list[Entry | Skip]:
        """Return the next items, or an empty list at the end. Nothing is lost if the task is cancelled."""
        while self._error is None:
            if not self._checked:
                self._check(await self._feed.take())
                if not self._checked:
                    break
            found = await self._find_identities()
            self._checked = []
            if found:
                return found
        if self._error is not None:
            error = self._error
            raise error
        return []

    def _check(self, values: list[object]) -> None:
        """Check items. The items before a wrong one are returned before its error is raised."""
        for value in values:
            try:
                self._checked.append(self._check_one(value, self._count))
            except Exception as error:  # noqa: BLE001  # raised by `read`
                self._error = error
                return
            self._count += 1

    def _check_one(self, value: object, position: int) -> Checked | Entry | Skip:
        """Check one item. Raises `TypeError` or `ValueError` that names its position."""
        return check(value, position)

    async def _find_identities(self) -> list[Entry | Skip]:
        checked = self._checked
        known = [item for item in checked if not isinstance(item, Checked)]
        if len(known) == len(checked):
            return known
        streams = [n for n, item in enumerate(checked) if isinstance(item, Checked) and item.is_stream]
        sizes: dict[int, int | None] = {}
        if streams:
            items = [item.item for item in checked if isinstance(item, Checked) and item.is_stream]
            found = await user_code.run_reader(lambda: [*map(stream_size, items)])
            sizes = dict(zip(streams, found, strict=True))
        return await disk_work.run(self._find_in_thread, checked, sizes)

    def _find_in_thread(
        self, checked: list[Checked | Entry | Skip], sizes: dict[int, int | None]
    ) -> list[Entry | Skip]:
        if self._own is None:
            self._own = OwnFiles(self._own_paths)
        return find_identities(checked, sizes, self._own)

    def again(self) -> Source | None:
        """Return a new source with the same files for a list or tuple, None for an iterator."""
        if isinstance(self._files, list | tuple):
            return IterableSource(self._files, self._own_paths)
        return None

    async def aclose(self) -> None:
        """Close the iterator of the user. Do not wait for one that hangs."""
        self._checked = []
        await self._feed.aclose()
