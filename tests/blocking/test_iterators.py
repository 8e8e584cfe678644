"""Iterators and `with` blocks of the blocking client: one crossing a step, and nothing left when they are left."""

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


class AsyncWell:
    """A resource with every kind of method, and a log of what happened on the loop."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.threads: set[int] = set()
        self.may_end: asyncio.Event

    async def numbers(self, stop: int, *, fail_at: int | None = None) -> AsyncGenerator[int, None]:
        """Numbers up to `stop`."""
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
        """Numbers, while the block lasts."""
        await asyncio.sleep(0)
        if not enter:
            raise KeyError("enter")
        try:
            yield self.numbers(3)
            self.log.append("left well")
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


class Well(BlockingWrapper):
    numbers: Final = blocking(AsyncWell.numbers)
    slow_to_end: Final = blocking(AsyncWell.slow_to_end)
    scoped: Final = blocking(AsyncWell.scoped)
    held: Final = blocking(AsyncWell.held)
    swallowing: Final = blocking(AsyncWell.swallowing)


@pytest.fixture
def source() -> AsyncWell:
    return AsyncWell()


@pytest.fixture
def well(source: AsyncWell) -> Well:
    return Well(source)


# --- iterators --------------------------------------------------------------------------------------------------------


def test_an_async_generator_becomes_a_generator(well: Well, source: AsyncWell) -> None:
    assert list(well.numbers(3)) == [0, 1, 2]
    assert len(source.threads) == 1
    assert threading.get_ident() not in source.threads


def test_no_request_is_sent_before_the_first_step(well: Well, source: AsyncWell) -> None:
    numbers = well.numbers(3)
    numbers.close()
    del numbers
    assert source.log == []


def test_an_error_in_a_step_ends_the_iterator(well: Well, source: AsyncWell) -> None:
    numbers = well.numbers(3, fail_at=1)
    assert next(numbers) == 0
    with pytest.raises(KeyError):
        next(numbers)
    assert source.log == ["numbers ended"]
    assert list(numbers) == []


def test_closing_an_iterator_waits_for_its_cleanup(well: Well, source: AsyncWell) -> None:
    numbers = well.numbers(3)
    next(numbers)
    numbers.close()
    assert source.log == ["numbers ended"]


def test_leaving_the_loop_early_ends_the_generator(well: Well, source: AsyncWell) -> None:
    for _ in well.numbers(3):
        break
    assert source.log == ["numbers ended"]


def test_closing_an_iterator_waits_for_a_limited_time(well: Well, source: AsyncWell) -> None:
    numbers = well.slow_to_end()
    next(numbers)
    began = time.monotonic()
    numbers.close()
    assert _bridge.EXIT_TIMEOUT * 0.9 < time.monotonic() - began < 10
    assert source.log == []
    _bridge.loop_thread().post(source.may_end.set)
    until(lambda: source.log == ["ended at last"])


def test_an_iterator_may_be_dropped_on_the_loop_thread(well: Well, source: AsyncWell) -> None:
    box = [well.numbers(3)]
    next(box[0])
    dropped = threading.Event()

    def drop() -> None:
        box.clear()
        dropped.set()

    _bridge.loop_thread().post(drop)
    assert dropped.wait(10)
    until(lambda: source.log == ["numbers ended"])


def test_an_iterator_may_be_dropped_by_the_garbage_collector(well: Well, source: AsyncWell) -> None:
    cycle: list[Any] = [well.numbers(3)]
    next(cycle[0])
    cycle.append(cycle)
    del cycle
    gc.collect()
    until(lambda: source.log == ["numbers ended"])


def test_steps_may_be_made_in_different_threads(well: Well) -> None:
    numbers, got = well.numbers(4), list[int]()
    for _ in range(4):
        thread = threading.Thread(target=lambda: got.append(next(numbers)))
        thread.start()
        thread.join()
    assert got == [0, 1, 2, 3]


def test_a_cancel_scope_held_across_a_yield_raises_an_error(well: Well) -> None:
    # Each step is a task of its own, so none of our generators may hold a cancel scope, timeout or task group over a yield.
    with pytest.raises(RuntimeError, match="different task"):
        list(well.scoped())


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


# --- with blocks ------------------------------------------------------------------------------------------------------


def test_an_async_context_manager_becomes_a_plain_one(well: Well, source: AsyncWell) -> None:
    with well.held() as numbers:
        assert list(numbers) == [0, 1, 2]
    assert source.log == ["numbers ended", "left well"]


def test_an_error_in_the_with_block_reaches_both_sides_unchanged(well: Well, source: AsyncWell) -> None:
    mistake = KeyError("block")
    with pytest.raises(KeyError) as caught, well.held():
        raise mistake
    assert caught.value is mistake
    assert (mistake.__cause__, mistake.__context__) == (None, None)
    assert source.log == ["left by KeyError"]


def test_ctrl_c_in_the_with_block_cancels_the_async_side(well: Well, source: AsyncWell) -> None:
    with pytest.raises(KeyboardInterrupt), well.held() as numbers:
        next(numbers)
        raise KeyboardInterrupt
    assert source.log[0] == "left by CancelledError"
    assert list(well.numbers(1)) == [0]


def test_ctrl_c_is_not_swallowed_by_a_manager_that_swallows_errors(well: Well) -> None:
    with well.swallowing():
        raise KeyError("swallowed")
    with pytest.raises(KeyboardInterrupt), well.swallowing():
        raise KeyboardInterrupt


def test_an_error_on_entering_is_raised(well: Well, source: AsyncWell) -> None:
    with pytest.raises(KeyError, match="enter"), well.held(enter=False):
        raise AssertionError("never entered")
    assert source.log == []


def test_breaking_out_of_the_iterator_keeps_the_with_block_usable(well: Well, source: AsyncWell) -> None:
    with well.held() as numbers:
        for _ in numbers:
            break
    assert "left well" in source.log


def test_a_dropped_with_block_is_closed(well: Well, source: AsyncWell) -> None:
    block = well.held()
    next(block.__enter__())
    del block
    assert source.log[0] == "left well"


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


# --- many uploads -----------------------------------------------------------------------------------------------------


class Reader(io.BytesIO):
    """A file object that notes who reads it, and from where."""

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
        time.sleep(0.005)  # the caller is busy with something else: its tasks wait, and lose nothing
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
    assert len(emulator.requests) <= sent + 8  # what was on its way, one for each that was under way
    assert threads == {threading.current_thread().name}


def test_uploads_of_paths_continue_while_the_caller_is_busy(
    client: ImgwireClient, emulator: Emulator, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{number}.gif" for number in range(6)]
    for path in paths:
        path.write_bytes(GIF)
    told: list[int] = []
    with closing(
        client.images.upload_many(paths, on_progress=lambda event: told.append(event.sent))
    ) as results:
        next(results).unwrap()
        until(lambda: len([r for r in emulator.requests if r.method == "PUT" and r.status == 200]) == 6)
        assert sum(1 for result in results if result.unwrap()) == 5
    assert told.count(len(GIF)) == 6


class SmallBites(io.BytesIO):
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
        yield UploadItem(GIF, file_name="first.gif")  # done while the others are under way
        for number in range(3):
            pieces = (picture[at : at + 20_000] for at in range(0, len(picture), 20_000))
            file: Any = SmallBites(picture) if what == "file objects" else pieces
            yield UploadItem(file, file_name=f"{number}.gif", content_length=len(picture))

    on_progress = (lambda _: None) if what == "progress" else None
    for result in patient.images.upload_many(files(), concurrency=4, on_progress=on_progress):
        assert result.unwrap()
        if result.index == 0:
            time.sleep(0.6)  # what is tested: a consumer that is busy elsewhere


def test_hooks_that_wait_for_a_busy_caller_block_no_other_upload(emulator: Emulator, tmp_path: Path) -> None:
    """They run in the caller's thread, which is busy elsewhere; uploads of other threads get their connections meanwhile."""
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
    """Like a database query: even to ask for its iterator is work that belongs to the caller's thread."""

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


