"""Cancel every operation at each suspension: nothing leaks, nothing hangs, and the next call works."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import random
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
import worlds

from imgwire_async import (
    AsyncImgwireClient,
    Image,
    ImageDownloadJob,
    ImgwireError,
    RetryPolicy,
    UploadNotReplayableError,
)
from imgwire_async.emulator import Emulator

from . import cancellation_points
from .cancellation_points import CancelMethod, Holdings
from .pictures import png

PICTURE = png(padding=3000)


@attrs.frozen
class Stage:
    """The objects that operations are tested with."""

    client: AsyncImgwireClient
    emulator: Emulator
    image: Image
    job: ImageDownloadJob
    folder: Path
    numbers: Any = attrs.field(factory=itertools.count)

    @property
    def target(self) -> Path:
        """A path that does not exist."""
        return self.folder / f"{next(self.numbers)}.bin"


Operation = Callable[[Stage], Awaitable[object]]


async def _list_all(stage: Stage) -> None:
    async with contextlib.aclosing(stage.client.images.list_all(limit=1, prefetch=2)) as images:
        async for _ in images:
            pass


async def _chunks() -> AsyncIterator[bytes]:
    for at in range(0, len(PICTURE), 1500):
        yield PICTURE[at : at + 1500]


async def _once(stage: Stage) -> None:
    with contextlib.suppress(UploadNotReplayableError):
        await stage.client.images.upload(_chunks(), mime_type="image/png", content_length=len(PICTURE))


async def _many(stage: Stage) -> None:
    files = [PICTURE, stage.folder / "picture.png", PICTURE]
    async with contextlib.aclosing(stage.client.images.upload_many(files, concurrency=2)) as results:
        async for result in results:
            result.unwrap()


async def _stream(stage: Stage) -> None:
    async with stage.client.images.stream(stage.image) as chunks:
        async for _ in chunks:
            pass


async def _open_file(stage: Stage) -> None:
    with (stage.folder / "picture.png").open("rb") as file:
        await stage.client.images.upload(file)


@attrs.define
class Bucket:
    """An `UploadSource` that needs several suspensions to close."""

    name: str = "bucket.png"
    size: int = len(PICTURE)
    replayable: bool = True
    open_count: int = 0

    async def open(self) -> AsyncGenerator[bytes, None]:
        self.open_count += 1
        try:
            async for chunk in _chunks():
                await asyncio.sleep(0)
                yield chunk
        finally:
            self.open_count -= 1
            await asyncio.sleep(0.001)
            await asyncio.sleep(0)


async def _own_source(stage: Stage) -> None:
    source = Bucket()
    try:
        await stage.client.images.upload(source)
    finally:
        assert not source.open_count


async def _with_key_callable(stage: Stage) -> None:
    async def key() -> str:
        await asyncio.sleep(0)
        return stage.emulator.api_key

    async with worlds.current().client(key, stage.emulator.base_url) as client:
        await client.images.retrieve(stage.image.id)


OPERATIONS: dict[str, Operation] = {
    "retrieve": lambda stage: stage.client.images.retrieve(stage.image.id),
    "list": lambda stage: stage.client.images.list(),
    "list_all": _list_all,
    "create": lambda stage: stage.client.images.create(file_name="a.png"),
    "upload bytes": lambda stage: stage.client.images.upload(PICTURE),
    "upload a path": lambda stage: stage.client.images.upload(stage.folder / "picture.png"),
    "upload a large path": lambda stage: stage.client.images.upload(stage.folder / "large.png"),
    "upload an open file": _open_file,
    "upload an iterator": _once,
    "upload of unknown size": lambda stage: stage.client.images.upload(iter([PICTURE])),
    "upload a source of one's own": _own_source,
    "upload with hash": lambda stage: stage.client.images.upload(
        stage.folder / "picture.png", hash_sha256=True
    ),
    "upload and wait": lambda stage: stage.client.images.upload(PICTURE, wait=True),
    "upload_many": _many,
    "download": lambda stage: stage.client.images.download(stage.image, stage.target),
    "download by id": lambda stage: stage.client.images.download(stage.image.id, stage.target),
    "read": lambda stage: stage.client.images.read(stage.image),
    "stream": _stream,
    "download_archive": lambda stage: stage.client.images.download_archive(stage.job, stage.target),
    "bulk_delete": lambda stage: stage.client.images.bulk_delete(["a" * 8, "b" * 8], chunk_size=1),
    "wait_until_ready": lambda stage: stage.client.images.wait_until_ready(stage.image.id),
    "key callable": _with_key_callable,
}

QUICK: list[CancelMethod] = [
    cancellation_points.cancelled_at_once,
    cancellation_points.cancelled_after_its_result,
    cancellation_points.cancelled_by_scope,
]
WAYS: list[CancelMethod] = [
    *QUICK,
    # The functions in QUICK cancel in different ways. Each of the next ones cancels in the same way as one of
    # them.
    cancellation_points.cancelled_repeatedly,
    cancellation_points.cancelled_by_timeout,
    cancellation_points.cancelled_by_task_group,
]

Fault = dict[str, Any]
FAULTS: dict[str, Fault] = {
    "503": {"status": 503},
    "429": {"status": 429, "headers": {"Retry-After": "0"}},
    "reset": {"reset": "after_commit"},
    "slow": {"slow": 300_000},
}


@pytest.fixture
def switches() -> dict[str, Any]:
    return {"ready_polls": 0}


@pytest.fixture
async def stage(emulator: Emulator, tmp_path: Path) -> AsyncIterator[Stage]:
    async with a_client(emulator) as client:
        (tmp_path / "picture.png").write_bytes(PICTURE)
        (tmp_path / "large.png").write_bytes(png(padding=1_400_000))
        emulator.download_polls = 1
        image = await client.images.upload(PICTURE, wait=True)
        job = await client.images.create_bulk_download_job([image.id])
        job = await client.images.retrieve_bulk_download_job(job.id)
        yield Stage(client, emulator, image, job, tmp_path)


def a_client(emulator: Emulator, **settings: Any) -> AsyncImgwireClient:
    settings = {"retries": RetryPolicy(backoff=0.001, max_backoff=0.001), "max_connections": 4} | settings
    return worlds.current().client_of(emulator, **settings)


async def cancel_everywhere(stage: Stage, name: str, way: CancelMethod, fault: Fault) -> int:
    """Cancel an operation at its first suspension, then at its second, and so on.

    Return the number of suspensions.

    `fault` applies to the first request of each host.
    """
    client, emulator = stage.client, stage.emulator
    for at in itertools.count(1):
        emulator.faults.clear()
        await client.images.retrieve(stage.image.id)
        before = await cancellation_points.holdings_at_rest(client)
        for host in ("api", "storage", "cdn") if fault else ():
            emulator.faults.add("*", "*", host=host, **fault)
        try:
            was_reached = await way(OPERATIONS[name](stage), at)
            await cancellation_points.wait_until_released(client, before)
            assert not [path.name for path in stage.folder.iterdir() if path.suffix == ".part"]
        except BaseException as error:
            error.add_note(f"{name}, at suspension {at}")
            raise
        if not was_reached:
            return at - 1
    raise AssertionError


@pytest.mark.world
@pytest.mark.parametrize(
    "way",
    [pytest.param(way, marks=() if way is QUICK[0] else pytest.mark.slow) for way in QUICK],
    ids=lambda way: way.__name__,
)
async def test_an_operation_cancelled_at_any_point_releases_everything_and_the_next_call_works(
    stage: Stage, way: CancelMethod
) -> None:
    points = {name: await cancel_everywhere(stage, name, way, {}) for name in OPERATIONS}
    assert min(points.values()) >= 1, points
    assert sum(points.values()) > 80, points


# After a 429 every call waits, so a few operations are enough.
RATE_LIMITED = ("retrieve", "create", "upload bytes")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fault"),
    [(name, fault) for name in OPERATIONS for fault in FAULTS if fault != "429" or name in RATE_LIMITED],
)
@pytest.mark.parametrize("way", WAYS[1:4], ids=lambda way: way.__name__)
async def test_an_operation_with_a_fault_cancelled_at_any_point_releases_everything(
    stage: Stage, name: str, way: CancelMethod, fault: str
) -> None:
    assert await cancel_everywhere(stage, name, way, FAULTS[fault]) >= 1


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_client_whose_first_call_is_cancelled_at_any_point_holds_nothing(
    stage: Stage, name: str, way: CancelMethod
) -> None:
    was_reached = True
    for at in itertools.count(1):
        async with a_client(stage.emulator) as client:
            nothing = Holdings.of(client)
            was_reached = await way(OPERATIONS[name](attrs.evolve(stage, client=client)), at)
            await cancellation_points.wait_until_released(client, nothing)
            await client.images.retrieve(stage.image.id)
        if not was_reached:
            break


@pytest.mark.world
async def test_a_cancelled_upload_waits_until_its_source_is_closed(stage: Stage) -> None:
    steps: list[str] = []

    class SlowToClose(Bucket):
        async def open(self) -> AsyncGenerator[bytes, None]:
            try:
                yield bytes(10_000)
                yield bytes(10_000)
                await asyncio.Event().wait()
            finally:
                steps.append("closing")
                for _ in range(3):
                    await asyncio.sleep(0.001)
                steps.append("closed")

    upload = asyncio.ensure_future(
        stage.client.images.upload(SlowToClose(size=30_000), mime_type="image/png")
    )
    while not [
        request for request in stage.emulator.requests if request.method == "PUT" and request.status is None
    ]:
        await asyncio.sleep(0.001)
    # The SDK has opened and closed the source once before, to check it.
    del steps[:]
    upload.cancel()
    await asyncio.wait({upload})
    assert steps == ["closing", "closed"]


class Hanging:
    """A file object that cannot seek, and whose method `blocked` does not return before `go` is set."""

    name = "a.png"

    def __init__(self, blocked: str, go: threading.Event) -> None:
        self._blocked = blocked
        self._go = go

    def _wait_in(self, method: str) -> None:
        if method == self._blocked:
            self._go.wait(20)

    def seekable(self) -> bool:
        self._wait_in("seekable")
        return self._blocked == "measure"

    def read(self, size: int = -1) -> bytes:
        self._wait_in("read" if size else "measure")
        return b""


def _hanging_chunks(go: threading.Event) -> Iterator[bytes]:
    go.wait(20)
    yield PICTURE


@pytest.mark.parametrize(
    "hangs",
    [
        "iterator",
        "measure",
        pytest.param("read", marks=pytest.mark.slow),
        pytest.param("seekable", marks=pytest.mark.slow),
    ],
)
async def test_a_blocking_source_does_not_delay_a_cancel_scope(stage: Stage, hangs: str) -> None:
    before = Holdings.of(stage.client)
    go = threading.Event()
    source: Any = _hanging_chunks(go) if hangs == "iterator" else Hanging(hangs, go)
    started_at = time.monotonic()
    try:
        with anyio.move_on_after(0.1) as scope:
            await stage.client.images.upload(source, file_name="a.png")
        assert scope.cancel_called
        assert time.monotonic() - started_at < 5
    finally:
        go.set()
    await cancellation_points.wait_until_released(stage.client, before)
    await stage.client.images.retrieve(stage.image.id)


@pytest.mark.world
@pytest.mark.parametrize(
    "count",
    [80, pytest.param(500, marks=pytest.mark.slow)],
)
async def test_many_uploads_cancelled_at_random_leave_nothing_behind(stage: Stage, count: int) -> None:
    generator = random.Random(count)
    client = stage.client
    kinds = [OPERATIONS[name] for name in OPERATIONS if name.startswith("upload")]
    await client.images.upload(PICTURE)
    before = Holdings.of(client)
    uploads = [asyncio.ensure_future(generator.choice(kinds)(stage)) for _ in range(count)]
    while running := [upload for upload in uploads if not upload.done()]:
        generator.choice(running).cancel()
        await asyncio.sleep(generator.choice([0, 0, 0.001, 0.003]))
    outcomes = await asyncio.gather(*uploads, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} >= {asyncio.CancelledError}
    assert not [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    await cancellation_points.wait_until_released(client, before)
    await asyncio.gather(*(client.images.upload(PICTURE) for _ in range(8)))


# --- iterators that are closed early ------------------------------------------------------------------------


Iterate = Callable[[Stage], AsyncGenerator[object, None]]
ITERATORS: dict[str, Iterate] = {
    "list_all": lambda stage: stage.client.images.list_all(limit=1, prefetch=3),
    "list_pages": lambda stage: stage.client.images.list_pages(limit=1, prefetch=3),
    "upload_many": lambda stage: stage.client.images.upload_many(itertools.repeat(PICTURE), concurrency=3),
}


@pytest.mark.world
@pytest.mark.parametrize("name", ITERATORS)
@pytest.mark.parametrize(
    "how",
    [
        "closed",
        pytest.param("dropped", marks=pytest.mark.slow),
        pytest.param("cancelled between two steps", marks=pytest.mark.slow),
    ],
)
async def test_an_iterator_that_is_closed_early_stops_all_its_tasks(
    stage: Stage, name: str, how: str
) -> None:
    client = stage.client
    await asyncio.gather(*(client.images.upload(PICTURE) for _ in range(6)))
    before = Holdings.of(client)
    items = ITERATORS[name](stage)
    await anext(items)
    await anext(items)
    if how == "closed":
        await items.aclose()
        # `aclose` waited for the tasks.
        assert Holdings.of(client).tasks == before.tasks
    elif how == "cancelled between two steps":
        with anyio.CancelScope() as scope:
            async with contextlib.aclosing(items):
                scope.cancel()
                await asyncio.sleep(1)
        assert Holdings.of(client).tasks == before.tasks
    del items
    gc.collect()
    await cancellation_points.wait_until_released(client, before)
    await client.images.retrieve(stage.image.id)


@pytest.mark.world
async def test_a_stream_that_is_closed_early_releases_everything(stage: Stage) -> None:
    client = stage.client
    large = await client.images.upload(stage.folder / "large.png", wait=True)
    before = Holdings.of(client)
    # More streams than there are slots.
    for _ in range(10):
        async with client.images.stream(large) as chunks:
            async for _ in chunks:
                break
    await cancellation_points.wait_until_released(client, before)


# --- several errors at once ---------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("host", ["api", "storage", "cdn"])
async def test_no_exception_group_leaves_an_operation(stage: Stage, host: Any) -> None:
    raised: dict[str, BaseException] = {}
    async with a_client(stage.emulator, retries=0) as client:
        for name, operation in OPERATIONS.items():
            stage.emulator.faults.add("*", "*", host=host, times=None, status=500)
            try:
                await operation(attrs.evolve(stage, client=client))
            except Exception as error:
                raised[name] = error
            stage.emulator.faults.clear()
    assert raised
    assert [name for name, error in raised.items() if not isinstance(error, ImgwireError)] == []
