"""Decide what follows the end of each upload and of each wait, write the row, and pass the result on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import cast

import attrs

from imgwire_async.batch.fetching import never_fetched, unfetched
from imgwire_async.batch.hold import outcome_of
from imgwire_async.batch.row_writer import RowWriter
from imgwire_async.batch.run_feed import Feed
from imgwire_async.batch.run_fill import Filler, result_of
from imgwire_async.batch.run_gate import Gate
from imgwire_async.batch.run_outcome import Next, Verdict, release_frames, verdict_of, verdict_of_wait
from imgwire_async.batch.run_results import Finished, Note, Results, Uploaded
from imgwire_async.batch.run_rows import is_repeatable
from imgwire_async.batch.run_waits import Waits
from imgwire_async.batch.run_work import Throughput, Work
from imgwire_async.batch_errors import JournalError
from imgwire_async.errors import AuthenticationError, PaymentRequiredError, PermissionDeniedError
from imgwire_async.models import Image
from imgwire_async.protocol.request import Transport
from imgwire_async.results import UploadResult
from imgwire_async.uploads.upload_run import was_cancelled

# So many files are kept in memory to be uploaded again at the end of a run.
_MAX_AGAIN = 10_000
# The same for the bytes of files that are in memory.
_MAX_AGAIN_BYTES = 64 * 2**20
# A file that was a probe so often fails, because its picture may be the reason.
_MAX_PROBES = 6


@attrs.define(eq=False)
class Collector:
    """Takes the results of uploads and waits. It belongs to the event loop of the run.

    Args:
        transport: The transport of the uploads.
        rows: Writes rows.
        feed: The files to upload.
        gate: Receives whether the service is available.
        filler: Keeps the files that are uploaded again.
        results: Takes the results.
        throughput: The uploads in progress.
        waits: The files that wait for their images.
        seconds_until_open: Returns how long the service asks all requests to wait.
        on_fatal: Called with an error that would occur for every file.
    """

    transport: Transport
    rows: RowWriter[Note]
    feed: Feed
    gate: Gate
    filler: Filler
    results: Results
    throughput: Throughput
    waits: Waits
    seconds_until_open: Callable[[], float]
    on_fatal: Callable[[Exception], None]

    # --- uploads --------------------------------------------------------------------------------------------

    def take(self, result: UploadResult) -> None:
        """Take the result of an upload."""
        work = cast("Work", result.file)
        error = result.error
        self.throughput.end(work, is_stored=error is None)
        work.attempts += result.attempts
        work.bytes_sent += result.bytes_sent
        work.elapsed += result.elapsed
        self.gate.end(outcome_of(error), is_probe=work.is_probe)
        verdict = verdict_of(
            work.row,
            result,
            now=time.time(),
            waits=self.waits.applies_to(work.entry),
            is_fatal=error is not None and self._is_fatal(work, result, error),
            may_repeat=error is not None and self._may_repeat(work),
        )
        if verdict.row is not None:
            work.row = verdict.row
        if verdict.next is Next.FINISHED:
            self._finish(work, verdict, result.image)
        elif verdict.next is Next.WAIT:
            self._wait_for(work, result)
        elif verdict.next is Next.AGAIN_SOON:
            self._repeat_soon(work, verdict.error)
        elif verdict.next is Next.AGAIN_LATER:
            self._repeat_later(work, verdict)
        self.feed.end()

    def _is_fatal(self, work: Work, result: UploadResult, error: Exception) -> bool:
        return (
            isinstance(error, JournalError)
            or self.transport.closed
            or was_cancelled(result)
            or (work.upload is not None and work.upload.is_fatal(error))
        )

    def _may_repeat(self, work: Work) -> bool:
        """Return whether a file may be uploaded once more in this run, if its error is transient."""
        size = self.filler.again_bytes + work.entry.bytes_in_memory
        has_room = len(self.filler.again) < _MAX_AGAIN and size <= _MAX_AGAIN_BYTES
        # While the service is not available, a failure says little about the file.
        maximum = _MAX_PROBES if self.gate.hold.is_held else 1
        return work.failures < maximum and has_room and is_repeatable(work.item)

    def _wait_for(self, work: Work, result: UploadResult) -> None:
        work.is_resumed = work.attempts == 0
        work.was_uploaded = True
        self.rows.write(work.row, _uploaded(work))
        self.waits.add(work, check_now=result.attempts == 0)

    def _repeat_soon(self, work: Work, error: Exception | None) -> None:
        seconds = getattr(error, "retry_after", None) or 0.0
        self.gate.pause(max(seconds, self.seconds_until_open()))
        self.feed.add([work])

    def _repeat_later(self, work: Work, verdict: Verdict) -> None:
        # While the run is held, only probes count.
        work.failures += work.is_probe or not self.gate.hold.is_held or not work.failures
        work.error = verdict.error
        release_frames(verdict.error)
        # The content of the file is no longer needed.
        work.upload = None
        self.rows.write(work.row)
        self.filler.again.append(work)
        self.filler.again_bytes += work.entry.bytes_in_memory

    # --- waits ----------------------------------------------------------------------------------------------

    def take_image(self, work: Work, outcome: Image | Exception) -> None:
        """Take the result of the wait for an image."""
        if isinstance(outcome, Exception) and (self.transport.closed or is_fatal_wait(outcome)):
            self.on_fatal(outcome)
            return
        image = unfetched(outcome) if work.entry.remote is not None else None
        if image is not None:
            outcome = never_fetched(work.key, image, self.waits.timeout)
        verdict = verdict_of_wait(work.row, outcome, now=time.time(), has_no_bytes=image is not None)
        assert verdict.row is not None
        work.row = verdict.row
        self._finish(work, verdict, outcome if isinstance(outcome, Image) else None)

    # --- results --------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Pass on the files that are not uploaded again, and those whose images are not READY yet."""
        again, self.filler.again = self.filler.again, []
        for work in again:
            self._finish(work, Verdict(Next.FINISHED, work.row, work.error), None)
        for work in self.waits.take_all():
            self._finish(work, Verdict(Next.FINISHED, work.row), None)

    def _finish(self, work: Work, verdict: Verdict, image: Image | None) -> None:
        row = verdict.row
        assert row is not None
        # The hooks of the upload refer to the file. Without this cycle, the upload and the bytes that it has
        # read are released now, and not by the garbage collector much later.
        work.upload = None
        uploaded = None
        if row.has_bytes and not work.was_uploaded and not work.is_resumed:
            uploaded = _uploaded(work)
            work.is_resumed = work.attempts == 0
        result = result_of(work, row.status, image=image, error=verdict.error)
        note = Finished(result, uploaded, was_uploaded=work.was_uploaded)
        self.rows.write(row, self.results.expect(note))


def is_fatal_wait(error: Exception) -> bool:
    """Return whether an error of a wait would occur for every image."""
    return isinstance(error, AuthenticationError | PaymentRequiredError | PermissionDeniedError)


def _uploaded(work: Work) -> Uploaded:
    assert work.row.image_id is not None
    return Uploaded(work.key, work.row.image_id, work.entry.identity.size, work.attempts)
