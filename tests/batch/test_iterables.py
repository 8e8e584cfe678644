"""Iterables of users as sources: their items, their errors, and iterators that are slow or hang."""

from __future__ import annotations

import array
import asyncio
import contextlib
import hashlib
import io
import os
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from imgwire_async import UploadItem, _bridge
from imgwire_async.batch.items import BatchItem, Entry, Identity, Skip
from imgwire_async.batch.sources import as_source
from imgwire_async.batch.sources import folder as folder_source


async def read_async(files: Any, own_paths: frozenset[Path] = frozenset()) -> list[Entry | Skip]:
    source = as_source(files, own_paths)
    try:
        return [item async for item in source]
    finally:
        await source.aclose()


def read(files: Any, own_paths: frozenset[Path] = frozenset()) -> list[Entry | Skip]:
    """Return all items of a source in their order."""
    return asyncio.run(read_async(files, own_paths))


def read_blocking(files: Any, on_item: Callable[[], object] = lambda: None) -> list[str]:
    """Return the keys of a source, whose iterator runs in the calling thread. Call a function for each."""

    async def items() -> AsyncGenerator[str, None]:
        source = as_source(files)
        try:
            async for item in source:
                yield item.key
        finally:
            await source.aclose()

    keys: list[str] = []
    for key in _bridge.iterate(items()):
        keys.append(key)
        on_item()
    return keys


def entry(files: Any) -> Entry:
    (found,) = read(files)
    assert isinstance(found, Entry)
    return found


# --- items --------------------------------------------------------------------------------------------------


def test_a_path_has_its_absolute_path_as_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    Path("a.jpg").write_bytes(b"123")
    os.utime("a.jpg", ns=(0, 1_700_000_000_000_000_000))
    found = entry(["./a.jpg"])
    assert (found.key, found.item) == (str(folder / "a.jpg"), UploadItem(str(folder / "a.jpg")))
    assert found.identity == Identity(3, 1_700_000_000_000_000_000)


def test_an_item_keeps_its_arguments(folder: Path) -> None:
    path = folder / "a.jpg"
    path.write_bytes(b"123")
    arguments: dict[str, Any] = {
        "file_name": "b.jpg",
        "mime_type": "image/jpeg",
        "content_length": 3,
        "custom_metadata": {"a": 1},
        "hash_sha256": "AB" * 32,
        "idempotency_key": "k",
        "purpose": "p",
        "upload_token": "t",
    }
    first, second = read([UploadItem(path, **arguments), BatchItem("key", path, **arguments)])
    assert isinstance(first, Entry)
    assert isinstance(second, Entry)
    assert first.item == second.item == UploadItem(str(path), **arguments)
    assert (first.key, second.key) == (str(path), "key")
    assert second.identity == Identity(3, path.stat().st_mtime_ns, "ab" * 32)


@pytest.mark.parametrize(
    "data", [b"1234", bytearray(b"1234"), memoryview(b"1234"), array.array("B", b"1234")]
)
def test_bytes_are_hashed(data: Any) -> None:
    assert entry([BatchItem("k", data)]).identity == Identity(4, sha256=hashlib.sha256(b"1234").hexdigest())


class Sized:
    """A source of bytes with a size."""

    name = "x.jpg"
    size = 7
    replayable = True

    def open(self) -> AsyncGenerator[bytes, None]:
        raise NotImplementedError


def stream_at(position: int) -> io.BytesIO:
    stream = io.BytesIO(b"12345")
    stream.seek(position)
    return stream


@pytest.mark.parametrize(
    ("item", "size"),
    [
        (BatchItem("k", stream_at(0)), 5),
        (BatchItem("k", stream_at(2)), 3),
        (BatchItem("k", iter([b"1"])), None),
        (BatchItem("k", iter([b"1"]), content_length=1), 1),
        (BatchItem("k", Sized()), 7),
    ],
)
def test_a_stream_has_only_its_size(item: BatchItem, size: int | None) -> None:
    assert entry([item]).identity == Identity(size)


def test_the_position_of_a_file_object_stays() -> None:
    stream = stream_at(2)
    read([BatchItem("k", stream)])
    assert stream.tell() == 2


def test_a_closed_file_is_left_to_its_upload() -> None:
    stream = io.BytesIO(b"1")
    stream.close()
    assert entry([BatchItem("k", stream)]).identity == Identity(None)


