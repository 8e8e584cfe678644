"""Read a file system of fsspec: its listings, page by page, and its files, in chunks.

A file system that is written for asyncio runs on the event loop of the run. Any other one runs in threads of
its own, so that one that hangs does not hold up the disk.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import functools
import importlib
import inspect
import threading
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar, cast

import attrs

from imgwire_async.batch.sources.cloud_errors import ObjectChangedError
from imgwire_async.batch.sources.cloud_info import Found, found_of
from imgwire_async.batch.sources.cloud_page import read_links
from imgwire_async.threads import ThreadPool
from imgwire_async.uploads.disk import CHUNK_SIZE
from imgwire_async.uploads.sdk_source import read_in_threads
from imgwire_async.user_code import finish_on_cancel

T = TypeVar("T")

# The number of bytes that one request reads if a file system has no streams.
BLOCK = 1024 * 1024
# The maximum number of threads of one file system.
_THREADS = 16
# File systems that several threads may use at the same time. Only one thread uses any other one, because an
# FTP connection, for example, transfers one file at a time.
_THREAD_SAFE = frozenset(
    {
        "arrow_hdfs",
        "file",
        "github",
        "hdfs",
        "hf",
        "local",
        "memory",
        "sftp",
        "smb",
        "ssh",
        "webhdfs",
        "zip",
    }
)
# File systems whose `info` lists the whole folder of a file.
_SLOW_INFO = frozenset({"ftp"})


@attrs.frozen
class Page:
    """A part of a listing. `next` is passed to read the next part, None after the last one.

    `entries` are in a list that may be long, so they are decoded one after the other.
    """

    entries: Sequence[Mapping[str, object]]
    next: object = None


class Access(abc.ABC):
    """A file system for one run. It belongs to one event loop.

    Args:
        file_system: The file system.
        root: The path of the source in it, without `/` at its end.
        protocol: The protocol, in lower case.
    """

    # Whether a listing has the files of all folders below it.
    is_recursive: bool = False

    def __init__(self, file_system: Any, root: str, protocol: str) -> None:
        self._fs = file_system
        self.root: str = root
        self.protocol: str = protocol

    @property
    def is_http(self) -> bool:
        """Whether the listings are web pages."""
        return self.protocol in {"http", "https"}

    @property
    def needs_entries(self) -> bool:
        """Whether a listing without entries means that there is no such folder."""
        return self.is_http or (self.is_recursive and "/" in self.root)

    async def connect(self) -> None:  # noqa: B027  # most file systems connect with their first request
        """Load what the first request needs."""

    @abc.abstractmethod
    async def page(self, folder: str, position: object) -> Page:
        """Return the page of the listing of a folder at a position, which is None at the beginning."""

    @abc.abstractmethod
    async def info(self, path: str) -> Found:
        """Return what the file system knows about a file."""

    @abc.abstractmethod
    def read(self, found: Found, offset: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a file from `offset` on.

        Raises the error of the file system, also in the middle of the file.
        """

    @property
    def may_check(self) -> bool:
        """Whether `info` after the last byte shows that the file did not change while it was read."""
        return self.protocol not in _SLOW_INFO

    @abc.abstractmethod
    async def aclose(self) -> None:
        """Close all connections. Idempotent."""


