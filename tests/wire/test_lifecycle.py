"""Clients that are closed at any time, or not at all, leak nothing, do not hang, and print nothing."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from worlds import World

from imgwire_async import AsyncImgwireClient, Image, ImgwireClient
from imgwire_async.emulator import Emulator

from . import cancellation_points
from .emulator_process import EmulatorProcess, emulator_process
from .pictures import png
from .resource_usage import memory

ROOT = Path(__file__).parents[2]
FOREVER = float("inf")


# --- clients that are not closed ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        (AsyncImgwireClient, 1_500),
        pytest.param(AsyncImgwireClient, 10_000, marks=[pytest.mark.slow, pytest.mark.timeout(180)]),
        pytest.param(ImgwireClient, 10_000, marks=[pytest.mark.slow, pytest.mark.timeout(180)]),
    ],
)
def test_thousands_of_unused_clients_leave_nothing_behind(kind: type[Any], count: int) -> None:
    def make(count: int) -> None:
        for _ in range(count):
            kind("sk_x", base_url="http://127.0.0.1:9")
        gc.collect()

    make(500)
    before, files = memory("VmRSS"), cancellation_points.open_files()
    make(count)
    assert memory("VmRSS") - before < 4 * 2**20
    assert cancellation_points.open_files() == files


@pytest.mark.world
@pytest.mark.parametrize("count", [40, pytest.param(500, marks=pytest.mark.slow)])
async def test_used_clients_that_were_not_closed_leave_nothing_behind(
    emulator: Emulator, count: int, world: World
) -> None:
    async def use(count: int) -> None:
        for _ in range(count):
            client = world.client_of(emulator)
            await client.images.list()
            del client
        gc.collect()
        await asyncio.sleep(0)

    await use(20)
    emulator.reset()
    await settled()
    before, sockets = memory("VmRSS"), cancellation_points.sockets()
    await use(count)
    emulator.reset()
    for _ in range(1000):
        if cancellation_points.sockets() <= sockets:
            break
        await asyncio.sleep(0.005)
    assert cancellation_points.sockets() <= sockets
    assert memory("VmRSS") - before < 16 * 2**20  # the emulator runs in this process, too
    await settled()


async def settled() -> None:
    """Wait until only this task and the tasks of the emulator run."""
    for _ in range(1000):
        if not cancellation_points.running_tasks():
            return
        await asyncio.sleep(0.005)
    raise AssertionError(cancellation_points.running_tasks())


@pytest.mark.parametrize("count", [300, pytest.param(1000, marks=pytest.mark.slow)])
async def test_one_client_serves_a_thousand_tasks(
    emulator: Emulator, client: AsyncImgwireClient, count: int
) -> None:
    image = await client.images.upload(png())
    await client.images.list()
    before = cancellation_points.Holdings.of(client)
    found = await asyncio.gather(*(client.images.retrieve(image.id) for _ in range(count)))
    assert {image.id for image in found} == {image.id}
    assert (
        len({record.connection for record in emulator.requests}) <= 102
    )  # a hundred, and one per host before
    await cancellation_points.wait_until_released(client, before)


# --- closing during operations ------------------------------------------------------------------------------


async def _forever() -> AsyncIterator[bytes]:
    yield png(padding=100_000)
    while True:
        yield bytes(100_000)
        await asyncio.sleep(0.01)


async def _iterate(client: AsyncImgwireClient, image: Image) -> None:
    async for _ in client.images.list_all(limit=1):
        pass


async def _many(client: AsyncImgwireClient, image: Image) -> None:
    async for result in client.images.upload_many([png(), png()]):
        result.unwrap()


async def _stream(client: AsyncImgwireClient, image: Image) -> None:
    async with client.images.stream(image) as chunks:
        async for _ in chunks:
            pass


Work = Callable[[AsyncImgwireClient, Image], Awaitable[object]]
STALLED = {"stall": FOREVER, "times": None}
WORK: dict[str, tuple[Work, dict[str, Any]]] = {
    "a call": (lambda client, image: client.images.retrieve(image.id), STALLED),
    "a call in its pause": (
        lambda client, image: client.images.retrieve(image.id),
        {"status": 503, "times": None, "headers": {"Retry-After": "30"}},
    ),
    "a call at the gate": (
        lambda client, image: client.images.retrieve(image.id),
        {"status": 429, "times": None, "headers": {"Retry-After": "30"}},
    ),
    "an upload": (lambda client, image: client.images.upload(png()), STALLED | {"host": "storage"}),
    "an endless upload": (
        lambda client, image: client.images.upload(_forever(), mime_type="image/png", content_length=10**9),
        {"slow": 10_000, "times": None, "host": "storage"},
    ),
    "many uploads": (_many, STALLED | {"host": "storage"}),
    "a read": (lambda client, image: client.images.read(image), STALLED | {"host": "cdn"}),
    "a read in its midst": (
        lambda client, image: client.images.read(image),
        STALLED | {"host": "cdn", "cut": 30},
    ),
    "a stream": (_stream, STALLED | {"host": "cdn", "cut": 30}),
    "an iterator": (_iterate, STALLED),
    "a wait": (lambda client, image: client.images.wait_until_ready(image.id), STALLED),
    "a wait in its pause": (lambda client, image: client.custom_domain.wait_until_connected(), {}),
}


@pytest.mark.world
@pytest.mark.parametrize("name", WORK)
async def test_closing_a_client_ends_every_operation_with_an_error(
    emulator: Emulator, name: str, world: World
) -> None:
    work, fault = WORK[name]
    async with world.client_of(emulator) as client:
        image = await client.images.upload(png(), wait=True)
        emulator.domain_polls = 1000
        await client.custom_domain.create("img.example.com")
        emulator.requests.clear()
        if fault:
            emulator.faults.add("*", "*", **fault)
        task = asyncio.ensure_future(work(client, image))
        async with asyncio.timeout(10):
            while not any(record.host == fault.get("host", "api") for record in emulator.requests):
                await asyncio.sleep(0.002)
        await asyncio.sleep(0.02)
        started_at = time.monotonic()
        await client.aclose()
        done, _ = await asyncio.wait({task}, timeout=10)
        assert done, f"{name} hangs after its client was closed"
        assert time.monotonic() - started_at < 4  # the shortest of these delays takes 5 s
    with pytest.raises(RuntimeError, match="client is closed"):
        task.result()
    await settled()


# --- interpreter exit ---------------------------------------------------------------------------------------


SCRIPT = """
import asyncio, contextlib, logging, os, sys
logging.getLogger("asyncio").setLevel(logging.ERROR)  # in dev mode it logs every slow step
from imgwire_async import AsyncImgwireClient, ImgwireClient

