"""Timeouts: errors name the timeout, the attempts and the seconds.

No call waits for jobs of the application.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import worlds
from worlds import World

from imgwire_async import (
    APIConnectionError,
    APITimeoutError,
    AsyncImgwireClient,
    DownloadError,
    ImgwireError,
    RetryPolicy,
    Timeouts,
    UploadStalledError,
)
from imgwire_async.emulator import Emulator
from imgwire_async.transport.resolver import Resolver, _run_in_thread, resolve_blocking

from .conftest import raw_server
from .pictures import png

NEVER = float("inf")
LONG = 30.0
SHORT = 0.3
# Seconds. Enough for a few exchanges on a busy machine.
ENOUGH = 1.0


@contextlib.contextmanager
def nobody_accepts() -> Iterator[str]:
    """Provide an origin whose accept queue is full: a connection attempt gets no response."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield worlds.current().origin(full.getsockname()[1])


@pytest.fixture
async def lone(emulator: Emulator) -> AsyncIterator[AsyncImgwireClient]:
    """Provide a client with one connection."""
    async with worlds.current().client_of(emulator, max_connections=1, retries=0) as client:
        yield client


async def running_out(call: Any) -> tuple[ImgwireError, float]:
    """Await `call`, and return its error and the seconds that it took."""
    started_at = time.monotonic()
    with pytest.raises(ImgwireError) as caught:
        await call
    return caught.value, time.monotonic() - started_at


def claim(outcome: tuple[ImgwireError, float], which: str, attempts: int) -> None:
    error, elapsed = outcome
    assert isinstance(error, APITimeoutError)
    assert error.which == which
    assert f"Timeouts({which}=" in str(error)
    assert error.exchange is not None
    assert error.exchange.attempts == attempts
    assert re.search(rf"\({attempts} attempts?, \d+\.\d\d s\)", str(error)), error
    assert SHORT <= elapsed < 10


CLOCKS = [
    (SHORT, LONG, LONG, "connect"),
    (LONG, SHORT, LONG, "attempt"),
    (LONG, LONG, SHORT, "deadline"),
    (None, None, SHORT, "deadline"),
    (None, SHORT, None, "attempt"),
    (SHORT, None, None, "connect"),
]


@pytest.mark.world
@pytest.mark.parametrize(("connect", "attempt", "deadline", "which"), CLOCKS)
async def test_the_error_names_the_shortest_timeout_when_no_connection_is_accepted(
    connect: float | None, attempt: float | None, deadline: float | None, which: str, world: World
) -> None:
    with nobody_accepts() as origin:
        clocks = Timeouts(connect=connect, attempt=attempt, deadline=deadline)
        async with world.client("sk_x", origin, timeout=clocks, retries=0) as client:
            claim(await running_out(client.images.list()), which, 1)


@pytest.mark.parametrize(
    "clocks",
    [Timeouts(connect=LONG, attempt=SHORT), Timeouts(connect=SHORT, attempt=LONG), Timeouts(None, SHORT)],
)
async def test_a_connect_timeout_always_counts_as_not_sent(clocks: Timeouts) -> None:
    with nobody_accepts() as origin:
        once_more = RetryPolicy(max_retries=1, backoff=0)
        async with AsyncImgwireClient("sk_x", base_url=origin, timeout=clocks, retries=once_more) as client:
            error, _ = await running_out(client.cors_origins.create("a.example.com"))
    assert isinstance(error, APIConnectionError)
    assert error.sent is False
    assert "carried out" not in str(error)
    assert error.exchange is not None
    assert error.exchange.attempts == 2, (
        "a POST without a key is repeated when it certainly was not processed"
    )


@pytest.mark.world
@pytest.mark.parametrize("fault", [{"stall": NEVER}, {"cut": 1, "stall": NEVER}, {"slow": 1.0}])
@pytest.mark.parametrize(
    ("attempt", "deadline", "which"), [(SHORT, LONG, "attempt"), (LONG, SHORT, "deadline")]
)
async def test_the_error_names_the_shortest_timeout_when_headers_or_body_stall(
    emulator: Emulator,
    client: AsyncImgwireClient,
    fault: dict[str, Any],
    attempt: float,
    deadline: float,
    which: str,
) -> None:
    emulator.faults.add("GET", "*", times=None, **fault)
    clocks = Timeouts(connect=SHORT / 3, attempt=attempt, deadline=deadline, stall=SHORT / 3)
    hurried = client.with_options(timeout=clocks, retries=0)
    await client.images.create(file_name="a.png")  # opens the connection
    claim(await running_out(hurried.images.list()), which, 1)


