"""Iterators and `with` blocks of the blocking client release everything when the caller leaves them."""

from __future__ import annotations

import asyncio
import gc
import io
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import Any, Final

import anyio
import pytest

from imgwire_async import Hooks, ImgwireClient, Timeouts, UploadItem, _bridge
from imgwire_async.blocking import BlockingWrapper, blocking
from imgwire_async.emulator import Emulator
from imgwire_async.transport.key_provider import KeyProvider

from .conftest import GIF, held, open_handlers, until


class AsyncSample:
    """A resource with every kind of method, and a log of its steps in the event loop."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.threads: set[int] = set()
        self.may_end: asyncio.Event

    async def numbers(self, stop: int, *, fail_at: int | None = None) -> AsyncGenerator[int, None]:
        """Yield numbers up to `stop`."""
        try:
            for number in range(stop):
                self.threads.add(threading.get_ident())
                await asyncio.sleep(0)
                if number == fail_at:
                    raise KeyError(number)
                yield number
        finally:
            await asyncio.sleep(0)
            self.log.append("numbers ended")

    async def slow_to_end(self) -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            self.may_end = asyncio.Event()
            await self.may_end.wait()
            self.log.append("ended at last")

    async def scoped(self) -> AsyncGenerator[int, None]:
        with anyio.fail_after(60):
            yield 1
            yield 2

    @asynccontextmanager
    async def held(self, *, enter: bool = True) -> AsyncIterator[AsyncIterator[int]]:
        """Yield an iterator of numbers for the `with` block."""
        await asyncio.sleep(0)
        if not enter:
            raise KeyError("enter")
        try:
            yield self.numbers(3)
            self.log.append("left sample")
        except BaseException as error:
            self.log.append(f"left by {type(error).__name__}")
            raise

    def swallowing(self) -> AbstractAsyncContextManager[AsyncIterator[int]]:
        return Swallowing(self.numbers(1))


class Swallowing(AbstractAsyncContextManager[AsyncIterator[int]]):
    def __init__(self, inner: AsyncIterator[int]) -> None:
        self.inner = inner

    async def __aenter__(self) -> AsyncIterator[int]:
        return self.inner

    async def __aexit__(self, *_: object) -> bool:
        return True


class Sample(BlockingWrapper):
    numbers: Final = blocking(AsyncSample.numbers)
    slow_to_end: Final = blocking(AsyncSample.slow_to_end)
    scoped: Final = blocking(AsyncSample.scoped)
    held: Final = blocking(AsyncSample.held)
    swallowing: Final = blocking(AsyncSample.swallowing)


@pytest.fixture
def source() -> AsyncSample:
    return AsyncSample()


@pytest.fixture
def sample(source: AsyncSample) -> Sample:
    return Sample(source)


# --- iterators ----------------------------------------------------------------------------------------------


def test_an_async_generator_becomes_a_generator(sample: Sample, source: AsyncSample) -> None:
    assert list(sample.numbers(3)) == [0, 1, 2]
    assert len(source.threads) == 1
    assert threading.get_ident() not in source.threads


def test_no_request_is_sent_before_the_first_step(sample: Sample, source: AsyncSample) -> None:
    numbers = sample.numbers(3)
    numbers.close()
    del numbers
    assert source.log == []


def test_an_error_in_a_step_ends_the_iterator(sample: Sample, source: AsyncSample) -> None:
    numbers = sample.numbers(3, fail_at=1)
    assert next(numbers) == 0
    with pytest.raises(KeyError):
        next(numbers)
    assert source.log == ["numbers ended"]
    assert list(numbers) == []


def test_closing_an_iterator_waits_for_its_cleanup(sample: Sample, source: AsyncSample) -> None:
    numbers = sample.numbers(3)
    next(numbers)
    numbers.close()
    assert source.log == ["numbers ended"]


def test_leaving_the_loop_early_ends_the_generator(sample: Sample, source: AsyncSample) -> None:
    for _ in sample.numbers(3):
        break
    assert source.log == ["numbers ended"]


@pytest.mark.long
def test_closing_an_iterator_waits_for_a_limited_time(sample: Sample, source: AsyncSample) -> None:
    numbers = sample.slow_to_end()
    next(numbers)
    started_at = time.monotonic()
    numbers.close()
    assert _bridge.EXIT_TIMEOUT * 0.9 < time.monotonic() - started_at < 10
    assert source.log == []
    _bridge.loop_thread().post(source.may_end.set)
    until(lambda: source.log == ["ended at last"])


def test_an_iterator_may_be_dropped_on_the_loop_thread(sample: Sample, source: AsyncSample) -> None:
    box = [sample.numbers(3)]
    next(box[0])
    dropped = threading.Event()

    def drop() -> None:
        box.clear()
        dropped.set()

    _bridge.loop_thread().post(drop)
    assert dropped.wait(10)
    until(lambda: source.log == ["numbers ended"])


def test_an_iterator_may_be_dropped_by_the_garbage_collector(sample: Sample, source: AsyncSample) -> None:
    cycle: list[Any] = [sample.numbers(3)]
    next(cycle[0])
    cycle.append(cycle)
    del cycle
    gc.collect()
    until(lambda: source.log == ["numbers ended"])


def test_steps_may_be_made_in_different_threads(sample: Sample) -> None:
    numbers, got = sample.numbers(4), list[int]()
    for _ in range(4):
        thread = threading.Thread(target=lambda: got.append(next(numbers)))
        thread.start()
        thread.join()
    assert got == [0, 1, 2, 3]


def test_a_cancel_scope_held_across_a_yield_raises_an_error(sample: Sample) -> None:
    # Each step runs in a task of its own, so no generator of the package may hold a cancel scope across a
    # yield.
    with pytest.raises(RuntimeError, match="different task"):
        list(sample.scoped())


def test_breaking_out_of_pages_releases_every_connection(client: ImgwireClient, emulator: Emulator) -> None:
    for number in range(6):
        client.images.create(file_name=f"{number}.gif")
    emulator.faults.add("GET", "/api/v1/images/", times=None, after=3, stall=float("inf"))
    for _ in client.images.list_pages(limit=1):
        break
    pages = client.images.list_pages(limit=1)
    next(pages)
    next(pages)
    until(lambda: open_handlers(emulator) > 0, "prefetched pages are under way")
    del pages
    until(lambda: held(client) == 0)
    until(lambda: open_handlers(emulator) == 0)
    emulator.faults.clear()
    assert len(client.images.list().data) == 6


# --- with blocks --------------------------------------------------------------------------------------------


def test_an_async_context_manager_becomes_a_plain_one(sample: Sample, source: AsyncSample) -> None:
    with sample.held() as numbers:
        assert list(numbers) == [0, 1, 2]
    assert source.log == ["numbers ended", "left sample"]


def test_an_error_in_the_with_block_reaches_both_sides_unchanged(sample: Sample, source: AsyncSample) -> None:
    mistake = KeyError("block")
    with pytest.raises(KeyError) as caught, sample.held():
        raise mistake
    assert caught.value is mistake
    assert (mistake.__cause__, mistake.__context__) == (None, None)
    assert source.log == ["left by KeyError"]


def test_ctrl_c_in_the_with_block_cancels_the_async_side(sample: Sample, source: AsyncSample) -> None:
    with pytest.raises(KeyboardInterrupt), sample.held() as numbers:
        next(numbers)
        raise KeyboardInterrupt
    assert source.log[0] == "left by CancelledError"
    assert list(sample.numbers(1)) == [0]


def test_ctrl_c_is_not_swallowed_by_a_manager_that_swallows_errors(sample: Sample) -> None:
    with sample.swallowing():
        raise KeyError("swallowed")
    with pytest.raises(KeyboardInterrupt), sample.swallowing():
        raise KeyboardInterrupt


def test_an_error_on_entering_is_raised(sample: Sample, source: AsyncSample) -> None:
    with pytest.raises(KeyError, match="enter"), sample.held(enter=False):
        raise AssertionError("never entered")
    assert source.log == []


def test_breaking_out_of_the_iterator_keeps_the_with_block_usable(
    sample: Sample, source: AsyncSample
) -> None:
    with sample.held() as numbers:
        for _ in numbers:
            break
    assert "left sample" in source.log


def test_a_dropped_with_block_is_closed(sample: Sample, source: AsyncSample) -> None:
    block = sample.held()
    next(block.__enter__())
    del block
    assert source.log[0] == "left sample"


def test_a_stream_yields_the_bytes_and_releases_its_connection(client: ImgwireClient, tmp_path: Path) -> None:
    image = client.images.upload(GIF, file_name="dot.gif", wait=True)
    with client.images.stream(image) as chunks:
        assert b"".join(chunks) == GIF
    assert client.images.read(image) == GIF
    assert client.images.download(image, tmp_path / "dot.gif").read_bytes() == GIF
    with client.images.stream(image) as chunks:
        for _ in chunks:
            break
    until(lambda: held(client) == 0)


def test_a_stream_that_is_left_or_dropped_early_releases_its_slot(emulator: Emulator) -> None:
    picture = GIF + bytes(4_000_000)
    with ImgwireClient(emulator.api_key, base_url=emulator.base_url, max_connections=1) as client:
        image = client.images.upload(picture, file_name="dot.gif", wait=True)
        with pytest.raises(KeyboardInterrupt), client.images.stream(image) as chunks:
            next(chunks)
            raise KeyboardInterrupt
        block = client.images.stream(image)
        next(block.__enter__())
        del block
        assert client.images.read(image) == picture  # the only slot is free again
        until(lambda: held(client) == 0)


# --- many uploads -------------------------------------------------------------------------------------------


class Reader(io.BytesIO):
    """A file object that records the threads that read it."""

    threads: set[str]
    name = "dot.gif"

    def read(self, size: int | None = -1, /) -> bytes:
        self.threads.add(threading.current_thread().name)
        return super().read(size)


def readers(count: int, threads: set[str]) -> Iterator[Reader]:
    for _ in range(count):
        reader = Reader(GIF)
        reader.threads = threads
        threads.add(threading.current_thread().name)
        yield reader


def nothing_left(client: ImgwireClient, emulator: Emulator) -> None:
    until(lambda: held(client) == 0)
    until(lambda: open_handlers(emulator) == 0)
    until(lambda: not _bridge.loop_thread().tasks)


def test_readers_and_callbacks_of_many_uploads_run_in_the_calling_thread(
    client: ImgwireClient, emulator: Emulator
) -> None:
    threads: set[str] = set()
    note: Callable[[object], None] = lambda _: threads.add(threading.current_thread().name)  # noqa: E731
    done = 0
    for result in client.images.upload_many(readers(50, threads), on_created=note, on_progress=note):
        result.unwrap()
        done += 1
        # While the caller is busy, user code waits for it.
        time.sleep(0.005)
    assert done == 50
    assert threads == {threading.current_thread().name}
    nothing_left(client, emulator)


def test_leaving_upload_many_early_ends_all_uploads(client: ImgwireClient, emulator: Emulator) -> None:
    threads: set[str] = set()
    results = client.images.upload_many(readers(50, threads), on_progress=lambda _: None, concurrency=8)
    for _ in range(3):
        next(results).unwrap()
    results.close()
    sent = len(emulator.requests)
    nothing_left(client, emulator)
    # Each of the eight open uploads may have sent one more request.
    assert len(emulator.requests) <= sent + 8
    assert threads == {threading.current_thread().name}


def test_uploads_of_paths_continue_while_the_caller_is_busy(
    client: ImgwireClient, emulator: Emulator, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{number}.gif" for number in range(6)]
    for path in paths:
        path.write_bytes(GIF)
    progress: list[int] = []
    with closing(
        client.images.upload_many(paths, on_progress=lambda event: progress.append(event.sent))
    ) as results:
        next(results).unwrap()
        until(lambda: len([r for r in emulator.requests if r.method == "PUT" and r.status == 200]) == 6)
        assert sum(1 for result in results if result.unwrap()) == 5
    assert progress.count(len(GIF)) == 6


class SlowFile(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size or 0, 20_000) if size != -1 else 20_000)


@pytest.mark.parametrize(
    "what",
    ["file objects", *(pytest.param(what, marks=pytest.mark.slow) for what in ("iterators", "progress"))],
)
def test_a_consumer_may_take_longer_than_the_stall_timeout(client: ImgwireClient, what: str) -> None:
    patient = client.with_options(timeout=Timeouts(stall=0.2))
    picture = GIF + bytes(1_000_000)

    def files() -> Iterator[UploadItem]:
        yield UploadItem(GIF, file_name="first.gif")  # ends before the others
        for number in range(3):
            chunks = (picture[at : at + 20_000] for at in range(0, len(picture), 20_000))
            file: Any = SlowFile(picture) if what == "file objects" else chunks
            yield UploadItem(file, file_name=f"{number}.gif", content_length=len(picture))

    on_progress = (lambda _: None) if what == "progress" else None
    for result in patient.images.upload_many(files(), concurrency=4, on_progress=on_progress):
        assert result.unwrap()
        if result.index == 0:
            # The consumer is busy for longer than the stall timeout.
            time.sleep(0.6)


def test_hooks_that_wait_for_a_busy_caller_block_no_other_upload(emulator: Emulator, tmp_path: Path) -> None:
    """Hooks run in the caller's thread. While it is busy, uploads of other threads get the connections."""
    paths = [tmp_path / f"{number}.gif" for number in range(6)]
    for path in paths:
        path.write_bytes(GIF)
    hooks = Hooks(on_request=lambda _: None)
    with ImgwireClient(
        emulator.api_key, base_url=emulator.base_url, max_connections=2, hooks=hooks
    ) as client:
        results = client.images.upload_many(paths, concurrency=4)
        next(results).unwrap()
        other = threading.Thread(
            target=client.with_options(hooks=None).images.upload, args=(GIF,), daemon=True
        )
        other.start()
        other.join(10)
        assert not other.is_alive()
        assert len([result.unwrap() for result in results]) == 5


