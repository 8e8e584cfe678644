"""The results of a run: reported once their rows are on the disk, and read by the caller."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

import attrs

from imgwire_async.batch.options import FailureLimit
from imgwire_async.batch.reporter import Reporter
from imgwire_async.batch.results import BatchResult

# With so many unread results a run begins no more files.
_MAX_UNREAD = 256


@attrs.frozen(eq=False)
class Uploaded:
    """The bytes of a file are stored, and the run waits until the image is READY."""

    key: str
    image_id: str
    size: int | None
    attempts: int


@attrs.frozen(eq=False)
class Finished:
    """The file of `result` is finished.

    `uploaded` is reported before, if it was not yet. `was_uploaded` says that it was reported earlier. With
    `is_counted` the file is already counted, so only the result is passed on.
    """

    result: BatchResult
    uploaded: Uploaded | None = None
    was_uploaded: bool = False
    is_counted: bool = False


Note: TypeAlias = Uploaded | Finished


class Results:
    """The results that the caller has not read yet. They belong to the event loop of the run.

    `finished` and `failed` count the files that this run has finished, and those of them that have failed.
    `on_counted` is called after each of them, so that the run can stop.
    """

    def __init__(self, reporter: Reporter, on_counted: Callable[[], object]) -> None:
        self._reporter = reporter
        self._on_counted = on_counted
        self._unread: deque[BatchResult] = deque()
        # The number of results whose rows are being written.
        self._expected = 0
        self._changed = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self.finished: int = 0
        self.failed: int = 0

    @property
    def is_full(self) -> bool:
        """Whether the caller has to read results before the run begins more files."""
        return not self._has_room.is_set()

    async def wait_for_room(self) -> None:
        """Wait until few results are unread."""
        await self._has_room.wait()

    def expect(self, note: Finished) -> Finished:
        """Note that a result follows as soon as its row is on the disk."""
        self._expected += 1
        self._update_room()
        if not note.is_counted:
            self.finished += 1
            self.failed += note.result.status == "failed"
            self._on_counted()
        return note

    def is_over(self, limit: FailureLimit | None) -> bool:
        """Return whether more files have failed than the user allows."""
        return limit is not None and limit.is_passed(self.failed, self.finished)

    def on_written(self, notes: list[Note]) -> None:
        """Report files whose rows are on the disk, and pass their results on."""
        for note in notes:
            if isinstance(note, Uploaded):
                self._report_uploaded(note)
                continue
            if note.uploaded is not None:
                self._report_uploaded(note.uploaded)
            if not note.is_counted:
                self._report(note)
            self._expected -= 1
            self._unread.append(note.result)
        self._changed.set()

    def _report_uploaded(self, note: Uploaded) -> None:
        self._reporter.uploaded(note.key, note.image_id, note.size, note.attempts)

    def _report(self, note: Finished) -> None:
        result = note.result
        was_uploaded = note.was_uploaded or note.uploaded is not None
        if result.status == "done":
            assert result.image_id is not None
            self._reporter.done(result.key, result.image_id, stored_before=not was_uploaded)
        elif result.status == "failed":
            assert result.error is not None
            self._reporter.failed(result.key, result.error, result.attempts, was_uploaded=was_uploaded)
        elif result.status == "stored":
            self._reporter.not_ready(was_uploaded=was_uploaded)

    def take(self) -> BatchResult | None:
        """Return the next result, None if there is none now."""
        if not self._unread:
            return None
        result = self._unread.popleft()
        self._update_room()
        return result

    async def wait(self) -> None:
        """Wait until there is a result, or `wake` is called."""
        self._changed.clear()
        await self._changed.wait()

    def wake(self) -> None:
        """End `wait`, because the state of the run has changed."""
        self._changed.set()

    def _update_room(self) -> None:
        if len(self._unread) + self._expected < _MAX_UNREAD:
            self._has_room.set()
        else:
            self._has_room.clear()
