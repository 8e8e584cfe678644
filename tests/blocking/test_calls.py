"""The blocking client in one thread: it does what the asynchronous client does, and runs user code there."""

from __future__ import annotations

import inspect
import io
import sqlite3
import threading
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from imgwire_async import (
    AuthenticationError,
    Hooks,
    ImgwireClient,
    NotFoundError,
    UnprocessableEntityError,
    UploadProgress,
)
from imgwire_async.emulator import Emulator

from .conftest import GIF, held, until

MISSING = "00000000-0000-4000-8000-000000000000"


def here() -> str:
    return threading.current_thread().name


# --- calls and lifecycle ------------------------------------------------------------------------------------


def test_a_picture_is_uploaded_listed_and_deleted(client: ImgwireClient) -> None:
    image = client.images.upload(GIF, file_name="dot.gif", wait=True)
    assert (image.status, image.width) == ("READY", 1)
    assert [found.id for found in client.images.list_all()] == [image.id]
    client.images.delete(image.id)
    assert client.images.list().data == []


def test_list_all_sends_one_request_per_page(client: ImgwireClient, emulator: Emulator) -> None:
    ids = {client.images.create(file_name=f"{number}.gif").image.id for number in range(5)}
    emulator.requests.clear()
    assert {image.id for image in client.images.list_all(limit=2)} == ids
    assert [len(page.data) for page in client.images.list_pages(limit=2)] == [2, 2, 1]
    assert len(emulator.requests) == 6


def test_request_reaches_operations_that_have_no_method(client: ImgwireClient) -> None:
    assert client.request("GET", "/images/", params={"limit": 1}).json() == []


