"""Everything that can be uploaded, each kind made of the same bytes with the library that its users would take.

A kind is an async context manager: it gives the file, and at its end holds that what its caller opened is still open and
stands where reading ended.
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
UNEVEN = 60_013  # a size of pieces that fits nothing


@functools.cache
def noise(size: int) -> bytes:
    """The same bytes for the same size, alike nowhere."""
    return random.Random(size).randbytes(size)


def on_disk(data: bytes, folder: Path) -> Path:
    path = folder / f"picture-{len(data)}.bin"
    if not path.exists():
        path.write_bytes(data)
    return path


def pieces_of(data: bytes, size: int = UNEVEN) -> Iterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def apieces_of(data: bytes, size: int = UNEVEN) -> AsyncGenerator[bytes, None]:
    for piece in pieces_of(data, size):
        await asyncio.sleep(0)
        yield piece


Kind = Callable[[bytes, Path], AbstractAsyncContextManager[Any]]


@asynccontextmanager
async def path(data: bytes, folder: Path) -> AsyncIterator[Any]:
    yield on_disk(data, folder)


@asynccontextmanager
async def data_itself(data: bytes, folder: Path) -> AsyncIterator[Any]:
    yield data


@asynccontextmanager
async def wide_memoryview(data: bytes, folder: Path) -> AsyncIterator[Any]:
    """Every second byte of a buffer: not contiguous."""
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
    """As Starlette's form parser makes it: written piece by piece, then set to its start."""

    @asynccontextmanager
    async def made(data: bytes, folder: Path) -> AsyncIterator[Any]:
        limit = 2 * len(data) + 1 if in_memory else 1
        with tempfile.SpooledTemporaryFile(max_size=limit) as inner:
            file = UploadFile(inner, size=0, filename="holiday.png")  # type: ignore[arg-type]  # as Starlette does
            for piece in pieces_of(data):
                await file.write(piece)
            await file.seek(0)
            assert file._in_memory is (in_memory or len(data) < 2)
            yield file
            assert not inner.closed
            assert inner.tell() == len(data)

    return made


@asynccontextmanager
async def serving(handler: Callable[[web.BaseRequest], Any]) -> AsyncIterator[str]:
    """A real aiohttp server with one handler, and its origin."""
    runner = web.ServerRunner(web.Server(handler, access_log=None))
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def _request_body(*, multipart: bool) -> Kind:
    """The body of a request to somebody's web application, in the hands of its handler."""

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
            async with aiohttp.ClientSession() as session, session.post(origin, data=body) as answer:
                return await answer.text()

        async with serving(handler) as origin:
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
    yield pieces_of(data)


@asynccontextmanager
async def async_generator(data: bytes, folder: Path) -> AsyncIterator[Any]:
    yield apieces_of(data)


@asynccontextmanager
async def big_pieces(data: bytes, folder: Path) -> AsyncIterator[Any]:
    yield pieces_of(data, 2 * MIB)


@asynccontextmanager
async def list_of_bytes(data: bytes, folder: Path) -> AsyncIterator[Any]:
    yield [b"", *pieces_of(data), b"", b""]


@asynccontextmanager
async def one_buffer(data: bytes, folder: Path) -> AsyncIterator[Any]:
    """A generator that fills the same buffer again and again."""

    def pieces() -> Iterator[bytearray]:
        buffer = bytearray(UNEVEN)
        for piece in pieces_of(data):
            buffer[:] = piece
            yield buffer

    yield pieces()


@asynccontextmanager
async def one_async_buffer(data: bytes, folder: Path) -> AsyncIterator[Any]:
    async def pieces() -> AsyncIterator[memoryview]:
        buffer = bytearray(UNEVEN)
        for piece in pieces_of(data):
            buffer[: len(piece)] = piece
            yield memoryview(buffer)[: len(piece)]

    yield pieces()


