"""Journals for tests, in this process and in others."""

from __future__ import annotations

import contextlib
import os
import signal
import traceback
import warnings
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NoReturn

from imgwire_async.batch.items import Identity
from imgwire_async.batch.journal import Journal, open_journal
from imgwire_async.batch.records import JournalRow, RowOwner

OWNER = RowOwner(destination=1, source=1, run=1)


def row(status: Any = "done", key: str = "a.jpg", **changes: Any) -> JournalRow:
    """Return a row with plausible values."""
    values: dict[str, Any] = {"identity": Identity(3, mtime_ns=4), "image_id": "i1"} | changes
    values = {"destination": 1, "source": 1, "run": 1} | values
    return JournalRow(key=key, status=status, **values)


@contextlib.contextmanager
def opened(path: Path, **options: bool) -> Generator[Journal]:
    """Open a journal and close it at the end."""
    journal = open_journal(path, **options)  # type: ignore[arg-type]
    try:
        yield journal
    finally:
        journal.close()


def begin(journal: Journal, source: str = "/photos", environment_id: str = "e1") -> RowOwner:
    """Begin a run of the only destination."""
    choice = journal.choose_destination("https://api", environment_id, "aabbccdd")
    destination = journal.use_destination(choice.destination, "https://api", environment_id, "aabbccdd")
    return journal.begin_run(destination, source)


class Child:
    """A forked process that runs a function. It writes bytes to `report`, which `read` returns."""

    def __init__(self, function: Callable[[Callable[[bytes], object]], object]) -> None:
        self._output, output = os.pipe()
        with warnings.catch_warnings():
            # Threads of other tests may run. The child uses none of their locks.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if self.pid == 0:
            os.close(self._output)
            self._run(function, output)
        os.close(output)

    @staticmethod
    def _run(function: Callable[[Callable[[bytes], object]], object], output: int) -> NoReturn:
        # A child that hangs must not outlive the tests.
        signal.alarm(120)
        try:
            function(lambda data: os.write(output, data))
        except BaseException:
            traceback.print_exc()
            os.write(output, b"the child has failed: see its error output")
            os._exit(1)
        os._exit(0)

    def read(self) -> bytes:
        """Return the next bytes that the child reported, or nothing after its end."""
        return os.read(self._output, 65_536)

    def read_all(self) -> bytes:
        """Return all that the child reports until its end."""
        return b"".join(iter(self.read, b""))

    def wait(self, kill: bool = False) -> int:
        """Wait for the end of the child, and return its exit code or the number of its signal, negative."""
        if kill:
            os.kill(self.pid, 9)
        _, status = os.waitpid(self.pid, 0)
        os.close(self._output)
        return os.waitstatus_to_exitcode(status)