async def test_the_error_counts_all_attempts_and_their_seconds(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    emulator.faults.add("GET", "*", times=None, stall=NEVER)
    hurried = client.with_options(
        timeout=Timeouts(attempt=0.1), retries=RetryPolicy(max_retries=2, backoff=0.01)
    )
    claim(await running_out(hurried.images.list()), "attempt", 3)


@pytest.mark.long
@pytest.mark.world
async def test_a_deadline_error_names_the_last_failure_and_the_current_attempt(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    emulator.faults.add("GET", "*", status=503)
    emulator.faults.add("GET", "*", times=None, stall=NEVER)
    hurried = client.with_options(
        timeout=Timeouts(deadline=ENOUGH), retries=RetryPolicy(max_retries=1, backoff=0)
    )
    error, elapsed = await running_out(hurried.images.list())
    claim((error, elapsed), "deadline", 2)
    assert "its last attempt failed: GET /images/ (1 attempt" in str(error)
    assert "HTTP 503" in str(error)


@pytest.mark.slow
@pytest.mark.world
async def test_waiting_for_a_slot_counts_only_for_the_deadline(
    emulator: Emulator, lone: AsyncImgwireClient
) -> None:
    emulator.faults.add("GET", "*", stall=1.5)
    first = asyncio.create_task(lone.images.list())
    while not len(emulator.requests):
        await asyncio.sleep(0.01)
    queued = asyncio.create_task(
        lone.with_options(timeout=Timeouts(connect=ENOUGH, attempt=ENOUGH), retries=0).images.list()
    )
    hurried = lone.with_options(timeout=Timeouts(attempt=0.1, deadline=SHORT))
    claim(await running_out(hurried.images.list()), "deadline", 0)
    await first
    await queued


@pytest.mark.long
async def test_the_deadline_ends_the_delay_before_a_retry(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    emulator.faults.add("GET", "*", status=503, headers={"Retry-After": "30"})
    hurried = client.with_options(timeout=Timeouts(deadline=ENOUGH))
    claim(await running_out(hurried.images.list()), "deadline", 1)


async def test_the_deadline_ends_the_wait_for_a_key(emulator: Emulator) -> None:
    async def key() -> str:
        await asyncio.get_running_loop().create_future()
        return ""

    clocks = Timeouts(connect=0.1, attempt=0.1, deadline=SHORT)
    async with AsyncImgwireClient(key, base_url=emulator.base_url, timeout=clocks) as client:
        error, elapsed = await running_out(client.images.list())
    claim((error, elapsed), "deadline", 0)
    assert "waiting for api_key() before GET /images/" in str(error)


@pytest.mark.slow
@pytest.mark.world
@pytest.mark.parametrize("fault", [{"stall": NEVER}, {"cut": 10, "stall": NEVER}], ids=["head", "body"])
async def test_a_deadline_error_of_a_download_names_its_progress(
    emulator: Emulator, client: AsyncImgwireClient, fault: dict[str, Any]
) -> None:
    image = await client.images.upload(png(), wait=True)
    emulator.faults.add("GET", "*", host="cdn", times=None, **fault)
    hurried = client.with_options(timeout=Timeouts(deadline=ENOUGH))
    error, elapsed = await running_out(hurried.images.read(image))
    claim((error, elapsed), "deadline", 1)


@pytest.mark.world
@pytest.mark.parametrize(("stall", "deadline"), [(SHORT, LONG), (None, ENOUGH), (SHORT, None)])
async def test_the_error_of_a_stalled_put_names_the_timeout(
    emulator: Emulator, client: AsyncImgwireClient, stall: float | None, deadline: float | None
) -> None:
    await client.images.upload(png())  # opens the connections
    emulator.faults.add("PUT", "/uploads/*", times=None, stall=NEVER)
    clocks = Timeouts(connect=LONG, attempt=LONG, stall=stall, deadline=deadline)
    hurried = client.with_options(timeout=clocks, retries=0)
    error, elapsed = await running_out(hurried.images.upload(png()))
    if deadline == ENOUGH:
        claim((error, elapsed), "deadline", 1)
        assert "PUT 127.0.0.1" in str(error)
    else:
        assert isinstance(error, UploadStalledError)
        assert f"{SHORT:g} s" in str(error)
    assert error.image is not None
    assert elapsed < 10


@pytest.mark.world
@pytest.mark.parametrize("status", [200, 403])
async def test_a_stalled_response_without_a_length_is_not_complete(
    emulator: Emulator, client: AsyncImgwireClient, status: int
) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status} Something\r\n\r\nhalf a wo".encode())
        await reader.read()  # until the client closes the connection

    async with raw_server(half) as storage:
        made = await client.images.create(file_name="a.png")
        data = json.loads((await client.request("GET", f"/images/{made.image.id}")).text)
        body = {"image": data, "upload_url": f"{storage}/a?X-Amz-Signature=abc"}
        emulator.faults.add("POST", "*/standard_upload", status=200, body=json.dumps(body).encode())
        hurried = client.with_options(timeout=Timeouts(stall=SHORT), retries=0)
        error, elapsed = await running_out(hurried.images.upload(png()))
    assert isinstance(error, UploadStalledError)
    assert elapsed < 10


@pytest.mark.world
@pytest.mark.parametrize(("stall", "deadline"), [(SHORT, LONG), (LONG, SHORT)])
async def test_the_error_of_a_stalled_download_names_the_timeout(
    emulator: Emulator, client: AsyncImgwireClient, stall: float, deadline: float
) -> None:
    image = await client.images.upload(png(), wait=True)
    emulator.faults.add("GET", "*", times=None, host="cdn", cut=1, stall=NEVER)
    hurried = client.with_options(timeout=Timeouts(stall=stall, deadline=deadline), retries=0)
    error, elapsed = await running_out(hurried.images.read(image))
    assert elapsed < 10
    if deadline < stall:
        assert isinstance(error, APITimeoutError)
        assert error.which == "deadline"
    else:
        assert isinstance(error, DownloadError)
        assert f"no byte for {SHORT:g} s" in str(error)


# --- names and threads --------------------------------------------------------------------------------------


@contextlib.contextmanager
def default_executor_is_full() -> Iterator[None]:
    """Fill the threads of asyncio's default executor with jobs that do not end."""
    over = threading.Event()
    pool = ThreadPoolExecutor(2)
    asyncio.get_running_loop().set_default_executor(pool)
    for _ in range(20):
        pool.submit(over.wait, 60)
    try:
        yield
    finally:
        over.set()


async def test_names_and_files_do_not_wait_for_jobs_of_the_application(
    emulator: Emulator, tmp_path: Path
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png())
    named = emulator.base_url.replace("127.0.0.1", "localhost")
    with default_executor_is_full():
        async with AsyncImgwireClient(emulator.api_key, base_url=named, timeout=10, retries=0) as client:
            image = await asyncio.wait_for(client.images.upload(path, wait=True), 20)
            await asyncio.wait_for(client.images.download(image, tmp_path / "b.png"), 20)
    assert (tmp_path / "b.png").read_bytes() == path.read_bytes()


async def test_no_resolver_thread_stays_after_a_call(emulator: Emulator) -> None:
    named = emulator.base_url.replace("127.0.0.1", "localhost")
    async with AsyncImgwireClient(emulator.api_key, base_url=named) as client:
        await asyncio.gather(*(client.images.list() for _ in range(20)))
        async with asyncio.timeout(10):
            while any(thread.name == "imgwire_async resolver" for thread in threading.enumerate()):
                await asyncio.sleep(0.01)


async def test_the_error_for_an_unknown_host_names_it(client: AsyncImgwireClient) -> None:
    # The C library rejects a name with this beginning without a name server, which a runner may not have.
    async with AsyncImgwireClient("sk_x", base_url="https://-no-such-host.invalid", retries=0) as lost:
        with pytest.raises(APIConnectionError, match=r"-no-such-host\.invalid cannot be resolved") as caught:
            await lost.images.list()
    assert caught.value.sent is False


async def test_the_resolver_returns_numeric_addresses_of_the_requested_family() -> None:
    found = await Resolver().resolve("localhost", 80, socket.AF_INET)
    assert {(address["host"], address["port"], address["family"]) for address in found} == {
        ("127.0.0.1", 80, socket.AF_INET)
    }
    assert resolve_blocking("127.0.0.1", 443, socket.AF_UNSPEC)[0]["host"] == "127.0.0.1"
    for nonsense in ("a" * 64, "a..b", ""):
        with pytest.raises(OSError, match=r".+"):
            resolve_blocking(nonsense, 80, socket.AF_UNSPEC)


HUNG = """
import asyncio, threading
from imgwire_async.transport import resolver

async def main():
    try:
        await asyncio.wait_for(resolver._run_in_thread(threading.Event().wait), 0.1)
    except TimeoutError:
        print("left")

asyncio.run(main())
"""


@pytest.mark.slow
def test_a_name_server_that_never_responds_blocks_neither_calls_nor_the_exit() -> None:
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-c", HUNG], capture_output=True, text=True, timeout=30, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "left\n", "")


async def test_a_name_resolved_after_the_loop_was_closed_is_ignored(recwarn: Any) -> None:
    over = threading.Event()

    def late() -> None:
        over.wait(10)

    async def leave() -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(_run_in_thread(late), 0.05)

    await asyncio.to_thread(asyncio.run, leave())
    threads = [thread for thread in threading.enumerate() if thread.name == "imgwire_async resolver"]
    assert threads
    over.set()
    for thread in threads:
        await asyncio.to_thread(thread.join, 10)
    assert not recwarn.list


async def test_a_deadline_error_names_the_file_whose_source_hangs(
    client: AsyncImgwireClient, tmp_path: Path
) -> None:
    path = tmp_path / "silent.jpg"
    os.mkfifo(path)
    with pytest.raises(APITimeoutError, match=r"upload of silent\.jpg: the deadline"):
        await client.with_options(timeout=Timeouts(deadline=0.2)).images.upload(path)


async def test_the_deadline_includes_reading_the_file_of_ssl(tmp_path: Path) -> None:
    bundle = tmp_path / "silent.pem"
    os.mkfifo(bundle)
    async with AsyncImgwireClient(
        "sk_x", base_url="https://127.0.0.1:9", ssl=bundle, timeout=Timeouts(deadline=0.05)
    ) as client:
        images = client.images
        calls = asyncio.gather(images.list(), images.read("x"), images.upload(png()), return_exceptions=True)
        try:
            errors = await asyncio.wait_for(calls, 10)
        finally:
            os.close(os.open(bundle, os.O_RDWR))  # ends the threads that wait for a writer
    assert [type(error) for error in errors] == [APITimeoutError] * 3
