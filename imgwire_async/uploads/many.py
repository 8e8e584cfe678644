"""Many uploads at once: workers that pull the next file as they become free, and results as each ends.

Nothing here grows with the number of files: at most `concurrency` are in work, and at most so many results wait unread
before the workers pause.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
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
from imgwire_async.models import Image, SupportedMimeType
from imgwire_async.uploads.flow import Flow
from imgwire_async.uploads.source import File

if TYPE_CHECKING:
    from typing import Self

T = TypeVar("T")
FileT = TypeVar("FileT")

# These would meet every file alike, so they end the run instead of being told a million times.
FATAL = (AuthenticationError, PaymentRequiredError, PermissionDeniedError, ConfigurationError)


@attrs.frozen
class UploadItem:
    """One file of `upload_many` with arguments of its own; what is None here comes from the call."""

    file: File
    file_name: str | None = attrs.field(default=None, kw_only=True)
    mime_type: SupportedMimeType | str | None = attrs.field(default=None, kw_only=True)
    content_length: int | None = attrs.field(default=None, kw_only=True)
    custom_metadata: Mapping[str, str | int | float | bool] | None = attrs.field(
        default=None, kw_only=True, hash=False
    )
    hash_sha256: str | bool | None = attrs.field(default=None, kw_only=True)
    idempotency_key: str | Literal[False] | None = attrs.field(default=None, kw_only=True)
    purpose: str | None = attrs.field(default=None, kw_only=True)
    upload_token: str | None = attrs.field(default=None, kw_only=True, repr=False)


@attrs.frozen(kw_only=True, eq=False)
class UploadResult:
    """What became of one file of `upload_many`.

    `index` is its position in `files`, `file` the thing as given. `image` is set on success, and beside `error` when a
    record exists. `attempts` counts PUTs, `bytes_sent` the bytes of all of them, `elapsed` is in seconds. `abandoned` are
    ids of records that were made for this file and then replaced.
    """

    index: int
    file: object
    image: Image | None = None
    error: Exception | None = None
    attempts: int = 0
    bytes_sent: int = 0
    elapsed: float = 0.0
    abandoned: tuple[str, ...] = ()

    def unwrap(self) -> Image:
        """Return the image, or raise what went wrong."""
        if self.error is not None:
            raise self.error
        assert self.image is not None
        return self.image


@attrs.define
class Trace:
    """The flow of one upload, for whoever has to tell of it after it failed."""

    flow: Flow | None = None


class Feed(Generic[FileT]):
    """The caller's files, one at a time, numbered. A generator of theirs may block, so it runs where `userland` says."""

    def __init__(self, files: Iterable[FileT] | AsyncIterable[FileT]) -> None:
        self._lock = asyncio.Lock()
        self._count = 0
        self._async: AsyncIterator[FileT] | None = None
        self._plain: Iterator[FileT] | None = None
        if isinstance(files, AsyncIterable):
            self._async = aiter(files)
        else:
            self._plain = _each(files)
        self._quick = isinstance(files, list | tuple | range | deque)  # nobody's code runs in these
        self.over: bool = False

    async def next(self) -> tuple[int, FileT] | None:
        """The next file and its position, or None at the end. What the caller's iterator raises passes unchanged."""
        async with self._lock:
            if self.over:
                return None
            try:
                found = await self._pull()
            except BaseException:
                self.over = True
                raise
            if found is None:
                self.over = True
                return None
            index, self._count = self._count, self._count + 1
            return index, found[0]

    async def _pull(self) -> tuple[FileT] | None:
        if self._async is not None:
            try:
                return (await anext(self._async),)
            except StopAsyncIteration:
                return None
        plain = self._plain
        assert plain is not None

        def step() -> tuple[FileT] | None:
            for file in plain:
                return (file,)
            return None

        return step() if self._quick else await userland.read(step)


def _each(files: Iterable[FileT]) -> Iterator[FileT]:
    yield from files  # even `iter(files)` may be somebody's code, so that is left to the first step


_ONE_FILE: tuple[type, ...] = (str, os.PathLike, bytes, bytearray, memoryview, Mapping, UploadItem)


def is_being_cancelled() -> bool:
    """Whether somebody cancels the running task; else a `CancelledError` comes out of what it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def require_many(files: object) -> None:
    """Raise `TypeError` for one file where many are due."""
    kind = type(files)
    single = issubclass(kind, _ONE_FILE) or hasattr(files, "read") or hasattr(files, "read_chunk")
    if single or not (hasattr(files, "__iter__") or hasattr(files, "__aiter__")):
        raise TypeError(
            f"files must be an iterable or async iterable of files, not one {kind.__name__}; use upload()"
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
        fatal: Callable[[Exception], bool],
    ) -> None:
        self._feed = Feed(files)
        self._upload = upload
        self._fatal = fatal
        self._concurrency = concurrency
        self._unread: deque[UploadResult] = deque()
        self._changed = asyncio.Condition()
        self._working = 0
        self._workers: list[asyncio.Task[None]] = []
        self._failure: BaseException | None = None  # what ends the run
        self._aborted = False
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
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> UploadResult:
        async with self._changed:
            while not self._unread and self._working and not self._aborted:
                await self._changed.wait()
            if self._unread and not self._aborted:
                self._changed.notify_all()
                return self._unread.popleft()
        if self._failure is not None:
            raise self._failure
        raise StopAsyncIteration

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop every upload and wait until it has given back what it held."""
        for worker in self._workers:
            worker.cancel()
        await userland.settled(self._workers)

    def _stop(self, error: BaseException) -> None:
        """End the run: no further file is begun, and `error` is raised once those under way are told."""
        self._feed.over = True
        if self._failure is None:
            self._failure = error

    async def _work(self) -> None:
        try:
            while await self._room():
                try:
                    found = await self._feed.next()
                except asyncio.CancelledError as error:
                    if is_being_cancelled():
                        raise
                    self._stop(
                        error
                    )  # not ours: the caller's iterator waited for something that was cancelled
                    return
                except Exception as error:  # noqa: BLE001  # the caller's own, raised to the caller
                    self._stop(error)
                    return
                if found is None:
                    return
                result = await self._one(*found)
                async with self._changed:
                    self._unread.append(result)
                    self._changed.notify_all()
        finally:
            self._working -= 1
            if not self._working:
                await self._tell()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _room(self) -> bool:
        """Wait until fewer than `concurrency` results are unread; False when the run is over."""
        if len(self._unread) >= self._concurrency:
            async with self._changed:
                while len(self._unread) >= self._concurrency and not self._feed.over:
                    await self._changed.wait()
        return not self._feed.over

    async def _one(self, index: int, file: FileT) -> UploadResult:
        began = time.monotonic()
        trace = Trace()
        image: Image | None = None
        error: Exception | None = None
        try:
            image = await self._upload(file, trace)
        except asyncio.CancelledError as cancelled:
            if is_being_cancelled():
                raise
            error = UploadError("the file's own source was cancelled while it was read; upload it again")
            error.__cause__ = cancelled
        except Exception as raised:  # noqa: BLE001  # one bad file never ends the others
            error = raised
            if raised is self._callback_error:
                self._aborted = True
            if self._aborted or self._fatal(raised):
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
