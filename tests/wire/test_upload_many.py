"""`upload_many`: no file is lost, memory does not grow, and leaving the iterator early stops the uploads."""

from __future__ import annotations

import asyncio
import hashlib
import io
import threading
from array import array
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from worlds import World

from imgwire_async import (
    AsyncImgwireClient,
    AuthenticationError,
    ImageStatus,
    PermissionDeniedError,
    RetryPolicy,
    UnsupportedImageError,
    UploadError,
    UploadItem,
    UploadRejectedError,
    UploadResult,
)
from imgwire_async.emulator import Emulator
from imgwire_async.uploads.disk import CHUNK_SIZE

from .conftest import PICTURES, with_pictures
from .pictures import png

FAST = RetryPolicy(backoff=0.01)


async def results_of(client: AsyncImgwireClient, files: Any, **options: Any) -> list[UploadResult]:
    return [result async for result in client.images.upload_many(files, **options)]


async def test_every_file_has_one_result_with_its_index(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    files = [png(width, 1) for width in range(1, 41)]
    results = await results_of(client, files, concurrency=7, wait=True)
    assert sorted(result.index for result in results) == list(range(40))
    for result in results:
        assert result.file is files[result.index]
        assert result.unwrap().width == result.index + 1
        assert (result.attempts, result.bytes_sent, result.error) == (1, len(files[result.index]), None)
        assert result.elapsed > 0
    assert len(emulator.images) == 40


async def numbered(count: int) -> AsyncIterator[bytes]:
    for number in range(count):
        yield png(number + 1, 1)


@pytest.mark.parametrize("kind", ["list", "generator", "async generator", "tuple", "iterator", "dict values"])
async def test_files_may_be_any_iterable(client: AsyncImgwireClient, kind: str) -> None:
    files = [png(number + 1, 1) for number in range(10)]
    inputs: dict[str, Any] = {
        "list": files,
        "generator": (file for file in files),
        "async generator": numbered(10),
        "tuple": tuple(files),
        "iterator": iter(files),
        "dict values": dict(enumerate(files)).values(),
    }
    assert len({r.unwrap().id for r in await results_of(client, inputs[kind], concurrency=3)}) == 10


@pytest.mark.parametrize(
    "single",
    [
        "a.png",
        Path("a.png"),
        b"bytes",
        bytearray(b"x"),
        array("H", [1]),
        io.BytesIO(b"x"),
        UploadItem(b""),
        {"a": 1},
        7,
        None,
    ],
)
async def test_one_file_instead_of_many_is_rejected(
    client: AsyncImgwireClient, emulator: Emulator, single: Any
) -> None:
    run = client.images.upload_many(single)
    with pytest.raises(TypeError, match="files must be an iterable"):
        await anext(run)
    assert len(emulator.requests) == 0


@pytest.mark.parametrize(
    "options", [{"concurrency": 0}, {"wait": -1}, {"purpose": ""}, {"custom_metadata": {"a": 1e999}}]
)
async def test_wrong_options_raise_at_the_first_step(
    client: AsyncImgwireClient, options: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        await anext(client.images.upload_many([png()], **options))


async def test_arguments_of_an_item_take_precedence(client: AsyncImgwireClient) -> None:
    items = [
        UploadItem(png(), file_name="a.png", purpose="item", custom_metadata={"n": 1}),
        UploadItem(png(), file_name="b.png", hash_sha256=True, idempotency_key="key-b"),
        png(),
    ]
    results = {r.index: r for r in await results_of(client, items, purpose="run", custom_metadata={"n": 2})}
    first, second, third = (results[index].unwrap() for index in range(3))
    assert (first.original_filename, first.purpose, first.custom_metadata) == ("a.png", "item", {"n": 1})
    assert (second.idempotency_key, second.purpose, second.custom_metadata) == ("key-b", "run", {"n": 2})
    assert second.hash_sha256 == hashlib.sha256(png()).hexdigest()
    assert third.purpose == "run"


async def test_one_bad_file_does_not_end_the_others(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path
) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise ZeroDivisionError

    files = [
        png(),
        tmp_path / "missing.png",
        b"no picture",
        7,
        Broken(b"abc"),
        UploadItem(png(), file_name=""),
        png(),
    ]
    results = {r.index: r for r in await results_of(client, files, concurrency=2)}
    kinds = {index: type(result.error).__name__ for index, result in results.items() if result.error}
    assert kinds == {
        1: "FileNotFoundError", 2: "UnsupportedImageError", 3: "TypeError", 4: "ZeroDivisionError", 5: "ValueError",
    }  # fmt: skip
    with pytest.raises(UnsupportedImageError):
        results[2].unwrap()
    assert len(emulator.images) == 2


async def test_the_result_of_a_failed_put_has_the_record_and_the_error(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    emulator.faults.add("PUT", "/uploads/*", times=None, status=503)
    quick = client.with_options(retries=RetryPolicy(max_retries=2, backoff=0.01))
    (result,) = await results_of(quick, [png()])
    assert isinstance(result.error, UploadRejectedError)
    assert result.image is not None
    assert result.image.id in emulator.images
    assert (result.attempts, result.bytes_sent) == (3, 3 * len(png()))


@pytest.mark.parametrize("status", [401, 402, 403])
async def test_an_error_that_would_occur_for_every_file_ends_the_run(
    client: AsyncImgwireClient, emulator: Emulator, status: int
) -> None:
    emulator.faults.add("POST", "*/standard_upload", after=5, times=None, status=status, body=b"{}")
    results: list[UploadResult] = []
    with pytest.raises((AuthenticationError, PermissionDeniedError, Exception)) as caught:
        async for result in client.images.upload_many((png() for _ in range(1000)), concurrency=4):
            results.append(result)
    assert getattr(caught.value, "status", None) == status
    assert sum(result.error is None for result in results) == 5
    assert 1 <= sum(result.error is not None for result in results) <= 4
    assert len(emulator.requests) < 40


async def test_a_403_of_the_storage_fails_one_file_only(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    emulator.faults.add("PUT", "/uploads/*", times=2, status=403, body=b"<Code>AccessDenied</Code>")
    results = await results_of(client, [png() for _ in range(4)], concurrency=1)
    assert [type(result.error).__name__ for result in results if result.error] == ["UploadRejectedError"]


async def test_a_cancelled_source_fails_its_own_file_only(client: AsyncImgwireClient) -> None:
    async def cancelled() -> AsyncIterator[bytes]:
        yield png()
        raise asyncio.CancelledError

    data = png()
    item = UploadItem(cancelled(), content_length=len(data) + 5)
    results = {r.index: r for r in await results_of(client, [data, item, data, data], concurrency=1)}
    assert sorted(results) == [0, 1, 2, 3]
    assert [index for index, result in results.items() if result.error] == [1]
    assert isinstance(results[1].error, UploadError)

    def broken() -> Iterator[bytes]:
        yield data
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await results_of(client, broken())


async def test_an_exception_of_the_iterator_is_raised_after_the_running_uploads(
    client: AsyncImgwireClient,
) -> None:
    def files() -> Iterator[bytes]:
        yield from (png() for _ in range(5))
        raise KeyError("from the iterator")

    results: list[UploadResult] = []
    with pytest.raises(KeyError, match="from the iterator"):
        async for result in client.images.upload_many(files(), concurrency=3):
            results.append(result)
    assert sorted(result.index for result in results) == list(range(5))


async def test_an_exception_of_a_callback_ends_the_run_at_once(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    def created(_: object) -> None:
        if len(emulator.images) >= 6:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await results_of(client, (png() for _ in range(10_000)), concurrency=4, on_created=created)
    assert len(emulator.images) < 15


async def test_an_endless_iterator_is_advanced_only_a_few_files_ahead(client: AsyncImgwireClient) -> None:
    advanced = 0

    def endless() -> Iterator[bytes]:
        nonlocal advanced
        while True:
            advanced += 1
            yield png()

    run = client.images.upload_many(endless(), concurrency=4)
    async with aclosing(run):
        received = 0
        async for _ in run:
            received += 1
            assert advanced - received <= 3 * 4
            if received == 30:
                break


async def test_an_iterator_that_hangs_does_not_delay_the_files_before(client: AsyncImgwireClient) -> None:
    more = threading.Event()

    def hanging() -> Iterator[bytes]:
        yield from (png(), png())
        if not more.wait(10):
            raise TimeoutError
        yield png()

    results = aiter(client.images.upload_many(hanging(), concurrency=4))
    try:
        first = [(await anext(results)).index, (await anext(results)).index]
    finally:
        more.set()
    assert sorted([*first, *[result.index async for result in results]]) == [0, 1, 2]


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_a_fatal_error_ends_the_run_while_the_iterator_waits(emulator: Emulator, kind: str) -> None:
    more, closed = threading.Event(), asyncio.Event()

    def plain() -> Iterator[bytes]:
        yield png()
        more.wait(20)
        yield png()

    async def asynchronous() -> AsyncIterator[bytes]:
        yield png()
        try:
            await asyncio.sleep(20)
        finally:
            closed.set()
        yield png()

    files = plain() if kind == "plain" else asynchronous()
    async with AsyncImgwireClient("sk_wrong_0123456789abcdef", base_url=emulator.base_url) as client:
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        try:
            with pytest.raises(AuthenticationError):
                await results_of(client, files, concurrency=4)
            assert loop.time() - started_at < 5
            request_count = len(emulator.requests)
        finally:
            more.set()
        # The iterator yields its second file now, and no worker may take it.
        await asyncio.sleep(0.05)
    assert len(emulator.requests) == request_count == 1
    assert closed.is_set() is (kind == "async")


async def test_workers_wait_while_results_are_unread(client: AsyncImgwireClient, emulator: Emulator) -> None:
    run = client.images.upload_many((png() for _ in range(1000)), concurrency=4)
    async with aclosing(run):
        await anext(run)
        before = -1
        while before != len(emulator.requests):
            before = len(emulator.requests)
            await asyncio.sleep(0.3)
        assert before <= 2 * (1 + 2 * 4)
        await anext(run)


@pytest.mark.world
async def test_leaving_the_iterator_early_stops_the_uploads_and_releases_everything(
    emulator: Emulator, world: World
) -> None:
    emulator.faults.add("PUT", "/uploads/*", after=3, times=None, stall=float("inf"))
    async with world.client_of(emulator, max_connections=4) as client:
        run = client.images.upload_many((png() for _ in range(1000)), concurrency=4)
        async with aclosing(run):
            await anext(run)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not [task for task in others if "upload" in repr(task) or "_work" in repr(task)]
        emulator.faults.clear()
        results = await results_of(client, [png() for _ in range(8)], concurrency=8)
        assert {(result.error, result.attempts) for result in results} == {(None, 1)}
        assert len({result.unwrap().id for result in results}) == 8


@pytest.mark.world
async def test_a_cancelled_run_passes_the_cancellation_on(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    emulator.faults.add("PUT", "/uploads/*", times=None, stall=float("inf"))
    task = asyncio.create_task(results_of(client, (png() for _ in range(100))))
    while len(emulator.images) < 32:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.world
async def test_closing_the_client_ends_the_run(emulator: Emulator, world: World) -> None:
    client = world.client_of(emulator)
    with pytest.raises(RuntimeError, match="client is closed"):
        async for result in client.images.upload_many((png() for _ in range(1000)), concurrency=2):
            if result.index > 5:
                await client.aclose()


async def test_an_empty_iterable_yields_no_result(client: AsyncImgwireClient, emulator: Emulator) -> None:
    assert await results_of(client, []) == []
    assert len(emulator.requests) == 0


@pytest.mark.world
@pytest.mark.parametrize("count", [20, pytest.param(60, marks=pytest.mark.slow)])
async def test_faults_lose_no_file(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path, count: int
) -> None:
    paths = []
    for number in range(count):
        paths.append(tmp_path / f"{number}.png")
        paths[-1].write_bytes(png(number + 1, 1, padding=number * 1000))
    for after in range(0, count, 7):
        emulator.faults.add("PUT", "/uploads/*", after=after, status=503)
        emulator.faults.add("PUT", "/uploads/*", after=after + 2, reset="before")
        emulator.faults.add("PUT", "/uploads/*", after=after + 4, reset="after_commit")
        emulator.faults.add("POST", "*/standard_upload", after=after, reset="after_commit")
    results = await results_of(
        client.with_options(retries=RetryPolicy(max_retries=8, backoff=0.01)), paths, wait=True
    )
    stored = {result.index: result.unwrap() for result in results}
    assert len(stored) == count
    for index, path in enumerate(paths):
        assert stored[index].status == ImageStatus.READY
        found = emulator.images[stored[index].id].stored
        assert found is not None
        assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(emulator.images) == count


@with_pictures
async def test_a_folder_of_odd_pictures_uploads_all_but_the_invalid_files(client: AsyncImgwireClient) -> None:
    folder = PICTURES / "odd"
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    results = await results_of(client, paths, wait=True)
    failed = {str(Path(str(r.file)).name): type(r.error).__name__ for r in results if r.error}
    assert failed == {
        ".DS_Store": "UnsupportedImageError",
        "drawing.svg": "UnsupportedImageError",
        "empty.jpg": "UnsupportedImageError",
        "notes.jpg": "UnsupportedImageError",
        "truncated.jpg": "ImageQuarantinedError",
    }
    assert len(results) - len(failed) == 18


@pytest.mark.parametrize("more", [-1, 0, 1, CHUNK_SIZE + 1])
async def test_files_around_the_chunk_size_arrive_completely(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path, more: int
) -> None:
    data = png(padding=CHUNK_SIZE)
    data += bytes(2 * CHUNK_SIZE + more - len(data))
    path = tmp_path / "a.png"
    path.write_bytes(data)
    (result,) = await results_of(client, [path])
    assert result.unwrap()
    assert result.bytes_sent == len(data)
    (put,) = [request for request in emulator.requests if request.method == "PUT"]
    assert put.body_sha256 == hashlib.sha256(data).hexdigest()


# --- tasks cancelled by other code --------------------------------------------------------------------------


def cancel_other_tasks(task_to_keep: asyncio.Task[Any] | None) -> None:
    """Cancel all tasks but one, as the shutdown code of many programs does."""
    for task in asyncio.all_tasks() - {task_to_keep}:
        task.cancel()


@pytest.mark.parametrize("kind", ["list", "generator", "async generator"])
@pytest.mark.parametrize("result_count", [0, 4])
async def test_a_run_whose_tasks_are_cancelled_by_other_code_raises_after_its_results(
    kind: str, result_count: int
) -> None:
    # This emulator runs in another thread, so its tasks are not cancelled.
    with Emulator() as emulator:
        async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
            files = [png() for _ in range(40)]
            inputs: Any = {"list": files, "generator": iter(files), "async generator": numbered(40)}[kind]
            results: list[UploadResult] = []
            run = client.images.upload_many(inputs, concurrency=4)
            with pytest.raises(RuntimeError, match="upload_many ended early: other code cancelled its tasks"):
                async with asyncio.timeout(20):
                    if not result_count:
                        asyncio.get_running_loop().call_soon(cancel_other_tasks, asyncio.current_task())
                    async for result in run:
                        results.append(result)
                        if len(results) == result_count:
                            cancel_other_tasks(asyncio.current_task())
            assert len({result.index for result in results}) == len(results) < 40
            assert [r for r in results if r.error and "other code cancelled" not in str(r.error)] == []
            assert {result.unwrap().id for result in results if not result.error} <= set(emulator.images)
            # The client can still be used.
            assert (await client.images.upload(png())).id


async def test_an_upload_cancelled_by_other_code_has_its_result(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    emulator.faults.add("PUT", "/uploads/*", after=2, times=1, stall=float("inf"))
    before = asyncio.all_tasks()
    results: list[UploadResult] = []

    async def run() -> None:
        async for result in client.images.upload_many([png() for _ in range(10)], concurrency=1):
            results.append(result)

    task = asyncio.ensure_future(run())
    while sum(record.method == "PUT" for record in emulator.requests) < 3:
        await asyncio.sleep(0.01)
    (worker,) = [other for other in asyncio.all_tasks() - before - {task} if "_work" in repr(other)]
    worker.cancel()
    with pytest.raises(RuntimeError, match="upload_many ended early"):
        async with asyncio.timeout(20):
            await task
    assert [(result.index, str(result.error or "")[:32]) for result in results] == [
        (0, ""), (1, ""), (2, "other code cancelled the upload,"),
    ]  # fmt: skip
    assert results[2].image is not None


# --- exceptions of the caller's iterator --------------------------------------------------------------------


class FailingIterator:
    """The base of a plain and an async iterator that raise an exception instead of the third file."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.count = 0

    def next_file(self) -> bytes:
        self.count += 1
        if self.count == 3:
            raise self.error
        return png()


class FailingPlainIterator(FailingIterator):
    def __iter__(self) -> FailingPlainIterator:
        return self

    def __next__(self) -> bytes:
        return self.next_file()


class FailingAsyncIterator(FailingIterator):
    def __aiter__(self) -> FailingAsyncIterator:
        return self

    async def __anext__(self) -> bytes:
        return self.next_file()


OUTCOMES: list[tuple[type[BaseException], type[FailingIterator], type[BaseException] | None]] = [
    (asyncio.CancelledError, FailingPlainIterator, asyncio.CancelledError),
    (asyncio.CancelledError, FailingAsyncIterator, asyncio.CancelledError),
    (GeneratorExit, FailingPlainIterator, RuntimeError),
    (GeneratorExit, FailingAsyncIterator, RuntimeError),
    # The normal end of an iterator.
    (StopIteration, FailingPlainIterator, None),
    (StopIteration, FailingAsyncIterator, RuntimeError),
    (StopAsyncIteration, FailingPlainIterator, RuntimeError),
    (StopAsyncIteration, FailingAsyncIterator, None),
]


@pytest.mark.parametrize(("error", "kind", "raised"), OUTCOMES)
async def test_no_exception_of_an_iterator_is_lost(
    client: AsyncImgwireClient,
    error: type[BaseException],
    kind: type[FailingIterator],
    raised: type[BaseException] | None,
) -> None:
    results: list[UploadResult] = []
    files: Any = kind(error())

    async def run() -> None:
        async for result in client.images.upload_many(files, concurrency=2):
            results.append(result)

    async with asyncio.timeout(20):
        (outcome,) = await asyncio.gather(run(), return_exceptions=True)
    assert type(outcome) is (raised or type(None))
    assert sorted(result.index for result in results) == [0, 1]


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("kind", [FailingPlainIterator, FailingAsyncIterator])
def test_an_exception_that_ends_the_process_ends_the_run(
    error: type[BaseException], kind: type[FailingIterator]
) -> None:
    async def run(emulator: Emulator) -> None:
        async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
            files: Any = kind(error())
            async with asyncio.timeout(20):
                await results_of(client, files, concurrency=2)

    with Emulator() as emulator, pytest.raises(error):
        asyncio.run(run(emulator))
