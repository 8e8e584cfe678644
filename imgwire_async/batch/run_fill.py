"""Turn the decisions of the walk into files that are ready to be uploaded, and into results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import attrs

from imgwire_async import disk_work
from imgwire_async.batch import records
from imgwire_async.batch.fetching import check_remote
from imgwire_async.batch.items import Entry, Skip
from imgwire_async.batch.journal import Journal
from imgwire_async.batch.options import RunOptions
from imgwire_async.batch.records import JournalRow, RowOwner, RowStatus
from imgwire_async.batch.reporter import Reporter
from imgwire_async.batch.results import BatchResult
from imgwire_async.batch.row_writer import RowWriter
from imgwire_async.batch.run_feed import Feed
from imgwire_async.batch.run_gate import Gate
from imgwire_async.batch.run_outcome import error_texts
from imgwire_async.batch.run_results import Finished, Note, Results
from imgwire_async.batch.run_rows import KeySource, first_row, record_with_possible_bytes
from imgwire_async.batch.run_waits import Waits
from imgwire_async.batch.run_work import Work
from imgwire_async.batch.settle import Settled, fail_missing
from imgwire_async.batch.walk import Planned, Walk
from imgwire_async.batch_errors import BatchError
from imgwire_async.errors import ImageQuarantinedError
from imgwire_async.logs import logger
from imgwire_async.models import Image
from imgwire_async.resources.uploading import checked_item, with_defaults
from imgwire_async.uploads.item import UploadItem

# The rows of so many files are written together, before these files are uploaded.
_LOT = 128


@attrs.define(eq=False)
class Filler:
    """Reads the decisions of the walk, writes the rows of files, and adds the files to the feed.

    A task of its own runs it, so `again` is only read when no file is in flight.

    Args:
        journal: The journal of the run.
        owner: The run.
        options: The options of the run.
        reporter: The counts and events of the run.
        rows: Writes rows.
        gate: Receives whether the files are those that failed before.
        feed: Takes the files to upload.
        results: Takes the results of files that need no upload.
        keys: The parts of idempotency keys that are the same for all files.
        settled: The records of interrupted runs.
        is_gone: Returns whether the image of a row no longer exists.
        waits: The files that wait for their images.
        again: The files to upload once more at the end of the run.
        again_bytes: The bytes of these files that are in memory.
    """

    journal: Journal
    owner: RowOwner
    options: RunOptions
    reporter: Reporter
    rows: RowWriter[Note]
    gate: Gate
    feed: Feed
    results: Results
    keys: KeySource
    settled: Settled
    is_gone: Callable[[JournalRow], bool] | None
    waits: Waits
    again: list[Work] = attrs.field(factory=list[Work], init=False)
    again_bytes: int = attrs.field(default=0, init=False)
    # The files whose rows are being written.
    _starting: Sequence[Work] = attrs.field(default=(), init=False)
    _defaults: UploadItem = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        options = self.options
        self._defaults = UploadItem(b"", purpose=options.purpose, custom_metadata=options.custom_metadata)

    async def run(self, walk: Walk) -> None:
        """Take all files of a walk, then those that are uploaded again."""
        error = await self._take_all(walk)
        if not self.feed.is_stopped:
            await self._repeat_failed()
        if error is not None:
            raise error

    async def _take_all(self, walk: Walk) -> Exception | None:
        """Take all files of a walk. Return the error of its source, which does not stop the files before."""
        try:
            async for planned in walk:
                await self._take(planned)
                if self.feed.is_stopped:
                    return None
        except BatchError:
            raise
        except Exception as error:  # noqa: BLE001  # raised at the end of the run
            return error
        # Both read the rows of earlier runs, which this run may have replaced by skips a moment ago.
        await self.rows.wait_until_written()
        await disk_work.run(self.journal.forget_skips, self.owner, self.options.shard)
        count = await fail_missing(self.journal, self.owner, self.options.shard, time.time())
        if count:
            logger.warning(
                '%d file(s) of interrupted runs are no longer there; records(status="failed") names them',
                count,
            )
        return None

    async def _repeat_failed(self) -> None:
        """Upload files again that failed for a transient reason, until none is left."""
        while True:
            await self.feed.wait_until_idle()
            if self.feed.is_stopped:
                return
            if not self.again:
                break
            self.gate.is_repeating = True
            while self.again and not self.feed.is_stopped:
                await self.feed.wait_for_room()
                lot, self.again = self.again[:_LOT], self.again[_LOT:]
                for work in lot:
                    self.again_bytes -= work.entry.bytes_in_memory
                    self._renew(work)
                await self._begin(lot)
        self.feed.complete()

    def take_back(self) -> list[Work]:
        """Return the files that have a row and did not begin.

        Those that failed before are in `again` afterwards, with the row of that failure.
        """
        starting, self._starting = self._starting, ()
        left = [work for work in [*self.feed.take_back(), *starting] if not work.has_begun]
        for work in left:
            if work.error is not None and work.before is not None:
                work.row = work.before
                self.again.append(work)
                self.again_bytes += work.entry.bytes_in_memory
        return left

    # --- one list of decisions ------------------------------------------------------------------------------

    async def _take(self, planned: Sequence[Planned]) -> None:
        works: list[Work] = []
        for file in planned:
            entry, action = file.entry, file.decision.action
            if isinstance(entry, Skip):
                self._skip(file, entry)
            elif action == "done":
                await self._take_done(file, entry)
            elif action == "skip":
                self._leave_failed(file, entry)
            elif (work := self._work(file, entry)) is not None:
                works.append(work)
        for lot in _lots(works):
            await self._begin(lot)
        await self.results.wait_for_room()

    async def _begin(self, lot: Sequence[Work]) -> None:
        """Write the rows of files, and add the files to the feed."""
        self._starting = lot
        await self.feed.wait_for_room()
        if self.feed.is_stopped:
            return
        keys = [work.row.idempotency_key for work in lot]
        found = await self.settled.find([key for key in keys if key is not None])
        for work in lot:
            known = record_with_possible_bytes(work.before, work.entry)
            work.found_id = found.get(work.row.idempotency_key or "", known)
        await self.rows.write_all([work.row for work in lot])
        self._starting = ()
        self.feed.add(lot)

    def _work(self, file: Planned, entry: Entry) -> Work | None:
        """Return a file to upload, None if its arguments are wrong."""
        row, now = file.row, time.time()
        is_gone = row is not None and self.is_gone is not None and self.is_gone(row)
        try:
            item = checked_item(with_defaults(entry.item, self._defaults))
            if entry.remote is not None:
                check_remote(item)
            new = first_row(row, entry, item, self.owner, self.keys, now=now, is_gone=is_gone)
        except Exception as error:  # noqa: BLE001  # a bad file must not end the run
            failed = records.failed_at_once(
                row, self.owner, entry.key, entry.identity, *error_texts(error), now=now
            )
            self._write(
                failed, BatchResult(key=entry.key, file=entry.item.file, status="failed", error=error)
            )
            return None
        return Work(entry, item, new, row)

    def _renew(self, work: Work) -> None:
        """Prepare a file that is uploaded again."""
        work.before = work.row
        work.row = first_row(work.row, work.entry, work.item, self.owner, self.keys, now=time.time())
        work.has_begun = False

    async def _take_done(self, file: Planned, entry: Entry) -> None:
        row = file.row
        assert row is not None
        if row.status == "stored":
            await self._take_stored(row, entry)
            return
        image = self.settled.images.get(row.key)
        result = BatchResult(
            key=row.key,
            file=entry.item.file,
            status="done",
            image=image,
            image_id=row.image_id,
            reason=file.decision.reason,
            resumed=file.is_settled,
        )
        self._pass_on(result, is_counted=not file.is_settled)

    async def _take_stored(self, row: JournalRow, entry: Entry) -> None:
        """Take a file whose bytes an earlier run has stored, and whose image was not READY then."""
        assert row.image_id is not None
        work = Work(entry, entry.item, row, row, is_resumed=True)
        if self.waits.applies_to(entry):
            if self.waits.is_full:
                await self.waits.wait_for_room()
            self.waits.add(work, check_now=True)
            return
        done = records.done(row, row.image_id, row.cdn_url, now=time.time())
        self._write(attrs.evolve(done, run=self.owner.run), result_of(work, "done", image=None))

    def _leave_failed(self, file: Planned, entry: Entry) -> None:
        """Leave a file as it is that failed before and is not retried."""
        row, reason = file.row, file.decision.reason
        result = BatchResult(
            key=entry.key,
            file=entry.item.file,
            status="failed",
            image_id=None if row is None else row.image_id,
            reason=reason,
        )
        if row is not None and row.run == self.owner.run:
            # This run has found the image in quarantine.
            error = ImageQuarantinedError(row.error or reason)
            self._pass_on(attrs.evolve(result, error=error, resumed=True), is_counted=False)
            return
        self.reporter.skipped(entry.key, reason)
        if self.options.include_done:
            self._pass_on(result, is_counted=True)

    def _skip(self, file: Planned, skip: Skip) -> None:
        self.reporter.skipped(skip.key, skip.reason)
        row = file.row
        if not file.keeps_row:
            row = records.skipped(row, self.owner, skip.key, skip.reason, now=time.time())
        result = BatchResult(key=skip.key, status="skipped", reason=skip.reason)
        note = Finished(result, is_counted=True)
        if row is not None and row is not file.row:
            self.rows.write(row, self.results.expect(note) if self.options.include_done else None)
        elif self.options.include_done:
            self._pass_on(result, is_counted=True)

    # --- results --------------------------------------------------------------------------------------------

    def _write(self, row: JournalRow, result: BatchResult) -> None:
        self.rows.write(row, self.results.expect(Finished(result)))

    def _pass_on(self, result: BatchResult, *, is_counted: bool) -> None:
        """Pass on a result whose row is on the disk."""
        self.results.on_written([self.results.expect(Finished(result, is_counted=is_counted))])


def result_of(
    work: Work, status: RowStatus, *, image: Image | None, error: Exception | None = None
) -> BatchResult:
    """Return the result of a file in work."""
    return BatchResult(
        key=work.key,
        file=work.entry.item.file,
        status=status,
        image=image,
        image_id=work.row.image_id,
        error=error,
        attempts=work.attempts,
        bytes_sent=work.bytes_sent,
        elapsed=work.elapsed,
        resumed=work.is_resumed,
    )


def _lots(works: Sequence[Work]) -> Iterator[Sequence[Work]]:
    for start in range(0, len(works), _LOT):
        yield works[start : start + _LOT]