def test_an_error_of_the_files_iterator_passes_unchanged(client: ImgwireClient) -> None:
    mistake = KeyError("files")

    def files() -> Iterator[bytes]:
        yield GIF
        raise mistake

    results = client.images.upload_many(files())
    next(results).unwrap()
    with pytest.raises(KeyError) as caught:
        next(results)
    assert caught.value is mistake


class Query:
    """Like a database query, whose `__iter__` must run in the caller's thread, too."""

    def __init__(self) -> None:
        self.thread = ""

    def __iter__(self) -> Iterator[bytes]:
        self.thread = threading.current_thread().name
        return iter([GIF])


def test_the_iterator_of_the_files_is_created_in_the_calling_thread(client: ImgwireClient) -> None:
    query = Query()
    assert [result.unwrap().width for result in client.images.upload_many(query)]
    assert query.thread == threading.current_thread().name


async def async_files() -> AsyncIterator[bytes]:
    yield GIF


def test_an_async_iterator_of_files_is_rejected_with_the_name_of_the_other_client(
    client: ImgwireClient,
) -> None:
    with pytest.raises(TypeError, match="AsyncImgwireClient"):
        next(client.images.upload_many(async_files()))


# --- a key that changes during an iteration -----------------------------------------------------------------


def test_a_call_in_the_loop_body_never_waits_for_a_key_request_of_the_iterator(
    emulator: Emulator,
) -> None:
    # Pages that are fetched ahead get a 401 while the caller is in its loop body. Their call of the key
    # callable waits for the next step. A call that the caller makes meanwhile fetches the key itself.
    key_calls: list[str] = []

    def key() -> str:
        key_calls.append(threading.current_thread().name)
        return emulator.api_key

    with ImgwireClient(key, base_url=emulator.base_url) as client:
        for number in range(6):
            client.images.create(file_name=f"{number}.gif")
        # Late enough for the caller to be in its loop body, where it runs no user code of the client.
        refusal: dict[str, Any] = {"status": 401, "body": {"detail": "expired"}, "stall": 0.5}
        emulator.faults.add("GET", "/api/v1/images/", times=None, after=2, **refusal)
        pages = client.images.list_pages(limit=1)
        next(pages)
        next(pages)
        until(lambda: any(request.status == 401 for request in emulator.requests))
        until(lambda: not client._shared.key_provider.cached)
        emulator.faults.clear()
        assert client.images.list().data
        pages.close()
    assert key_calls == [threading.current_thread().name] * 2


class AsyncKeyReader:
    """Request the key in a task that starts when a step ends, the last moment when the caller serves it."""

    def __init__(self, provider: KeyProvider) -> None:
        self.provider = provider

    async def steps(self) -> AsyncGenerator[int, None]:
        yield 1
        task = asyncio.ensure_future(self.provider.get())
        yield 2
        await task

    async def key(self) -> str:
        return await self.provider.get()


class KeyReader(BlockingWrapper):
    steps: Final = blocking(AsyncKeyReader.steps)
    key: Final = blocking(AsyncKeyReader.key)


def test_a_key_request_at_the_end_of_a_step_is_always_served() -> None:
    key_calls: list[int] = []
    reader = KeyReader(AsyncKeyReader(KeyProvider(lambda: str(key_calls.append(1)) and "sk_test")))
    steps = reader.steps()
    next(steps)
    next(steps)
    assert reader.key() == "sk_test"
    assert list(steps) == []
    assert key_calls == [1]
