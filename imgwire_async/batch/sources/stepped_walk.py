"""A walk through files by a plain generator, in steps that end soon."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator

from imgwire_async.batch.items import MAX_BYTES, Entry, Skip
from imgwire_async.batch.sources.base import CHUNK

# Seconds after which `read` returns. A thread that works longer than `CANCEL_GRACE` counts as stuck.
_READ_TIME = 0.1


class SteppedWalk:
    """A `BlockingWalk` through the items that a generator yields. It yields None where a step may end.

    `begin` returns the generator, which opens what it needs and closes it when it ends or is closed.
    """

    def __init__(self, begin: Callable[[], Generator[Entry | Skip | None, None, None]]) -> None:
        self._begin = begin
        self._items: Generator[Entry | Skip | None, None, None] | None = None
        self._error: Exception | None = None
        self._lock = threading.Lock()
        self._is_stopped = False

    def read(self) -> tuple[list[Entry | Skip], bool]:
        """Return the next items, and whether the walk is over. An error comes after the items before it."""
        try:
            with self._lock:
                return self._read_locked()
        finally:
            if self._is_stopped:
                self.close()

    def _read_locked(self) -> tuple[list[Entry | Skip], bool]:
        if self._error is not None:
            raise self._error
        if self._items is None:
            self._items = self._begin()
        found: list[Entry | Skip] = []
        size = 0
        deadline = time.monotonic() + _READ_TIME
        try:
            for item in self._items:
                if item is not None:
                    found.append(item)
                    size += item.bytes_in_memory
                if len(found) >= CHUNK or size >= MAX_BYTES or time.monotonic() > deadline:
                    return found, self._is_stopped
                if self._is_stopped:
                    return [], True
        except Exception as error:
            if not found:
                raise
            self._error = error
            return found, False
        return found, True

    def stop(self) -> bool:
        """End the walk. Return whether `close` has to be called. This does not access the disk."""
        self._is_stopped = True
        return self._items is not None and not self._lock.locked()

    def close(self) -> None:
        """Close the generator, unless another thread is reading. It closes the generator at its end."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            if self._items is not None:
                self._items.close()
        finally:
            self._lock.release()