def test_a_path_to_nothing_is_left_to_its_upload(folder: Path) -> None:
    (folder / "link").symlink_to("missing")
    missing, link = read([folder / "missing.jpg", folder / "link"])
    assert missing == Entry(missing.key, UploadItem(missing.key), Identity(None), is_missing=True)
    assert isinstance(link, Entry)
    assert not link.is_missing


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_among_the_paths_is_a_skip(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    [skip] = read([folder / "pipe"])
    assert skip == Skip(str(folder / "pipe"), "a pipe; pass an open file as BatchItem(key, file)")


def test_a_folder_among_the_paths_is_a_skip(folder: Path) -> None:
    assert read([folder]) == [Skip(str(folder), "a folder, not a file; folder(path) uploads the files in it")]


def test_the_files_of_the_journal_are_left_out(folder: Path) -> None:
    (folder / "link").symlink_to(folder)
    for name in ("j", "a.jpg"):
        (folder / name).write_bytes(b"1")
    paths = [folder / "j", folder / "a.jpg", folder / "link" / "j"]
    assert [item.key for item in read(paths, frozenset({folder / "j"}))] == [str(folder / "a.jpg")]


def test_a_path_that_is_too_long_is_a_skip() -> None:
    (skip,) = read(["/" + "a/" * 3_000])
    assert isinstance(skip, Skip)
    assert skip.reason == "its key has more than 4,096 bytes"


# --- wrong items --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "error", "message"),
    [
        (7, TypeError, r"files\[2\] must be a path, an UploadItem or a BatchItem, not int"),
        (None, TypeError, r"files\[2\] must be a path"),
        (
            folder_source("a"),
            TypeError,
            r"files\[2\] is a source; pass the source itself, not a list with it",
        ),
        (
            b"123",
            TypeError,
            r"files\[2\] has no path, so it needs a key: pass BatchItem\(key, file\), not bytes",
        ),
        (io.BytesIO(), TypeError, r"files\[2\] has no path, so it needs a key"),
        (UploadItem(b"123"), TypeError, r"files\[2\] has no path, so it needs a key"),
        ("", ValueError, r"files\[2\] is an empty path"),
        ("a\0", ValueError, r"files\[2\] must not contain a NUL"),
        (UploadItem(""), ValueError, r"the file of files\[2\] is an empty path"),
        (BatchItem(7, b"1"), TypeError, r"the key of files\[2\] must be text, not int"),  # type: ignore[arg-type]  # wrong
        (BatchItem("", b"1"), ValueError, r"the key of files\[2\] is empty"),
        (BatchItem("é" * 2_049, b"1"), ValueError, r"files\[2\] must have at most 4,096 bytes, not 4,098"),
        (Skip("", "dark"), ValueError, r"the key of files\[2\] is empty"),
        (Skip("k", 7), TypeError, r"the reason of files\[2\] must be text, not int"),  # type: ignore[arg-type]  # wrong
        (
            BatchItem("k", b"1", idempotency_key=False),
            ValueError,
            r"files\[2\]: idempotency_key .* not False",
        ),
        (BatchItem("k", b"1", purpose=7), TypeError, r"files\[2\]: purpose must be text"),  # type: ignore[arg-type]  # wrong
        (UploadItem("a", content_length=-1), ValueError, r"files\[2\]: content_length must be 0"),
        (BatchItem("k", b"1", custom_metadata={"a": []}), TypeError, r"files\[2\]: "),  # type: ignore[dict-item]  # wrong
    ],
)
def test_a_wrong_item_is_an_error_with_its_position(item: Any, error: type[Exception], message: str) -> None:
    async def check() -> None:
        source = as_source([BatchItem("a", b"1"), BatchItem("b", b"1"), item, BatchItem("c", b"1")])
        assert [found.key for found in await source.read()] == ["a", "b"]
        with pytest.raises(error, match=message):
            await source.read()
        with pytest.raises(error):
            await source.read()
        await source.aclose()

    asyncio.run(check())


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (BatchItem("k", b"1"), r"not one BatchItem; pass a list with it: \[BatchItem\(key, file\)\]"),
        (UploadItem("a.jpg"), "not one UploadItem"),
        (b"123", "not one bytes"),
        (io.BytesIO(b"1"), "not one BytesIO"),
        (None, "not one NoneType; pass a list or a generator"),
        (7, "folder, a source, or an iterable of paths and items, not one int"),
        ({"a": 1}, "folder, a source, or an iterable of paths and items, not one dict"),
    ],
)
def test_what_contains_no_files_is_an_error(files: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        as_source(files)


# --- iterators that raise or end ----------------------------------------------------------------------------


def test_an_exception_of_the_iterable_comes_after_its_items() -> None:
    def plain() -> Iterator[BatchItem]:
        yield BatchItem("a", b"1")
        raise ZeroDivisionError

    async def slow() -> AsyncIterator[BatchItem]:
        yield BatchItem("a", b"1")
        await asyncio.sleep(0)
        raise ZeroDivisionError

    async def check(files: Any) -> None:
        source = as_source(files)
        assert [item.key for item in await source.read()] == ["a"]
        with pytest.raises(ZeroDivisionError):
            await source.read()
        assert await source.read() == []
        await source.aclose()

    asyncio.run(check(plain()))
    asyncio.run(check(slow()))


def test_iter_may_raise() -> None:
    class Broken:
        def __iter__(self) -> Iterator[str]:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        read(Broken())


def test_many_items_come_in_their_order() -> None:
    items = [BatchItem(str(number), b"1") for number in range(3_000)]

    async def slow() -> AsyncIterator[BatchItem]:
        for item in items:
            yield item

    expected = [item.key for item in items]
    assert [item.key for item in read(items)] == expected
    assert [item.key for item in read(iter(items))] == expected
    assert [item.key for item in read(slow())] == expected
    assert read_blocking(iter(items)) == expected


def test_a_generator_is_closed_when_its_source_is() -> None:
    closed: list[str] = []

    def plain() -> Generator[BatchItem, None, None]:
        try:
            while True:
                yield BatchItem("a", b"1")
        finally:
            closed.append("plain")

    class Files:
        def __iter__(self) -> Iterator[BatchItem]:
            try:
                yield from plain()
            finally:
                closed.append("class")

    async def check(files: Any) -> None:
        source = as_source(files)
        await source.read()
        await source.aclose()
        assert await source.read() == []
        await source.aclose()

    asyncio.run(check(plain()))
    asyncio.run(check(Files()))
    assert closed == ["plain", "plain", "class"]


def test_an_async_generator_is_closed_in_the_task_that_runs_it() -> None:
    tasks: list[Any] = []

    async def items() -> AsyncIterator[BatchItem]:
        # A cancel scope must be left in the task that has entered it.
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            try:
                tasks.append(asyncio.current_task())
                while True:
                    yield BatchItem("a", b"1")
            finally:
                await anyio.lowlevel.checkpoint_if_cancelled()
                tasks.append(asyncio.current_task())
                group.cancel_scope.cancel()

    async def check() -> None:
        source = as_source(items())
        await source.read()
        await source.aclose()

    asyncio.run(check())
    assert tasks[0] is tasks[-1]


class OwnSource:
    """A source as a user may write it."""

    name = "camera"

    def __init__(self) -> None:
        self.closed = 0

    async def __aiter__(self) -> AsyncIterator[BatchItem | Skip]:
        yield BatchItem("a", b"1")
        yield Skip("b", "dark")

    async def aclose(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("reads", [0, 1, 5])
def test_a_source_of_the_user_has_its_name_and_is_closed(reads: int) -> None:
    files = OwnSource()

    async def check() -> list[str]:
        source = as_source(files)
        assert source.name == "camera"
        found = [item.key for _ in range(reads) for item in await source.read()]
        await source.aclose()
        await source.aclose()
        return found

    assert asyncio.run(check()) == (["a", "b"] if reads else [])
    assert files.closed == 1


@pytest.mark.parametrize(("name", "error"), [(Path("camera"), TypeError), ("", ValueError)])
def test_a_source_of_the_user_with_a_wrong_name_is_rejected(name: Any, error: type[Exception]) -> None:
    files: Any = OwnSource()
    files.name = name
    with pytest.raises(error, match="the name of a source"):
        as_source(files)


def test_only_a_list_can_be_read_again() -> None:
    def again(files: Any) -> Any:
        return as_source(files).again()

    items = [BatchItem("a", b"1")]
    assert [item.key for item in asyncio.run(read_of(again(items)))] == ["a"]
    assert again(iter(items)) is None


async def read_of(source: Any) -> list[Entry | Skip]:
    return [item async for item in source]


# --- iterators that are slow or hang ------------------------------------------------------------------------


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Return an event that threads of a test may wait for. It is set at the end."""
    event = threading.Event()
    yield event
    event.set()


def hanging(event: threading.Event) -> Iterator[BatchItem]:
    """Yield three items, then wait for an event."""
    for key in "abc":
        yield BatchItem(key, b"1")
    event.wait()
    yield BatchItem("d", b"1")


def test_items_do_not_wait_for_the_next_one(released: threading.Event) -> None:
    async def check() -> None:
        source = as_source(hanging(released))
        async with asyncio.timeout(10):
            found = [item.key for item in await source.read()]
            assert found == ["a", "b", "c"]
            reading = asyncio.ensure_future(source.read())
            await asyncio.sleep(0.1)
            assert not reading.done()
            released.set()
            assert [item.key for item in await reading] == ["d"]
            assert await source.read() == []
        await source.aclose()

    asyncio.run(check())


@pytest.mark.long
def test_a_read_that_hangs_can_be_cancelled_and_the_source_closed(released: threading.Event) -> None:
    async def stuck() -> AsyncIterator[BatchItem]:
        for key in "abc":
            yield BatchItem(key, b"1")
        while not released.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.05)

    async def check(files: Any) -> float:
        source = as_source(files)
        assert len(await source.read()) == 3
        started_at = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await source.read()
        await source.aclose()
        seconds = time.monotonic() - started_at
        released.set()
        await asyncio.sleep(0.1)
        return seconds

    assert asyncio.run(check(hanging(released))) < 5
    released.clear()
    assert asyncio.run(check(stuck())) < 10


def test_a_generator_that_hung_is_closed_later(released: threading.Event) -> None:
    closed = threading.Event()

    def items() -> Iterator[BatchItem]:
        try:
            yield from hanging(released)
        finally:
            closed.set()

    async def check() -> None:
        files = items()
        source = as_source(files)
        await source.read()
        reading = asyncio.ensure_future(source.read())
        await asyncio.sleep(0.05)
        reading.cancel()
        await source.aclose()
        assert not closed.is_set()
        released.set()
        assert await asyncio.to_thread(closed.wait, 10)

    asyncio.run(check())


def test_a_slow_iterator_gives_each_item_at_once() -> None:
    times: list[float] = []

    def items() -> Iterator[BatchItem]:
        for number in range(4):
            time.sleep(0.06)
            times.append(time.monotonic())
            yield BatchItem(str(number), b"1")

    async def check() -> list[float]:
        source = as_source(items())
        late: list[float] = []
        while found := await source.read():
            assert len(found) == 1
            late.append(time.monotonic() - times[int(found[0].key)])
        await source.aclose()
        return late

    assert min(asyncio.run(check())) < 0.05


def test_large_items_come_in_small_chunks() -> None:
    async def check() -> int:
        source = as_source(BatchItem(str(number), bytes(2**20)) for number in range(40))
        largest = 0
        while found := await source.read():
            largest = max(largest, len(found))
        await source.aclose()
        return largest

    assert asyncio.run(check()) <= 10


# --- the blocking form --------------------------------------------------------------------------------------


def test_a_blocking_caller_runs_its_iterator_in_its_own_thread() -> None:
    threads: set[int] = set()

    def items() -> Iterator[BatchItem]:
        for number in range(1_200):
            threads.add(threading.get_ident())
            yield BatchItem(str(number), io.BytesIO(b"1"))

    assert len(read_blocking(items())) == 1_200
    assert threads == {threading.get_ident()}


def test_a_blocking_caller_may_read_a_folder(folder: Path) -> None:
    (folder / "a.jpg").write_bytes(b"1")
    assert read_blocking(folder_source(folder)) == ["a.jpg"]


def test_a_blocking_caller_may_leave_early() -> None:
    def leave() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        read_blocking((BatchItem(str(number), b"1") for number in range(2_000)), leave)


def test_a_blocking_caller_cannot_pass_an_async_iterable() -> None:
    async def items() -> AsyncIterator[str]:
        yield "a"

    with pytest.raises(TypeError, match="must be a plain iterable here"):
        read_blocking(items())
    assert read_blocking(OwnSource()) == ["a", "b"]
