"""Every kind of object that can be uploaded, created from given bytes with the library that users would use.

A kind is an async context manager that yields the object. At its end it asserts that the file of the caller
is still open, and that its position is where reading ended.
"""

from __future__ import annotations

import asyncio
import functools
import io
import os
import random
import tempfile
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiofiles
import aiohttp
import anyio
import attrs
import fsspec
import obstore
from aiohttp import web
from obstore.store import LocalStore, MemoryStore
from starlette.datastructures import UploadFile

MIB = 2**20
# A chunk size that divides none of the sizes in the tests.
UNEVEN = 60_013


@functools.cache
def noise(size: int) -> bytes:
    """Return random bytes, the same ones for the same size."""
    return random.Random(size).randbytes(size)


def on_disk(data: bytes, folder: Path) -> Path:
    path = folder / f"picture-{len(data)}.bin"
    if not path.exists():
        path.write_bytes(data)
    return path


def chunks_of(data: bytes, size: int = UNEVEN) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def async_chunks_of(data: bytes, size: int = UNEVEN) -> AsyncGenerator[bytes, None]:
    for chunk in chunks_of(data, size):
        await asyncio.sleep(0)
        yield chunk


Kind = Callable[[bytes, Path], AbstractAsyncContextManager[Any]]


@asynccontextmanager
async def path(data: bytes, folder: Path) -> AsyncIterator[Any]:
    yield on_disk(data, folder)


@asynccontextmanager
async def bytes_object(data: bytes, folder: Path) -> AsyncIterator[Any]:
    yield data


@asynccontextmanager
async def wide_memoryview(data: bytes, folder: Path) -> AsyncIterator[Any]:
    """Every second byte of a buffer, so the view is not contiguous."""
    buffer = bytearray(2 * len(data))
    buffer[::2] = data
    yield memoryview(buffer)[::2]


def _file(mode: str, buffering: int) -> Kind:
    @asynccontextmanager
    async def opened(data: bytes, folder: Path) -> AsyncIterator[Any]:
        with on_disk(data, folder).open(mode, buffering=buffering) as file:
            yield file
            assert not file.closed
            assert file.tell() == len(data)

    return opened


@asynccontextmanager
async def file_at_an_offset(data: bytes, folder: Path) -> AsyncIterator[Any]:
    before = b"read by the caller already"
    path = folder / f"offset-{len(data)}"
    path.write_bytes(before + data)
    with path.open("rb") as file:
        file.read(len(before))
        yield file
        assert file.tell() == len(before) + len(data)


@asynccontextmanager
async def spooled_file(data: bytes, folder: Path) -> AsyncIterator[Any]:
    with tempfile.SpooledTemporaryFile(max_size=100) as file:
        file.write(data)
        file.seek(0)
        yield file
        assert file.tell() == len(data)


@asynccontextmanager
async def anyio_file(data: bytes, folder: Path) -> AsyncIterator[Any]:
    async with await anyio.open_file(on_disk(data, folder), "rb") as file:
        yield file
        assert await file.tell() == len(data)


@asynccontextmanager
async def aiofiles_file(data: bytes, folder: Path) -> AsyncIterator[Any]:
    async with aiofiles.open(on_disk(data, folder), "rb") as file:
        yield file
        assert await file.tell() == len(data)


def _upload_file(*, in_memory: bool) -> Kind:
    """An `UploadFile` as Starlette's form parser creates it: written in chunks, then set to its start."""

    @asynccontextmanager
    async def create(data: bytes, folder: Path) -> AsyncIterator[Any]:
        limit = 2 * len(data) + 1 if in_memory else 1
        with tempfile.SpooledTemporaryFile(max_size=limit) as inner:
            file = UploadFile(inner, size=0, filename="holiday.png")  # type: ignore[arg-type]  # as Starlette does
            for chunk in chunks_of(data):
                await file.write(chunk)
            await file.seek(0)
            assert file._in_memory is (in_memory or len(data) < 2)
            yield file
            assert not inner.closed
            assert inner.tell() == len(data)

    return create


