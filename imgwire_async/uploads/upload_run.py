"""Many uploads at once: workers that pull the next file as they become free, and results as each ends.

Nothing here grows with the number of files: at most `concurrency` are in work, and at most so many results
wait unread before the workers pause.
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
    "upload_many ended early: other code cancelled its tasks, as a shutdown does that cancels asyncio.all_tasks(). "
    "The results up to here are complete; upload the other files again"
)
_CANCELLED = "other code cancelled the upload, so the file may be stored or not; upload it again"
_SOURCE_CANCELLED = "the file's own source was cancelled while it was read; upload it again"


_ONE_FILE: tuple[type, ...] = (str, os.PathLike, Mapping, UploadItem)


def _instead(files: object) -> str:
    """Return what to do about one thing where many files are due."""
    if inspect.iscoroutine(files):
        files.close()  # or Python warns, too, that nobody awaited it
    if isinstance(files, Awaitable):
        return "await it first"
    if isinstance(files, str | os.PathLike):
        return "use upload(), or for the files of a folder Path(folder).iterdir()"
    if files is None:
        return "give a list or a generator"
    return "call it first" if callable(files) else "use upload()"


def require_many_files(files: object) -> None:
    """Raise `TypeError` for one file where many are due."""
    kind: type = type(files)
    single = (
        issubclass(kind, _ONE_FILE)
        or hasattr(kind, "read")  # first: a file that opens itself when it is asked stays closed
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
            f"files must be an iterable or async iterable of files, not one {kind.__name__}; {_instead(files)}"
        )
    if hasattr(files, "__aiter__") and user_code.current_caller.get() is not None:
        raise TypeError(
            f"files must be a plain iterable here; an async one ({kind.__name__}) is for AsyncImgwireClient"
        )


class UploadRun(AbstractAsyncContextManager["UploadRun"]):
    """One `upload_many` under way: `async with` gives each result as its file ends, to one consumer, and ends the workers.

    At last, what ended the run early is raised. No generator: one within another would be closed by two at
    once when the loop ends. All of it belongs to one loop.

    `start` makes the upload of one file, with the callbacks that it is given; `transport` is the one that
    they use.
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
        self._feed = InputQueue(files)
        self._start = start
        self._limit = limit
        self._on_created = self._abort_on_error(on_created)
        self._on_progress = self._abort_on_error(on_progress)
        self._unread: deque[UploadResult] = deque()
        self._changed = asyncio.Event()  # something to read, or the end
        self._drained = asyncio.Event()  # room for a result, or the end
        self._freed = asyncio.Event()  # one upload less than the limit, or the end
        self._uploading = 0
        self._wanted_workers = 0  # those that were started, but for those that the limit ended
        self._workers: set[asyncio.Task[None]] = set()
        self._context: contextvars.Context | None = None
        self._failure: BaseException | None = None  # what ends the run
        self._aborted = False
        self._leaving = False
        self._callback_error: Exception | None = None

    @property
    def limit(self) -> int:
        """How many files are uploaded at once, and how many results may wait unread before the workers pause.

        It may be changed while the run goes on: more begin at once, and of too many each ends after its file.
        """
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        if limit < 1:
            raise ValueError(f"limit must be 1 or more, not {limit}: without workers a run is over")
        self._limit = limit
        self._drained.set()
        self._freed.set()
        if self._context is not None and not self._leaving:
            # Of the context in which the run began: what changes the limit may run in another one.
            self._context.copy().run(self._start_workers)

    def _abort_on_error(self, callback: Callable[[T], object] | None) -> Callable[[T], object] | None:
        """Wrap `callback` so that an exception in it aborts the run and is raised unchanged. It may be called in another thread."""
        if callback is None:
            return None

        def call(value: T) -> None:
            try:
                callback(value)
            except Exception as error:
                self._callback_error = error
                raise

        return call

    async def __aenter__(self) -> Self:
        self._context = contextvars.copy_context()
        self._start_workers()
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> UploadResult:
        while not self._unread and self._workers and not self._aborted:
            self._changed.clear()
            await self._changed.wait()
        if self._unread and not self._aborted:
            self._drained.set()
            return self._unread.popleft()
        if self._failure is not None:
            raise self._failure
        raise StopAsyncIteration

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop every upload and wait until it has given back what it held."""
        self._leaving = True
        workers = list(self._workers)
        for worker in workers:
            worker.cancel()
        try:
            await cancellation.wait_all(workers)
        finally:
            await self._feed.aclose()

    def _stop(self, error: BaseException) -> None:
        """End the run: no further file is begun, and `error` is raised once those under way are told."""
        self._feed.stop()
        if isinstance(error, StopIteration | StopAsyncIteration | GeneratorExit):  # would look like an end
            said = RuntimeError(f"the caller's own code raised {type(error).__name__}, which ends iterators")
            said.__cause__, error = error, said
        if self._failure is None:
            self._failure = error
        self._drained.set()
        self._freed.set()

    # --- workers ------------------------------------------------------------------------------------------------------

    def _start_workers(self) -> None:
        """Start as many workers as the limit has room for."""
        while self._wanted_workers < self._limit and not self._feed.over:
            self._wanted_workers += 1
            worker = asyncio.ensure_future(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._ended)

    async def _work(self) -> None:
        while not self._feed.over:
            if self._wanted_workers > self._limit:
                self._wanted_workers -= 1
                return
            if len(self._unread) >= self._limit:
                await self._wait_for_room()
                continue
            try:
                found = await self._feed.next()
            # The caller's own, raised to the caller; also when the caller's iterator waited for something
            # that was cancelled.
            except (Exception, asyncio.CancelledError) as error:
                if cancellation.is_own_cancellation(error):
                    raise
                self._stop(error)
                return
            if found is None or (self._uploading >= self._limit and not await self._may_begin()):
                return
            self._uploading += 1
            try:
                result = await self._one(*found)
            finally:
                self._uploading -= 1
                self._freed.set()
            self._unread.append(result)
            self._changed.set()
            if cancellation.is_being_cancelled():
                raise asyncio.CancelledError

    def _ended(self, worker: asyncio.Task[None]) -> None:
        """A worker is over: at the end of the files, or before it, which ends the run with an error."""
        self._workers.discard(worker)
        if worker.cancelled():
            if not self._leaving:
                self._stop(RuntimeError(_STOPPED))
        elif (error := worker.exception()) is not None:
            self._stop(error)
        self._changed.set()

    async def _wait_for_room(self) -> None:
        """Wait until fewer than `limit` results are unread, or the run is over."""
        while len(self._unread) >= self._limit and not self._feed.over:
            self._drained.clear()
            await self._drained.wait()

    async def _may_begin(self) -> bool:
        """Wait until fewer than `limit` files are uploaded: it was lowered meanwhile. False when an error has ended the run."""
        while self._uploading >= self._limit and self._failure is None:
            self._freed.clear()
            await self._freed.wait()
        return self._failure is None

    async def _one(self, index: int, file: File | UploadItem) -> UploadResult:
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
        except Exception as raised:  # noqa: BLE001  # one bad file never ends the others
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
        """Return whether every file would meet this error: one that is fatal for its upload, or that of a closed client."""
        return self._transport.closed or (upload is not None and upload.is_fatal(error))
