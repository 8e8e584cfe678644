"""Sources and walks for tests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs

from imgwire_async.batch.items import Entry, Identity, Skip
from imgwire_async.batch.journal import Journal
from imgwire_async.batch.records import RowOwner
from imgwire_async.batch.walk import Planned, Walk
from imgwire_async.uploads.item import UploadItem

IDENTITY = Identity(3, mtime_ns=4)


def entry(key: str = "a.jpg", identity: Identity = IDENTITY, file: Any = None) -> Entry:
    """Return a file whose row is that of `journals.row` by default."""
    return Entry(key, UploadItem(f"/photos/{key}" if file is None else file), identity)


def entry_of(path: Path, **changes: Any) -> Entry:
    """Return a file on disk."""
    status = path.stat()
    return entry(path.name, Identity(status.st_size, mtime_ns=status.st_mtime_ns, **changes), path)


class ListSource:
    """A source of given items. A callable among them is awaited instead."""

    def __init__(self, items: Iterable[Any], **changes: Any) -> None:
        self.name = changes.get("name", "/photos")
        self.prefix = self.name
        self.may_repeat = changes.get("may_repeat", False)
        self.is_moved = changes.get("is_moved", False)
        self.closed = 0
        self.read_count = 0
        self._items = iter(items)

    def __aiter__(self) -> ListSource:
        return self

    async def __anext__(self) -> Entry | Skip:
        for item in await self.read():
            return item
        raise StopAsyncIteration

    async def read(self) -> list[Entry | Skip]:
        for item in self._items:
            if isinstance(item, Entry | Skip):
                self.read_count += 1
                return [item]
            if isinstance(item, BaseException):
                raise item
            await item()
        return []

    def again(self) -> ListSource | None:
        return None

    async def aclose(self) -> None:
        self.closed += 1


class FolderSource(ListSource):
    """A source that can be repeated."""

    def __init__(self, items: Iterable[Any], **changes: Any) -> None:
        self.items = [*items]
        self.changes = changes
        self.again_count = 0
        super().__init__(self.items, **changes)

    def again(self) -> ListSource:
        self.again_count += 1
        return ListSource(self.items, **self.changes)


@attrs.define
class Counts:
    """What a walk reports."""

    found_files: int = 0
    done: int = 0
    was_counted: bool = False

    def found(self, count: int, /) -> None:
        self.found_files += count

    def done_before(self, count: int, /) -> None:
        self.done += count

    def counted(self) -> None:
        self.was_counted = True


async def walk_all(walk: Walk) -> list[Planned]:
    """Return all files of a walk, and close it."""
    async with contextlib.aclosing(walk):
        return [file async for files in walk for file in files]


async def decisions(source: Any, journal: Journal, owner: RowOwner, **options: Any) -> dict[str, str]:
    """Return the action for each key of a walk."""
    files = await walk_all(Walk(source, journal, owner, **options))
    return {file.entry.key: file.decision.action for file in files}


async def forever() -> None:
    """Wait until the task is cancelled."""
    await asyncio.get_running_loop().create_future()