@asynccontextmanager
async def http_server(handler: Callable[[web.BaseRequest], Any]) -> AsyncIterator[str]:
    """Run an aiohttp server with one handler, and yield its origin."""
    runner = web.ServerRunner(web.Server(handler, access_log=None))
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _request_body(*, multipart: bool) -> Kind:
    """The body of a request to a web application of aiohttp, as its handler receives it."""

    @asynccontextmanager
    async def received(data: bytes, folder: Path) -> AsyncIterator[Any]:
        arrived: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        done = asyncio.Event()

        async def handler(request: web.BaseRequest) -> web.Response:
            if multipart:
                form = await request.multipart()
                part = await form.next()
                arrived.set_result(part)
            else:
                arrived.set_result(request.content)
            await done.wait()
            return web.Response(text="thanks")

        async def post(origin: str) -> str:
            body: Any = io.BytesIO(data)
            if multipart:
                body = aiohttp.FormData()
                body.add_field("picture", io.BytesIO(data), filename="holiday.png", content_type="image/png")
            async with aiohttp.ClientSession() as session, session.post(origin, data=body) as response:
                return await response.text()

        async with http_server(handler) as origin:
            browser = asyncio.ensure_future(post(origin))
            browser.add_done_callback(lambda _: arrived.done() or arrived.cancel())
            try:
                source = await arrived
                yield source
                assert source.at_eof()
            finally:
                done.set()
                assert await browser == "thanks"

    return received


@asynccontextmanager
async def generator(data: bytes, folder: Path) -> AsyncIterator[Any]:
    yield chunks_of(data)


@asynccontextmanager
async def async_generator(data: bytes, folder: Path) -> AsyncIterator[Any]:
    yield async_chunks_of(data)


@asynccontextmanager
async def big_chunks(data: bytes, folder: Path) -> AsyncIterator[Any]:
    yield chunks_of(data, 2 * MIB)


@asynccontextmanager
async def list_of_bytes(data: bytes, folder: Path) -> AsyncIterator[Any]:
    yield [b"", *chunks_of(data), b"", b""]


@asynccontextmanager
async def one_buffer(data: bytes, folder: Path) -> AsyncIterator[Any]:
    """A generator that yields the same buffer for every chunk."""

    def chunks() -> Iterator[bytearray]:
        buffer = bytearray(UNEVEN)
        for chunk in chunks_of(data):
            buffer[:] = chunk
            yield buffer

    yield chunks()


@asynccontextmanager
async def one_async_buffer(data: bytes, folder: Path) -> AsyncIterator[Any]:
    async def chunks() -> AsyncIterator[memoryview]:
        buffer = bytearray(UNEVEN)
        for chunk in chunks_of(data):
            buffer[: len(chunk)] = chunk
            yield memoryview(buffer)[: len(chunk)]

    yield chunks()


@attrs.define
class ExampleSource:
    """An `UploadSource` that counts how often it was opened and closed."""

    data: bytes
    name: str | None = "row-7.png"
    size: int | None = None
    replayable: bool = True
    opened: int = 0
    closed: int = 0
    before_chunk: Callable[[], Any] | None = None

    async def open(self) -> AsyncGenerator[bytes, None]:
        self.opened += 1
        buffer = bytearray(UNEVEN)
        try:
            for chunk in chunks_of(self.data):
                buffer[:] = chunk
                if self.before_chunk is not None:
                    await self.before_chunk()
                yield buffer  # type: ignore[misc]  # a bytes-like object is accepted, too
        finally:
            self.closed += 1


def _example_source(*, sized: bool, replayable: bool) -> Kind:
    @asynccontextmanager
    async def create(data: bytes, folder: Path) -> AsyncIterator[Any]:
        source = ExampleSource(data, size=len(data) if sized else None, replayable=replayable)
        yield source
        assert source.opened == source.closed
        assert replayable or source.opened == 1

    return create


@asynccontextmanager
async def fsspec_file(data: bytes, folder: Path) -> AsyncIterator[Any]:
    with fsspec.open(str(on_disk(data, folder)), "rb") as file:
        yield file
        assert file.tell() == len(data)


