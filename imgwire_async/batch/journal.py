"""The journal of batch runs: one row for each file, in a SQLite file that survives any interruption.

A row that was written is on the disk before its caller continues. Rows are written as a whole, by one thread.
Reads use other connections, in short transactions, so they never block the writer for long.
"""

from __future__ import annotations

import asyncio
import functools
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs

from imgwire_async.batch import journal_destinations, journal_file, journal_lock, journal_schema
from imgwire_async.batch.items import Identity
from imgwire_async.batch.journal_destinations import Choice, Destination
from imgwire_async.batch.journal_reader import ConnectedReader, Reader, WriterReader
from imgwire_async.batch.journal_schema import (
    CODES,
    DELETE,
    DONE,
    MAX_IDENTITIES,
    PUT,
    SELECT,
    not_done_sql,
    row_of,
    values_of,
    values_of_identity,
)
from imgwire_async.batch.journal_writer import JournalWriter, begin_log, read_state
from imgwire_async.batch.keys import Shard, key_bytes, key_text
from imgwire_async.batch.records import STATUSES, JournalRow, RowOwner, RowStatus, all_ids
from imgwire_async.batch_errors import JournalError
from imgwire_async.formatting import quoted

T = TypeVar("T")

# Rows of one query. A short transaction lets the writer make its checkpoints.
_PAGE = 500
# SQLite before 3.32 accepts 999 parameters.
_MAX_KEYS = 500


