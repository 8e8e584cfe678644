"""The tables of a journal, and the conversion between rows and their columns."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from imgwire_async.batch.items import Identity
from imgwire_async.batch.keys import key_bytes, key_text
from imgwire_async.batch.records import STATUSES, JournalRow, RowStatus

Values: TypeAlias = tuple[Any, ...]

# The format of the file. A change of the tables raises it.
VERSION = 1
# The statements that change a file of a format to the next one.
MIGRATIONS: Mapping[int, Sequence[str]] = {}

CODES: dict[RowStatus, int] = {status: code for code, status in enumerate(STATUSES, 1)}
DONE = CODES["done"]

_COLUMNS = (
    "destination",
    "key",
    "source",
    "run",
    "status",
    "size",
    "mtime_ns",
    "sha256",
    "tag",
    "generation",
    "idempotency_key",
    "image_id",
    "cdn_url",
    "replaces",
    "abandoned",
    "error_type",
    "error",
    "attempts",
    "started_at",
    "finished_at",
)
SELECT = f"SELECT {', '.join(_COLUMNS)} FROM files"  # noqa: S608  # constants
PUT = (
    f"INSERT INTO files VALUES ({', '.join('?' * len(_COLUMNS))}) ON CONFLICT DO UPDATE SET "  # noqa: S608  # constants
    + ", ".join(f"{name}=excluded.{name}" for name in _COLUMNS[2:])
)
# SQLite before 3.32 accepts 999 parameters: five for each file, and three more.
MAX_IDENTITIES = 190
DELETE = "DELETE FROM files WHERE destination=? AND key=?"

# Keys are bytes, because names of files need not be valid UTF-8. Columns without a type keep values as they
# are. The index `unfinished` contains few rows of a finished run. The triggers keep the numbers of rows,
# because counting ten million rows takes seconds. An empty line ends a statement.
_TABLES = f"""\
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID

CREATE TABLE destinations (
    id INTEGER PRIMARY KEY, base_url TEXT NOT NULL, environment_id TEXT, fingerprint TEXT, used_at REAL
)

CREATE TABLE sources (id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE)

CREATE TABLE exports (path BLOB PRIMARY KEY) WITHOUT ROWID

CREATE TABLE counts (
    destination INTEGER, status INTEGER, count INTEGER, PRIMARY KEY (destination, status)
) WITHOUT ROWID

CREATE TABLE files (
    destination INTEGER NOT NULL,
    key BLOB NOT NULL,
    source INTEGER NOT NULL,
    run INTEGER NOT NULL,
    status INTEGER NOT NULL,
    size,
    mtime_ns,
    sha256,
    tag,
    generation INTEGER NOT NULL,
    idempotency_key,
    image_id,
    cdn_url,
    replaces,
    abandoned,
    error_type,
    error,
    attempts INTEGER NOT NULL,
    started_at,
    finished_at,
    PRIMARY KEY (destination, key)
) WITHOUT ROWID

CREATE INDEX unfinished ON files (destination, status, key) WHERE status<>{DONE}

CREATE INDEX with_abandoned ON files (destination, key) WHERE abandoned IS NOT NULL

CREATE TRIGGER count_insert AFTER INSERT ON files BEGIN
    INSERT INTO counts VALUES (new.destination, new.status, 1) ON CONFLICT DO UPDATE SET count=count+1;
END

CREATE TRIGGER count_update AFTER UPDATE OF status ON files WHEN old.status<>new.status BEGIN
    UPDATE counts SET count=count-1 WHERE destination=old.destination AND status=old.status;
    INSERT INTO counts VALUES (new.destination, new.status, 1) ON CONFLICT DO UPDATE SET count=count+1;
END

CREATE TRIGGER count_delete AFTER DELETE ON files BEGIN
    UPDATE counts SET count=count-1 WHERE destination=old.destination AND status=old.status;
END"""  # noqa: S608  # constants
STATEMENTS = tuple(_TABLES.split("\n\n"))

_INT64 = range(-(2**63), 2**63)


def values_of(row: JournalRow) -> Values:
    """Return the columns of a row."""
    identity = row.identity
    return (
        row.destination,
        key_bytes(row.key),
        row.source,
        row.run,
        CODES[row.status],
        identity.size,
        _integer(identity.mtime_ns),
        identity.sha256,
        identity.tag,
        row.generation,
        row.idempotency_key,
        row.image_id,
        row.cdn_url,
        row.replaces,
        "\n".join(row.abandoned) or None,
        row.error_type,
        row.error,
        row.attempts,
        row.started_at,
        row.finished_at,
    )


@functools.lru_cache(maxsize=32)
def not_done_sql(count: int, *, checksum: bool) -> str:
    """Return the query for those of `count` files that are not done, or that need a closer check.

    Its parameters are `values_of_identity` of each file, then a destination, a source and a run. Usually the
    result is empty. That is much faster than rows, because Python releases its lock for each row.
    """
    files = ",".join(["(?,?,?,?,?)"] * count)
    # SQLite's `IS` is also true for two NULLs. A file without a hash is compared by its time.
    conditions = [
        "destination=? AND key=asked_key AND source=? AND run<>?",
        f"status={DONE} AND size IS asked_size AND mtime_ns IS asked_mtime_ns AND tag IS asked_tag",
        "(sha256 IS asked_sha256 OR (asked_sha256 IS NULL AND mtime_ns IS NOT NULL))",
        *(["sha256 IS NOT NULL"] if checksum else []),
    ]
    return (
        "WITH asked (asked_key, asked_size, asked_mtime_ns, asked_sha256, asked_tag) "  # noqa: S608  # constants
        f"AS (VALUES {files}) SELECT asked_key FROM asked "
        f"WHERE NOT EXISTS (SELECT 1 FROM files WHERE {' AND '.join(conditions)})"
    )


def values_of_identity(key: str, identity: Identity) -> Values:
    """Return the columns of the key and the identity of a file."""
    return (key_bytes(key), identity.size, _integer(identity.mtime_ns), identity.sha256, identity.tag)


def row_of(values: Values) -> JournalRow:
    """Return the row of columns in the order of `SELECT`."""
    abandoned = values[14]
    return JournalRow(
        destination=values[0],
        key=key_text(values[1]),
        source=values[2],
        run=values[3],
        status=STATUSES[int(values[4]) - 1],
        identity=identity_of(*values[5:9]),
        generation=values[9],
        idempotency_key=values[10],
        image_id=values[11],
        cdn_url=values[12],
        replaces=values[13],
        abandoned=() if abandoned is None else tuple(abandoned.split("\n")),
        error_type=values[15],
        error=values[16],
        attempts=values[17],
        started_at=values[18],
        finished_at=values[19],
    )


def identity_of(
    size: int | None, mtime_ns: int | str | None, sha256: str | None, tag: str | None
) -> Identity:
    """Return the identity in four columns."""
    return Identity(size, int(mtime_ns) if isinstance(mtime_ns, str) else mtime_ns, sha256, tag)


def _integer(value: int | None) -> int | str | None:
    """Return an integer as SQLite can store it. A file may have a time that needs more than 64 bits."""
    return value if value is None or value in _INT64 else str(value)


def migrate(
    connection: sqlite3.Connection,
    migrations: Mapping[int, Sequence[str]] = MIGRATIONS,
    newest: int = VERSION,
) -> None:
    """Change the tables of an older format to the newest one, in one transaction."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == newest:
        return
    connection.execute("BEGIN IMMEDIATE")
    for old in range(version, newest):
        for statement in migrations[old]:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version={newest}")
    connection.execute("COMMIT")
