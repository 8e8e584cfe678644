"""Servers with prepared raw responses, for responses that no real CDN sends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs

from imgwire_async import Image

from .conftest import http, raw_server

TINY = b"GIF89a, or what begins like one"


class Site:
    """A server that chooses a prepared response by path and records the request heads."""

    def __init__(self, responses: dict[str, bytes], first: bytes | None = None) -> None:
        self.responses = responses
        # The response to the very first request, whatever its path.
        self.first = first
        self.heads: list[str] = []
        self.origin = ""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        response = self.responses.get(head.split()[1], http("404 Not Found"))
        writer.write(self.first if self.first is not None and len(self.heads) == 1 else response)
        await writer.drain()


@asynccontextmanager
async def site(responses: dict[str, bytes], *, first: bytes | None = None) -> AsyncIterator[Site]:
    server = Site(responses, first)
    async with raw_server(server) as server.origin:
        yield server


def chunked(*chunks: bytes, end: bool = True) -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    return head + body + (b"0\r\n\r\n" if end else b"")


def at(image: Image, url: str) -> Image:
    return attrs.evolve(image, cdn_url=url)