class Journal:
    """An open journal. `open_journal` opens it, and `close` must be called once.

    `put` belongs to event loops. The other methods block, and any thread may call them. Iterators read a page
    at a time, so they may see rows that are written meanwhile.
    """

    def __init__(
        self, path: Path, lock: journal_lock.JournalLock, connection: sqlite3.Connection, *, exclusive: bool
    ) -> None:
        self.path: Path = path
        self._lock = lock
        self._exclusive = exclusive
        self._without_readers = threading.Lock()
        self._writer = JournalWriter(path, connection, self._without_readers)
        self._readers: list[Reader] = []

    def close(self) -> None:
        """Write what waits, move everything to one file, and unlock the journal."""
        try:
            for reader in self._readers:
                reader.close()
            self._writer.close()
        finally:
            self._lock.release()

    def checkpoint(self) -> None:
        """Move all changes to the file itself, soon after the call. This happens every minute anyway."""
        self._writer.checkpoint()

    # --- write ----------------------------------------------------------------------------------------------

    def put(self, rows: Sequence[JournalRow], *, removed: Sequence[JournalRow] = ()) -> asyncio.Future[None]:
        """Write rows, remove others, and return the future that is done once that is on the disk.

        Rows are written in the order of the calls. A caller that does not wait cancels nothing.
        """
        values, keys = [*map(values_of, rows)], [*map(_key_of, removed)]
        return self._writer.submit(functools.partial(_put, values=values, removed=keys))

    def put_blocking(self, rows: Sequence[JournalRow]) -> None:
        """Write rows and wait until they are on the disk."""
        self._writer.run(functools.partial(_put, values=[*map(values_of, rows)]))

    def remove(self, rows: Sequence[JournalRow]) -> None:
        """Remove the rows of files."""
        self._writer.run(functools.partial(_put, values=(), removed=[*map(_key_of, rows)]))

    def forget_skips(self, owner: RowOwner, shard: Shard | None = None) -> int:
        """Remove the skips of a source that its current run has not found again. Return their number.

        Called after a complete walk. A row with ids of records stays, because nothing else knows them.
        """
        forgotten = 0
        for page in self._pages(owner.destination, "skipped"):
            old = [row for row in page if row.source == owner.source and row.run != owner.run]
            old = [row for row in old if not all_ids(row) and (shard is None or row.key in shard)]
            if old:
                self.remove(old)
            forgotten += len(old)
        return forgotten

    # --- destinations, sources and runs ---------------------------------------------------------------------

    def destinations(self) -> list[Destination]:
        """Return all destinations of the journal."""
        return journal_destinations.read_all(self._query(journal_destinations.SELECT))

    def choose_destination(
        self, base_url: str, environment_id: str | None, fingerprint: str | None
    ) -> Choice:
        """Return the known destination of a run, if there is one. Nothing is written."""
        return journal_destinations.choose(self.destinations(), base_url, environment_id, fingerprint)

    def use_destination(
        self,
        chosen: Destination | None,
        base_url: str,
        environment_id: str | None,
        fingerprint: str | None,
    ) -> Destination:
        """Write that a run uses a destination, or add a new one, and return it."""
        now = time.time()
        if chosen is None:
            command: Callable[[sqlite3.Connection], Destination] = functools.partial(
                journal_destinations.add,
                base_url=base_url,
                environment_id=environment_id,
                fingerprint=fingerprint,
                now=now,
            )
            return self._writer.run(command)
        known = chosen.environment_id if environment_id is None else environment_id
        used = attrs.evolve(chosen, environment_id=known, fingerprint=fingerprint, used_at=now)
        self._writer.run(functools.partial(journal_destinations.update, destination=used))
        return used

    def note_environment(self, destination: Destination, environment_id: str) -> Destination:
        """Write the environment of the first record of a run, and return the destination.

        Raises `JournalError` if the journal has another environment.
        """
        if destination.environment_id == environment_id:
            return destination
        if destination.environment_id is not None:
            raise JournalError(
                f"the journal {quoted(str(self.path))} is that of environment {destination.environment_id}, but the API key "
                f"belongs to environment {environment_id}. Use the key of that environment, or another journal, or pass "
                "environment_id= to the client.",
                path=self.path,
            )
        known = attrs.evolve(destination, environment_id=environment_id)
        self._writer.run(functools.partial(journal_destinations.update, destination=known))
        return known

    def begin_run(self, destination: Destination, source: str) -> RowOwner:
        """Write that a run begins, and return the numbers for its rows."""
        return self._writer.run(
            functools.partial(_begin_run, destination=destination.number, source=key_bytes(source))
        )

    def sources(self) -> dict[int, str]:
        """Return the names of all sources by their numbers."""
        return {number: key_text(name) for number, name in self._query("SELECT id, name FROM sources")}

    def rename_source(self, old: str, new: str) -> None:
        """Assign the files of a source to another name, because the user has moved the folder."""
        self._writer.run(functools.partial(_rename_source, old=key_bytes(old), new=key_bytes(new)))

    def other_sources(self, owner: RowOwner, keys: Sequence[str]) -> dict[str, int]:
        """Return which of `keys` belong to other sources, with the numbers of those. Skips do not count."""
        found: dict[str, int] = {}
        for part in _parts(keys):
            sql = (
                "SELECT key, source FROM files "  # noqa: S608  # only question marks
                f"WHERE destination=? AND key IN ({_marks(part)}) AND source<>? AND status<>{CODES['skipped']}"
            )
            rows = self._query(sql, (owner.destination, *map(key_bytes, part), owner.source))
            found.update((key_text(data), source) for data, source in rows)
        return found

    def is_compared(self, owner: RowOwner, shard: Shard | None = None) -> bool:
        """Return whether the keys of a source were compared with those of the other sources."""
        return bool(self._query("SELECT 1 FROM meta WHERE name=?", (_compared_name(owner, shard),)))

    def mark_compared(self, owner: RowOwner, shard: Shard | None = None) -> None:
        """Write that the keys of a source were compared with those of the other sources."""
        values = [(_compared_name(owner, shard),)]
        self._writer.run(
            functools.partial(_execute_many, sql="INSERT OR IGNORE INTO meta VALUES (?, 1)", values=values)
        )

    # --- exports --------------------------------------------------------------------------------------------

    def note_export(self, path: Path) -> None:
        """Write the path of an export, so that no later walk uploads it."""
        values = [(key_bytes(str(path)),)]
        self._writer.run(
            functools.partial(_execute_many, sql="INSERT OR IGNORE INTO exports VALUES (?)", values=values)
        )

    def own_paths(self) -> frozenset[Path]:
        """Return the paths of the journal, its files and its exports, which no walk uploads."""
        exports = self._query("SELECT path FROM exports")
        return journal_file.journal_paths(self.path) | {Path(key_text(path)) for (path,) in exports}

    # --- read -----------------------------------------------------------------------------------------------

    def lookup(self, destination: int, keys: Sequence[str]) -> dict[str, JournalRow]:
        """Return the rows of keys. A key without a row is missing."""
        found: dict[str, JournalRow] = {}
        for part in _parts(keys):
            sql = f"{SELECT} WHERE destination=? AND key IN ({_marks(part)})"
            for values in self._query(sql, (destination, *map(key_bytes, part))):
                row = row_of(values)
                found[row.key] = row
        return found

    def done_before(
        self, owner: RowOwner, identities: Mapping[str, Identity], *, checksum: bool = False
    ) -> set[str]:
        """Return the keys of files that earlier runs have done, of the same source, that have not changed.

        A file that needs a closer check is missing, too. This is several times faster than `lookup`.
        """
        found = set(identities)
        for part in _parts([*identities.items()], MAX_IDENTITIES):
            values = [value for key, identity in part for value in values_of_identity(key, identity)]
            sql = not_done_sql(len(part), checksum=checksum)
            rows = self._query(sql, (*values, owner.destination, owner.source, owner.run))
            found.difference_update(key_text(data) for (data,) in rows)
        return found

    def rows(self, destination: int, status: RowStatus | None = None) -> Generator[JournalRow, None, None]:
        """Yield the rows of a destination in the order of their keys."""
        for page in self._pages(destination, status):
            yield from page

    def in_doubt(self, owner: RowOwner, shard: Shard | None = None) -> Generator[JournalRow, None, None]:
        """Yield the rows of a source whose outcome is not known, because an earlier run was interrupted."""
        for row in self.rows(owner.destination, "started"):
            if row.source == owner.source and (shard is None or row.key in shard):
                yield row

    def abandoned(self, destination: int) -> Iterator[str]:
        """Yield the ids of records without bytes, and of images that newer versions have replaced."""
        condition = "INDEXED BY with_abandoned WHERE destination=? AND abandoned IS NOT NULL"
        for page in self._pages_where(condition, (destination,)):
            for row in page:
                yield from row.abandoned

    def counts(self, destination: int) -> dict[RowStatus, int]:
        """Return the number of rows with each status."""
        found = self._query("SELECT status, count FROM counts WHERE destination=?", (destination,))
        return {STATUSES[code - 1]: count for code, count in found}

    def _pages(self, destination: int, status: RowStatus | None) -> Iterator[list[JournalRow]]:
        if status is None:
            return self._pages_where("WHERE destination=?", (destination,))
        if status == "done":
            return self._pages_where("WHERE destination=? AND status=?", (destination, DONE))
        condition = f"INDEXED BY unfinished WHERE destination=? AND status=? AND status<>{DONE}"
        return self._pages_where(condition, (destination, CODES[status]))

    def _pages_where(self, condition: str, parameters: tuple[Any, ...]) -> Iterator[list[JournalRow]]:
        reader = self._new_reader()
        try:
            after = b""
            sql = f"{SELECT} {condition} AND key>? ORDER BY key LIMIT {_PAGE}"
            while page := reader.query(sql, (*parameters, after)):
                yield [*map(row_of, page)]
                after = page[-1][1]
        finally:
            reader.close()

    def _query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a short query on the connection that all threads share."""
        if not self._readers:
            self._readers.append(self._new_reader())
        return self._readers[0].query(sql, parameters)

    def _new_reader(self) -> Reader:
        if self._exclusive:
            return WriterReader(self._writer)
        return ConnectedReader(self.path, self._writer, self._without_readers)

    def run(self, command: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function of the package with the connection of the writer, in one transaction."""
        return self._writer.run(command)


