"""A set of keys in a temporary database on disk, for runs whose keys do not fit into memory."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence

from imgwire_async.batch.keys import key_bytes, key_text
from imgwire_async.batch_errors import BatchError

# SQLite before 3.32 accepts 999 parameters.
_MAX_KEYS = 500
# The maximum memory for pages of the database, in KiB. SQLite writes the other pages to the temporary file.
_CACHE_KIB = 4_096


class KeyTable:
    """A set of keys, of which only a few megabytes are in memory.

    SQLite removes the temporary file when the table is closed, or when the process ends. The methods block,
    and any thread may call them. After `close`, they raise `BatchError`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection = open_temporary()
        # Whole keys instead of their hashes: most sources are sorted, so new keys belong to the same page.
        self._connection.execute("CREATE TABLE keys (key BLOB PRIMARY KEY) WITHOUT ROWID")

    def add(self, keys: Sequence[str]) -> set[str]:
        """Add keys, and return those that were not in the set before."""
        new = set(keys) - self.contains(keys)
        with self._lock:
            try:
                self._connection.execute("BEGIN")
                rows = [(key_bytes(key),) for key in new]
                self._connection.executemany("INSERT OR IGNORE INTO keys VALUES (?)", rows)
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise table_error(error) from error
        return new

    def contains(self, keys: Sequence[str]) -> set[str]:
        """Return those of `keys` that are in the set."""
        found: set[str] = set()
        with self._lock:
            try:
                for start in range(0, len(keys), _MAX_KEYS):
                    part = [key_bytes(key) for key in keys[start : start + _MAX_KEYS]]
                    marks = ",".join("?" * len(part))
                    sql = f"SELECT key FROM keys WHERE key IN ({marks})"  # noqa: S608  # only question marks
                    found.update(key_text(data) for (data,) in self._connection.execute(sql, part))
            except sqlite3.Error as error:
                raise table_error(error) from error
        return found

    def close(self) -> None:
        """Remove the temporary file. Idempotent."""
        with self._lock:
            self._connection.close()


def open_temporary() -> sqlite3.Connection:
    """Return a connection to an empty temporary database."""
    # A database without a name is a temporary file, which SQLite creates once the cache is full.
    connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=OFF")
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
    return connection


def table_error(error: sqlite3.Error) -> BatchError:
    """Return the error of a run whose temporary database failed."""
    return BatchError(
        f"the temporary database failed ({error}). Free some space in the temporary directory, or set SQLITE_TMPDIR to "
        "another directory, then run again."
    )
