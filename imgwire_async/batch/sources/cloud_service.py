"""Use one file system during a run, with retries and a limit for the time without progress."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import TypeVar

import attrs

from imgwire_async.batch.sources.cloud_access import Access, Page
from imgwire_async.batch.sources.cloud_errors import (
    Meaning,
    ObjectChangedError,
    OtherServerError,
    RedirectedError,
    meaning_of,
)
from imgwire_async.batch.sources.cloud_info import Found
from imgwire_async.batch.sources.cloud_open import open_access
from imgwire_async.batch.sources.cloud_url import name_of_url, safe_text, secrets_of
from imgwire_async.batch_errors import BatchError
from imgwire_async.errors import SourceChangedError

T = TypeVar("T")

# Seconds before the first retry. The delay doubles with each failure, up to the longest.
_FIRST_DELAY, _LONGEST_DELAY = 0.2, 10.0
# The limit for retries if there is no limit for the time without progress.
_DEFAULT_STALL = 60.0
# Opening a file system imports packages, and botocore loads many files. That takes seconds on a busy machine,
# and is no stall of the service.
_SHORTEST_OPENING = 30.0
# A file gives up before the upload does, because the error of the file system says more.
_FILE_SHARE = 0.75
_CHANGED = "it changed after it was listed; run again once nothing writes to it"


@attrs.define
class _Attempts:
    """The time without progress, and the delay before the next attempt."""

    limit: float | None
    started_at: float
    failures: int = 0

    def start(self, now: float) -> None:
        """Note that there is progress."""
        self.started_at, self.failures = now, 0

    def left(self, now: float) -> float | None:
        """Return the seconds that are left, None without a limit."""
        return None if self.limit is None else max(0.0, self.started_at + self.limit - now)

    def delay(self, now: float) -> float | None:
        """Return the delay before the next attempt, None if no time is left for one."""
        delay = min(_LONGEST_DELAY, _FIRST_DELAY * 2**self.failures) * random.uniform(0.75, 1)
        self.failures += 1
        limit = _DEFAULT_STALL if self.limit is None else self.limit
        return delay if now + delay < self.started_at + limit else None


class CloudService:
    """The file system of one URL for one run. It belongs to the event loop of its first call.

    `stall` is the longest time without progress in seconds, None without a limit. After `aclose`, the files
    of the run can no longer be read.
    """

    def __init__(self, url: str, options: Mapping[str, object], stall: float | None) -> None:
        self.name: str = name_of_url(url)
        self._url = url
        self._options = options
        self._stall = stall
        self._secrets = secrets_of(url, options)
        self._access: Access | None = None
        self._is_closed = False

    async def open(self) -> Access:
        """Open the file system. Raises `BatchError` if that is not possible, or the run has ended."""
        if self._access is None:
            self._require_open()
            limit = None if self._stall is None else max(self._stall, _SHORTEST_OPENING)
            access = await self._retry(lambda: open_access(self._url, self._options), "opening", limit)
            if self._is_closed:
                await access.aclose()
            self._require_open()
            self._access = access
        return self._access

    def _require_open(self) -> None:
        if self._is_closed:
            raise BatchError(f"the run over {self.name} has ended, so its files can no longer be read")

    async def page(self, folder: str, position: object) -> Page:
        """Return a page of a listing.

        Raises `FileNotFoundError` or `PermissionError` for this folder, and `BatchError` if the file system
        does not respond in time.
        """
        access = await self.open()
        return await self._retry(lambda: access.page(folder, position), "listing", self._stall)

    async def info(self, path: str) -> Found:
        """Return what the file system knows about a file. Raises the errors of `page`."""
        access = await self.open()
        return await self._retry(lambda: access.info(path), "listing", self._stall)

    def label(self, below: str) -> str:
        """Return the name of a file for messages."""
        return f"{self.name.rstrip('/')}/{below}"

    async def aclose(self) -> None:
        """Close the file system. Idempotent."""
        self._is_closed = True
        access, self._access = self._access, None
        if access is not None:
            # The package of the protocol may fail to close. The run must not fail with it.
            with contextlib.suppress(Exception):
                await access.aclose()

    async def _retry(self, attempt: Callable[[], Awaitable[T]], what: str, limit: float | None) -> T:
        """Return the result of an attempt, and repeat it while its error is transient.

        Raises `FileNotFoundError` and `PermissionError` for the file system's own ones.
        """
        now = asyncio.get_running_loop().time
        attempts = _Attempts(limit, now())
        while True:
            try:
                async with asyncio.timeout(attempts.left(now())):
                    return await attempt()
            except ImportError:
                raise
            except Exception as error:  # noqa: BLE001  # each protocol has errors of its own
                meaning = meaning_of(error)
                delay = attempts.delay(now()) if meaning is Meaning.TRANSIENT else None
                if delay is None:
                    failure = self._failure(what, error, meaning, now() - attempts.started_at)
                    break
            await asyncio.sleep(delay)
        # Outside of the `except` block, so that a traceback does not show the original error and its secrets.
        raise failure

    def _failure(self, what: str, error: Exception, meaning: Meaning, elapsed: float) -> Exception:
        text = safe_text(error, self._secrets)
        if meaning is Meaning.GONE:
            return FileNotFoundError(errno.ENOENT, f"There is no such folder or bucket ({text})", self.name)
        if meaning is Meaning.FORBIDDEN:
            return PermissionError(
                errno.EACCES, f"No permission: check storage_options and credentials ({text})", self.name
            )
        if meaning is Meaning.TRANSIENT:
            return BatchError(
                f"{what} {self.name} made no progress for {elapsed:.0f} s. The last error was {text}. Check that the "
                "service is reachable, or allow it more time with Timeouts(stall=...), and run again: the run continues."
            )
        kind = RedirectedError if isinstance(error, OtherServerError) else BatchError
        return kind(
            f"{what} {self.name} failed: {text}. Check url and storage_options, and run again: the run continues."
        )

    # --- files ----------------------------------------------------------------------------------------------

    async def chunks(self, found: Found, below: str) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a file from its start.

        A connection that breaks is replaced, and the rest of the same file is read. Raises `OSError` or
        `SourceChangedError`, without secrets.
        """
        now = asyncio.get_running_loop().time
        limit = None if self._stall is None else self._stall * _FILE_SHARE
        attempts, offset = _Attempts(limit, now()), 0
        while True:
            try:
                async with contextlib.aclosing(self._rest(found, offset, attempts)) as chunks:
                    async for chunk in chunks:
                        offset += len(chunk)
                        yield chunk
                        # The time that the receiver takes is not that of the file system.
                        attempts.start(now())
                return
            except Exception as error:  # noqa: BLE001  # each protocol has errors of its own
                meaning = meaning_of(error)
                delay = attempts.delay(now()) if meaning is Meaning.TRANSIENT else None
                if delay is None:
                    failure = self._file_failure(error, meaning, below)
                    break
            await asyncio.sleep(delay)
        raise failure

    async def _rest(self, found: Found, offset: int, attempts: _Attempts) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a file from `offset` on, and check that it is the one of the listing."""
        size = found.size
        assert size is not None
        access = await self.open()
        async with contextlib.aclosing(access.read(found, offset)) as stream:
            while offset < size:
                async with asyncio.timeout(attempts.left(asyncio.get_running_loop().time())):
                    chunk = await anext(stream, b"")
                    offset += len(chunk)
                    # Before the last byte is passed on, so that the service never gets a complete wrong file.
                    if (offset >= size or not chunk) and not await self._is_same(access, found):
                        raise ObjectChangedError
                if offset > size:
                    raise ObjectChangedError
                if not chunk:
                    raise EOFError(f"it ended after {offset:,} of {size:,} bytes")
                yield chunk

    @staticmethod
    async def _is_same(access: Access, found: Found) -> bool:
        return not access.may_check or (await access.info(found.path)).identity == found.identity

    def _file_failure(self, error: Exception, meaning: Meaning, below: str) -> Exception:
        label = self.label(below)
        if meaning is Meaning.CHANGED:
            return SourceChangedError(f"{label}: {_CHANGED}", file_name=below.rpartition("/")[2])
        if meaning is Meaning.GONE:
            return FileNotFoundError(errno.ENOENT, "It was deleted after it was listed", label)
        text = safe_text(error, self._secrets)
        if meaning is Meaning.FORBIDDEN:
            return PermissionError(errno.EACCES, f"No permission to read it ({text})", label)
        return OSError(errno.EIO, f"It cannot be read: {text}", label)