def open_journal(
    path: str | os.PathLike[str], *, must_exist: bool = False, exclusive: bool | None = None
) -> Journal:
    """Lock and open a journal, and create it if it is missing. Blocks.

    With `exclusive` no other connection can read, and no shared memory is needed; by default, the type of
    the file system decides. Raises `JournalError` or `JournalLockedError`.
    """
    real = journal_file.real_path(path)
    is_there = journal_file.exists(real)
    if must_exist and not is_there:
        raise JournalError(f"there is no journal {quoted(str(real))}. Check the path.", path=real)
    lock = journal_lock.lock_journal(real)
    try:
        # Another process may have created it before this one had the lock.
        if not journal_file.exists(real):
            journal_file.create(real)
        if exclusive is None:
            exclusive = journal_file.needs_exclusive(real)
        connection = _open_writer(real, exclusive=exclusive)
        return Journal(real, lock, connection, exclusive=exclusive)
    except BaseException:
        lock.release()
        raise


def _open_writer(path: Path, *, exclusive: bool) -> sqlite3.Connection:
    had_wal = journal_file.wal_path(path).exists()
    try:
        connection = journal_file.connect_writer(path, exclusive=exclusive)
        try:
            journal_file.check_wal(path, read_state(connection), had_wal=had_wal)
            journal_schema.migrate(connection)
            begin_log(connection)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise journal_file.journal_error(path, error) from error
    return connection


