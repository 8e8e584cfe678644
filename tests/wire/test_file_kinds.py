"""Every kind of file arrives whole, from its own library; nothing of ours stays open and nothing of the caller's is closed."""

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
from .sources import KNOWN, UNKNOWN, Table, apieces_of, noise, pieces_of

SIZES = [0, 1, 524_287, 524_288, 524_289, 5_000_000]


@pytest.fixture(autouse=True)
def spool(tmp_path: Path) -> Iterator[Path]:
    """Temporary files go into a folder of this test, where they can be counted."""
    before, folder = tempfile.tempdir, tmp_path / "spool"
    folder.mkdir()
    tempfile.tempdir = str(folder)
    yield folder
    tempfile.tempdir = before


def open_below(folder: Path) -> set[str]:
    """The open files of this process that lie in a folder, deleted ones and pipes too."""
    links: set[str] = set()
    for each in Path("/proc/self/fd").iterdir():
        try:
            links.add(str(each.readlink()))
        except OSError:  # gone meanwhile
            continue
    return {link for link in links if link.startswith(str(folder))}


def puts(emulator: Emulator) -> list[RequestRecord]:
    return [record for record in emulator.requests if record.host == "storage"]


def require_whole(emulator: Emulator, data: bytes) -> None:
    """One PUT, told its length, with every byte in place."""
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
            continue  # it stands at its end, which is refused
        data = noise(size)
        options: dict[str, Any] = {"content_length": size} if declared else {}
        async with {**KNOWN, **UNKNOWN}[kind](data, tmp_path) as file:
            await client.images.upload(file, mime_type="image/png", **options)
        require_whole(emulator, data)
        emulator.reset()
    assert open_below(tmp_path) == before


# --- the size was wrong -------------------------------------------------------------------------------------------------


