from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import leaks
import pytest
import worlds
from worlds import World

from imgwire_async import AsyncImgwireClient
from imgwire_async.emulator import Emulator

PICTURES = Path(__file__).parents[3] / "shared" / "pictures"
with_pictures = pytest.mark.skipif(not PICTURES.is_dir(), reason="needs ../shared/pictures")


# --- worlds -------------------------------------------------------------------------------------------------


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.get_closest_marker("world") is not None:
        metafunc.parametrize("world", worlds.parameters(), indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    # The world is set before any fixture runs, because the fixtures run on an event loop of this world.
    callspec = getattr(item, "callspec", None)
    worlds.enter(worlds.PLAIN if callspec is None else callspec.params.get("world", worlds.PLAIN))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    # Tests in other folders use `raw_server()`, too.
    worlds.enter(worlds.PLAIN)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], Any]]:
    return {"loop": worlds.new_loop}


@pytest.fixture(autouse=True)
def world() -> World:
    """Return the world of the test: TLS or not, and the kind of event loop.

    The fixtures `emulator` and `client` and the servers of `raw_server()` use it. A test that creates its own
    must use it, too. Only tests with the mark `world` run in other worlds than plain http on asyncio's loop.
    """
    return worlds.current()


# --- the emulator and its client ----------------------------------------------------------------------------


@pytest.fixture
def switches() -> dict[str, Any]:
    """Return the emulator's switches.

    A test overrides them with `@pytest.mark.parametrize("switches", ...)`.
    """
    return {}


@pytest.fixture
async def emulator(switches: dict[str, Any], world: World) -> AsyncIterator[Emulator]:
    async with world.emulator(**switches) as emulator:
        yield emulator
        assert leaks.leaks_to_hosts(emulator.requests) == []


@pytest.fixture
async def client(emulator: Emulator, world: World) -> AsyncIterator[AsyncImgwireClient]:
    async with world.client_of(emulator) as client:
        yield client


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


@asynccontextmanager
async def raw_server(handler: Handler) -> AsyncIterator[str]:
    """Start a TCP server that calls `handler` for each connection, and provide its origin.

    It is for responses that no real server sends. It uses TLS if the world of the test does.
    """
    world = worlds.current()
    tasks: set[asyncio.Task[Any]] = set()

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(on_connection, "127.0.0.1", 0, ssl=world.server_ssl)
    try:
        yield world.origin(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def respond_with(raw: bytes) -> Handler:
    """Return a handler that reads one request, sends `raw`, and closes the connection."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        await writer.drain()

    return handler


def send_raw(raw: bytes) -> Handler:
    """Return a handler that reads some bytes, HTTP or not, sends `raw`, and closes the connection."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(raw)
        await writer.drain()

    return handler


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    """Return the bytes of an HTTP response."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
