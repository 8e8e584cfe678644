"""A proxy with a password: told to the proxy with every request that it forwards, and to nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import leaks
import pytest
from aiohttp import web
from samples import data

from imgwire_async import APIConnectionError, AsyncImgwireClient, ConfigurationError, StandardUpload

from .conftest import speaking
from .pictures import png

LOOPBACK = Path(__file__).parents[1] / "data" / "loopback.pem"


@attrs.define
class Proxy:
    """A proxy that plays the hosts behind it for plain http, and tunnels for https; with what each request said of itself."""

    refusing: bool = False
    connections: int = 0
    heads: list[tuple[str, str | None]] = attrs.field(factory=list)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
            method, target, _ = head[0].split(" ")
            self.heads.append((method, fields.get("proxy-authorization")))
            await reader.readexactly(int(fields.get("content-length", "0")))
            if self.refusing:
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            elif method == "CONNECT":
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                await self._tunnel(target, reader, writer)
                return
            else:
                body = _answer(method, "http://127.0.0.1:9")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()

    @staticmethod
    async def _tunnel(target: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = target.rpartition(":")
        inner, outer = await asyncio.open_connection(host, int(port))
        try:
            await asyncio.gather(_pour(reader, outer), _pour(inner, writer))
        finally:
            outer.close()


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65536):
        writer.write(piece)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


def _answer(method: str, origin: str) -> bytes:
    if method != "POST":
        return b"GIF89a 123"
    upload = data(StandardUpload, upload_url=f"{origin}/storage")
    upload["image"]["cdn_url"] = f"{origin}/cdn"
    return json.dumps(upload).encode()


@contextlib.asynccontextmanager
async def behind_tls() -> AsyncIterator[tuple[str, list[dict[str, str]]]]:
    """API, storage and CDN over https: their origin, and the headers that they saw."""
    seen: list[dict[str, str]] = []
    origin = ""

    async def handle(request: web.BaseRequest) -> web.Response:
        await request.read()
        seen.append({name.lower(): value for name, value in request.headers.items()})
        return web.Response(body=_answer(request.method, origin))

    identity = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    identity.load_cert_chain(LOOPBACK)
    runner = web.ServerRunner(web.Server(handle, access_log=None))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=identity).start()
        origin = f"https://127.0.0.1:{runner.addresses[0][1]}"
        yield origin, seen
    finally:
        await runner.cleanup()


def with_user(origin: str, user_info: str) -> str:
    return origin.replace("//", f"//{user_info}@")


def basic(pair: str) -> str:
    return f"Basic {b64encode(pair.encode()).decode()}"


@pytest.mark.parametrize(
    ("user_info", "pair"),
    [
        ("user:pw", "user:pw"),
        ("user:p%40w", "user:p@w"),
        ("user:p:w", "user:p:w"),
        ("user:p%E2%82%AC", "user:p€"),
        ("user:", "user:"),
        ("user", "user:"),
    ],
)
async def test_what_a_proxy_forwards_carries_its_password_on_every_request(user_info: str, pair: str) -> None:
    proxy = Proxy()
    async with speaking(proxy) as origin:
        async with AsyncImgwireClient(
            "sk_x", base_url="http://127.0.0.1:9", proxy=with_user(origin, user_info), retries=0
        ) as client:
            for _ in range(2):
                image = await client.images.upload(png())
                await client.images.read(image)
    # A connection that is used again would be refused without: 407 is decided for each request.
    assert proxy.heads == [(method, basic(pair)) for method in ("POST", "PUT", "GET")] * 2
    assert proxy.connections < 6


async def test_a_tunnel_takes_the_password_and_the_host_behind_it_never_sees_it() -> None:
    proxy = Proxy()
    async with speaking(proxy) as through, behind_tls() as (origin, seen):
        async with AsyncImgwireClient(
            "sk_x", base_url=origin, ssl=LOOPBACK, proxy=with_user(through, "user:p%E2%82%AC"), retries=0
        ) as client:
            image = await client.images.upload(png())
            assert await client.images.read(image) == b"GIF89a 123"
    assert set(proxy.heads) == {("CONNECT", basic("user:p€"))}
    assert len(seen) == 3
    assert not [headers for headers in seen if "proxy-authorization" in headers]


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_password_that_a_proxy_refuses_shows_nowhere(scheme: str) -> None:
    password = "sk_0123456789abcdef0123456789abcdef"
    async with speaking(Proxy(refusing=True)) as origin:
        async with AsyncImgwireClient(
            "sk_x", base_url=f"{scheme}://127.0.0.1:9", proxy=with_user(origin, f"user:{password}"), retries=0
        ) as client:
            with pytest.raises(Exception, match="407") as caught:
                await client.images.list()
    assert leaks.leaks_of(caught.value) + leaks.leaks_in_frames_of(caught.value) == []
    told = "".join(repr(error) + repr(vars(error)) for error in leaks.chain(caught.value))
    assert basic(f"user:{password}") not in told


async def test_a_password_of_the_environment_that_cannot_be_sent_is_told_without_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://us%3Aer:pa55@127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with AsyncImgwireClient("sk_x", base_url="http://api.example", retries=0) as client:
        with pytest.raises(ConfigurationError, match="colon") as caught:
            await client.images.list()
    assert "pa55" not in repr([vars(error) for error in leaks.chain(caught.value)]) + str(caught.value)


@pytest.mark.parametrize("no_proxy", ["::1", "[::1]", "a.example, ::1"])
async def test_an_ipv6_host_that_no_proxy_lists_is_reached_directly(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str
) -> None:
    proxy = Proxy()
    async with speaking(proxy) as through:
        for name in ("http_proxy", "all_proxy"):
            monkeypatch.setenv(name, through)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.setenv("no_proxy", no_proxy)
        async with AsyncImgwireClient("sk_x", base_url="http://[::1]:9", retries=0) as client:
            with pytest.raises(APIConnectionError):  # nobody listens there
                await client.images.list()
    assert proxy.heads == []
