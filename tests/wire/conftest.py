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


# --- worlds ---------------------------------------------------------------------------------------------------------------


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.get_closest_marker("world") is not None:
        metafunc.parametrize("world", worlds.parameters(), indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    # Before any fixture: the loop that runs them is one of this world.
    callspec = getattr(item, "callspec", None)
    worlds.enter(worlds.PLAIN if callspec is None else callspec.params.get("world", worlds.PLAIN))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    worlds.enter(worlds.PLAIN)  # other folders use `raw_server()`, too


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], Any]]:
    return {"loop": worlds.new_loop}


@pytest.fixture(autouse=True)
def world() -> World:
    """Where the test runs: its `emulator`, `client` and `raw_server()` servers obey, what a test makes itself asks here.

    Plain http on asyncio's loop, but for tests marked `world`.
    """
    return worlds.current()


# --- the emulator and its client ------------------------------------------------------------------------------------------


@pytest.fixture
def switches() -> dict[str, Any]:
    """The emulator's switches; overridden by `@pytest.mark.parametrize("switches", ...)`."""
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


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


@asynccontextmanager
async def raw_server(answer: Answer) -> AsyncIterator[str]:
    """A server that lets `answer` speak on each connection, and its origin. For answers that no real server gives.

    It speaks TLS where the test's world does.
    """
    world = worlds.current()
    tasks: set[asyncio.Task[Any]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=world.server_ssl)
    try:
        yield world.origin(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def respond_with(raw: bytes) -> Answer:
    """Answers every request of a connection with the same bytes, then closes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        await writer.drain()

    return answer


def send_raw(raw: bytes) -> Answer:
    """Answers whatever comes first, HTTP or not, then closes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(raw)
        await writer.drain()

    return answer


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    """The bytes of an HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
