"""The errors of batch runs."""

from __future__ import annotations

import os
from datetime import datetime

from imgwire_async.errors import ImgwireError
from imgwire_async.results import BatchSummary


class BatchError(ImgwireError):
    """A batch run cannot start or continue. The message says what to do."""


class JournalError(BatchError):
    """The journal cannot be used: it is another program's file, too new, broken, or its disk is full.

    `path` is the path of the journal. The message says what to do. The file is never overwritten.
    """

    def __init__(self, message: str, *, path: str | os.PathLike[str]) -> None:
        super().__init__(message)
        self.path: str = os.fspath(path)


class JournalLockedError(JournalError):
    """Another batch run uses the journal.

    `pid`, `host` and `since` describe the process that uses it. They are None if they are unknown.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | os.PathLike[str],
        pid: int | None = None,
        host: str | None = None,
        since: datetime | None = None,
    ) -> None:
        super().__init__(message, path=path)
        self.pid: int | None = pid
        self.host: str | None = host
        self.since: datetime | None = since


class BatchStoppedError(BatchError):
    """A batch run stopped at one of its limits. `reason` names the limit, `summary` counts the files."""

    def __init__(self, message: str, *, reason: str, summary: BatchSummary) -> None:
        super().__init__(message)
        self.reason: str = reason
        self.summary: BatchSummary = summary