KEY, URL = sys.argv[1:]
GIF = bytes.fromhex("47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b")

def client(**settings):
    return AsyncImgwireClient(KEY, base_url=URL, **settings)

async def endless():
    yield GIF
    while True:
        yield bytes(1000)
        await asyncio.sleep(0.001)

async def uploading(one):
    began = asyncio.Event()
    task = asyncio.ensure_future(
        one.images.upload(endless(), content_length=10**9, on_created=lambda image: began.set())
    )
    await began.wait()
    await asyncio.sleep(0.05)
    return task
"""

ENDS = {
    "an unclosed client": """
        async def main():
            await client().images.list()
        asyncio.run(main())
    """,
    "an unclosed client of the module": """
        one = client()
        async def main():
            await one.images.upload(GIF)
        asyncio.run(main())
        asyncio.run(main())
    """,
    "during an upload": """
        async def main():
            task = await uploading(client())
        asyncio.run(main())
    """,
    "during an upload of a client that is closed": """
        async def main():
            async with client() as one:
                task = await uploading(one)
            await asyncio.gather(task, return_exceptions=True)
        asyncio.run(main())
    """,
    "a pending iterator": """
        async def main():
            one = client()
            await asyncio.gather(*(one.images.upload(GIF) for _ in range(3)))
            images = one.images.list_all(limit=1)
            await anext(images)
            results = one.images.upload_many(iter(lambda: GIF, None), concurrency=3)
            await anext(results)
        asyncio.run(main())
    """,
    "a pending iterator of the module": """
        one = client()
        async def main():
            global images
            await asyncio.gather(*(one.images.upload(GIF) for _ in range(3)))
            images = one.images.list_all(limit=1)
            await anext(images)
        asyncio.run(main())
    """,
    "sys.exit in a task": """
        async def main():
            one = client()
            await uploading(one)
            async def leave():
                sys.exit(3)
            leaving = asyncio.ensure_future(leave())
            leaving.add_done_callback(lambda task: task.exception())  # asyncio would log it otherwise
            await asyncio.sleep(60)
        asyncio.run(main())
    """,
    "an unhandled error": """
        async def main():
            await uploading(client())
            raise LookupError("mine")
        asyncio.run(main())
    """,
    "a loop that is only stopped": """
        loop = asyncio.new_event_loop()
        one = client()
        loop.run_until_complete(one.images.list())
        loop.close()
    """,
    "a blocking client during a call": """
        import threading
        one = ImgwireClient(KEY, base_url=URL)
        one.images.list()
        images = one.images.list_all(limit=1)
        one.images.upload(GIF)
        next(images)
    """,
    "an exit hook that calls os._exit": """
        import atexit
        one = ImgwireClient(KEY, base_url=URL)
        atexit.register(lambda: one.images.list())
        one.images.list()
    """,
}
QUICK_ENDS = {"during an upload"}


@pytest.fixture(scope="module")
def service() -> Any:
    with emulator_process() as there:
        yield there


def _marks(how: str) -> list[pytest.MarkDecorator]:
    if how == "a loop that is only stopped":
        reason = "nothing public closes a transport whose loop is closed; only dev mode tells of it"
        return [pytest.mark.slow, pytest.mark.xfail(strict=True, reason=reason)]
    return [] if how in QUICK_ENDS else [pytest.mark.slow]


@pytest.mark.long
@pytest.mark.parametrize("how", [pytest.param(how, marks=_marks(how)) for how in ENDS])
def test_the_interpreter_exits_quickly_and_prints_nothing(service: EmulatorProcess, how: str) -> None:
    script = SCRIPT + textwrap.dedent(ENDS[how])
    started_at = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script, service.api_key, service.base_url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    expected = {"sys.exit in a task": 3, "an unhandled error": 1}.get(how, 0)
    lines = ended.stderr.strip().splitlines()
    if how == "an unhandled error":
        assert lines.pop() == "LookupError: mine"
        lines = [line for line in lines if not line.startswith(("Traceback", " "))]
    assert (ended.returncode, ended.stdout, lines) == (expected, "", []), ended.stderr
    assert time.monotonic() - started_at < 30  # mostly for the start, on a busy machine