def later_told(data: bytes, folder: Path) -> dict[str, Any]:
    """Sources that only reading can convict of a wrong size, one of each make."""
    return {
        "generator": pieces_of(data),
        "async generator": apieces_of(data),
        "source": Table(data, replayable=True),
        "source, once": Table(data, replayable=False),
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
    file = later_told(noise(size), tmp_path)[kind]
    progress: list[int] = []
    declared: int | None = size - off
    if isinstance(file, Table):
        file.size, declared = declared, None
    began = time.monotonic()
    with pytest.raises(UploadSizeError, match=f"{size - off} bytes were declared") as caught:
        await client.images.upload(
            file,
            mime_type="image/png",
            content_length=declared,
            on_progress=lambda moved: progress.append(moved.sent),
        )
    assert time.monotonic() - began < 2
    assert caught.value.image is not None
    stored = emulator.images[caught.value.image.id]
    assert (stored.status, stored.stored) == ("PENDING", None)
    assert all(put.status is None for put in puts(emulator)), "no success on record"
    assert size - off not in progress
    if isinstance(file, Table):
        assert file.opened == file.closed


# --- what the caller's own code raises ----------------------------------------------------------------------------------


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

    def give() -> bytes:
        nonlocal left
        if left <= 0:
            raise error
        left -= 500_000
        return bytes(500_000)

    def plain() -> Iterator[bytes]:
        while True:
            yield give()

    async def asynchronous() -> AsyncGenerator[bytes, None]:
        while True:
            yield give()

    class Own(Table):
        async def open(self) -> AsyncGenerator[bytes, None]:
            while True:
                yield give()

    class Unseekable(io.RawIOBase):
        def read(self, size: int = -1, /) -> bytes:
            return give() if size else b""

    sources = {
        "generator": plain,
        "async generator": asynchronous,
        "source": lambda: Own(b"", size=declared, replayable=False),
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


async def test_a_source_that_waits_for_what_is_cancelled_is_cancelled(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield bytes(500_000)
        yield bytes(500_000)
        gone = asyncio.get_running_loop().create_future()
        gone.cancel()
        await gone

    for declared in (None, 5_000_000):
        with pytest.raises(asyncio.CancelledError):
            await client.images.upload(pieces(), mime_type="image/png", content_length=declared)
    assert len(emulator.images) == 1
    assert len(puts(emulator)) <= 1


@pytest.mark.parametrize("piece", ["text", None, 7], ids=repr)
@pytest.mark.parametrize("kind", ["generator", "async generator", "source", "file", "async file"])
async def test_chunks_that_are_no_bytes_raise_a_type_error(
    client: AsyncImgwireClient, emulator: Emulator, kind: str, piece: Any
) -> None:
    pieces = [bytes(1_000), piece]

    async def asynchronous() -> AsyncIterator[bytes]:
        for each in pieces:
            yield each

    class Own(Table):
        async def open(self) -> AsyncGenerator[bytes, None]:
            for each in pieces:
                yield each

    class Unseekable(io.RawIOBase):
        def read(self, size: int = -1, /) -> bytes:
            return pieces.pop(0) if size else b""

    class Asynchronous:
        async def read(self, size: int = -1, /) -> bytes:
            return pieces.pop(0)

    sources: dict[str, Any] = {
        "generator": iter(pieces),
        "async generator": asynchronous(),
        "source": Own(b""),
        "file": Unseekable(),
        "async file": Asynchronous(),
    }
    with pytest.raises(TypeError, match=f"must give bytes, not {type(piece).__name__}"):
        await client.images.upload(sources[kind], mime_type="image/png")
    assert len(emulator.requests) == 0


@pytest.mark.parametrize("way", ["bare", "limited"])
async def test_a_reader_whose_read_0_returns_everything_loses_no_byte(
    client: AsyncImgwireClient, emulator: Emulator, way: str
) -> None:
    data = png(padding=100_000)

    class Input:  # `wsgi.input` of uWSGI
        def __init__(self) -> None:
            self.left = io.BytesIO(data)

        def read(self, size: int = 0) -> bytes:
            return self.left.read(size or -1)

    class Limited(io.RawIOBase):  # `request.stream` of Flask, which stands before it
        def __init__(self) -> None:
            self.inner = Input()

        def readinto(self, buffer: Any, /) -> int:
            piece = self.inner.read(len(buffer))
            buffer[: len(piece)] = piece
            return len(piece)

    await client.images.upload(Input() if way == "bare" else Limited(), content_length=len(data))
    require_whole(emulator, data)


async def test_the_callers_generator_is_not_advanced_further_than_needed(client: AsyncImgwireClient) -> None:
    pieces = apieces_of(noise(100_000), 10_000)
    with pytest.raises(UploadSizeError):
        await client.images.upload(pieces, mime_type="image/png", content_length=35_000)
    assert len([piece async for piece in pieces]) == 6, "four were read: the fourth was too much"


# --- cancelled ----------------------------------------------------------------------------------------------------------


class Standing:
    """Gives a little, then nothing for ever; tells when it has come so far."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.closed = False

    async def pieces(self, count: int) -> AsyncGenerator[bytes, None]:
        try:
            for _ in range(count):
                yield bytes(300_000)
            self.reached.set()
            await asyncio.get_running_loop().create_future()
        finally:
            self.closed = True


async def cancelled(task: asyncio.Task[Any]) -> None:
    """Cancel, and hold that it ends soon."""
    task.cancel()
    began = time.monotonic()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 2


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("declared", [None, 5_000_000], ids=["spooled", "declared"])
async def test_on_cancellation_the_source_is_closed_and_its_spool_file_removed(
    client: AsyncImgwireClient, emulator: Emulator, spool: Path, declared: int | None
) -> None:
    standing = Standing()

    class Own(Table):
        def open(self) -> AsyncGenerator[bytes, None]:
            return standing.pieces(3)

    task = asyncio.ensure_future(
        client.images.upload(Own(b"", size=declared, replayable=False), mime_type="image/png")
    )
    await standing.reached.wait()
    if declared is None:
        await until(lambda: open_below(spool))
    await cancelled(task)
    assert standing.closed
    assert not open_below(spool)
    assert len(puts(emulator)) == (1 if declared else 0)
    await client.images.upload(b"x", mime_type="image/png")


@pytest.mark.parametrize("kind", sorted({*KNOWN, *UNKNOWN} - {"FIFO", "pipe", "raw pipe"}))
async def test_on_cancellation_during_the_put_no_file_of_the_sdk_stays_open(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path, kind: str
) -> None:
    emulator.faults.add("PUT", "/uploads/*", stall=float("inf"))
    before = open_below(tmp_path)
    opened = contextlib.AsyncExitStack()
    file = await opened.enter_async_context({**KNOWN, **UNKNOWN}[kind](noise(5_000_000), tmp_path))
    callers = open_below(tmp_path)
    task = asyncio.ensure_future(client.images.upload(file, mime_type="image/png"))
    await until(lambda: puts(emulator))
    await cancelled(task)
    assert open_below(tmp_path) == callers
    with contextlib.suppress(AssertionError):  # it stands somewhere in the middle, but it is still open
        await opened.aclose()
    assert open_below(tmp_path) == before


async def test_an_upload_of_a_fifo_without_a_writer_can_be_cancelled(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path
) -> None:
    where = tmp_path / "fifo"
    os.mkfifo(where)
    waiting = asyncio.ensure_future(client.images.upload(where, mime_type="image/png"))
    await until(lambda: open_below(tmp_path))
    await cancelled(waiting)
    reading = asyncio.ensure_future(client.images.upload(where, mime_type="image/png"))
    writer = await asyncio.to_thread(os.open, where, os.O_WRONLY)
    try:
        os.write(writer, bytes(10_000))
        await until(lambda: str(where) in open_below(tmp_path))
        await cancelled(reading)
        assert len([link for link in open_below(tmp_path) if link == str(where)]) <= 1, "the writer's own"
    finally:
        os.close(writer)
    assert not open_below(tmp_path)
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
                await cancelled(task)
            else:
                with pytest.raises(UploadStalledError, match="the source gave no byte"):
                    await task
            emulator.reset()
            end.write(bytes(10_000))
        assert not file.closed
        assert file.read(10) == bytes(10), "left where reading ended"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["FIFO", "pipe"])
async def test_a_slow_pipe_does_not_stall(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path, kind: str
) -> None:
    """Every piece is progress: nobody waits for a whole buffer of them."""
    count, size, pause = 16, 60_000, 0.1
    if kind == "FIFO":
        where = tmp_path / "fifo"
        os.mkfifo(where)
        file: Any = where
        opening = asyncio.to_thread(os.open, where, os.O_WRONLY)
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
        await asyncio.sleep(pause)
        os.write(writer, bytes(size))
    os.close(writer)
    await task
    (put,) = puts(emulator)
    assert (put.status, put.body_length) == (200, count * size)
    if kind == "pipe":
        file.close()


# --- the twin -----------------------------------------------------------------------------------------------------------


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
