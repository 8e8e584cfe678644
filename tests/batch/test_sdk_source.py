"""Sources of the SDK itself, and readers that block."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from imgwire_async import AsyncImgwireClient, ImgwireClient
from imgwire_async.emulator import Emulator
from imgwire_async.uploads.disk import CHUNK_SIZE
from imgwire_async.uploads.sdk_source import SDKSource, read_in_threads

from .gifs import gif
from .outcomes import ready_images


class Reader:
    """A reader that notes the threads in which it runs. `gate` makes `read` hang."""

    def __init__(self, data: bytes, gate: threading.Event | None = None) -> None:
        self.data = data
        self.gate = gate
        self.closed = threading.Event()
        self.is_reading = threading.Event()
        self.threads: set[int] = set()

    def read(self, size: int, /) -> bytes:
        assert not self.closed.is_set()
        self.threads.add(threading.get_ident())
        self.is_reading.set()
        if self.gate is not None:
            assert self.gate.wait(20)
        found, self.data = self.data[:size], self.data[size:]
        return found

    def close(self) -> None:
        assert not self.closed.is_set(), "closed twice"
        self.closed.set()


class Source(SDKSource):
    """A picture behind a reader that blocks."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.readers: list[Reader] = []
        self.ends = 0

    name = "a.gif"  # type: ignore[assignment]  # constants of the test
    replayable = True  # type: ignore[assignment]  # constants of the test
    path = "archive.zip/a.gif"  # type: ignore[assignment]  # constants of the test

    @property
    def size(self) -> int:
        return len(self.data)

    def open(self) -> AsyncGenerator[bytes, None]:
        return read_in_threads(self._open)

    def _open(self) -> Reader:
        self.readers.append(Reader(self.data))
        return self.readers[-1]

    async def aclose(self) -> None:
        self.ends += 1


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(ready_polls=0) as emulator:
        yield emulator


async def test_a_reader_yields_all_bytes_in_chunks_and_is_closed() -> None:
    reader = Reader(b"ab" * CHUNK_SIZE)
    async with asyncio.timeout(10), aclosing(read_in_threads(lambda: reader)) as chunks:
        found = [chunk async for chunk in chunks]
    assert b"".join(found) == b"ab" * CHUNK_SIZE
    assert {*map(len, found)} == {CHUNK_SIZE}
    assert reader.closed.is_set()
    assert threading.get_ident() not in reader.threads


async def test_a_reader_is_closed_after_an_error_and_when_the_rest_is_not_read() -> None:
    reader = Reader(b"a" * (3 * CHUNK_SIZE))
    async with aclosing(read_in_threads(lambda: reader)) as chunks:
        await anext(chunks)
    assert reader.closed.is_set()
    broken: Any = Reader(b"")
    broken.read = lambda _size: 1 // 0
    with pytest.raises(ZeroDivisionError):
        await anext(read_in_threads(lambda: broken))
    assert broken.closed.is_set()


async def test_a_reader_that_hangs_is_closed_when_its_read_ends() -> None:
    reader = Reader(b"a", threading.Event())
    task = asyncio.ensure_future(anext(read_in_threads(lambda: reader)))
    assert await asyncio.to_thread(reader.is_reading.wait, 10)
    task.cancel()
    async with asyncio.timeout(10):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not reader.closed.is_set()
    assert reader.gate is not None
    reader.gate.set()
    assert await asyncio.to_thread(reader.closed.wait, 10)


async def test_a_reader_that_is_opened_after_a_cancellation_is_closed() -> None:
    reader, begun, gate = Reader(b"a"), threading.Event(), threading.Event()

    def open_reader() -> Reader:
        begun.set()
        assert gate.wait(20)
        return reader

    task = asyncio.ensure_future(anext(read_in_threads(open_reader)))
    assert await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    async with asyncio.timeout(10):
        with pytest.raises(asyncio.CancelledError):
            await task
    gate.set()
    assert await asyncio.to_thread(reader.closed.wait, 10)


async def test_an_upload_of_such_a_source_reads_in_threads_and_ends_it_once(emulator: Emulator) -> None:
    source = Source(gif(1))
    async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
        await client.images.upload(source)
    assert {*ready_images(emulator)} == {hashlib.sha256(source.data).hexdigest()}
    assert source.ends == 1
    assert all(reader.closed.is_set() for reader in source.readers)


async def test_the_blocking_client_does_not_read_such_a_source_in_the_thread_of_its_caller(
    emulator: Emulator,
) -> None:
    source = Source(gif(1))

    def upload() -> int:
        with ImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
            client.images.upload(source)
        return threading.get_ident()

    caller = await asyncio.to_thread(upload)
    assert caller not in {thread for reader in source.readers for thread in reader.threads}
    assert source.readers


async def test_an_error_of_such_a_source_names_where_it_is(emulator: Emulator) -> None:
    async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
        with pytest.raises(ValueError, match=r"^archive\.zip/a\.gif: this is"):
            await client.images.upload(Source(b"no picture"))
