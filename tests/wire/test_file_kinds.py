"""Every kind of file arrives completely. The SDK closes what it opened, and no file of the caller."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import os
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from imgwire_async import AsyncImgwireClient, ImgwireClient, Timeouts, UploadSizeError, UploadStalledError
from imgwire_async.emulator import Emulator, RequestRecord

from .pictures import png
from .sources import KNOWN, UNKNOWN, ExampleSource, async_chunks_of, chunks_of, noise

SIZES = [0, 1, 524_287, 524_288, 524_289, 5_000_000]


@pytest.fixture(autouse=True)
def spool(tmp_path: Path) -> Iterator[Path]:
    """Let temporary files be created in a folder of this test, where they can be counted."""
    before, folder = tempfile.tempdir, tmp_path / "spool"
    folder.mkdir()
    tempfile.tempdir = str(folder)
    yield folder
    tempfile.tempdir = before


def open_below(folder: Path) -> set[str]:
    """Return the open files of this process that are in a folder, including deleted files and FIFOs."""
    links: set[str] = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            links.add(str(descriptor.readlink()))
        # The descriptor was closed meanwhile.
        except OSError:
            continue
    return {link for link in links if link.startswith(str(folder))}


def is_read(writer: int) -> bool:
    """Return whether the FIFO behind the descriptor `writer` is open for reading."""
    try:
        os.write(writer, b"x")
    except BrokenPipeError:
        return False
    return True


def puts(emulator: Emulator) -> list[RequestRecord]:
    return [record for record in emulator.requests if record.host == "storage"]


def require_complete(emulator: Emulator, data: bytes) -> None:
    """Assert that there was one PUT, with the right Content-Length and all bytes."""
    (put,) = puts(emulator)
    assert (put.status, put.body_length) == (200, len(data))
    assert put.body_sha256 == hashlib.sha256(data).hexdigest()
    assert put.header("Content-Length") == str(len(data))
    assert put.header("Transfer-Encoding") is None
    (image,) = emulator.images.values()
    assert image.stored is not None
    assert image.stored.sha256 == put.body_sha256


@pytest.mark.parametrize(
    ("kind", "declared"),
    [(kind, False) for kind in [*KNOWN, *UNKNOWN]]
    + [pytest.param(kind, True, marks=pytest.mark.slow) for kind in UNKNOWN],
)
async def test_every_kind_of_file_arrives_completely(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path, kind: str, declared: bool
) -> None:
    before = open_below(tmp_path)
    for size in SIZES:
        if kind == "file at an offset" and size == 0:
            # The file is at its end, which is rejected.
            continue
        data = noise(size)
        options: dict[str, Any] = {"content_length": size} if declared else {}
        async with {**KNOWN, **UNKNOWN}[kind](data, tmp_path) as file:
            await client.images.upload(file, mime_type="image/png", **options)
        require_complete(emulator, data)
        emulator.reset()
    assert open_below(tmp_path) == before


# --- wrong sizes --------------------------------------------------------------------------------------------


def sources_of(data: bytes, folder: Path) -> dict[str, Any]:
    """Return one source of each kind whose size is known only after reading."""
    return {
        "generator": chunks_of(data),
        "async generator": async_chunks_of(data),
        "source": ExampleSource(data, replayable=True),
        "source, once": ExampleSource(data, replayable=False),
        "reader": fed_reader(data),
    }


def fed_reader(data: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return reader


@pytest.mark.parametrize("off", [-1, 1], ids=["shorter", "longer"])
@pytest.mark.parametrize("size", [100, 5_000_000])
@pytest.mark.parametrize("kind", ["generator", "async generator", "source", "source, once", "reader"])
async def test_a_wrong_size_raises_at_once_and_nothing_is_stored(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path, kind: str, size: int, off: int
) -> None:
    file = sources_of(noise(size), tmp_path)[kind]
    progress: list[int] = []
    declared: int | None = size - off
    if isinstance(file, ExampleSource):
        file.size, declared = declared, None
    started_at = time.monotonic()
    with pytest.raises(UploadSizeError, match=f"{size - off} bytes were declared") as caught:
        await client.images.upload(
            file,
            mime_type="image/png",
            content_length=declared,
            on_progress=lambda moved: progress.append(moved.sent),
        )
    assert time.monotonic() - started_at < 2
    assert caught.value.image is not None
    stored = emulator.images[caught.value.image.id]
    assert (stored.status, stored.stored) == ("PENDING", None)
    assert all(put.status is None for put in puts(emulator)), "no PUT had a response"
    assert size - off not in progress
    if isinstance(file, ExampleSource):
        assert file.opened == file.closed


# --- exceptions of the caller's code ------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0, 2_000_000], ids=["at once", "midway"])
@pytest.mark.parametrize("declared", [None, 5_000_000], ids=["spooled", "declared"])
@pytest.mark.parametrize("kind", ["generator", "async generator", "source", "file"])
async def test_an_exception_of_a_source_is_raised_unchanged(
    client: AsyncImgwireClient,
    emulator: Emulator,
    spool: Path,
    kind: str,
    declared: int | None,
    after: int,
) -> None:
    left = 0
    error: Exception

    def next_chunk() -> bytes:
        nonlocal left
        if left <= 0:
            raise error
        left -= 500_000
        return bytes(500_000)

    def plain() -> Iterator[bytes]:
        while True:
            yield next_chunk()

    async def asynchronous() -> AsyncGenerator[bytes, None]:
        while True:
            yield next_chunk()

    class Source(ExampleSource):
        async def open(self) -> AsyncGenerator[bytes, None]:
            while True:
                yield next_chunk()

    class Unseekable(io.RawIOBase):
        def read(self, size: int = -1, /) -> bytes:
            return next_chunk() if size else b""

    sources = {
        "generator": plain,
        "async generator": asynchronous,
        "source": lambda: Source(b"", size=declared, replayable=False),
        "file": Unseekable,
    }
    for error in (
        KeyError("k"),
        TimeoutError("t"),
        ConnectionResetError("c"),
        aiohttp.ClientPayloadError("p"),
    ):
        left = after
        with pytest.raises(type(error)) as caught:
            await client.images.upload(sources[kind](), mime_type="image/png", content_length=declared)
        assert caught.value is error
    assert all(put.status is None for put in puts(emulator))
    assert (declared and after) or not puts(emulator)
    assert not open_below(spool)


async def test_a_source_that_awaits_a_cancelled_future_cancels_the_upload(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield bytes(500_000)
        yield bytes(500_000)
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    for declared in (None, 5_000_000):
        with pytest.raises(asyncio.CancelledError):
            await client.images.upload(chunks(), mime_type="image/png", content_length=declared)
    assert len(emulator.images) == 1
    assert len(puts(emulator)) <= 1


@pytest.mark.parametrize("chunk", ["text", None, 7], ids=repr)
@pytest.mark.parametrize("kind", ["generator", "async generator", "source", "file", "async file"])
async def test_chunks_that_are_no_bytes_raise_a_type_error(
    client: AsyncImgwireClient, emulator: Emulator, kind: str, chunk: Any
) -> None:
    chunks = [bytes(1_000), chunk]

    async def asynchronous() -> AsyncIterator[bytes]:
        for item in chunks:
            yield item

    class Source(ExampleSource):
        async def open(self) -> AsyncGenerator[bytes, None]:
            for item in chunks:
                yield item

    class Unseekable(io.RawIOBase):
        def read(self, size: int = -1, /) -> bytes:
            return chunks.pop(0) if size else b""

    class Asynchronous:
        async def read(self, size: int = -1, /) -> bytes:
            return chunks.pop(0)

    sources: dict[str, Any] = {
        "generator": iter(chunks),
        "async generator": asynchronous(),
        "source": Source(b""),
        "file": Unseekable(),
        "async file": Asynchronous(),
    }
    with pytest.raises(TypeError, match=f"must yield bytes, not {type(chunk).__name__}"):
        await client.images.upload(sources[kind], mime_type="image/png")
    assert len(emulator.requests) == 0


@pytest.mark.parametrize("way", ["bare", "limited"])
async def test_a_reader_whose_read_0_returns_everything_loses_no_byte(
    client: AsyncImgwireClient, emulator: Emulator, way: str
) -> None:
    data = png(padding=100_000)

    # Like `wsgi.input` of uWSGI.
    class Input:
        def __init__(self) -> None:
            self.left = io.BytesIO(data)

        def read(self, size: int = 0) -> bytes:
            return self.left.read(size or -1)

    # Like `request.stream` of Flask, which wraps it.
    class Limited(io.RawIOBase):
        def __init__(self) -> None:
            self.inner = Input()

        def readinto(self, buffer: Any, /) -> int:
            chunk = self.inner.read(len(buffer))
            buffer[: len(chunk)] = chunk
            return len(chunk)

    await client.images.upload(Input() if way == "bare" else Limited(), content_length=len(data))
    require_complete(emulator, data)


async def test_the_callers_generator_is_not_advanced_further_than_needed(client: AsyncImgwireClient) -> None:
    chunks = async_chunks_of(noise(100_000), 10_000)
    with pytest.raises(UploadSizeError):
        await client.images.upload(chunks, mime_type="image/png", content_length=35_000)
    assert len([chunk async for chunk in chunks]) == 6, (
        "four chunks were read: with the fourth there were too many bytes"
    )


# --- cancellation -------------------------------------------------------------------------------------------


class BlockingSource:
    """A source that yields some chunks and then waits for ever. `reached` is set before it waits."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.closed = False

    async def chunks(self, count: int) -> AsyncGenerator[bytes, None]:
        try:
            for _ in range(count):
                yield bytes(300_000)
            self.reached.set()
            await asyncio.get_running_loop().create_future()
        finally:
            self.closed = True