@asynccontextmanager
async def fsspec_unzipped(data: bytes, folder: Path) -> AsyncIterator[Any]:
    """A compressed file, whose size is known only after reading."""
    compressed = str(folder / f"compressed-{len(data)}.gz")
    with fsspec.open(compressed, "wb", compression="gzip") as file:
        file.write(data)
    with fsspec.open(compressed, "rb", compression="gzip") as file:
        yield file
        assert file.tell() == len(data)


@asynccontextmanager
async def fsspec_memory_file(data: bytes, folder: Path) -> AsyncIterator[Any]:
    files = fsspec.filesystem("memory")
    files.pipe("/bucket/holiday.png", data)
    with files.open("/bucket/holiday.png", "rb") as file:
        yield file
        assert file.tell() == len(data)
    files.rm("/bucket", recursive=True)


@asynccontextmanager
async def obstore_reader(data: bytes, folder: Path) -> AsyncIterator[Any]:
    store = MemoryStore()
    obstore.put(store, "holiday.png", data)
    file = obstore.open_reader(store, "holiday.png")
    yield file
    assert file.tell() == len(data)


@asynccontextmanager
async def obstore_local_reader(data: bytes, folder: Path) -> AsyncIterator[Any]:
    file_path = on_disk(data, folder)
    file = obstore.open_reader(LocalStore(file_path.parent), file_path.name)
    yield file
    assert file.tell() == len(data)


@contextmanager
def writing_thread(write: Callable[[], Any]) -> Iterator[None]:
    """Run `write` in a thread while the block runs, and wait for its end."""
    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        thread.join(10)
        assert not thread.is_alive()


def _pipe(buffering: int) -> Kind:
    @asynccontextmanager
    async def create(data: bytes, folder: Path) -> AsyncIterator[Any]:
        reading, writing = os.pipe()

        def write() -> None:
            with os.fdopen(writing, "wb", buffering=0) as end:
                end.writelines(chunks_of(data))

        with os.fdopen(reading, "rb", buffering=buffering) as file, writing_thread(write):
            yield file
            assert not file.closed
            assert file.read(1) == b""

    return create


@asynccontextmanager
async def fifo(data: bytes, folder: Path) -> AsyncIterator[Any]:
    path = folder / f"fifo-{len(data)}"
    os.mkfifo(path)

    def write() -> None:
        with path.open("wb", buffering=0) as end:
            end.writelines(chunks_of(data))

    with writing_thread(write):
        yield path
    path.unlink()


@asynccontextmanager
async def asyncio_reader(data: bytes, folder: Path) -> AsyncIterator[Any]:
    reader = asyncio.StreamReader(limit=len(data) + 1)
    reader.feed_data(data)
    reader.feed_eof()
    yield reader
    assert reader.at_eof()


# Kinds whose size is known before they are read.
KNOWN: dict[str, Kind] = {
    "path": path,
    "bytes": bytes_object,
    "wide memoryview": wide_memoryview,
    "open file": _file("rb", -1),
    "unbuffered file": _file("rb", 0),
    "file open for update": _file("r+b", -1),
    "file at an offset": file_at_an_offset,
    "SpooledTemporaryFile": spooled_file,
    "anyio": anyio_file,
    "aiofiles": aiofiles_file,
    "UploadFile in memory": _upload_file(in_memory=True),
    "UploadFile on disk": _upload_file(in_memory=False),
    "fsspec file": fsspec_file,
    "fsspec gzip": fsspec_unzipped,
    "fsspec memory file": fsspec_memory_file,
    "obstore reader": obstore_reader,
    "obstore local reader": obstore_local_reader,
    "own source": _example_source(sized=True, replayable=True),
    "own source, once": _example_source(sized=True, replayable=False),
}

# Kinds whose size is known only after they were read.
UNKNOWN: dict[str, Kind] = {
    "request.content": _request_body(multipart=False),
    "body part": _request_body(multipart=True),
    "asyncio reader": asyncio_reader,
    "generator": generator,
    "async generator": async_generator,
    "big chunks": big_chunks,
    "list": list_of_bytes,
    "one buffer": one_buffer,
    "one async buffer": one_async_buffer,
    "own source of unknown size": _example_source(sized=False, replayable=True),
    "own source of unknown size, once": _example_source(sized=False, replayable=False),
    "pipe": _pipe(-1),
    "raw pipe": _pipe(0),
    "FIFO": fifo,
}
