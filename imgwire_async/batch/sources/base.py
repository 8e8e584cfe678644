"""What all sources of files have in common."""

from __future__ import annotations

import abc
from collections import deque
from pathlib import Path

from imgwire_async.batch.items import Entry, Skip, Source

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


class ChunkedSource(abc.ABC):
    """A source that reads its items in chunks. It belongs to the event loop of its first `read`."""

    def __init__(
        self, name: str, prefix: str = "", *, may_repeat: bool = False, is_moved: bool = False
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
