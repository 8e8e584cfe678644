"""The records of earlier runs that the list of images has shown, for runs whose journal was lost."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence

from imgwire_async.batch.scratch import open_temporary, table_error
from imgwire_async.models import Image

# SQLite before 3.32 accepts 999 parameters.
_MAX_KEYS = 500


class FoundRecords:
    """The oldest record with bytes of idempotency keys, in a temporary database on disk.

    SQLite removes the temporary file when the table is closed, or when the process ends. The methods block,
    and any thread may call them. After `close`, they raise `BatchError`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection = open_temporary()
        self._connection.execute(
            "CREATE TABLE found (key TEXT PRIMARY KEY, id TEXT NOT NULL, created_at REAL NOT NULL) WITHOUT ROWID"
        )

    def add(self, images: Iterable[Image]) -> None:
        """Add records that have bytes. Of two with the same key, the older one is kept."""
        rows = [(image.idempotency_key, image.id, image.created_at.timestamp()) for image in images]
        with self._lock:
            try:
                self._connection.execute("BEGIN")
                self._connection.executemany(
                    "INSERT INTO found VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET id=excluded.id, "
                    "created_at=excluded.created_at WHERE excluded.created_at<found.created_at",
                    rows,
                )
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise table_error(error) from error

    def find(self, keys: Sequence[str]) -> dict[str, str]:
        """Return the ids of the records of idempotency keys. A key without a record is missing."""
        found: dict[str, str] = {}
        with self._lock:
            try:
                for start in range(0, len(keys), _MAX_KEYS):
                    part = keys[start : start + _MAX_KEYS]
                    marks = ",".join("?" * len(part))
                    sql = f"SELECT key, id FROM found WHERE key IN ({marks})"  # noqa: S608  # only question marks
                    found.update(self._connection.execute(sql, part).fetchall())
            except sqlite3.Error as error:
                raise table_error(error) from error
        return found

    def close(self) -> None:
        """Remove the temporary file. Idempotent."""
        with self._lock:
            self._connection.close()
