"""One run of a batch: upload the files of a source, and write to the journal what becomes of each.

The run starts these tasks, and ends all of them:

* the filler reads the walk, writes the rows of files, and adds the files to the feed
* the workers of `UploadRun` take files from the feed and upload them
* the collector decides what follows each upload, and writes the row
* the waiter takes images that have become READY
* the meter adapts the number of simultaneous uploads

A result is yielded once its row is on the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any

from imgwire_async import cancellation, disk_work
from imgwire_async.batch.destination import open_destination
from imgwire_async.batch.items import Source
from imgwire_async.batch.journal import Journal
from imgwire_async.batch.journal_destinations import Destination
from imgwire_async.batch.options import RunOptions
from imgwire_async.batch.records import RowOwner
from imgwire_async.batch.reporter import Reporter
from imgwire_async.batch.results import BatchResult
from imgwire_async.batch.run_end import (
    MAX_DURATION,
    MAX_FAILURES,
    complete_failure,
    stopped_error,
    warn_if_unsure,
)
from imgwire_async.batch.run_parts import RunInputs, RunParts, make_parts
from imgwire_async.batch.run_results import Results
from imgwire_async.batch.run_waits import Waits
from imgwire_async.batch.service import Service
from imgwire_async.batch.settle import settle
from imgwire_async.batch.source_names import compare_sources
from imgwire_async.batch.verify import IsGone, find_gone
from imgwire_async.models import Image
from imgwire_async.threads import CANCEL_GRACE, consume_exception

if TYPE_CHECKING:
    from typing import Self

_CANCELLED = (
    "the batch run ended early: other code cancelled its tasks, for example a shutdown that cancels asyncio.all_tasks(). "
    "Run it again: it continues where it stopped"
)


class BatchRun:
    """One run: an async iterator of the results, and a context manager for its tasks.

    Only one task may use a run. `__aenter__` settles the rows that interrupted runs have left. If an error
    ended the run early, the iterator raises it after the last result.

    Args:
        service: The client.
        journal: The open journal.
        source: The files. The run closes it.
        options: The options of the run.
        reporter: Receives counts and events.
        destination: The destination in the journal, None to find it out.
    """

    def __init__(
        self,
        service: Service,
        journal: Journal,
        source: Source,
        options: RunOptions,
        reporter: Reporter,
        *,
        destination: Destination | None = None,
    ) -> None:
        self.destination: Destination | None = destination
        self._service = service
        self._journal = journal
        self._source = source
        self._options = options
        self._reporter = reporter
        reporter.on_error = self._on_event_failed
        self._results = Results(reporter, self._check_failures)
        self._loop: asyncio.AbstractEventLoop | None = None
        # Set when the run should end: by `stop`, a limit, or an error.
        self._stopping = asyncio.Event()
        # The limit that stopped the run, and the error that ends it after its last result.
        self._reason: str | None = None
        self._failure: BaseException | None = None
        # The error that ends the run at once.
        self._fatal: BaseException | None = None
        self._is_over = False
        self._is_closing = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._filling: asyncio.Task[None] | None = None
        self._environment_lock = asyncio.Lock()
        self._image_taken = asyncio.Event()
        self._parts: RunParts | None = None
        self._stack = contextlib.AsyncExitStack()

    # --- the interface --------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Begin no more files, and end after the files in flight. Any thread may call this method."""
        loop = self._loop
        if loop is None or _is_running(loop):
            self._stop(None)
        else:
            # A closed loop has ended the run.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._stop, None)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        if self._options.max_duration is not None:
            self._timer = self._loop.call_later(self._options.max_duration, self._stop, MAX_DURATION)
        try:
            await self._start()
        except BaseException:
            await self._close()
            raise
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> BatchResult:
        while True:
            if self._reporter.error is not None:
                raise self._reporter.error
            if (result := self._results.take()) is not None:
                return result
            if self._fatal is not None:
                raise self._fatal
            if self._is_over:
                self._raise_end()
            await self._results.wait()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Cancel all uploads, and wait until they have released their resources."""
        await self._close()

    # --- the end --------------------------------------------------------------------------------------------

    def _stop(self, reason: str | None) -> None:
        if self._is_over or self._stopping.is_set():
            return
        self._reason = reason
        self._end_feed()

    def _end_feed(self) -> None:
        self._stopping.set()
        self._image_taken.set()
        if self._parts is not None:
            self._parts.feed.stop()

    def _fail(self, error: BaseException) -> None:
        """End the run with an error, after the files in flight."""
        # These exceptions would look like the end of the iterator.
        if isinstance(error, StopIteration | StopAsyncIteration | GeneratorExit):
            wrapper = RuntimeError(f"user code raised {type(error).__name__}, which ends iterators")
            wrapper.__cause__, error = error, wrapper
        if self._failure is None:
            self._failure = error
        self._end_feed()

    def _abort(self, error: BaseException) -> None:
        """End the run with an error at once."""
        if self._fatal is None:
            self._fatal = error
        self._end_feed()
        self._results.wake()

    def _on_event_failed(self) -> None:
        self._end_feed()
        self._results.wake()

    def _raise_end(self) -> None:
        if self._failure is not None:
            raise self._failure
        error = stopped_error(self._reason, self._options, self._reporter.summary())
        raise StopAsyncIteration if error is None else error

    async def _close(self) -> None:
        self._is_closing = True
        if self._timer is not None:
            self._timer.cancel()
        self._end_feed()
        try:
            await self._end_tasks(*self._tasks)
        finally:
            if self._parts is not None:
                self._parts.meter.report()
            try:
                await self._stack.aclose()
            finally:
                self._is_over = True
                self._reporter.ended()
                self._results.wake()

    async def _end_tasks(self, *tasks: asyncio.Task[Any]) -> None:
        for task in tasks:
            task.cancel()
        await cancellation.wait_all(tasks)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return task

    def _on_task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            if not self._is_closing and task is not self._filling:
                self._abort(RuntimeError(_CANCELLED))
        elif (error := task.exception()) is not None:
            if task is self._filling:
                self._fail(error)
            else:
                self._abort(error)

    # --- the tasks ------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        """Settle the rows of interrupted runs, and start the tasks."""
        self._stack.push_async_callback(self._close_source)
        self._spawn(self._reporter.pump())
        self._parts = parts = make_parts(await self._settle())
        if self._stopping.is_set():
            parts.feed.stop()
        self._stack.push_async_callback(parts.waits.aclose)
        self._spawn(self._take_images(parts, parts.waits))
        self._stack.push_async_callback(parts.walk.aclose)
        self._stack.push_async_callback(self._take_back, parts)
        await self._stack.enter_async_context(parts.uploads)
        self._filling = self._spawn(parts.filler.run(parts.walk))
        self._spawn(parts.meter.run())
        self._spawn(self._collect(parts))

    async def _settle(self) -> RunInputs:
        """Begin the run in the journal, and settle the rows of interrupted runs."""
        service, journal, options = self._service, self._journal, self._options
        if self.destination is None:
            self.destination = await open_destination(service, journal)
        owner = await disk_work.run(journal.begin_run, self.destination, self._source.name)
        # First, so that the rows of a folder that was moved are settled, too.
        await compare_sources(self._source, journal, owner, shard=options.shard, stop=self._stopping)
        settled = await settle(
            service,
            journal,
            owner,
            stop=self._stopping,
            report=self._reporter.doubt,
            shard=options.shard,
            reconcile=options.reconcile,
            wait=options.wait is not None,
            with_failed=options.retry_failed is not False,
            is_moved=self._source.is_moved,
            on_held=self._on_held,
        )
        self._stack.push_async_callback(settled.aclose)
        if settled.unsure:
            self._reporter.unsure(settled.unsure)
        return RunInputs(
            service=service,
            journal=journal,
            source=self._source,
            options=options,
            reporter=self._reporter,
            results=self._results,
            owner=owner,
            settled=settled,
            is_gone=await self._find_gone(owner) if options.verify else None,
            check_record=self._check_record,
            on_fatal=self._abort,
            on_fatal_wait=self._fail,
        )

    async def _find_gone(self, owner: RowOwner) -> IsGone:
        return await find_gone(
            self._service,
            self._journal,
            owner,
            self._options.shard,
            stop=self._stopping,
            is_moved=self._source.is_moved,
            on_held=self._on_held,
        )

    async def _close_source(self) -> None:
        """Close the source, but do not wait for one that hangs."""
        closing = asyncio.ensure_future(self._source.aclose())
        closing.add_done_callback(consume_exception)
        await cancellation.wait_all([closing], timeout=2 * CANCEL_GRACE)

    async def _collect(self, parts: RunParts) -> None:
        """Take the results of all uploads, and end the run."""
        try:
            async for result in parts.uploads:
                parts.collector.take(result)
                if self._results.is_full:
                    await self._results.wait_for_room()
        except BaseException as error:
            if cancellation.is_own_cancellation(error):
                raise
            # An error that would occur for every file.
            self._fail(error)
        if self._filling is not None:
            await self._end_tasks(self._filling)
        while parts.waits and not self._stopping.is_set():
            self._image_taken.clear()
            await self._image_taken.wait()
        await self._take_back(parts)
        parts.collector.end()
        await parts.rows.drain()
        parts.meter.report()
        await complete_failure(self._failure, self._journal, self.destination)
        warn_if_unsure(self._reporter.summary())
        self._reporter.ended()
        await self._reporter.flush()
        self._is_over = True
        self._results.wake()

    async def _take_images(self, parts: RunParts, waits: Waits) -> None:
        """Take the images that have become READY."""
        while True:
            work, outcome = await waits.next()
            parts.collector.take_image(work, outcome)
            parts.feed.wake()
            self._image_taken.set()
            if self._results.is_full:
                await self._results.wait_for_room()

    async def _take_back(self, parts: RunParts) -> None:
        """Undo the rows of files that did not begin, so that the next run need not settle them."""
        left = parts.filler.take_back()
        before = [work.before for work in left if work.before is not None]
        new = [work.row for work in left if work.before is None]
        await parts.rows.undo(before, new)

    async def _check_record(self, image: Image) -> None:
        """Note the environment of the first record. Raises `JournalError` if it is another one."""
        environment_id = image.environment_id
        assert self.destination is not None
        if environment_id is None or environment_id == self.destination.environment_id:
            return
        async with self._environment_lock:
            try:
                self.destination = await disk_work.run(
                    self._journal.note_environment, self.destination, environment_id
                )
            except Exception as error:
                self._abort(error)
                raise

    def _check_failures(self) -> None:
        if self._results.is_over(self._options.max_failures):
            self._stop(MAX_FAILURES)

    def _on_held(self, reason: str | None) -> None:
        if reason is None:
            self._reporter.resumed()
        else:
            self._reporter.held(reason)


def _is_running(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