async def require_cancelled(task: asyncio.Task[Any]) -> None:
    """Cancel a task, and assert that it ends soon."""
    task.cancel()
    started_at = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - started_at < 2


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("declared", [None, 5_000_000], ids=["spooled", "declared"])
async def test_on_cancellation_the_source_is_closed_and_its_spool_file_removed(
    client: AsyncImgwireClient, emulator: Emulator, spool: Path, declared: int | None
) -> None:
    source = BlockingSource()

    class Source(ExampleSource):
        def open(self) -> AsyncGenerator[bytes, None]:
            return source.chunks(3)

    task = asyncio.ensure_future(
        client.images.upload(Source(b"", size=declared, replayable=False), mime_type="image/png")
    )
    await source.reached.wait()
    if declared is None:
        await until(lambda: open_below(spool))
    await require_cancelled(task)
    assert source.closed
    assert not open_below(spool)
    assert len(puts(emulator)) == (1 if declared else 0)
    await client.images.upload(b"x", mime_type="image/png")


@pytest.mark.parametrize("kind", sorted({*KNOWN, *UNKNOWN} - {"FIFO", "pipe", "raw pipe"}))
async def test_on_cancellation_during_the_put_no_file_of_the_sdk_stays_open(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path, kind: str
) -> None:
    emulator.faults.add("PUT", "/uploads/*", stall=float("inf"))
    before = open_below(tmp_path)
    stack = contextlib.AsyncExitStack()
    file = await stack.enter_async_context({**KNOWN, **UNKNOWN}[kind](noise(5_000_000), tmp_path))
    held_by_caller = open_below(tmp_path)
    task = asyncio.ensure_future(client.images.upload(file, mime_type="image/png"))
    await until(lambda: puts(emulator))
    await require_cancelled(task)
    assert open_below(tmp_path) == held_by_caller
    # The exit of `stack` asserts that the file was read completely. This upload was cancelled, so it was not.
    with contextlib.suppress(AssertionError):
        await stack.aclose()
    assert open_below(tmp_path) == before


