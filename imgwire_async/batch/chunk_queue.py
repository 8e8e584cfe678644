"""A bounded queue between two tasks, whose reader takes many items at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from imgwire_async.batch.items import MAX_BYTES

T = TypeVar("T")

CHUNK = 500


class ChunkQueue(Generic[T]):
    """A queue that belongs to one event loop, with one task that takes items.

    The task takes all items that are there, up to `CHUNK`, and never waits for more. So chunks are large if
    the items come fast, and small if they come slowly. `size_of` returns the bytes that an item keeps in
    memory. The queue is full with `capacity` items, or with `MAX_BYTES` bytes.
    """

    def __init__(self, size_of: Callable[[T], int], capacity: int = 2 * CHUNK) -> None:
        self._size_of = size_of
        self._capacity = capacity
        self._bytes = 0
        self._items: deque[T] = deque()
        self._error: BaseException | None = None
        self._is_over = False
        self._has_items = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()

    async def put_all(self, items: Sequence[T]) -> None:
        """Add items, and wait until the queue has room."""
        if not any(map(self._size_of, items)):
            await self._put(items, 0)
            return
        # Items in memory come one by one, because few of them may fill the queue.
        for item in items:
            await self._put([item], self._size_of(item))

    async def _put(self, items: Sequence[T], size: int) -> None:
        self._items.extend(items)
        self._bytes += size
        if items:
            self._has_items.set()
        while self._is_full and not self._is_over:
            self._has_room.clear()
            await self._has_room.wait()

    def end(self, error: BaseException | None = None) -> None:
        """Add no more items. The reader gets the items before it, and then `error`, if it is given."""
        if not self._is_over:
            self._is_over = True
            self._error = error
        self._has_items.set()
        self._has_room.set()

    async def take(self) -> list[T]:
        """Return the next items, or an empty list at the end. Nothing is lost if the task is cancelled."""
        while not self._items:
            if self._is_over:
                if self._error is not None:
                    raise self._error
                return []
            self._has_items.clear()
            await self._has_items.wait()
        items = self._pop_items()
        if not self._is_full:
            self._has_room.set()
        return items

    def _pop_items(self) -> list[T]:
        if not self._bytes:
            return [self._items.popleft() for _ in range(min(CHUNK, len(self._items)))]
        items: list[T] = []
        size = 0
        while self._items and len(items) < CHUNK and size < MAX_BYTES:
            items.append(self._items.popleft())
            size += self._size_of(items[-1])
        self._bytes -= size
        return items

    @property
    def _is_full(self) -> bool:
        """Whether the next items have to wait."""
        return len(self._items) >= self._capacity or self._bytes >= MAX_BYTES
