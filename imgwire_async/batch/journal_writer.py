"""The thread that writes a journal.

All commands that wait are written in one transaction, and their callers continue once it is on the disk. No
timer delays a transaction.

A journal that was not closed needs its write-ahead log, which users forget when they move the file. So the
table `meta` has a state:

* `CHECKPOINTED`: the state in the file itself while a run uses the journal. A log must exist beside it.
* `AHEAD`: the first change in each new log. If it is found, the log was there, or another program has moved
  all changes from the log to the file.
* `CLEAN`: the journal was closed, and the file is complete.

For this, only the writer moves changes from the log to the file, at moments that it chooses.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias, TypeVar

from imgwire_async import forks
from imgwire_async.batch import journal_file
from imgwire_async.batch_errors import JournalError
from imgwire_async.formatting import quoted

T = TypeVar("T")
Command: TypeAlias = Callable[[sqlite3.Connection], Any]

# The maximum number of commands of one transaction.
_MAX_GROUP = 1_000
# A checkpoint follows after so many seconds or commands, and at the end.
_CHECKPOINT_SECONDS = 60.0
_CHECKPOINT_COMMANDS = 50_000


class _Work:
    """A command with the future of its result, which belongs to an event loop or to a thread."""

    __slots__ = ("command", "error", "future", "loop", "value")

    def __init__(
        self,
        command: Command | None,
        future: asyncio.Future[Any] | Future[Any],
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        # None ends the thread.
        self.command: Command | None = command
        self.future: asyncio.Future[Any] | Future[Any] = future
        self.loop: asyncio.AbstractEventLoop | None = loop
        self.value: Any = None
        self.error: BaseException | None = None

    def finish(self) -> None:
        """Set the result of the future. Called on its loop, or in the writer's thread if it has none."""
        future, error, self.error = self.future, self.error, None
        if future.done():
            return
        if error is None:
            future.set_result(self.value)
        else:
            future.set_exception(error)


