"""The records of earlier runs that the list of images has shown, for runs whose journal was lost."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence

from imgwire_async.models import Image

# SQLite before 3.32 accepts 999 parameters.
_MAX_KEYS = 500


class FoundRecords:
    """The oldest record with bytes of idempotency keys, in a temporary file that nothing else can open.

    The methods block, and any thread may call them. `close` removes the file.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # An empty path is a private file, which SQLite removes by itself.
        self._connection = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._connection.execute(
            "CREATE TABLE found (key TEXT PRIMARY KEY, id TEXT NOT NULL, created_at REAL NOT NULL) WITHOUT ROWID"
        )

    def add(self, images: Iterable[Image]) -> None:
        """Add records that have bytes. Of two with the same key, the older one is kept."""
        rows = [(image.idempotency_key, image.id, image.created_at.timestamp()) for image in images]
        with self._lock:
            self._connection.execute("BEGIN")
            self._connection.executemany(
                "INSERT INTO found VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET id=excluded.id, "
                "created_at=excluded.created_at WHERE excluded.created_at<created_at",
                rows,
            )
            self._connection.execute("COMMIT")

    def find(self, keys: Sequence[str]) -> dict[str, str]:
        """Return the ids of the records of idempotency keys. A key without a record is missing."""
        found: dict[str, str] = {}
        with self._lock:
            for start in range(0, len(keys), _MAX_KEYS):
                part = keys[start : start + _MAX_KEYS]
                marks = ",".join("?" * len(part))
                sql = f"SELECT key, id FROM found WHERE key IN ({marks})"  # noqa: S608  # only question marks
                found.update(self._connection.execute(sql, part).fetchall())
        return found

    def close(self) -> None:
        """Close and remove the file. Idempotent."""
        with self._lock:
            self._connection.close()
