"""Write the rows of a run to its journal, many of them together.

While rows are written, later rows wait and are written together. A run writes at most once in some
milliseconds, because waking up the thread of the journal costs about as much as the rows of several files.
So under load a commit contains the rows of many files, and an idle run writes each row at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

import attrs

from imgwire_async import cancellation
from imgwire_async.batch.journal import Journal
from imgwire_async.batch.records import JournalRow
from imgwire_async.batch_errors import JournalError
from imgwire_async.threads import consume_exception

T = TypeVar("T")

# The least number of seconds between the beginnings of two commits.
_INTERVAL = 0.01


@attrs.define(eq=False)
class _Group(Generic[T]):
    """Rows that are written together, by their keys, and what is reported once they are on the disk."""

    future: asyncio.Future[None]
    rows: dict[str, JournalRow] = attrs.field(factory=dict[str, JournalRow])
    notes: list[T] = attrs.field(factory=list)


class RowWriter(Generic[T]):
    """Writes the rows of one run, in the order of the calls. It belongs to the event loop of the run.

    `on_written` is called with the notes of rows once these rows are on the disk. `on_error` is called once
    if the journal cannot be written. After that nothing is written.
    """

    def __init__(
        self, journal: Journal, on_written: Callable[[list[T]], None], on_error: Callable[[Exception], None]
    ) -> None:
        self._journal = journal
        self._on_written = on_written
        self._on_error = on_error
        self._loop = asyncio.get_running_loop()
        self._waiting: _Group[T] = self._new_group()
        self._writing: _Group[T] | None = None
        self._is_scheduled = False
        # The time at which the next commit may begin.
        self._next_at = 0.0
        self.error: Exception | None = None

    @property
    def is_idle(self) -> bool:
        """Whether all rows are on the disk, or the journal cannot be written."""
        return self.error is not None or not (self._waiting.rows or self._writing)

    def write(self, row: JournalRow, note: T | None = None) -> None:
        """Write a row soon. A row of the same key that still waits is replaced."""
        group = self._waiting
        group.rows[row.key] = row
        if note is not None:
            group.notes.append(note)
        self._schedule()

    async def write_all(self, rows: Iterable[JournalRow]) -> None:
        """Write rows, and wait until they are on the disk."""
        future: asyncio.Future[None] | None = None
        for row in rows:
            self.write(row)
            future = self._waiting.future
        if future is not None:
            await asyncio.shield(future)

    async def wait_until_written(self) -> None:
        """Wait until the rows so far are on the disk. Later rows may follow meanwhile."""
        group = self._waiting if self._waiting.rows else self._writing
        if group is not None:
            await asyncio.shield(group.future)

    async def drain(self) -> None:
        """Wait until all rows are on the disk. Raises the error of the journal."""
        while not self.is_idle:
            group = self._waiting if self._waiting.rows else self._writing
            assert group is not None
            await asyncio.shield(group.future)
        if self.error is not None:
            raise self.error

    def flush(self) -> None:
        """Pass all rows that wait to the journal at once, and do not wait until they are written."""
        if self._waiting.rows:
            self._submit()

    async def undo(self, before: Sequence[JournalRow], new: Sequence[JournalRow]) -> None:
        """Write rows of earlier runs again and remove new rows, after all rows that wait.

        The method waits until that is done, also if its task is cancelled, but then not for a slow disk.
        Without rows it waits for nothing.
        """
        self.flush()
        if (before or new) and self.error is None:
            # The journal cannot be written any more, or is closed.
            with contextlib.suppress(JournalError):
                await cancellation.wait_shielded(self._journal.put(before, removed=new))

    def _new_group(self) -> _Group[T]:
        future = self._loop.create_future()
        # The error of a group is reported by `on_error`, also if no task waits for the group.
        future.add_done_callback(consume_exception)
        return _Group(future)

    def _schedule(self) -> None:
        if self._writing is None and not self._is_scheduled:
            self._is_scheduled = True
            # The rows of one iteration of the event loop are written together.
            self._loop.call_at(self._next_at, self._write_next)

    def _write_next(self) -> None:
        self._is_scheduled = False
        if self._writing is None and self._waiting.rows:
            self._submit()

    def _submit(self) -> None:
        group, self._waiting = self._waiting, self._new_group()
        self._writing = group
        self._next_at = self._loop.time() + _INTERVAL
        try:
            if self.error is not None:
                raise self.error
            future = self._journal.put([*group.rows.values()])
        except JournalError as error:
            self._end(group, error)
            return
        future.add_done_callback(lambda done: self._on_done(group, done))

    def _on_done(self, group: _Group[T], future: asyncio.Future[None]) -> None:
        error = None if future.cancelled() else future.exception()
        assert error is None or isinstance(error, Exception)
        self._end(group, error)

    def _end(self, group: _Group[T], error: Exception | None) -> None:
        if self._writing is group:
            self._writing = None
        if error is None:
            if not group.future.done():
                group.future.set_result(None)
            if group.notes:
                self._on_written(group.notes)
        else:
            if not group.future.done():
                group.future.set_exception(error)
            if self.error is None:
                self.error = error
                self._on_error(error)
        if self._waiting.rows:
            self._schedule()
