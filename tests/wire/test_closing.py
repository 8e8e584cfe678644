"""Closing the client soon ends all its calls and transfers, at any point where they wait."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from samples import data

from imgwire_async import APIConnectionError, AsyncImgwireClient, StandardUpload, Timeouts
from imgwire_async.emulator import Emulator

from .conftest import http, raw_server
from .pictures import png

PATIENT = Timeouts(connect=None, attempt=None, stall=None)


async def require_closed_soon(
    client: AsyncImgwireClient, call: Awaitable[object], *, waits: Callable[[], bool]
) -> None:
    """Close the client while `call` waits. The call must raise the error of a closed client at once."""
    task = asyncio.ensure_future(call)
    async with asyncio.timeout(10):
        while not waits():
            await asyncio.sleep(0.01)
    started_at = time.monotonic()
    await client.aclose()
    with pytest.raises(RuntimeError, match="client is closed"):
        async with asyncio.timeout(10):
            await task
    assert time.monotonic() - started_at < 5


@asynccontextmanager
async def deaf() -> AsyncIterator[str]:
    """Provide a host that accepts no connection, because its accept queue is full."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for sock in (first, second):
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


async def test_closing_ends_a_call_that_connects() -> None:
    async with deaf() as origin:
        client = AsyncImgwireClient("sk_x", base_url=origin, timeout=PATIENT)
        started_at = time.monotonic()
        await require_closed_soon(
            client, client.images.list(), waits=lambda: time.monotonic() - started_at > 0.1
        )


async def test_closing_ends_a_call_in_its_tls_handshake() -> None:
    connected = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await asyncio.sleep(60)

    async with raw_server(silent) as origin:
        client = AsyncImgwireClient("sk_x", base_url=origin.replace("http:", "https:"), timeout=PATIENT)
        await require_closed_soon(client, client.images.list(), waits=connected.is_set)


async def test_closing_ends_a_call_that_waits_for_its_key(emulator: Emulator) -> None:
    asked = asyncio.Event()

    async def never() -> str:
        asked.set()
        await asyncio.sleep(60)
        return "sk_x"

    client = AsyncImgwireClient(never, base_url=emulator.base_url)
    await require_closed_soon(client, client.images.list(), waits=asked.is_set)


@pytest.mark.parametrize("operation", ["upload", "read", "stream", "download"])
async def test_closing_ends_a_transfer_that_connects(operation: str, emulator: Emulator, tmp_path) -> None:  # type: ignore[no-untyped-def]
    async with deaf() as origin:

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            upload = data(StandardUpload, upload_url=f"{origin}/k?signature=x")
            upload["image"]["cdn_url"] = f"{origin}/o/e/i"
            import json

            writer.write(http("200 OK", json.dumps(upload).encode(), "Content-Type: application/json"))
            await writer.drain()

        async with raw_server(answer) as api:
            client = AsyncImgwireClient("sk_x", base_url=api, timeout=PATIENT)
            image = (await client.images.create(file_name="a.png")).image

            async def stream() -> None:
                async with client.images.stream(image) as chunks:
                    async for _ in chunks:
                        pass

            calls: dict[str, Callable[[], Awaitable[object]]] = {
                "upload": lambda: client.images.upload(png()),
                "read": lambda: client.images.read(image),
                "stream": stream,
                "download": lambda: client.images.download(image, tmp_path / "a.png"),
            }
            started_at = time.monotonic()
            await require_closed_soon(
                client, calls[operation](), waits=lambda: time.monotonic() - started_at > 0.2
            )
            assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stall", [None, 60.0])
async def test_closing_ends_an_upload_that_waits_for_the_rest_of_a_response(
    emulator: Emulator, stall: float | None
) -> None:
    clocks = Timeouts(stall=stall)
    client = AsyncImgwireClient(
        emulator.api_key, base_url=emulator.base_url, timeout=clocks, max_connections=1
    )
    emulator.faults.add("PUT", "/uploads/*", status=200, body=b"x" * 1_000, cut=10, stall=float("inf"))
    others = [asyncio.ensure_future(client.images.upload(png())) for _ in range(3)]
    await require_closed_soon(
        client,
        others.pop(0),
        waits=lambda: any(record.host == "storage" for record in emulator.requests),
    )
    for task in others:
        with pytest.raises(RuntimeError, match="client is closed"):
            async with asyncio.timeout(10):
                await task


async def test_closing_ends_an_upload_whose_source_hangs(client: AsyncImgwireClient) -> None:
    reading = asyncio.Event()

    async def hanging() -> AsyncIterator[bytes]:
        yield png()
        reading.set()
        await asyncio.sleep(60)

    upload = client.images.upload(hanging(), content_length=10_000, mime_type="image/png")
    await require_closed_soon(client, upload, waits=reading.is_set)


async def test_closing_ends_calls_on_other_loops() -> None:
    async with deaf() as origin:
        client = AsyncImgwireClient("sk_x", base_url=origin, timeout=PATIENT)
        ended: list[BaseException] = []
        begun = threading.Event()

        async def call() -> None:
            begun.set()
            await client.images.list()

        def run_call() -> None:
            try:
                asyncio.run(call())
            except RuntimeError as error:
                ended.append(error)

        thread = threading.Thread(target=run_call, daemon=True)
        thread.start()
        await asyncio.to_thread(begun.wait, 10)
        await asyncio.sleep(0.2)
        await client.aclose()
        await asyncio.to_thread(thread.join, 10)
        assert "client is closed" in str(ended)


async def test_a_call_succeeds_when_other_code_cancels_the_tasks_of_aiohttp(emulator: Emulator) -> None:
    """Code that cancels `asyncio.all_tasks()` also cancels the tasks of aiohttp that resolve names."""
    async with AsyncImgwireClient(
        emulator.api_key, base_url=emulator.base_url.replace("127.0.0.1", "localhost")
    ) as client:
        impatient = client.with_options(timeout=Timeouts(connect=0.5), retries=1)
        for _ in range(2):
            call = asyncio.ensure_future(impatient.images.list())
            await asyncio.sleep(0)
            for _ in range(6):
                for task in asyncio.all_tasks() - {call, asyncio.current_task()}:
                    if "Connector" in repr(task.get_coro()):
                        task.cancel()
                await asyncio.sleep(0)
            try:
                assert (await call).data == []
            except APIConnectionError:
                # An older aiohttp waits for the cancelled task until the connect timeout.
                pass