# --- a key that changes in the midst ----------------------------------------------------------------------------------


def test_a_call_in_the_loop_body_never_waits_for_a_key_request_of_the_iterator(
    emulator: Emulator,
) -> None:
    # Pages fetched ahead meet a 401 while the caller is in the loop body: their question waits for the next step there, but a
    # call that the caller makes meanwhile asks for itself.
    asked: list[str] = []

    def key() -> str:
        asked.append(threading.current_thread().name)
        return emulator.api_key

    with ImgwireClient(key, base_url=emulator.base_url) as client:
        for number in range(6):
            client.images.create(file_name=f"{number}.gif")
        # Late enough for the caller to be back in its loop body, where nobody listens.
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
    assert asked == [threading.current_thread().name] * 2


class AsyncAsker:
    """Asks for the key in a task that begins as its step ends: at the last moment at which its caller listens."""

    def __init__(self, provider: KeyProvider) -> None:
        self.provider = provider

    async def steps(self) -> AsyncGenerator[int, None]:
        yield 1
        task = asyncio.ensure_future(self.provider.get())
        yield 2
        await task

    async def key(self) -> str:
        return await self.provider.get()


class Asker(BlockingWrapper):
    steps: Final = blocking(AsyncAsker.steps)
    key: Final = blocking(AsyncAsker.key)


def test_a_key_request_at_the_end_of_a_step_is_always_served() -> None:
    asked: list[int] = []
    asker = Asker(AsyncAsker(KeyProvider(lambda: str(asked.append(1)) and "sk_test")))
    steps = asker.steps()
    next(steps)
    next(steps)
    assert asker.key() == "sk_test"
    assert list(steps) == []
    assert asked == [1]
