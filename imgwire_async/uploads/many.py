"""Many uploads at once: workers that pull the next file as they become free, and results as each ends.

Nothing here grows with the number of files: at most `concurrency` are in work, and at most so many results wait unread
before the workers pause.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import time
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import attrs

from imgwire_async import userland
from imgwire_async.errors import (
    AuthenticationError,
    ConfigurationError,
    ImgwireError,
    PaymentRequiredError,
    PermissionDeniedError,
    UploadError,
)
from imgwire_async.formatting import short_repr
from imgwire_async.models import Image, SupportedMimeType
from imgwire_async.results import UploadResult
from imgwire_async.uploads.feed import Feed
from imgwire_async.uploads.flow import Flow
from imgwire_async.uploads.kinds import is_numbers
from imgwire_async.uploads.source import File

if TYPE_CHECKING:
    from typing import Self

T = TypeVar("T")
FileT = TypeVar("FileT")

# These would meet every file alike, so they end the run instead of being told a million times.
FATAL = (AuthenticationError, PaymentRequiredError, PermissionDeniedError, ConfigurationError)


_STOPPED = (
    "upload_many ended early: other code cancelled its tasks, as a shutdown does that cancels asyncio.all_tasks(). "
    "The results up to here are complete; upload the other files again"
)
_CANCELLED = "other code cancelled the upload, so the file may be stored or not; upload it again"


@attrs.frozen
class UploadItem:
    """One file of `upload_many` with arguments of its own; what is None here comes from the call."""

    file: File = attrs.field(repr=short_repr)
    file_name: str | None = attrs.field(default=None, kw_only=True, repr=short_repr)
    mime_type: SupportedMimeType | str | None = attrs.field(default=None, kw_only=True)
    content_length: int | None = attrs.field(default=None, kw_only=True)
    custom_metadata: Mapping[str, str | int | float | bool] | None = attrs.field(
        default=None, kw_only=True, hash=False, repr=short_repr
    )
    hash_sha256: str | bool | None = attrs.field(default=None, kw_only=True)
    idempotency_key: str | Literal[False] | None = attrs.field(default=None, kw_only=True)
    purpose: str | None = attrs.field(default=None, kw_only=True)
    upload_token: str | Callable[[], str | Awaitable[str]] | None = attrs.field(
        default=None, kw_only=True, repr=False
    )


@attrs.define
class Trace:
    """The flow of one upload, for whoever has to tell of it after it failed."""

    flow: Flow | None = None

    @property
    def file_name(self) -> str | None:
        """What the upload calls the file, None while that is not known."""
        return None if self.flow is None else self.flow.file_name


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


def require_many(files: object) -> None:
    """Raise `TypeError` for one file where many are due."""
    kind: type = type(files)
    single = (
        issubclass(kind, _ONE_FILE)
        or hasattr(kind, "read")  # first: a file that opens itself when it is asked stays closed
        or hasattr(files, "read")
        or hasattr(files, "read_chunk")
        or is_numbers(files)
    )
    if (
        single
        or hasattr(kind, "__await__")
        or not (hasattr(files, "__iter__") or hasattr(files, "__aiter__"))
    ):
        raise TypeError(
            f"files must be an iterable or async iterable of files, not one {kind.__name__}; {_instead(files)}"
        )
    if hasattr(files, "__aiter__") and userland.in_caller.get() is not None:
        raise TypeError(
            f"files must be a plain iterable here; an async one ({kind.__name__}) is for AsyncImgwireClient"
        )


class Run(AbstractAsyncContextManager["Run[Any]"], Generic[FileT]):
    """One `upload_many` under way: `async with` gives each result as its file ends, to one consumer, and ends the workers.

    At last, what ended the run early is raised. No generator: one within another would be closed by two at once when the loop
    ends.
    """

    def __init__(
        self,
        files: Iterable[FileT] | AsyncIterable[FileT],
        upload: Callable[[FileT, Trace], Awaitable[Image]],
        *,
        concurrency: int,
        fatal: Callable[[Exception, Trace], bool],
    ) -> None:
        self._feed = Feed(files)
        self._upload = upload
        self._fatal = fatal
        self._concurrency = concurrency
        self._unread: deque[UploadResult] = deque()
        self._told = asyncio.Event()  # something to read, or the end
        self._read = asyncio.Event()  # room for a result, or the end
        self._working = 0
        self._workers: list[asyncio.Task[None]] = []
        self._failure: BaseException | None = None  # what ends the run
        self._aborted = False
        self._leaving = False
        self._callback_error: Exception | None = None

    def guarded(self, callback: Callable[[T], object] | None) -> Callable[[T], object] | None:
        """`callback`, whose error ends the run as it is. It may be called in another thread."""
        if callback is None:
            return None

        def told(value: T) -> None:
            try:
                callback(value)
            except Exception as error:
                self._callback_error = error
                raise

        return told

    async def __aenter__(self) -> Self:
        self._working = self._concurrency
        self._workers = [asyncio.ensure_future(self._work()) for _ in range(self._concurrency)]
        for worker in self._workers:
            worker.add_done_callback(self._ended)
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> UploadResult:
        while not self._unread and self._working and not self._aborted:
            self._told.clear()
            await self._told.wait()
        if self._unread and not self._aborted:
            self._read.set()
            return self._unread.popleft()
        if self._failure is not None:
            raise self._failure
        raise StopAsyncIteration

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop every upload and wait until it has given back what it held."""
        self._leaving = True
        for worker in self._workers:
            worker.cancel()
        try:
            await userland.settled(self._workers)
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
        self._read.set()

    async def _work(self) -> None:
        while not self._feed.over:
            if len(self._unread) >= self._concurrency:
                await self._room()
                continue
            try:
                found = await self._feed.next()
            except asyncio.CancelledError as error:
                if userland.is_being_cancelled():
                    raise
                self._stop(error)  # not ours: the caller's iterator waited for something that was cancelled
                return
            except Exception as error:  # noqa: BLE001  # the caller's own, raised to the caller
                self._stop(error)
                return
            if found is None:
                return
            self._unread.append(await self._one(*found))
            self._told.set()
            if userland.is_being_cancelled():
                raise asyncio.CancelledError

    def _ended(self, worker: asyncio.Task[None]) -> None:
        """A worker is over: at the end of the files, or before it, which ends the run with an error."""
        self._working -= 1
        if worker.cancelled():
            if not self._leaving:
                self._stop(RuntimeError(_STOPPED))
        elif (error := worker.exception()) is not None:
            self._stop(error)
        self._told.set()

    async def _room(self) -> None:
        """Wait until fewer than `concurrency` results are unread, or the run is over."""
        while len(self._unread) >= self._concurrency and not self._feed.over:
            self._read.clear()
            await self._read.wait()

    async def _one(self, index: int, file: FileT) -> UploadResult:
        began = time.monotonic()
        trace = Trace()
        image: Image | None = None
        error: Exception | None = None
        try:
            image = await self._upload(file, trace)
        except asyncio.CancelledError as cancelled:
            ours = userland.is_being_cancelled()
            error = UploadError(
                _CANCELLED
                if ours
                else "the file's own source was cancelled while it was read; upload it again",
                file_name=trace.file_name,
            )
            error.__cause__ = cancelled
        except Exception as raised:  # noqa: BLE001  # one bad file never ends the others
            error = raised
            if raised is self._callback_error:
                self._aborted = True
            if self._aborted or self._fatal(raised, trace):
                self._stop(raised)
        flow = trace.flow
        if error is not None:
            known = error.image if isinstance(error, ImgwireError) else None
            image = known if known is not None else (flow.image if flow is not None else None)
        return UploadResult(
            index=index,
            file=file.file if isinstance(file, UploadItem) else file,
            image=image,
            error=error,
            attempts=flow.puts if flow is not None else 0,
            bytes_sent=flow.bytes_sent if flow is not None else 0,
            elapsed=time.monotonic() - began,
            abandoned=tuple(flow.abandoned) if flow is not None else (),
        )