async def test_an_upload_of_a_fifo_without_a_writer_can_be_cancelled(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path
) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    waiting = asyncio.ensure_future(client.images.upload(path, mime_type="image/png"))
    await until(lambda: open_below(tmp_path))
    await require_cancelled(waiting)
    # The thread may be opening the FIFO at the moment of the cancellation. It closes the FIFO itself then.
    await until(lambda: not open_below(tmp_path))
    reading = asyncio.ensure_future(client.images.upload(path, mime_type="image/png"))
    writer = await asyncio.to_thread(os.open, path, os.O_WRONLY)
    try:
        os.write(writer, bytes(10_000))
        await until(lambda: str(path) in open_below(tmp_path))
        await require_cancelled(reading)
        # A write works while the FIFO is open for reading, and fails once only the writer has it open.
        await until(lambda: not is_read(writer))
    finally:
        os.close(writer)
    await until(lambda: not open_below(tmp_path))
    assert len(emulator.requests) == 0


@pytest.mark.parametrize("buffering", [-1, 0], ids=["buffered", "raw"])
async def test_an_upload_of_a_pipe_without_bytes_can_be_cancelled(
    client: AsyncImgwireClient, emulator: Emulator, buffering: int
) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=buffering) as file, os.fdopen(writing, "wb", buffering=0) as end:
        end.write(bytes(10_000))
        for ending in ("cancel", "stall"):
            patient = client.with_options(timeout=Timeouts(stall=0.4), retries=0)
            task = asyncio.ensure_future(
                patient.images.upload(file, mime_type="image/png", content_length=20_000)
            )
            await until(lambda: emulator.images)
            if ending == "cancel":
                await require_cancelled(task)
            else:
                with pytest.raises(UploadStalledError, match="the source yielded no byte"):
                    await task
            emulator.reset()
            end.write(bytes(10_000))
        assert not file.closed
        assert file.read(10) == bytes(10), "the position is where reading ended"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["FIFO", "pipe"])
