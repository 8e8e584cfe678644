"""Upload many files with a limited number of workers, and return each result as soon as its upload has ended.

Memory use does not grow with the number of files. At most `concurrency` files are open, and the workers wait
while `concurrency` results are unread.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import os
import time
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from imgwire_async import cancellation, user_code
from imgwire_async.errors import ImgwireError, UploadError
from imgwire_async.models import Image
from imgwire_async.protocol.request import Transport
from imgwire_async.results import UploadProgress, UploadResult
from imgwire_async.uploads.detect import is_number_array
from imgwire_async.uploads.input_queue import InputQueue
from imgwire_async.uploads.item import UploadItem
from imgwire_async.uploads.source import File
from imgwire_async.uploads.upload import Upload

if TYPE_CHECKING:
    from typing import Self

T = TypeVar("T")
OnCreated: TypeAlias = "Callable[[Image], object] | None"
OnProgress: TypeAlias = "Callable[[UploadProgress], object] | None"

_STOPPED = (
    "upload_many ended early: other code cancelled its tasks, for example a shutdown that cancels asyncio.all_tasks(). "
    "The results so far are complete; upload the other files again"
)
_CANCELLED = (
    "other code cancelled the upload, so the file may be stored or not: if the result has an image, retrieve its record "
    "before you upload the file again"
)
_SOURCE_CANCELLED = "the source of the file was cancelled while it was read; upload it again"


# Objects of these types are not collections of files, although some of them are iterable.
_NOT_MANY_FILES: tuple[type, ...] = (str, os.PathLike, Mapping, UploadItem)


def _advice(files: object) -> str:
    """Return what to pass instead of an object that is not an iterable of files."""
    if inspect.iscoroutine(files):
        # Close the coroutine, so that Python does not warn that it was never awaited.
        files.close()
    if isinstance(files, Awaitable):
        return "await it first"
    if isinstance(files, str | os.PathLike):
        return "use upload(), or for the files of a folder Path(folder).iterdir()"
    if files is None:
        return "pass a list or a generator"
    return "call it first" if callable(files) else "use upload()"


def require_many_files(files: object) -> None:
    """Raise `TypeError` unless `files` can be iterated over and is not itself one file."""
    kind: type = type(files)
    single = (
        issubclass(kind, _NOT_MANY_FILES)
        # The class is checked first, because reading `files.read` opens some files.
        or hasattr(kind, "read")
        or hasattr(files, "read")
        or hasattr(files, "read_chunk")
        or is_number_array(files)
    )
    if (
        single
        or hasattr(kind, "__await__")
        or not (hasattr(files, "__iter__") or hasattr(files, "__aiter__"))
    ):
        raise TypeError(
            f"files must be an iterable or async iterable of files, not one {kind.__name__}; {_advice(files)}"
        )
    if hasattr(files, "__aiter__") and user_code.current_caller.get() is not None:
        raise TypeError(
            f"files must be a plain iterable here; an async one ({kind.__name__}) is for AsyncImgwireClient"
        )


def was_cancelled(result: UploadResult) -> bool:
    """Return whether other code cancelled the upload, so that it is not known whether the file is stored."""
    error = result.error
    return isinstance(error, UploadError) and str(error) == _CANCELLED


class UploadRun(AbstractAsyncContextManager["UploadRun"]):
    """One call of `upload_many`: an async iterator of the results, and a context manager for the workers.

    Only one task may use a run. If an error ended the run early, the iterator raises it after the last
    result.

    `start` creates the upload of one file. It is called with the file and the two callbacks. `transport` is
    the transport that these uploads use.

    At shutdown an event loop closes all async generators at the same time, and a generator cannot be closed
    while another generator uses it. `upload_many` is an async generator that uses the run, so the run itself
    is a class with `__anext__`.
    """

    def __init__(
        self,
        transport: Transport,
        files: Iterable[File | UploadItem] | AsyncIterable[File | UploadItem],
        start: Callable[[File | UploadItem, OnCreated, OnProgress], Upload],
        *,
        limit: int,
        on_created: OnCreated = None,
        on_progress: OnProgress = None,
    ) -> None:
        self._transport = transport
        self._queue = InputQueue(files)
        self._start = start
        self._limit = limit
        self._on_created = self._abort_on_error(on_created)
        self._on_progress = self._abort_on_error(on_progress)
        self._unread_results: deque[UploadResult] = deque()
        # Set when a result can be read, and at the end of the run.
        self._result_ready = asyncio.Event()
        # Set when the caller has read a result, and at the end of the run.
        self._space_ready = asyncio.Event()
        # Set when an upload has ended, and at the end of the run.
        self._upload_ended = asyncio.Event()
        self._running_uploads = 0
        # The number of started workers, without those that ended because the limit was lowered.
        self._worker_count = 0
        self._workers: set[asyncio.Task[None]] = set()
        # A copy of the context in which the run was entered, for workers that start later.
        self._context: contextvars.Context | None = None
        # The error that ended the run.
        self._failure: BaseException | None = None
        # Whether a callback failed, so that unread results are dropped.
        self._aborted = False
        self._is_exiting = False
        self._callback_error: Exception | None = None

    @property
    def limit(self) -> int:
        """The maximum number of simultaneous uploads, and of unread results.

        The workers wait while that many results are unread. The limit may be changed during the run. A higher
        limit starts more workers at once. With a lower limit, surplus workers end after their current file.
        """
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"limit must be 1 or more, not {limit}: a run needs a worker")
        self._limit = limit
        self._space_ready.set()
        self._upload_ended.set()
        if self._context is not None and not self._is_exiting:
            # The new workers start in a copy of the context of the run, because the code that sets the limit
            # may run in another context.
            self._context.copy().run(self._start_workers)

    def _abort_on_error(self, callback: Callable[[T], object] | None) -> Callable[[T], object] | None:
        """Wrap `callback` so that an exception in it aborts the run and is raised unchanged.

        The wrapper may be called in the caller's thread instead of the event loop's thread.
        """
        if callback is None:
            return None

        def call(value: T) -> None:
            try:
                callback(value)
            except Exception as error:
                self._callback_error = error
                raise

        return call

    @property
    def failure(self) -> BaseException | None:
        """The error that ends the run early, None until there is one. Uploads in progress still end."""
        return self._failure

    async def __aenter__(self) -> Self:
        self._context = contextvars.copy_context()
        self._start_workers()
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> UploadResult:
        while not self._unread_results and self._workers and not self._aborted:
            self._result_ready.clear()
            await self._result_ready.wait()
        if self._unread_results and not self._aborted:
            self._space_ready.set()
            return self._unread_results.popleft()
        if self._failure is not None:
            raise self._failure
        raise StopAsyncIteration

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Cancel all uploads, and wait until they have released their resources."""
        self._is_exiting = True
        workers = list(self._workers)
        for worker in workers:
            worker.cancel()
        try:
            await cancellation.wait_all(workers)
        finally:
            await self._queue.aclose()

    def _stop(self, error: BaseException) -> None:
        """End the run: start no further file, and raise `error` after the results of the running uploads."""
        self._queue.stop()
        # `__anext__` cannot raise these exceptions, because they would look like the normal end of the
        # iterator.
        if isinstance(error, StopIteration | StopAsyncIteration | GeneratorExit):
            wrapper = RuntimeError(f"user code raised {type(error).__name__}, which ends iterators")
            wrapper.__cause__, error = error, wrapper
        if self._failure is None:
            self._failure = error
        self._space_ready.set()
        self._upload_ended.set()

    # --- workers --------------------------------------------------------------------------------------------

    def _start_workers(self) -> None:
        """Start workers until there are as many as the limit allows."""
        while self._worker_count < self._limit and not self._queue.is_over:
            self._worker_count += 1
            worker = asyncio.ensure_future(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._on_worker_done)

    async def _work(self) -> None:
        while not self._queue.is_over:
            if self._worker_count > self._limit:
                self._worker_count -= 1
                return
            if len(self._unread_results) >= self._limit:
                await self._wait_for_space()
                continue
            try:
                next_file = await self._queue.next()
            # An exception of the caller's iterator ends the run. It may be the CancelledError of a task that
            # the iterator awaited, which does not cancel this worker.
            except (Exception, asyncio.CancelledError) as error:
                if cancellation.is_own_cancellation(error):
                    raise
                self._stop(error)
                return
            if next_file is None or (self._running_uploads >= self._limit and not await self._may_start()):
                return
            self._running_uploads += 1
            try:
                result = await self._upload(*next_file)
            finally:
                self._running_uploads -= 1
                self._upload_ended.set()
            self._unread_results.append(result)
            self._result_ready.set()
            if cancellation.is_being_cancelled():
                raise asyncio.CancelledError

    def _on_worker_done(self, worker: asyncio.Task[None]) -> None:
        """Remove a worker. If it was cancelled or failed, end the run with an error."""
        self._workers.discard(worker)
        if worker.cancelled():
            if not self._is_exiting:
                self._stop(RuntimeError(_STOPPED))
        elif (error := worker.exception()) is not None:
            self._stop(error)
        self._result_ready.set()

    async def _wait_for_space(self) -> None:
        """Wait until fewer than `limit` results are unread, or the run has ended."""
        while len(self._unread_results) >= self._limit and not self._queue.is_over:
            self._space_ready.clear()
            await self._space_ready.wait()

    async def _may_start(self) -> bool:
        """Wait until fewer than `limit` uploads are running. Return False if an error has ended the run."""
        while self._running_uploads >= self._limit and self._failure is None:
            self._upload_ended.clear()
            await self._upload_ended.wait()
        return self._failure is None

    async def _upload(self, index: int, file: File | UploadItem) -> UploadResult:
        started_at = time.monotonic()
        upload: Upload | None = None
        image: Image | None = None
        error: Exception | None = None
        try:
            upload = self._start(file, self._on_created, self._on_progress)
            image = await upload.run()
        except asyncio.CancelledError as cancelled:
            reason = _CANCELLED if cancellation.is_being_cancelled() else _SOURCE_CANCELLED
            error = UploadError(reason, file_name=None if upload is None else upload.file_name)
            error.__cause__ = cancelled
        except Exception as raised:  # noqa: BLE001  # a bad file must not end the run
            error = raised
            if raised is self._callback_error:
                self._aborted = True
            if self._aborted or self._is_fatal(raised, upload):
                self._stop(raised)
        if isinstance(error, ImgwireError):
            image = error.image
        if error is not None and image is None and upload is not None:
            image = upload.image
        return UploadResult(
            index=index,
            file=file.file if isinstance(file, UploadItem) else file,
            image=image,
            error=error,
            attempts=0 if upload is None else upload.puts,
            bytes_sent=0 if upload is None else upload.bytes_sent,
            elapsed=time.monotonic() - started_at,
            abandoned=() if upload is None else tuple(upload.abandoned),
        )

    def _is_fatal(self, error: Exception, upload: Upload | None) -> bool:
        """Return whether this error would occur for every file: the client is closed, or the key is wrong."""
        return self._transport.closed or (upload is not None and upload.is_fatal(error))