def _parts(values: Sequence[T], size: int = _MAX_KEYS) -> Iterator[Sequence[T]]:
    """Yield values in parts that one query accepts."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _marks(keys: Sequence[str]) -> str:
    """Return a question mark for each key."""
    return ",".join("?" * len(keys))


def _compared_name(owner: RowOwner, shard: Shard | None) -> str:
    """Return the name in the table `meta` for a source whose keys were compared."""
    return f"compared {owner.destination} {owner.source} {shard or '1/1'}"


# --- commands of the writer ---------------------------------------------------------------------------------


def _put(
    connection: sqlite3.Connection, values: Sequence[Sequence[Any]], removed: Sequence[Any] = ()
) -> None:
    for row in values:
        connection.execute(PUT, row)
    connection.executemany(DELETE, removed)


def _key_of(row: JournalRow) -> tuple[int, bytes]:
    return row.destination, key_bytes(row.key)


def _execute_many(connection: sqlite3.Connection, sql: str, values: Iterable[Sequence[Any]]) -> None:
    connection.executemany(sql, values)


def _begin_run(connection: sqlite3.Connection, destination: int, source: bytes) -> RowOwner:
    connection.execute("INSERT OR IGNORE INTO sources (name) VALUES (?)", (source,))
    (number,) = connection.execute("SELECT id FROM sources WHERE name=?", (source,)).fetchone()
    connection.execute("INSERT INTO meta VALUES ('run', 1) ON CONFLICT DO UPDATE SET value=value+1")
    (run,) = connection.execute("SELECT value FROM meta WHERE name='run'").fetchone()
    return RowOwner(destination, number, run)


def _rename_source(connection: sqlite3.Connection, old: bytes, new: bytes) -> None:
    numbers = dict(connection.execute("SELECT name, id FROM sources WHERE name IN (?, ?)", (old, new)))
    if old == new or old not in numbers:
        return
    if new not in numbers:
        connection.execute("UPDATE sources SET name=? WHERE id=?", (new, numbers[old]))
        return
    connection.execute("UPDATE files SET source=? WHERE source=?", (numbers[new], numbers[old]))
    connection.execute("DELETE FROM sources WHERE id=?", (numbers[old],))
