"""Read the files of a source, and decide what a run does with each of them.

Three steps overlap with each other and with the uploads: one task reads the source, another one looks up
the rows of many files at once and decides, and the run takes the result. The queues between them are bounded.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Protocol

import attrs

from imgwire_async import cancellation, disk_work
from imgwire_async.batch import source_names
from imgwire_async.batch.chunk_queue import ChunkQueue
from imgwire_async.batch.hashing import hash_file
from imgwire_async.batch.items import Entry, Skip, Source
from imgwire_async.batch.journal import Journal
from imgwire_async.batch.keys import Shard
from imgwire_async.batch.plan import Decision, RetryFailed, decide
from imgwire_async.batch.records import JournalRow, RowOwner, with_identity
from imgwire_async.batch.scratch import KeyTable
from imgwire_async.errors import SourceChangedError
from imgwire_async.threads import CANCEL_GRACE, consume_exception

# The maximum number of files that are hashed at the same time.
_HASHES = 4
# The maximum number of writes that are in progress. The journal makes one commit for those that wait.
_MAX_WRITES = 200
# Seconds that `aclose` waits for the source.
_CLOSE_TIMEOUT = 3.0
# The source may run on the event loop without a pause, so other tasks must run between its items.
_ITEMS_PER_STEP = 100

_DONE_BEFORE = Decision("done", "uploaded before")
# The image of a file that was deleted stays.
_UPLOADED_AND_MISSING = Decision("done", "uploaded before, and there is no such file any more")
_SETTLED = Decision("done", "settled by this run")
_REPEATED = "the same key came before in this run"


@attrs.frozen
class Planned:
    """One file, its row in the journal, and what the run does with it.

    If `entry` is a `Skip`, the source skips the file. With `keeps_row` the run writes no row for the skip,
    because the row belongs to another file of the run. `is_settled` says that this run has found the image
    of an earlier run, and has written the row.
    """

    entry: Entry | Skip
    row: JournalRow | None
    decision: Decision
    keeps_row: bool = False
    is_settled: bool = False


class WalkListener(Protocol):
    """What a walk reports. The methods are called on the event loop."""

    def found(self, count: int, /) -> None:
        """Count files of the source."""
        ...

    def done_before(self, count: int, /) -> None:
        """Count files that earlier runs have done."""
        ...

    def counted(self) -> None:
        """Note that the source has no more files."""
        ...


@attrs.frozen
class _Known:
    """What the journal knows about some files. Most of them are done, and their rows are not read."""

    done: set[str]
    rows: dict[str, JournalRow]


class Walk:
    """The files of a source with a decision for each, in lists. One task iterates, and calls `aclose` once.

    Files that earlier runs have done are only counted, unless `include_done` is given. `is_gone` says whether
    the image of a row no longer exists. With `reads_only` nothing is written, and files are hashed only if
    the decision depends on it.

    Exceptions of the source are raised unchanged, after the files before them. Raises `BatchError` if a key
    belongs to another source.
    """

    def __init__(
        self,
        source: Source,
        journal: Journal,
        owner: RowOwner,
        *,
        shard: Shard | None = None,
        checksum: bool = False,
        retry_failed: RetryFailed = True,
        include_done: bool = False,
        is_gone: Callable[[JournalRow], bool] | None = None,
        reads_only: bool = False,
        listener: WalkListener | None = None,
    ) -> None:
        # The number of files so far, and how many of them earlier runs have done.
        self.found: int = 0
        self.done_before: int = 0
        # Whether the source has ended, and all of its files were returned.
        self.is_complete: bool = False
        self._source = source
        self._journal = journal
        self._owner = owner
        self._shard = shard
        self._checksum = checksum
        self._retry_failed: RetryFailed = retry_failed
        self._include_done = include_done
        self._is_gone = is_gone
        self._reads_only = reads_only
        self._listener = listener
        self._keys: KeyTable | None = None
        self._items: ChunkQueue[Entry | Skip] = ChunkQueue(lambda item: item.bytes_in_memory)
        self._planned: ChunkQueue[Planned] = ChunkQueue(lambda file: file.entry.bytes_in_memory)
        self._tasks: list[asyncio.Task[None]] = []
        # The writes of rows that are not on the disk yet.
        self._writes: deque[asyncio.Future[None]] = deque()
        self._is_closed = False

    def __aiter__(self) -> AsyncIterator[list[Planned]]:
        return self

    async def __anext__(self) -> list[Planned]:
        if self._is_closed:
            raise StopAsyncIteration
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._plan())]
        planned = await self._planned.take()
        if not planned:
            self.is_complete = not self._is_closed
            raise StopAsyncIteration
        return planned

    async def aclose(self) -> None:
        """Stop the walk and close the source. Do not wait for a source that hangs. Idempotent."""
        if self._is_closed:
            return
        self._is_closed = True
        for queue in (self._items, self._planned):
            queue.end()
        for task in self._tasks:
            task.cancel()
        try:
            await cancellation.wait_all(self._tasks, timeout=2 * CANCEL_GRACE)
        finally:
            if self._keys is not None:
                disk_work.submit(self._keys.close).add_done_callback(consume_exception)
            # A user's source may raise or hang here. The run ends without it.
            closing = asyncio.ensure_future(self._source.aclose())
            await cancellation.wait_all([closing], timeout=_CLOSE_TIMEOUT)

    # --- tasks ----------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        """Read the source until its end."""
        try:
            if not self._reads_only:
                await source_names.compare_sources(
                    self._source, self._journal, self._owner, shard=self._shard
                )
            count = 0
            while items := await self._source.read():
                await self._items.put_all(items)
                count += len(items)
                if count >= _ITEMS_PER_STEP:
                    count = 0
                    await asyncio.sleep(0)
        except BaseException as error:
            if cancellation.is_own_cancellation(error):
                self._items.end(RuntimeError("the walk through the files was cancelled"))
                raise
            self._items.end(error)
        else:
            self._items.end()

    async def _plan(self) -> None:
        """Decide on all files, until the end of the source or an error."""
        try:
            while items := await self._items.take():
                await self._plan_items(items)
            while self._writes:
                await self._writes.popleft()
            if self._listener is not None and not self._is_closed:
                self._listener.counted()
        except BaseException as error:
            if cancellation.is_own_cancellation(error):
                self._planned.end(RuntimeError("the walk through the files was cancelled"))
                raise
            self._planned.end(error)
        else:
            self._planned.end()

    async def _plan_items(self, items: list[Entry | Skip]) -> None:
        if self._shard is not None:
            items = [item for item in items if item.key in self._shard]
        self.found += len(items)
        if self._listener is not None and items:
            self._listener.found(len(items))
        planned: list[Planned] = []
        if self._source.may_repeat:
            items = await self._without_repeated(items, planned)
        known = await disk_work.run(self._read_rows, items)
        to_hash: list[Planned] = []
        done_before = 0
        for item in items:
            if item.key in known.done:
                if self._reads_only:
                    planned.append(Planned(item, None, _DONE_BEFORE))
                else:
                    done_before += 1
                continue
            decided = self._decide(item, known.rows.get(item.key))
            (to_hash if self._needs_hash(decided) else planned).append(decided)
        self._count_done_before(done_before)
        await self._pass_on(planned)
        if to_hash:
            await self._hash_all(to_hash)

    async def _without_repeated(
        self, items: list[Entry | Skip], planned: list[Planned]
    ) -> list[Entry | Skip]:
        """Return the items whose key is new in this run. Add skips for the others to `planned`."""
        if self._keys is None:
            self._keys = await disk_work.run_or_dispose(KeyTable.close, KeyTable)
        new = await disk_work.run(self._keys.add, [item.key for item in items])
        first: list[Entry | Skip] = []
        for item in items:
            if item.key in new:
                new.remove(item.key)
                first.append(item)
            else:
                skip = Decision("skip", _REPEATED)
                planned.append(Planned(Skip(item.key, _REPEATED), None, skip, keeps_row=True))
        return first

    def _read_rows(self, items: list[Entry | Skip]) -> _Known:
        """Return what the journal knows about files. Runs in a worker thread."""
        done: set[str] = set()
        if self._is_gone is None and not self._include_done:
            identities = {item.key: item.identity for item in items if isinstance(item, Entry)}
            done = self._journal.done_before(self._owner, identities, checksum=self._checksum)
        keys = [item.key for item in items if item.key not in done]
        rows = self._journal.lookup(self._owner.destination, keys) if keys else {}
        # A skip of another source contains nothing that could get lost.
        others = {
            key: row.source
            for key, row in rows.items()
            if row.source != self._owner.source and row.status != "skipped"
        }
        if self._reads_only and self._source.is_moved:
            return _Known(done, rows)
        if source_names.resolve(self._source, self._journal, others):
            return self._read_rows(items)
        return _Known(done, rows)

    # --- decide ---------------------------------------------------------------------------------------------

    def _decide(self, item: Entry | Skip, row: JournalRow | None) -> Planned:
        if isinstance(item, Skip):
            return Planned(item, row, Decision("skip", item.reason))
        is_gone = row is not None and self._is_gone is not None and self._is_gone(row)
        if item.is_missing and row is not None and row.has_bytes and not is_gone:
            decision = _UPLOADED_AND_MISSING
        else:
            decision = decide(
                row,
                item.identity,
                checksum=self._checksum,
                retry_failed=self._retry_failed,
                is_gone=is_gone,
            )
        if decision.action == "done" and row is not None and row.run == self._owner.run:
            return Planned(item, row, attrs.evolve(decision, reason=_SETTLED.reason), is_settled=True)
        return Planned(item, row, decision)

    def _needs_hash(self, planned: Planned) -> bool:
        entry, decision = planned.entry, planned.decision
        if isinstance(entry, Skip) or entry.identity.sha256 is not None or _path(entry) is None:
            return False
        if self._reads_only:
            return decision.needs_hash and decision.action != "done"
        return decision.needs_hash or (self._checksum and decision.action not in {"done", "skip"})

    async def _pass_on(self, planned: list[Planned]) -> None:
        """Write what is new about files, and put them into the queue, except those that are done."""
        updated = [_with_update(file, self._owner) for file in planned]
        rows = [new.row for old, new in zip(planned, updated, strict=True) if new is not old]
        done = sum(map(_is_done_before, updated))
        self._count_done_before(done)
        await self._write([row for row in rows if row is not None])
        if done and not (self._include_done or self._reads_only):
            updated = [file for file in updated if not _is_done_before(file)]
        await self._planned.put_all(updated)

    async def _write(self, rows: list[JournalRow]) -> None:
        if not rows or self._reads_only:
            return
        write = self._journal.put(rows)
        write.add_done_callback(consume_exception)
        self._writes.append(write)
        while len(self._writes) > _MAX_WRITES:
            await self._writes.popleft()

    def _count_done_before(self, count: int) -> None:
        self.done_before += count
        if self._listener is not None and count:
            self._listener.done_before(count)

    # --- hashes ---------------------------------------------------------------------------------------------

    async def _hash_all(self, files: list[Planned]) -> None:
        """Hash files, a few at the same time, and pass each one on with a new decision."""
        files_left = iter(files)
        await run_all([self._hash_some(files_left) for _ in range(min(_HASHES, len(files)))])

    async def _hash_some(self, files: Iterator[Planned]) -> None:
        for file in files:
            await self._pass_on([await self._hash(file)])

    async def _hash(self, file: Planned) -> Planned:
        entry = file.entry
        assert isinstance(entry, Entry)
        path = _path(entry)
        assert path is not None
        try:
            hashed = await hash_file(path)
        except SourceChangedError:
            reason = "it changed while it was read: run again once nothing writes to it"
            return Planned(Skip(entry.key, reason), file.row, Decision("skip", reason))
        except OSError as error:
            return _not_hashed(file, error)
        identity = attrs.evolve(
            entry.identity,
            size=hashed.size,
            mtime_ns=None if entry.identity.mtime_ns is None else hashed.mtime_ns,
            sha256=hashed.sha256,
        )
        item = entry.item
        if not isinstance(item.hash_sha256, str):
            # The PUT is rejected if it sends other bytes.
            item = attrs.evolve(item, hash_sha256=hashed.sha256)
        return self._decide(attrs.evolve(entry, identity=identity, item=item), file.row)


def _is_done_before(file: Planned) -> bool:
    """Return whether an earlier run has done the file."""
    is_done = file.decision.action == "done" and not file.is_settled
    return is_done and (file.row is None or file.row.status == "done")


def _with_update(file: Planned, owner: RowOwner) -> Planned:
    """Return the file with a new row, if more is known about it now. Otherwise return it unchanged."""
    if not file.decision.update_identity or file.row is None or isinstance(file.entry, Skip):
        return file
    return attrs.evolve(file, row=with_identity(file.row, file.entry.identity, owner.run))


def _not_hashed(file: Planned, error: OSError) -> Planned:
    """Return the decision on a file that cannot be read."""
    if file.decision.action == "changed" and file.decision.needs_hash:
        # It may be the same file. Its image stays.
        reason = f"it cannot be read: {error.strerror or type(error).__name__}"
        return Planned(Skip(file.entry.key, reason), file.row, Decision("skip", reason))
    # The upload fails with the same error, and reports it.
    return file


def _path(entry: Entry) -> str | None:
    file = entry.item.file
    return os.fsdecode(file) if isinstance(file, str | os.PathLike) else None


async def run_all(coroutines: list[Coroutine[None, None, None]]) -> None:
    """Run coroutines at the same time. The first exception cancels the others and is raised."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await cancellation.wait_all(tasks, timeout=2 * CANCEL_GRACE)
