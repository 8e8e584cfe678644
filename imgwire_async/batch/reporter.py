"""Count what a batch run does, and pass its events to the `on_event` of the user.

The methods of a `Reporter` belong to the event loop of the run. Only `summary` and `status` may be called in
any thread: they read numbers, and need no lock and no disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, TypeAlias

import attrs

from imgwire_async.batch.event_delivery import EventDelivery
from imgwire_async.formatting import short_repr
from imgwire_async.results import BatchSummary

EventKind: TypeAlias = Literal[
    "found",
    "skipped",
    "started",
    "progress",
    "uploaded",
    "failed",
    "done",
    "slowed",
    "sped_up",
    "held",
    "resumed",
    "counted",
    "doubt",
]


@attrs.frozen
class BatchEvent:
    """Something that happened in a batch run. Only the fields that belong to its kind have a value.

    Args:
        kind: What happened. "found": the source has passed more files, `found` of them so far. "counted":
            `found` is final. "skipped": the file is not uploaded for `reason`. "started", "progress",
            "uploaded": the upload of a file. "done": the image is ready, or its bytes are stored and the run
            does not wait. "failed": the file failed with `error`. "slowed" and "sped_up": the run uploads
            fewer or more files at the same time, `concurrency` of them. "held": the service is not available
            for `reason`, and only one upload at a time is tried. "resumed": it is available again. "doubt":
            the outcome of `sent` of `total` files of an interrupted run is known.
        key: The key of the file.
        size: The size of the file in bytes, if it is known.
        sent: The number of bytes sent, or the number of settled files of a "doubt".
        total: The number of bytes to send, or the number of files of a "doubt".
        image_id: The id of the image.
        reason: Why a file is skipped or has failed, or why the run is held.
        error: The error of a failed file.
        attempts: The number of PUT requests of the file.
        concurrency: How many files may be uploaded at the same time.
        found: The number of files found so far.
    """

    kind: EventKind
    key: str | None = attrs.field(default=None, repr=short_repr)
    size: int | None = attrs.field(default=None, kw_only=True)
    sent: int | None = attrs.field(default=None, kw_only=True)
    total: int | None = attrs.field(default=None, kw_only=True)
    image_id: str | None = attrs.field(default=None, kw_only=True)
    reason: str | None = attrs.field(default=None, kw_only=True)
    error: Exception | None = attrs.field(default=None, kw_only=True)
    attempts: int = attrs.field(default=0, kw_only=True)
    concurrency: int | None = attrs.field(default=None, kw_only=True)
    found: int | None = attrs.field(default=None, kw_only=True)


@attrs.frozen
class RunStatus:
    """What a display shows of a run.

    Args:
        summary: The counts.
        doubts_left: The number of files of interrupted runs whose outcome is not known yet.
        doubts: The number of such files at the beginning.
        held: Why the run is held, None if it is not.
        waiting: The number of images that this run has stored and that are not ready yet.
        has_ended: Whether the run has ended.
    """

    summary: BatchSummary
    doubts_left: int = 0
    doubts: int = 0
    held: str | None = None
    waiting: int = 0
    has_ended: bool = False


class Reporter:
    """The counts of one run, and its events.

    `on_event` is called at once on the event loop with the asynchronous client. With the blocking client,
    events are gathered, and `pump` passes them to the thread of the caller. If `on_event` raises, the
    exception is kept in `error`, `on_error` is called once, and no more events are passed.

    Args:
        on_event: The callable of the user, or None.
        clock: Returns the time in seconds.
        on_error: Called on the event loop when `error` is set. It may also be set later.
    """

    def __init__(
        self,
        on_event: Callable[[BatchEvent], object] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        on_error: Callable[[], object] | None = None,
    ) -> None:
        self._events = None if on_event is None else EventDelivery(on_event, self._fail)
        self._clock = clock
        self.on_error: Callable[[], object] | None = on_error
        self.error: Exception | None = None
        self._started_at = clock()
        self._ended_at: float | None = None
        self._found = self._skipped = self._uploaded = self._done_before = self._failed = 0
        self._unsure = self._bytes_sent = self._concurrency = self._ready = 0
        self._doubts = (0, 0)
        self._held: str | None = None
        self._counted = False

    # What the run reports.

    def found(self, count: int) -> None:
        """Note that the source has passed `count` more files, also those that are skipped or done."""
        self._found += count
        if self._events is not None:
            self._events.emit(BatchEvent("found", found=self._found))

    def counted(self) -> None:
        """Note that the source has passed all its files."""
        self._counted = True
        if self._events is not None:
            self._events.emit(BatchEvent("counted", found=self._found))

    def done_before(self, count: int) -> None:
        """Note that `count` of the files were done by earlier runs."""
        self._done_before += count

    def skipped(self, key: str, reason: str) -> None:
        """Note that a file is not uploaded."""
        self._skipped += 1
        if self._events is not None:
            self._events.emit(BatchEvent("skipped", key, reason=reason))

    def started(self, key: str, size: int | None) -> None:
        """Note that the upload of a file begins."""
        if self._events is not None:
            self._events.emit(BatchEvent("started", key, size=size))

    def progress(self, key: str, sent: int, total: int | None) -> None:
        """Note how many bytes of a file were sent. Call it only if `is_listening`: it counts nothing."""
        if self._events is not None:
            self._events.emit(BatchEvent("progress", key, sent=sent, total=total))

    def uploaded(self, key: str, image_id: str, size: int | None, attempts: int) -> None:
        """Note that the bytes of a file are stored, and that its row is durable."""
        self._uploaded += 1
        if self._events is not None:
            self._events.emit(BatchEvent("uploaded", key, size=size, image_id=image_id, attempts=attempts))

    def done(self, key: str, image_id: str, *, stored_before: bool = False) -> None:
        """Note that a file is done: its image is ready, or the run does not wait for that.

        With `stored_before`, an earlier run has uploaded it, so `uploaded` was not called.
        """
        self._done_before += stored_before
        self._ready += not stored_before
        if self._events is not None:
            self._events.emit(BatchEvent("done", key, image_id=image_id))

    def failed(self, key: str, error: Exception, attempts: int, *, was_uploaded: bool = False) -> None:
        """Note that a file failed for good. With `was_uploaded`, `uploaded` was called for it before."""
        self._failed += 1
        self._uploaded -= was_uploaded
        if self._events is not None:
            self._events.emit(
                BatchEvent("failed", key, reason=str(error) or None, error=error, attempts=attempts)
            )

    def not_ready(self, *, was_uploaded: bool) -> None:
        """Note that an image is not ready at the end of its wait, so that its file is left to the next run.

        With `was_uploaded`, `uploaded` was called for it before.
        """
        self._uploaded -= was_uploaded

    def held(self, reason: str) -> None:
        """Note that the run is held, because the service is not available."""
        self._held = reason
        if self._events is not None:
            self._events.emit(BatchEvent("held", reason=reason))

    def resumed(self) -> None:
        """Note that the run is no longer held."""
        self._held = None
        if self._events is not None:
            self._events.emit(BatchEvent("resumed"))

    def concurrency(self, limit: int) -> None:
        """Note how many uploads may be in progress. The first call of a run is no event."""
        before, self._concurrency = self._concurrency, limit
        if self._events is not None and 0 != before != limit:
            kind: EventKind = "slowed" if limit < before else "sped_up"
            self._events.emit(BatchEvent(kind, concurrency=limit))

    def doubt(self, left: int, total: int) -> None:
        """Note that the outcome of `left` of `total` files of interrupted runs is not known yet."""
        self._doubts = (left, total)
        if self._events is not None and total:
            self._events.emit(BatchEvent("doubt", sent=total - left, total=total))

    def unsure(self, count: int) -> None:
        """Note that `count` more files may be uploaded twice."""
        self._unsure += count

    def add_bytes(self, count: int) -> None:
        """Note that `count` more bytes were sent. A negative number takes back those of a failed attempt."""
        self._bytes_sent += count

    def ended(self) -> None:
        """Note that the run has ended. `elapsed` no longer grows."""
        if self._ended_at is None:
            self._ended_at = self._clock()

    # The delivery of events.

    @property
    def is_listening(self) -> bool:
        """Whether there is an `on_event`, so that the run has to report the progress of files."""
        return self._events is not None

    @property
    def is_full(self) -> bool:
        """Whether so many events wait for the thread of the caller that the run should not go on."""
        return self._events is not None and self._events.is_full

    async def wait_until_room(self) -> None:
        """Wait until few events wait for the thread of the caller."""
        if self._events is not None:
            await self._events.wait_until_room()

    async def pump(self) -> None:
        """Pass gathered events to the thread of the caller until the task is cancelled.

        Return at once if nothing has to be gathered: with the asynchronous client, or without `on_event`.
        """
        if self._events is not None:
            await self._events.pump()

    async def flush(self) -> None:
        """Pass all gathered events to the thread of the caller, and wait until it has taken them."""
        if self._events is not None:
            await self._events.flush()

    def _fail(self, error: Exception) -> None:
        self.error = error
        if self.on_error is not None:
            self.on_error()

    # For all threads.

    def summary(self) -> BatchSummary:
        """Return the counts so far. Any thread may call this method."""
        ended_at = self._ended_at
        elapsed = max(0.0, (self._clock() if ended_at is None else ended_at) - self._started_at)
        # Another thread may change the numbers meanwhile, so each is read once.
        found, skipped, uploaded = self._found, self._skipped, self._uploaded
        done_before, failed = self._done_before, self._failed
        return BatchSummary(
            found=found,
            skipped=skipped,
            uploaded=uploaded,
            done_before=done_before,
            failed=failed,
            unsure=self._unsure,
            left=max(0, found - skipped - uploaded - done_before - failed),
            bytes_sent=max(0, self._bytes_sent),
            elapsed=elapsed,
            files_per_second=uploaded / elapsed if elapsed > 0 else 0.0,
            counted=self._counted,
            concurrency=self._concurrency,
        )

    def status(self) -> RunStatus:
        """Return what a display shows. Any thread may call this method."""
        left, total = self._doubts
        summary = self.summary()
        waiting = max(0, summary.uploaded - self._ready)
        return RunStatus(summary, left, total, self._held, waiting, self._ended_at is not None)