async def test_a_slow_pipe_does_not_stall(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path, kind: str
) -> None:
    """Each chunk is sent when it arrives, not when a buffer is full, so each counts as progress."""
    count, size, interval = 16, 60_000, 0.1
    if kind == "FIFO":
        path = tmp_path / "fifo"
        os.mkfifo(path)
        file: Any = path
        opening = asyncio.to_thread(os.open, path, os.O_WRONLY)
    else:
        reading, writing = os.pipe()
        file = os.fdopen(reading, "rb")
        opening = asyncio.to_thread(lambda: writing)
    patient = client.with_options(timeout=Timeouts(stall=0.5))
    task = asyncio.ensure_future(
        patient.images.upload(file, mime_type="image/png", content_length=count * size)
    )
    writer = await opening
    for _ in range(count):
        await asyncio.sleep(interval)
        os.write(writer, bytes(size))
    os.close(writer)
    await task
    (put,) = puts(emulator)
    assert (put.status, put.body_length) == (200, count * size)
    if kind == "pipe":
        file.close()


# --- the blocking client ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["request.content", "asyncio reader", "async generator", "anyio", "aiofiles"]
)
async def test_the_blocking_client_rejects_async_sources(
    emulator: Emulator, tmp_path: Path, kind: str
) -> None:
    async with {**KNOWN, **UNKNOWN}[kind](b"", tmp_path) as file:

        def upload() -> None:
            with ImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
                with pytest.raises(TypeError, match="AsyncImgwireClient"):
                    client.images.upload(file, mime_type="image/png")

        await asyncio.to_thread(upload)
    assert len(emulator.requests) == 0


async def test_the_name_of_standard_input_is_no_file_name(client: AsyncImgwireClient) -> None:
    file = io.BytesIO(png())
    file.name = "<stdin>"
    assert (await client.images.upload(file)).original_filename == "upload.png"
