"""What all sources of files have in common."""

from __future__ import annotations

import abc
import asyncio
from collections import deque
from pathlib import Path
from typing import Protocol

from imgwire_async import disk_work
from imgwire_async.batch.items import Entry, Skip, Source
from imgwire_async.threads import consume_exception

# The maximum number of items that `read` returns.
CHUNK = 500

# The maximum number of UTF-8 bytes of a key.
MAX_KEY = 4_096
TOO_LONG_KEY = f"its key has more than {MAX_KEY:,} bytes"


class Files(abc.ABC):
    """A description of files, from which each run creates a source of its own."""

    @abc.abstractmethod
    def start(self, own_paths: frozenset[Path]) -> Source:
        """Return a source for one run. It leaves out `own_paths`, which are the files of the journal."""

    def start_with_stall(self, own_paths: frozenset[Path], stall: float | None) -> Source:
        """Return a source for one run that waits for a server at most `stall` seconds without progress.

        Sources without a server do not need the limit.
        """
        return self.start(own_paths)


class ChunkedSource(abc.ABC):
    """A source that reads its items in chunks. It belongs to the event loop of its first `read`."""

    def __init__(
        self,
        name: str,
        prefix: str = "",
        *,
        may_repeat: bool = False,
        is_moved: bool = False,
    ) -> None:
        self.name: str = name
        self.prefix: str = prefix or name
        self.may_repeat: bool = may_repeat
        self.is_moved: bool = is_moved
        self._chunk: deque[Entry | Skip] = deque()

    def __aiter__(self) -> Source:
        return self

    async def __anext__(self) -> Entry | Skip:
        if not self._chunk:
            self._chunk.extend(await self.read())
        if not self._chunk:
            raise StopAsyncIteration
        return self._chunk.popleft()

    @abc.abstractmethod
    async def read(self) -> list[Entry | Skip]:
        """Return the next items, up to `CHUNK`, or an empty list at the end."""

    def again(self) -> Source | None:
        """Return a new source with the same files, or None if they can be read only once."""
        return None

    @abc.abstractmethod
    async def aclose(self) -> None:
        """Release all resources. Idempotent. Does not wait for a call of user code that hangs."""


class BlockingWalk(Protocol):
    """A walk through files in steps, which block. Any thread may call `read`, one at a time.

    `stop` may be called while a thread hangs in `read`. That thread then calls `close` when it ends.
    """

    def read(self) -> tuple[list[Entry | Skip], bool]:
        """Return the next items, and whether the walk is over. Return soon, also without items."""
        ...

    def stop(self) -> bool:
        """End the walk. Return whether `close` has to be called. This does not access the disk."""
        ...

    def close(self) -> None:
        """Release all resources, unless another thread is reading. Idempotent."""
        ...


class ThreadedSource(ChunkedSource):
    """A source whose items a worker thread of the package reads, in the steps of a `BlockingWalk`."""

    def __init__(
        self,
        walk: BlockingWalk,
        name: str,
        prefix: str = "",
        *,
        may_repeat: bool = False,
        is_moved: bool = False,
    ) -> None:
        super().__init__(name, prefix, may_repeat=may_repeat, is_moved=is_moved)
        self._walk = walk
        self._reading: asyncio.Future[tuple[list[Entry | Skip], bool]] | None = None
        self._is_over = False

    async def read(self) -> list[Entry | Skip]:
        """Return the next items, or an empty list at the end. Nothing is lost if the task is cancelled."""
        while not self._is_over:
            if self._reading is None:
                self._reading = disk_work.submit(self._walk.read)
                self._reading.add_done_callback(consume_exception)
            try:
                items, is_over = await asyncio.shield(self._reading)
            except asyncio.CancelledError:
                raise
            except BaseException:
                self._is_over = True
                raise
            self._reading = None
            self._is_over = self._is_over or is_over
            if items:
                return items
        return []

    async def aclose(self) -> None:
        """Stop reading. A thread that hangs is left alone."""
        self._is_over = True
        if self._walk.stop():
            await disk_work.run_cleanup(self._walk.close)