@attrs.define
class Table:
    """A source of one's own; counts how often it was opened and closed."""

    data: bytes
    name: str | None = "row-7.png"
    size: int | None = None
    replayable: bool = True
    opened: int = 0
    closed: int = 0
    pause: Callable[[], Any] | None = None

    async def open(self) -> AsyncGenerator[bytes, None]:
        self.opened += 1
        buffer = bytearray(UNEVEN)
        try:
            for piece in pieces_of(self.data):
                buffer[:] = piece
                if self.pause is not None:
                    await self.pause()
                yield buffer  # type: ignore[misc]  # bytes-like is taken, too
        finally:
            self.closed += 1


def _table(*, sized: bool, replayable: bool) -> Kind:
    @asynccontextmanager
    async def made(data: bytes, folder: Path) -> AsyncIterator[Any]:
        table = Table(data, size=len(data) if sized else None, replayable=replayable)
        yield table
        assert table.opened == table.closed
        assert replayable or table.opened == 1

    return made


@asynccontextmanager
async def fsspec_file(data: bytes, folder: Path) -> AsyncIterator[Any]:
    with fsspec.open(str(on_disk(data, folder)), "rb") as file:
        yield file
        assert file.tell() == len(data)


@asynccontextmanager
async def fsspec_unzipped(data: bytes, folder: Path) -> AsyncIterator[Any]:
    """A size that only reading tells."""
    zipped = str(folder / f"zipped-{len(data)}.gz")
    with fsspec.open(zipped, "wb", compression="gzip") as file:
        file.write(data)
    with fsspec.open(zipped, "rb", compression="gzip") as file:
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
    found = on_disk(data, folder)
    file = obstore.open_reader(LocalStore(found.parent), found.name)
    yield file
    assert file.tell() == len(data)


@contextmanager
def fed(write: Callable[[], Any]) -> Iterator[None]:
    """A thread that writes while the block runs, and its end."""
    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        thread.join(10)
        assert not thread.is_alive()


def _pipe(buffering: int) -> Kind:
    @asynccontextmanager
    async def made(data: bytes, folder: Path) -> AsyncIterator[Any]:
        reading, writing = os.pipe()

        def write() -> None:
            with os.fdopen(writing, "wb", buffering=0) as end:
                end.writelines(pieces_of(data))

        with os.fdopen(reading, "rb", buffering=buffering) as file, fed(write):
            yield file
            assert not file.closed
            assert file.read(1) == b""

    return made


@asynccontextmanager
async def fifo(data: bytes, folder: Path) -> AsyncIterator[Any]:
    where = folder / f"fifo-{len(data)}"
    os.mkfifo(where)

    def write() -> None:
        with where.open("wb", buffering=0) as end:
            end.writelines(pieces_of(data))

    with fed(write):
        yield where
    where.unlink()


@asynccontextmanager
async def asyncio_reader(data: bytes, folder: Path) -> AsyncIterator[Any]:
    reader = asyncio.StreamReader(limit=len(data) + 1)
    reader.feed_data(data)
    reader.feed_eof()
    yield reader
    assert reader.at_eof()


KNOWN: dict[str, Kind] = {  # what tells its size
    "path": path,
    "bytes": data_itself,
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
    "own source": _table(sized=True, replayable=True),
    "own source, once": _table(sized=True, replayable=False),
}

UNKNOWN: dict[str, Kind] = {  # what has an end, and nobody knows where
    "request.content": _request_body(multipart=False),
    "body part": _request_body(multipart=True),
    "asyncio reader": asyncio_reader,
    "generator": generator,
    "async generator": async_generator,
    "big pieces": big_pieces,
    "list": list_of_bytes,
    "one buffer": one_buffer,
    "one async buffer": one_async_buffer,
    "own source of unknown size": _table(sized=False, replayable=True),
    "own source of unknown size, once": _table(sized=False, replayable=False),
    "pipe": _pipe(-1),
    "raw pipe": _pipe(0),
    "FIFO": fifo,
}
