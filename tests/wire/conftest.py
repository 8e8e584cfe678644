from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import worlds
from world_fixtures import *  # noqa: F403  # hooks and fixtures

PICTURES = Path(__file__).parents[3] / "shared" / "pictures"
with_pictures = pytest.mark.skipif(not PICTURES.is_dir(), reason="needs ../shared/pictures")


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