class JournalWriter:
    """Writes a journal in a thread of its own, which ends with `close`.

    `without_readers` is held during a checkpoint, because a reader would make it incomplete.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, without_readers: threading.Lock) -> None:
        self._path = path
        self._connection = connection
        self._without_readers = without_readers
        self._queue: SimpleQueue[_Work] = SimpleQueue()
        self._pid = os.getpid()
        self._closing: Future[None] | None = None
        # Set by the thread: the message of the first failure. After it, nothing is written.
        self._failure: str | None = None
        self._commands = 0
        self._checkpointed_at = time.monotonic()
        forks.renew_in_child(self)
        # A daemon, because a disk that hangs must not keep the process alive.
        self._thread = threading.Thread(target=self._serve, name="imgwire_async journal", daemon=True)
        self._thread.start()

    def after_fork(self) -> None:
        """Keep the connection open in a forked child, because closing it might write to the journal."""
        forks.make_immortal(self._connection)

    def submit(self, command: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Write a command, and return the future that is done once the command is on the disk.

        Called on an event loop. A cancelled future does not cancel the command.
        """
        self.check()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._queue.put(_Work(command, future, loop))
        return future

    def run(self, command: Callable[[sqlite3.Connection], T]) -> T:
        """Write a command and wait until it is on the disk. Blocks."""
        self.check()
        future: Future[T] = Future()
        self._queue.put(_Work(command, future, None))
        return future.result()

    def checkpoint(self) -> None:
        """Move all changes from the log to the file. Blocks. The thread does this by itself every minute."""
        self.run(lambda _: self._request_checkpoint())

    def _request_checkpoint(self) -> None:
        self._commands = _CHECKPOINT_COMMANDS

    def close(self) -> None:
        """Write what waits, and close the journal. Blocks. Raises the error of the last checkpoint."""
        forks.check()
        if self._pid != os.getpid():
            return
        if self._closing is None:
            self._closing = Future()
            self._queue.put(_Work(None, self._closing, None))
        self._closing.result()
        self._thread.join()

    def check(self) -> None:
        """Raise an error if the journal is closed, or if this process is a forked child."""
        if self._pid != os.getpid():
            forks.check()
            raise JournalError(
                f"the journal {quoted(str(self._path))} belongs to process {self._pid}, from which this one was forked. "
                "Open a journal of its own in this process.",
                path=self._path,
            )
        if self._closing is not None:
            raise JournalError(
                f"the journal {quoted(str(self._path))} is closed. Use it inside the `with` block.",
                path=self._path,
            )

    # --- the thread -----------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while True:
            group = self._next_group()
            end = group.pop() if group and group[-1].command is None else None
            if group:
                self._write(group)
                deliver(group)
            del group
            if end is not None:
                end.error = self._close()
                end.finish()
                return
            if self._is_checkpoint_due():
                self._checkpoint()

    def _next_group(self) -> list[_Work]:
        """Return the commands that wait, or an empty list when a checkpoint is due."""
        group: list[_Work] = []
        try:
            # Without a change there is nothing to move, so the thread then sleeps until the next command.
            group.append(self._queue.get(timeout=_CHECKPOINT_SECONDS if self._commands else None))
            while len(group) < _MAX_GROUP and group[-1].command is not None:
                group.append(self._queue.get_nowait())
        except Empty:
            pass
        return group

    def _write(self, group: list[_Work]) -> None:
        """Run commands in one transaction. A failure of SQLite fails all of them and all that follow."""
        if self._failure is None:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                for work in group:
                    self._run(work)
                self._connection.execute("COMMIT")
                self._commands += len(group)
            except sqlite3.Error as error:
                self._failure = str(journal_file.journal_error(self._path, error))
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
        if self._failure is not None:
            for work in group:
                # An error of its own for each caller, because a raised error keeps frames alive.
                work.error = JournalError(self._failure, path=self._path)

    def _run(self, work: _Work) -> None:
        assert work.command is not None
        try:
            work.value = work.command(self._connection)
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001  # raised by the future
            work.error = error
        finally:
            work.command = None

    def _is_checkpoint_due(self) -> bool:
        if self._failure is not None or not self._commands:
            return False
        is_old = time.monotonic() - self._checkpointed_at >= _CHECKPOINT_SECONDS
        return is_old or self._commands >= _CHECKPOINT_COMMANDS

    def _checkpoint(self) -> None:
        self._commands = 0
        self._checkpointed_at = time.monotonic()
        try:
            with self._without_readers:
                begin_log(self._connection)
        except sqlite3.Error as error:
            self._failure = str(journal_file.journal_error(self._path, error))

    def _close(self) -> JournalError | None:
        """Move all changes to the file and close the connection. Return the error, if there is one."""
        error = None if self._failure is None else JournalError(self._failure, path=self._path)
        try:
            if error is None:
                with self._without_readers:
                    end_log(self._connection)
        except sqlite3.Error as failure:
            error = journal_file.journal_error(self._path, failure)
        try:
            self._connection.close()
        except sqlite3.Error as failure:
            error = error or journal_file.journal_error(self._path, failure)
        return error


def deliver(group: list[_Work]) -> None:
    """Set the results of commands, with one call for each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Work]] = {}
    for work in group:
        if work.loop is None:
            work.finish()
        else:
            by_loop.setdefault(work.loop, []).append(work)
    for loop, works in by_loop.items():
        # A closed loop needs no result.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_finish, works)


def _finish(works: list[_Work]) -> None:
    for work in works:
        work.finish()


# --- the state of the log -----------------------------------------------------------------------------------


def read_state(connection: sqlite3.Connection) -> str:
    """Return the state of a journal."""
    row = connection.execute("SELECT value FROM meta WHERE name='state'").fetchone()
    return str(row[0])


def begin_log(connection: sqlite3.Connection) -> None:
    """Move all changes from the log to the file, and begin a new log."""
    _set_state(connection, journal_file.CHECKPOINTED)
    _move_changes(connection)
    _set_state(connection, journal_file.AHEAD)


def end_log(connection: sqlite3.Connection) -> None:
    """Move all changes to the file. The last one, which marks the file as complete, is moved by itself."""
    _set_state(connection, journal_file.CHECKPOINTED)
    _move_changes(connection)
    _set_state(connection, journal_file.CLEAN)
    _move_changes(connection)


def _set_state(connection: sqlite3.Connection, state: str) -> None:
    connection.execute("UPDATE meta SET value=? WHERE name='state'", (state,))


def _move_changes(connection: sqlite3.Connection) -> None:
    # Another program that reads may prevent it. Then the log stays and grows until the next time.
    connection.execute(f"PRAGMA busy_timeout={journal_file.CHECKPOINT_BUSY_TIMEOUT}")
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise
    finally:
        connection.execute(f"PRAGMA busy_timeout={journal_file.BUSY_TIMEOUT}")