class AsyncAccess(Access):
    """A file system that is written for asyncio."""

    async def page(self, folder: str, position: object) -> Page:
        """Return the whole listing of a folder, because fsspec has no pages."""
        return Page(await self._fs._ls(folder, detail=True))  # noqa: SLF001  # fsspec's interface for asyncio

    async def info(self, path: str) -> Found:
        """Return what the file system knows about a file."""
        return found_of(await self._fs._info(path))  # noqa: SLF001  # fsspec's interface for asyncio

    async def read(self, found: Found, offset: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a file, with a request for each block."""
        size = found.size
        while size is None or offset < size:
            end = offset + BLOCK if size is None else min(offset + BLOCK, size)
            data: bytes = await self._fs._cat_file(found.path, start=offset, end=end)  # noqa: SLF001
            if not data:
                return
            offset += len(data)
            yield data

    async def aclose(self) -> None:
        """Close the session of the file system, whose name differs between protocols."""
        for name in ("_session", "service_client"):
            close = getattr(getattr(self._fs, name, None), "close", None)
            if close is not None:
                closed = close()
                if inspect.isawaitable(closed):
                    await closed


class HttpAccess(AsyncAccess):
    """Web pages with links. Servers need not support requests for a part of a file, so files are streamed."""

    async def page(self, folder: str, position: object) -> Page:
        """Return the links of a web page."""
        # Without the `/`, many servers redirect to the same address with it.
        links = await read_links(self._fs, f"{folder.rstrip('/')}/")
        links = links or await read_links(self._fs, folder.rstrip("/"))
        return Page([{"name": link, "type": "directory" if link.endswith("/") else "file"} for link in links])

    async def info(self, path: str) -> Found:
        """Return what the server says about a file. Raises the error of the request."""
        try:
            return await super().info(path)
        except FileNotFoundError as error:
            # fsspec hides every error behind this one.
            if isinstance(error.__cause__, Exception):
                raise error.__cause__ from None
            raise

    async def read(self, found: Found, offset: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of a file from the response to one request.

        `open_async` of fsspec would lose the headers of `storage_options`, and ignore the status.
        """
        session: Any = await self._fs.set_session()
        options: dict[str, Any] = dict(self._fs.kwargs)
        # A compressed response would have another size.
        options["headers"] = {**options.get("headers", {}), "Accept-Encoding": "identity"}
        async with session.get(self._fs.encode_url(found.path), **options) as response:
            response.raise_for_status()
            etag = response.headers.get("ETag")
            if None not in (etag, found.etag) and etag != found.etag:
                raise ObjectChangedError
            while chunk := await response.content.read(CHUNK_SIZE):
                rest = chunk[offset:]
                offset = max(0, offset - len(chunk))
                if rest:
                    yield rest


class S3Access(AsyncAccess):
    """An S3 bucket through s3fs. All keys below a prefix are listed, 1,000 with each request.

    Requests contain the keys as the listing shows them, because s3fs changes keys with `//` or `?` in paths.
    """

    is_recursive: bool = True

    @property
    def may_check(self) -> bool:
        """False: the requests for a changed object fail."""
        return False

    async def page(self, folder: str, position: object) -> Page:
        """Return the next keys below a prefix."""
        bucket, _, prefix = folder.partition("/")
        more = {} if position is None else {"ContinuationToken": position}
        result = await self._call(
            "list_objects_v2", Bucket=bucket, Prefix=f"{prefix}/" if prefix else "", **more
        )
        entries = [
            {
                "name": f"{bucket}/{content['Key']}",
                "size": content.get("Size"),
                "ETag": content.get("ETag"),
                "LastModified": content.get("LastModified"),
                "StorageClass": content.get("StorageClass"),
            }
            for content in result.get("Contents", ())
        ]
        return Page(entries, result.get("NextContinuationToken") if result.get("IsTruncated") else None)

    async def read(self, found: Found, offset: int) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of an object. Raises `ObjectChangedError` if it is not the one of the listing."""
        bucket, _, key = found.path.partition("/")
        conditions = {} if found.etag is None else {"IfMatch": found.etag}
        if offset:
            conditions["Range"] = f"bytes={offset}-"
        response = await self._call("get_object", Bucket=bucket, Key=key, **conditions)
        body = response["Body"]
        try:
            # Some stores ignore the condition.
            if found.etag is not None and response.get("ETag") not in {None, found.etag}:
                raise ObjectChangedError
            while chunk := await body.read(CHUNK_SIZE):
                yield chunk
        finally:
            body.close()

    async def connect(self) -> None:
        """Create the client of botocore, which loads many files."""
        await self._fs.set_session()
        # The parser of botocore needs most of the time of a listing, and blocks the event loop meanwhile.
        with contextlib.suppress(Exception):
            factory = self._fs.session.get_component("response_parser_factory")
            factory.set_parser_defaults(timestamp_parser=parse_time)

    async def _call(self, method: str, **arguments: object) -> Any:
        # Older versions do not add the option for buckets whose readers pay.
        payer: dict[str, object] = getattr(self._fs, "req_kw", {})
        return await self._fs._call_s3(method, **payer, **arguments)  # noqa: SLF001  # s3fs has no public method

    async def aclose(self) -> None:
        """Close the client of aiobotocore."""
        creator = getattr(self._fs, "_s3creator", None)
        if creator is not None:
            self._fs._s3creator = None  # noqa: SLF001  # a second call must not close it again
            await creator.__aexit__(None, None, None)


def parse_time(value: object) -> object:
    """Return the time that a response of S3 contains, as the slower parser of botocore does."""
    if isinstance(value, str) and value.endswith("Z"):
        with contextlib.suppress(ValueError):
            return datetime.fromisoformat(value)
    utils: Any = importlib.import_module("botocore.utils")
    return utils.parse_timestamp(value)


class ThreadAccess(Access):
    """A file system that blocks. Its calls run in threads of a pool of its own."""

    def __init__(self, file_system: Any, root: str, protocol: str) -> None:
        super().__init__(file_system, root, protocol)
        self._pool = ThreadPool(_THREADS)
        is_safe = protocol in _THREAD_SAFE or getattr(file_system, "async_impl", False)
        # A thread that hangs keeps the lock, so that no other thread disturbs its transfer.
        self._lock: threading.Lock | None = None if is_safe else threading.Lock()

    async def page(self, folder: str, position: object) -> Page:
        """Return the whole listing of a folder."""
        entries = await self._run(functools.partial(self._fs.ls, folder, detail=True))
        return Page(cast("Sequence[Mapping[str, object]]", entries))

    async def info(self, path: str) -> Found:
        """Return what the file system knows about a file."""
        return found_of(await self._run(functools.partial(self._fs.info, path)))

    def read(self, found: Found, offset: int) -> AsyncGenerator[bytes, None]:
        """Return the bytes of a file, which one thread after the other reads."""
        return read_in_threads(functools.partial(self._open, found.path, offset), self._submit)

    def _open(self, path: str, offset: int) -> Any:
        file = self._fs.open(path, "rb", block_size=BLOCK)
        try:
            if offset:
                file.seek(offset)
        except BaseException:
            with contextlib.suppress(Exception):
                file.close()
            raise
        return file

    async def _run(self, function: Callable[[], T]) -> T:
        return await finish_on_cancel(self._submit(function))

    def _submit(
        self, function: Callable[[], T], dispose: Callable[[T], object] | None = None
    ) -> asyncio.Future[T]:
        lock = self._lock
        if lock is None:
            return self._pool.submit(function, dispose)

        def locked() -> T:
            with lock:
                return function()

        return self._pool.submit(locked, dispose)

    async def aclose(self) -> None:
        """Do nothing: file systems that block have no method for this."""