def test_a_wrong_argument_raises_in_the_callers_frame(client: ImgwireClient, emulator: Emulator) -> None:
    with pytest.raises(TypeError, match="no_such_option"):
        client.images.retrieve("x", no_such_option=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match="no_such_option"):
        client.images.list_all(no_such_option=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with pytest.raises(ValueError, match="image_id"):
        client.images.retrieve("..")
    assert len(emulator.requests) == 0


def test_with_options_shares_connections_and_changes_requests(
    client: ImgwireClient, emulator: Emulator
) -> None:
    light = client.with_options(default_headers={"X-Tenant": "blue"}, retries=0)
    client.images.list()
    light.images.list()
    light.close()
    first, second = emulator.requests
    assert (first.header("X-Tenant"), second.header("X-Tenant")) == (None, "blue")
    assert first.connection == second.connection
    assert not client.closed


def test_capture_collects_the_calls_of_this_thread(client: ImgwireClient) -> None:
    with client.capture() as exchanges:
        client.images.upload(GIF, file_name="dot.gif")
        other = threading.Thread(target=client.images.list)
        other.start()
        other.join()
    client.images.list()
    assert [(exchange.kind, exchange.method, exchange.status) for exchange in exchanges] == [
        ("api", "POST", 200),
        ("storage", "PUT", 200),
    ]


def test_leaving_the_block_closes_the_client(emulator: Emulator) -> None:
    with ImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
        client.images.list()
    assert client.closed
    assert "closed" in repr(client)
    for use in (client.images.list, lambda: next(client.images.list_all()), client.__enter__):
        with pytest.raises(RuntimeError, match="the client is closed"):
            use()
    client.close()


@pytest.mark.long
def test_closing_an_unused_client_starts_nothing(script: Any) -> None:
    assert script.run("""
        client = ImgwireClient()
        client.close()
        client.close()
        print(client.closed, threading.active_count())
    """) == (0, "True 1\n", "")


def test_creating_a_client_starts_no_thread_and_loads_no_transport(script: Any) -> None:
    assert script.run("""
        client = ImgwireClient()
        print(threading.active_count(), "aiohttp" in sys.modules, repr(client).split()[0])
    """) == (0, "1 False <ImgwireClient\n", "")


def test_clients_cannot_be_pickled() -> None:
    import pickle

    with pytest.raises(TypeError, match="ImgwireClient cannot be pickled"):
        pickle.dumps(ImgwireClient("sk_test"))


# --- user code stays in the calling thread ------------------------------------------------------------------


def test_callbacks_and_hooks_run_in_the_calling_thread(emulator: Emulator) -> None:
    threads: set[str] = set()
    events: list[str] = []

    def note(event: object) -> None:
        threads.add(here())
        events.append(type(event).__name__)

    hooks = Hooks(on_request=note, on_response=note, on_retry=note)
    with ImgwireClient(emulator.api_key, base_url=emulator.base_url, hooks=hooks) as client:
        emulator.faults.add("GET", "/api/v1/images/", status=503, headers={"Retry-After": "0"})
        client.images.list()
        image = client.images.upload(GIF, file_name="dot.gif", on_created=note, on_progress=note)
        client.images.wait_until_ready(image.id, on_update=note)
    assert threads == {here()}
    assert {"RequestEvent", "ResponseEvent", "RetryEvent", "Image", "UploadProgress"} <= set(events)


def test_an_error_in_a_hook_does_not_affect_the_call(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: object) -> None:
        raise KeyError("hook")

    with ImgwireClient(
        emulator.api_key, base_url=emulator.base_url, hooks=Hooks(on_request=broken)
    ) as client:
        assert client.images.list().data == []
    assert "a hook raised" in caplog.text


def test_a_callback_may_use_the_client(client: ImgwireClient) -> None:
    seen: list[str] = []
    image = client.images.upload(
        GIF, file_name="dot.gif", on_created=lambda made: seen.append(client.images.retrieve(made.id).id)
    )
    assert seen == [image.id]


def test_a_callback_may_upload_with_a_single_connection(emulator: Emulator) -> None:
    with ImgwireClient(emulator.api_key, base_url=emulator.base_url, max_connections=1) as client:
        client.images.upload(
            GIF, file_name="a.gif", on_created=lambda _: client.images.upload(GIF, file_name="b.gif")
        )
        assert len(client.images.list().data) == 2


def test_file_objects_are_read_in_the_calling_thread_and_stay_open(client: ImgwireClient) -> None:
    threads: set[str] = set()

    class Reader(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            threads.add(here())
            return super().read(size)

    reader = Reader(GIF)
    image = client.images.upload(reader, file_name="dot.gif", wait=True)
    assert image.status == "READY"
    assert threads == {here()}
    assert not reader.closed


def test_a_database_cursor_bound_to_its_thread_may_be_the_source(
    client: ImgwireClient, emulator: Emulator
) -> None:
    database = sqlite3.connect(":memory:")
    database.execute("create table chunks (chunk blob)")
    database.executemany("insert into chunks values (?)", [(GIF[i : i + 7],) for i in range(0, len(GIF), 7)])
    image = client.images.upload(
        (chunk for (chunk,) in database.execute("select chunk from chunks")), file_name="dot.gif", wait=True
    )
    database.close()
    assert image.size_bytes == len(GIF)


def test_paths_are_read_in_worker_threads(client: ImgwireClient, tmp_path: Path) -> None:
    path = tmp_path / "dot.gif"
    path.write_bytes(GIF)
    assert client.images.upload(path, wait=True).original_filename == "dot.gif"


def test_a_slow_reader_does_not_block_the_event_loop(client: ImgwireClient, emulator: Emulator) -> None:
    # While the main thread is in read(), calls of another thread continue.
    answered = threading.Event()

    def read() -> Iterator[bytes]:
        other = threading.Thread(target=lambda: (client.images.list(), answered.set()))
        other.start()
        assert answered.wait(10)
        other.join()
        yield GIF

    client.images.upload(read(), file_name="dot.gif", content_length=len(GIF))
    assert answered.is_set()


class TableSource:
    """An `UploadSource` for blocking code."""

    name = "dot.gif"
    size = len(GIF)
    replayable = True

    def __init__(self) -> None:
        self.threads: list[str] = []

    async def open(self) -> AsyncGenerator[bytes, None]:
        try:
            self.threads.append(here())
            yield GIF[:10]
            yield GIF[10:]
        finally:
            self.threads.append(here())


def test_an_upload_source_is_read_in_the_calling_thread(client: ImgwireClient) -> None:
    source = TableSource()
    assert client.images.upload(source, wait=True).status == "READY"
    assert set(source.threads) == {here()}


class AsyncFile:
    async def read(self, size: int = -1, /) -> bytes:
        raise AssertionError("never read")


class WaitingSource(TableSource):
    async def open(self) -> AsyncGenerator[bytes, None]:
        import asyncio

        await asyncio.sleep(0)
        yield GIF


async def chunks() -> AsyncIterator[bytes]:
    yield GIF


@pytest.mark.parametrize("make", [AsyncFile, chunks, WaitingSource])
def test_an_async_source_is_rejected_with_the_name_of_the_other_client(
    client: ImgwireClient, emulator: Emulator, make: Any
) -> None:
    with pytest.raises(TypeError, match="AsyncImgwireClient"):
        client.images.upload(make())
    assert len(emulator.requests) == 0


# --- the key ------------------------------------------------------------------------------------------------


def test_a_key_callable_runs_in_the_calling_thread_and_again_after_a_401(emulator: Emulator) -> None:
    threads_of_calls: list[str] = []
    keys = iter(["sk_stale", emulator.api_key])

    def key() -> str:
        threads_of_calls.append(here())
        return next(keys)

    with ImgwireClient(key, base_url=emulator.base_url) as client:
        client.images.list()
        client.images.list()
    assert threads_of_calls == [here()] * 2


async def async_key() -> str:
    return "sk_async"


class AsyncKey:
    async def __call__(self) -> str:
        return "sk_async"


@pytest.mark.parametrize("key", [async_key, AsyncKey()])
def test_a_coroutine_function_as_key_is_rejected_by_the_constructor(key: Any) -> None:
    with pytest.raises(TypeError, match="AsyncImgwireClient"):
        ImgwireClient(key)


class Later:
    def __await__(self) -> Iterator[Any]:
        raise AssertionError("never awaited")


@pytest.mark.parametrize("make", [async_key, Later])
def test_a_key_callable_that_returns_an_awaitable_is_rejected(make: Any, emulator: Emulator) -> None:
    with (
        ImgwireClient(lambda: make(), base_url=emulator.base_url) as client,
        pytest.raises(TypeError, match="awaitable"),
    ):
        client.images.list()


def test_an_error_of_the_key_callable_passes_unchanged(emulator: Emulator) -> None:
    mistake = KeyError("no vault")

    def key() -> str:
        raise mistake

    with ImgwireClient(key, base_url=emulator.base_url) as client, pytest.raises(KeyError) as caught:
        client.images.list()
    assert caught.value is mistake


# --- errors -------------------------------------------------------------------------------------------------


def test_an_error_of_the_service_is_the_same_as_in_the_asynchronous_client(client: ImgwireClient) -> None:
    with pytest.raises(NotFoundError) as caught:
        client.images.retrieve(MISSING)
    assert (caught.value.status, caught.value.__cause__, caught.value.__context__) == (404, None, None)


def test_the_traceback_shows_few_frames_of_the_bridge_and_then_the_operation(client: ImgwireClient) -> None:
    with pytest.raises(NotFoundError) as caught:
        client.images.retrieve(MISSING)
    names = [Path(frame.filename).name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names[:2] == ["test_calls.py", "blocking.py"]
    assert names.count("_bridge.py") <= 3
    assert "images.py" in names


@pytest.mark.parametrize("broken", ["iterator", "reader", "callback"])
def test_an_error_of_user_code_passes_unchanged_through_the_bridge(
    client: ImgwireClient, broken: str
) -> None:
    mistake = KeyError("of the caller")

    def fail(*_: object) -> Any:
        raise mistake

    def iterator() -> Iterator[bytes]:
        yield GIF[:10]
        fail()

    class Reader(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return fail() if size else b""

    with pytest.raises(KeyError) as caught:
        if broken == "iterator":
            client.images.upload(iterator(), file_name="dot.gif", content_length=len(GIF))
        elif broken == "reader":
            client.images.upload(Reader(GIF), file_name="dot.gif", mime_type="image/gif")
        else:
            client.images.upload(GIF, file_name="dot.gif", on_created=fail)
    assert caught.value is mistake
    assert (mistake.__cause__, mistake.__context__) == (None, None)
    assert held(client) == 0


def test_a_callback_that_raises_stop_iteration_ends_the_call(client: ImgwireClient) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        client.images.upload(GIF, file_name="dot.gif", on_created=lambda _: next(iter(())))


def test_a_rejected_key_raises_one_error_and_no_exception_group(emulator: Emulator) -> None:
    with ImgwireClient("sk_wrong", base_url=emulator.base_url) as client:
        for use in (
            client.images.list,
            lambda: list(client.images.list_all()),
            lambda: client.images.upload(GIF, file_name="dot.gif"),
        ):
            with pytest.raises(AuthenticationError):
                use()


def test_a_failed_page_raises_one_error_and_no_exception_group(
    client: ImgwireClient, emulator: Emulator
) -> None:
    for number in range(4):
        client.images.create(file_name=f"{number}.gif")
    emulator.faults.add("GET", "/api/v1/images/", times=None, after=1, status=422, body={"detail": "no"})
    with pytest.raises(UnprocessableEntityError):
        list(client.images.list_all(limit=1))
    until(lambda: held(client) == 0)


@pytest.mark.long
def test_calls_create_no_reference_cycles(script: Any) -> None:
    assert script.run("""
        import gc
        from imgwire_async import NotFoundError

        client = ImgwireClient()

        def fail():
            try:
                client.images.retrieve("00000000-0000-4000-8000-000000000000")
            except NotFoundError:
                pass

        def leave():
            for page in client.images.list_pages():
                break

        for work in (client.images.list, lambda: list(client.images.list_all()), leave, fail):
            work()
            gc.collect()
            gc.disable()
            for _ in range(50):
                work()
            print(gc.collect())
            gc.enable()
    """) == (0, "0\n" * 4, "")


# --- context ------------------------------------------------------------------------------------------------

tenant: ContextVar[str] = ContextVar("tenant", default="none")


def test_user_code_runs_in_the_callers_context(client: ImgwireClient) -> None:
    seen: list[str] = []

    def call(name: str) -> None:
        tenant.set(name)
        client.images.upload(GIF, file_name="dot.gif", on_created=lambda _: seen.append(tenant.get()))

    for name in ("blue", "red"):
        thread = threading.Thread(target=call, args=(name,))
        thread.start()
        thread.join()
    client.images.upload(GIF, file_name="dot.gif", on_created=lambda _: seen.append(tenant.get()))
    assert seen == ["blue", "red", "none"]


def test_a_context_variable_set_in_a_callback_stays_set_for_the_caller(client: ImgwireClient) -> None:
    before = tenant.set("before")
    client.images.upload(GIF, file_name="dot.gif", on_progress=lambda _: tenant.set("after"))
    assert tenant.get() == "after"
    tenant.reset(before)


def test_progress_is_reported_to_the_end(client: ImgwireClient) -> None:
    steps: list[UploadProgress] = []
    client.images.upload(GIF, file_name="dot.gif", on_progress=steps.append)
    assert (steps[-1].sent, steps[-1].total) == (len(GIF), len(GIF))


def test_a_blocking_method_has_a_return_annotation_without_async_types() -> None:
    from imgwire_async.blocking import Images

    assert str(inspect.signature(Images.list_all)).endswith("-> 'Generator[Image, None, None]'")
