"""Connections that read a journal, in short transactions."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from imgwire_async import forks
from imgwire_async.batch import journal_file
from imgwire_async.batch.journal_schema import Values
from imgwire_async.batch.journal_writer import JournalWriter


class Reader(Protocol):
    """Runs queries. Any thread may use it."""

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[Values]:
        """Return all rows of a query, which must be few."""
        ...

    def close(self) -> None:
        """Close the connection, if the reader has one of its own."""
        ...


class ConnectedReader:
    """A reader with a connection of its own. Queries wait during a checkpoint."""

    def __init__(self, path: Path, writer: JournalWriter, without_readers: threading.Lock) -> None:
        writer.check()
        self._path = path
        self._pid = os.getpid()
        self._writer = writer
        self._without_readers = without_readers
        try:
            self._connection = journal_file.connect_reader(path)
        except sqlite3.Error as error:
            raise journal_file.journal_error(path, error) from error
        forks.renew_in_child(self)

    def after_fork(self) -> None:
        """Keep the connection open in a forked child, because closing it might write to the journal."""
        forks.make_immortal(self._connection)

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[Values]:
        """Return all rows of a query."""
        self._writer.check()
        try:
            # The lock also keeps two threads apart that use this reader.
            with self._without_readers:
                return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise journal_file.journal_error(self._path, error) from error

    def close(self) -> None:
        """Close the connection, except in a forked child."""
        if os.getpid() == self._pid:
            self._connection.close()


class WriterReader:
    """A reader that uses the connection of the writer, for file systems without shared memory."""

    def __init__(self, writer: JournalWriter) -> None:
        self._writer = writer

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[Values]:
        """Return all rows of a query."""

        def fetch(connection: sqlite3.Connection) -> list[Values]:
            return connection.execute(sql, parameters).fetchall()

        return self._writer.run(fetch)

    def close(self) -> None:
        """Do nothing: the writer keeps its connection."""
