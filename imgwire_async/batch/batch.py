"""`AsyncBatch`: uploads that survive interruptions, with a journal of what became of each file."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping  # noqa: F401  # pyright: ignore[reportUnusedImport]  # for annotations of the blocking form
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from imgwire_async import checks, disk_work
from imgwire_async.batch import arguments, journal_file
from imgwire_async.batch.active_run import ActiveRun
from imgwire_async.batch.export import ExportFormat, export, export_format, export_path
from imgwire_async.batch.interrupts import Watch
from imgwire_async.batch.journal import Journal, open_journal
from imgwire_async.batch.journal_destinations import Destination
from imgwire_async.batch.keys import parse_shard
from imgwire_async.batch.planning import plan
from imgwire_async.batch.progress import Display
from imgwire_async.batch.records import BatchRecord, RowStatus, record_of, summary_of
from imgwire_async.batch.reporter import BatchEvent, Reporter
from imgwire_async.batch.results import BatchResult, PlannedFile
from imgwire_async.batch.run import BatchRun
from imgwire_async.batch.service import service_of
from imgwire_async.batch.sources import BatchFiles, as_source
from imgwire_async.formatting import quoted
from imgwire_async.messages import CLIENT_CLOSED
from imgwire_async.results import BatchSummary

if TYPE_CHECKING:
    from typing import Self

    from imgwire_async.client import AsyncImgwireClient

# When a loop over an upload was left by `break`, the event loop closes its iterator within so many steps.
_STEPS_TO_CLOSE = 5


class AsyncBatch:
    """Uploads of many files that survive interruptions: run the program again until all files are done.

    ```python
    async with AsyncImgwireClient() as client, AsyncBatch(client, "photos.journal") as batch:
        async for result in batch.upload("photos"):
            if result.error is not None:
                print(result.key, result.error)
        print(batch.summary())
        batch.export("photos.csv")
    ```

    The journal is a file with a row for each file: which image it became, or why it failed. Only one batch at
    a time can use a journal. All methods are for use inside the `with` block. Those without `await` may be
    called in any thread, also while an upload runs.

    The first Ctrl-C stops an upload as `stop` does, but after at most 10 seconds. The second one ends it at
    once. The next run goes on in both cases.

    Args:
        client: The client that uploads. The batch does not close it.
        journal: Path of the journal, which is created if it is missing.
        concurrency: Maximum number of files in work, 1 to 10,000. None finds the best number during the run.
        rate: Maximum number of files that begin per second. None means no limit.
        wait: Maximum time in seconds to wait after each upload until the image is READY. True waits at most
            120 seconds, False does not wait.
        checksum: True compares files by their SHA-256, and not by their modification time.
        verify: True checks whether the images of earlier runs still exist, and uploads missing ones again.
        reconcile: Whether a run looks for records of interrupted uploads in the list of images. "all" looks
            for as long as needed, also for records of a lost journal.
        max_failures: Number of failed files after which a run stops, or text such as "5%", which counts after
            100 files.
        max_duration: Number of seconds after which a run stops.
        purpose: Any text, which is stored with the images. An item may override it.
        custom_metadata: Metadata of the images, as in `images.upload`. An item may override it.
        on_event: Called with a `BatchEvent` for what happens in a run. If it raises, the run ends.

    Raises:
        TypeError: An argument has the wrong type. `Batch` is for an `ImgwireClient`.
        ValueError: An argument has a value that is not allowed.
        JournalError: The journal cannot be opened. Raised at the begin of the `with` block.
        JournalLockedError: Another batch uses the journal. Raised at the begin of the `with` block.
    """

    # long: a line for each argument, twice
    def __init__(
        self,
        client: AsyncImgwireClient,
        journal: str | os.PathLike[str],
        *,
        concurrency: int | None = None,
        rate: float | None = None,
        wait: bool | float = False,
        checksum: bool = False,
        verify: bool = False,
        reconcile: bool | Literal["all"] = True,
        max_failures: int | str | None = None,
        max_duration: float | None = None,
        purpose: str | None = None,
        custom_metadata: Mapping[str, str | int | float | bool] | None = None,
        on_event: Callable[[BatchEvent], object] | None = None,
    ) -> None:
        self._client = arguments.asynchronous_client(client)
        self._path = arguments.journal_path(journal)
        self._options = arguments.batch_options(
            concurrency=concurrency,
            rate=rate,
            wait=wait,
            checksum=checksum,
            verify=verify,
            reconcile=reconcile,
            max_failures=max_failures,
            max_duration=max_duration,
            purpose=purpose,
            custom_metadata=custom_metadata,
        )
        checks.plain_callable("on_event", on_event)
        self._on_event = on_event
        self._service = service_of(client)
        self._pid = os.getpid()
        # Set by `__aenter__`.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._journal: Journal | None = None
        self._is_closed = False
        # The destination that an upload has found out.
        self._destination: Destination | None = None
        # The run that goes on, and where the counts of the last run or of the journal are.
        self._active: ActiveRun | None = None
        self._summary: Callable[[], BatchSummary] | None = None
        # The watch of a run that Ctrl-C has stopped and whose loop the user has left.
        self._interrupted: Watch | None = None

    async def __aenter__(self) -> Self:
        if self._loop is not None:
            raise RuntimeError("a batch can be entered only once; create a new one for the same journal")
        if self._client.closed:
            raise RuntimeError(CLIENT_CLOSED)
        journal = await disk_work.run_or_dispose(Journal.close, open_journal, self._path)
        try:
            summary = await disk_work.run(self._journal_summary, journal)
        except BaseException:
            await disk_work.run_cleanup(journal.close)
            raise
        self._summary = lambda: summary
        self._journal, self._loop, self._pid = journal, asyncio.get_running_loop(), os.getpid()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the run, if its iterator was only dropped, and close the journal."""
        if self._pid != os.getpid():
            # A forked child leaves the `with` block of its parent.
            return
        journal, self._journal, self._is_closed = self._journal, None, True
        if journal is None:
            return
        try:
            if self._active is not None:
                await self._end(self._active)
        finally:
            try:
                await disk_work.run_cleanup(journal.close)
            except Exception:
                # An error of the block is more important.
                if error is None:
                    raise
        if self._interrupted is not None:
            self._interrupted.deliver()

    # --- runs -----------------------------------------------------------------------------------------------

    async def upload(
        self,
        files: BatchFiles,
        *,
        retry_failed: bool | Literal["all"] = True,
        include_done: bool = False,
        progress: bool | None = None,
        shard: str | None = None,
        scheduler: object = None,
        worker_client: object = None,
    ) -> AsyncGenerator[BatchResult, None]:
        """Upload all files that are not done yet, and yield the result of each when its row is on the disk.

        The results have no particular order. Files that earlier runs have uploaded are compared with the
        journal and not uploaded again. When an upload fails, the other uploads go on. Leaving the loop early
        stops the uploads; the next run goes on.

        Args:
            files: The path of a folder, a source such as `folder(...)`, or an iterable or async iterable of
                paths, `UploadItem` or `BatchItem` objects.
            retry_failed: Whether files that failed in an earlier run are uploaded again. "all" includes those
                that the service has put into QUARANTINE. The summary counts those left out as skipped.
            include_done: True also yields the files of earlier runs, and those that are skipped.
            progress: True shows the progress: with `rich` in a terminal or notebook, otherwise as a log line
                every 10 seconds.
            shard: The part of the files that this run uploads, such as "3/16" for the third of 16 parts.
            scheduler: Reserved for runs on a cluster.
            worker_client: Reserved for runs on a cluster.

        Yields:
            BatchResult: The result of one file.

        Raises:
            TypeError: An argument or an item of `files` has the wrong type.
            ValueError: An argument has a value that is not allowed.
            RuntimeError: Another upload of this batch runs, or the batch is not open.
            AuthenticationError: The API rejected the API key (401).
            PaymentRequiredError: The plan allows no more uploads (402).
            PermissionDeniedError: The API key may not upload (403).
            BatchError: The journal has files with the same keys from another source.
            BatchStoppedError: The run has reached `max_failures` or `max_duration`.
            JournalError: The journal belongs to another environment, or cannot be written.
            Exception: `on_event` or the iteration over `files` raised this error.
        """
        options = arguments.run_options(
            self._options, retry_failed=retry_failed, include_done=include_done, shard=shard
        )
        show_progress = progress is not None and checks.flag("progress", progress)
        arguments.require_one_machine(scheduler, worker_client)
        journal = self._require_open("upload", needs_client=True)
        active = await self._begin()
        try:
            source = as_source(files, await disk_work.run(journal.own_paths), self._service.stall)
            reporter = Reporter(self._on_event)
            self._summary = reporter.summary
            run = BatchRun(self._service, journal, source, options, reporter, destination=self._destination)
            await active.begin(run, Display(reporter) if show_progress else None)
            self._destination = run.destination
            while (result := await active.next()) is not None:
                yield result
        finally:
            await self._end(active)
        if self._interrupted is not None:
            self._interrupted.deliver()
            # The handler of `asyncio.run` has cancelled its main task, which usually is this one.
            await asyncio.sleep(0)

    async def _begin(self) -> ActiveRun:
        """Return the new run of this batch. Raises `RuntimeError` if there is one already."""
        for _ in range(_STEPS_TO_CLOSE):
            if self._active is None:
                break
            if self._active.is_ending:
                await self._active.wait_for_end()
            await asyncio.sleep(0)
        if self._active is not None:
            raise RuntimeError(
                "this batch already runs an upload: read its results to the end, or close its iterator with aclose(), before "
                "the next one begins. For uploads at the same time, use a batch with a journal of its own for each."
            )
        loop = asyncio.get_running_loop()
        self._active = ActiveRun(Watch(self.stop, loop))
        self._active.watch.begin()
        return self._active

    async def _end(self, active: ActiveRun) -> None:
        """End a run. Idempotent."""
        try:
            await active.end()
        finally:
            if self._active is active:
                self._active = None
            if active.watch.is_pressed:
                self._interrupted = active.watch

    async def plan(
        self,
        files: BatchFiles,
        *,
        shard: str | None = None,
    ) -> AsyncGenerator[PlannedFile, None]:
        """Yield what `upload` would do with each file. Sends no request and writes nothing.

        `files` and `shard` are those of `upload`. With `checksum=True`, files may be read.
        """
        part = None if shard is None else parse_shard(shard)
        journal = self._require_open("plan")
        source = as_source(files, await disk_work.run(journal.own_paths), self._service.stall)
        destination = await disk_work.run(self._known_destination, journal)
        planned = plan(source, journal, destination, shard=part, checksum=self._options.checksum)
        async with contextlib.aclosing(planned):
            async for file in planned:
                yield file

    # --- plain methods --------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Begin no new file, and end the run once the uploads in progress have ended.

        Their results are still yielded, and then the iteration ends. Does nothing if no upload runs. Returns
        at once. Any thread and any signal handler may call it.
        """
        active, loop = self._active, self._loop
        if active is not None and loop is not None and self._pid == os.getpid():
            # The loop may have been closed meanwhile, and then nothing runs.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(active.stop)

    def summary(self) -> BatchSummary:
        """Return the counts of the current or last upload, and before the first one those of the journal.

        Does not read the journal, so it is fast in any thread.
        """
        if self._summary is None:
            raise RuntimeError("the batch was not opened: use it inside its `with` block")
        return self._summary()

    def records(
        self, *, status: Literal["started", "stored", "done", "failed", "skipped"] | None = None
    ) -> Iterator[BatchRecord]:
        """Iterate over the rows of all runs in the order of their keys. Reads the journal, so it blocks.

        `status` selects the rows with this status.
        """
        wanted = arguments.record_status(status)
        return self._records(self._require_open("records"), wanted)

    def _records(self, journal: Journal, status: RowStatus | None) -> Iterator[BatchRecord]:
        destination = self._known_destination(journal)
        if destination is not None:
            yield from map(record_of, journal.rows(destination.number, status))

    def export(
        self,
        path: str | os.PathLike[str],
        *,
        format: ExportFormat | None = None,  # noqa: A002  # a name of the API
    ) -> Path:
        """Write all records to a file, and return its path. Blocks.

        The file appears complete or not at all, and replaces an older one. `format` is "jsonl", "csv", "md"
        (a report) or "parquet". None takes that of the suffix of `path`.
        """
        target = export_path(checks.path("path", path))
        file_format = export_format(target, format)
        journal = self._require_open("export")
        if target in journal_file.journal_paths(journal.path):
            raise ValueError(f"path must not be a file of the journal: {quoted(str(target))}")
        # First, so that an upload that runs now does not find the file.
        journal.note_export(target)
        export(
            target,
            file_format,
            lambda status: self._records(journal, status),
            self._journal_summary(journal),
        )
        return target

    def abandoned(self) -> Iterator[str]:
        """Iterate over the ids of records without bytes, and of images that newer versions have replaced.

        `images.bulk_delete` takes them. Nothing is deleted without it. Reads the journal, so it blocks.
        """
        return self._abandoned(self._require_open("abandoned"))

    def _abandoned(self, journal: Journal) -> Iterator[str]:
        destination = self._known_destination(journal)
        return iter(()) if destination is None else journal.abandoned(destination.number)

    # --- state ----------------------------------------------------------------------------------------------

    def _require_open(self, method: str, *, needs_client: bool = False) -> Journal:
        """Return the journal. Raises `RuntimeError` if this process or thread cannot use the batch now."""
        if self._pid != os.getpid():
            raise RuntimeError(
                f"{method}() was called in a process that was forked while the batch was open. Create a batch with a "
                "journal of its own in the new process."
            )
        if self._journal is None:
            when = "after" if self._is_closed else "before"
            raise RuntimeError(f"{method}() was called {when} the `with` block of the batch; use it inside")
        if needs_client and self._client.closed:
            raise RuntimeError(f"{method}(): {CLIENT_CLOSED}")
        if needs_client and asyncio.get_running_loop() is not self._loop:
            raise RuntimeError(
                f"{method}() was called on another event loop than the `with` block of the batch"
            )
        return self._journal

    def _known_destination(self, journal: Journal) -> Destination | None:
        """Return the destination of this client in the journal, without a request. Blocks."""
        if self._destination is not None:
            return self._destination
        environment_id = self._service.new_transport().options.environment_id
        fingerprint = self._service.known_fingerprint
        return journal.choose_destination(self._service.base_url, environment_id, fingerprint).destination

    def _journal_summary(self, journal: Journal) -> BatchSummary:
        """Return the counts of all runs. Blocks."""
        destination = self._known_destination(journal)
        return summary_of({} if destination is None else journal.counts(destination.number))
