"""Proxies: only the proxy gets its password, with every request. Errors name the proxy and its setting."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import leaks
import pytest
from aiohttp import web
from samples import data

from imgwire_async import (
    APIConnectionError,
    AsyncImgwireClient,
    ConfigurationError,
    DownloadError,
    ImgwireError,
    StandardUpload,
    UploadConnectionError,
)

from .conftest import http, raw_server, respond_with, send_raw
from .pictures import png

LOOPBACK = Path(__file__).parents[1] / "data" / "loopback.pem"


@attrs.define
class Proxy:
    """A proxy that responds to http requests itself, tunnels https, and stores all headers."""

    # The error response to every request, or nothing.
    rejection: bytes = b""
    # The origin of the hosts for which the proxy responds.
    origin: str = "http://127.0.0.1:9"
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
            if self.rejection:
                writer.write(self.rejection)
            elif method == "CONNECT":
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                await self._tunnel(target, reader, writer)
                return
            else:
                body = _response_body(method, self.origin)
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


WANTS_PASSWORD = http(
    "407 Proxy Authentication Required", b"", 'Proxy-Authenticate: Basic realm="x"'
).replace(b"Connection: close\r\n", b"")


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65536):
        writer.write(piece)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


def _response_body(method: str, origin: str) -> bytes:
    if method != "POST":
        return b"GIF89a 123"
    upload = data(StandardUpload, upload_url=f"{origin}/storage")
    upload["image"]["cdn_url"] = f"{origin}/cdn"
    return json.dumps(upload).encode()


@contextlib.asynccontextmanager
async def behind_tls() -> AsyncIterator[tuple[str, list[dict[str, str]]]]:
    """Start API, storage and CDN over https. Provide their origin and the headers that they received."""
    received: list[dict[str, str]] = []
    origin = ""

    async def handle(request: web.BaseRequest) -> web.Response:
        await request.read()
        received.append({name.lower(): value for name, value in request.headers.items()})
        return web.Response(body=_response_body(request.method, origin))

    identity = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    identity.load_cert_chain(LOOPBACK)
    runner = web.ServerRunner(web.Server(handle, access_log=None))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=identity).start()
        origin = f"https://127.0.0.1:{runner.addresses[0][1]}"
        yield origin, received
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
async def test_every_request_that_a_proxy_forwards_has_its_password(user_info: str, pair: str) -> None:
    proxy = Proxy()
    async with raw_server(proxy) as origin:
        async with AsyncImgwireClient(
            "sk_x", base_url="http://127.0.0.1:9", proxy=with_user(origin, user_info), retries=0
        ) as client:
            for _ in range(2):
                image = await client.images.upload(png())
                await client.images.read(image)
    # A kept-alive connection needs the header, too, because the proxy checks every request.
    assert proxy.heads == [(method, basic(pair)) for method in ("POST", "PUT", "GET")] * 2
    assert proxy.connections < 6


async def test_only_the_proxy_gets_the_password_of_a_tunnel() -> None:
    proxy = Proxy()
    async with raw_server(proxy) as through, behind_tls() as (origin, received):
        async with AsyncImgwireClient(
            "sk_x", base_url=origin, ssl=LOOPBACK, proxy=with_user(through, "user:p%E2%82%AC"), retries=0
        ) as client:
            image = await client.images.upload(png())
            assert await client.images.read(image) == b"GIF89a 123"
    assert set(proxy.heads) == {("CONNECT", basic("user:p€"))}
    assert len(received) == 3
    assert not [headers for headers in received if "proxy-authorization" in headers]


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_no_error_shows_a_password_that_a_proxy_rejected(scheme: str) -> None:
    password = "sk_0123456789abcdef0123456789abcdef"
    async with raw_server(Proxy(WANTS_PASSWORD)) as origin:
        async with AsyncImgwireClient(
            "sk_x", base_url=f"{scheme}://127.0.0.1:9", proxy=with_user(origin, f"user:{password}"), retries=0
        ) as client:
            with pytest.raises(Exception, match="407") as caught:
                await client.images.list()
    assert leaks.leaks_of(caught.value) + leaks.leaks_in_frames_of(caught.value) == []
    texts = "".join(repr(error) + repr(vars(error)) for error in leaks.chain(caught.value))
    assert basic(f"user:{password}") not in texts


async def test_the_error_for_an_unsendable_password_does_not_show_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("http_proxy", "http://us%3Aer:pa55@127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with AsyncImgwireClient("sk_x", base_url="http://api.example", retries=0) as client:
        with pytest.raises(ConfigurationError, match="colon") as caught:
            await client.images.list()
    assert "pa55" not in repr([vars(error) for error in leaks.chain(caught.value)]) + str(caught.value)


# --- proxies of the environment -----------------------------------------------------------------------------

VARIABLES = (
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
)
# The C library rejects a name with this beginning without a name server, which a runner may not have.
NOWHERE = "-no-such-host.invalid"


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Provide an environment without proxy variables."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize("variable", ["http_proxy", "ALL_PROXY"])
async def test_the_proxy_of_the_environment_is_used_for_api_storage_and_cdn(
    bare: pytest.MonkeyPatch, variable: str
) -> None:
    proxy = Proxy(origin="http://storage.example")
    async with raw_server(proxy) as through:
        bare.setenv(variable, through)
        async with AsyncImgwireClient("sk_x", base_url="http://api.example", retries=0) as client:
            image = await client.images.upload(png())
            await client.images.read(image)
    assert [method for method, _ in proxy.heads] == ["POST", "PUT", "GET"]


@pytest.mark.parametrize("way", ["no_proxy", "untrusted"])
async def test_no_proxy_and_trust_env_false_bypass_the_proxy(bare: pytest.MonkeyPatch, way: str) -> None:
    proxy = Proxy()
    async with raw_server(proxy) as through:
        bare.setenv("http_proxy", through)
        bare.setenv("NO_PROXY", f"a.example, {NOWHERE}" if way == "no_proxy" else "")
        async with AsyncImgwireClient(
            "sk_x", base_url=f"http://{NOWHERE}", retries=0, trust_env=way == "no_proxy"
        ) as client:
            with pytest.raises(APIConnectionError, match="cannot be resolved"):
                await client.images.list()
    assert proxy.heads == []


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "[::1]"])
async def test_loopback_hosts_bypass_the_proxy_of_the_environment(
    bare: pytest.MonkeyPatch, host: str
) -> None:
    proxy = Proxy()
    async with raw_server(proxy) as through:
        for name in ("http_proxy", "all_proxy"):
            bare.setenv(name, through)
        async with AsyncImgwireClient("sk_x", base_url=f"http://{host}:9", retries=0) as client:
            with pytest.raises(APIConnectionError):  # no server listens there
                await client.images.list()
            given = AsyncImgwireClient("sk_x", base_url=f"http://{host}:9", retries=0, proxy=through)
            async with given:
                await given.images.create(file_name="a.png")
    assert [method for method, _ in proxy.heads] == ["POST"]


# --- what rejections of a proxy say -------------------------------------------------------------------------

PAGE = b"<html><head><title>Blocked by policy</title></head></html>"


async def call_error(base_url: str, **settings: Any) -> ImgwireError:
    async with AsyncImgwireClient("sk_x", base_url=base_url, retries=0, **settings) as client:
        with pytest.raises(ImgwireError) as caught:
            await client.images.list()
    return caught.value


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("given", [True, False])
async def test_the_error_of_a_proxy_that_requires_a_password_names_its_setting(
    bare: pytest.MonkeyPatch, scheme: str, given: bool
) -> None:
    proxy = Proxy(WANTS_PASSWORD)
    async with raw_server(proxy) as through:
        if not given:
            bare.setenv("ALL_PROXY", through)
        error = await call_error(f"{scheme}://api.example", **({"proxy": through} if given else {}))
    assert isinstance(error, APIConnectionError)
    assert not error.sent
    words = ["407", through, "http://user:password@"]
    words += ["proxy="] if given else ["ALL_PROXY", "NO_PROXY", "trust_env=False"]
    assert [word for word in words if word not in str(error)] == []


async def test_a_request_with_a_rejected_proxy_password_is_not_retried() -> None:
    """Some accounts are locked after a few failed attempts."""
    proxy = Proxy(WANTS_PASSWORD)
    async with raw_server(proxy) as through:
        async with AsyncImgwireClient(
            "sk_x", base_url="http://api.example", proxy=with_user(through, "user:pw")
        ) as client:
            with pytest.raises(APIConnectionError, match="rejects the user and password in proxy="):
                await client.images.list()
    assert len(proxy.heads) == 1


async def test_the_error_of_a_transfer_names_a_proxy_that_requires_a_password(
    bare: pytest.MonkeyPatch,
) -> None:
    proxy = Proxy(WANTS_PASSWORD)
    upload = data(StandardUpload, upload_url="http://storage.example/k")
    upload["image"]["cdn_url"] = "http://cdn.example/o/e/i"
    async with (
        raw_server(respond_with(http("200 OK", json.dumps(upload).encode()))) as api,
        raw_server(proxy) as through,
    ):
        bare.setenv("HTTP_PROXY", through)
        async with AsyncImgwireClient("sk_x", base_url=api) as client:
            with pytest.raises(UploadConnectionError, match=r"407.*HTTP_PROXY.*trust_env=False"):
                await client.images.upload(png())
            image = (await client.images.create(file_name="a.png")).image
            with pytest.raises(DownloadError, match=r"407.*HTTP_PROXY.*trust_env=False"):
                await client.images.read(image)
    assert [method for method, _ in proxy.heads] == ["PUT", "GET"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (http("403 Forbidden", PAGE), "a web page"),
        (http("403 Forbidden", b"denied"), "may come from the proxy"),
        (
            http("403 Forbidden", b"denied", "X-Squid-Error: ERR_ACCESS_DENIED 0"),
            "comes from the proxy",
        ),
        (http("502 Bad Gateway", PAGE), "may come from the proxy"),
        (http("503 Service Unavailable", b""), "may come from the proxy"),
    ],
)
async def test_an_error_status_that_may_come_from_the_proxy_names_it(
    bare: pytest.MonkeyPatch, answer: bytes, words: str
) -> None:
    async with raw_server(Proxy(answer)) as through:
        bare.setenv("http_proxy", with_user(through, "user:pa55"))
        error = str(await call_error("http://api.example"))
    for word in (words, through, "http_proxy", "NO_PROXY", "trust_env=False"):
        assert word in error
    assert "This key" not in error
    assert "pa55" not in error


async def test_an_error_status_of_the_api_through_a_proxy_does_not_name_the_proxy(
    bare: pytest.MonkeyPatch,
) -> None:
    said = b'{"detail": "not yours", "error_type": "OperationNotAllowedError"}'
    async with raw_server(Proxy(http("403 Forbidden", said, "Via: 1.1 squid"))) as through:
        bare.setenv("http_proxy", through)
        error = str(await call_error("http://api.example"))
    assert "This key may not do that" in error
    assert "proxy" not in error


@pytest.mark.parametrize(("status", "words"), [(403, "rules"), (503, "cannot reach the host")])
async def test_the_error_for_a_rejected_tunnel_names_the_proxy(
    bare: pytest.MonkeyPatch, status: int, words: str
) -> None:
    async with raw_server(Proxy(http(f"{status} X", PAGE))) as through:
        bare.setenv("HTTPS_PROXY", through)
        error = str(await call_error("https://api.example"))
    for word in (words, str(status), through, "HTTPS_PROXY", "NO_PROXY", "trust_env=False"):
        assert word in error


@pytest.mark.parametrize("scheme", ["socks", "socks5", "socks5h", "SOCKS4a"])
async def test_the_error_for_a_socks_proxy_says_what_to_do(bare: pytest.MonkeyPatch, scheme: str) -> None:
    bare.setenv("ALL_PROXY", f"{scheme}://user:pa55@127.0.0.1:1080")
    error = str(await call_error("https://api.example"))
    for word in (
        "socks",
        "ALL_PROXY",
        "NO_PROXY",
        "api.example",
        "trust_env=False and a connector=",
    ):
        assert word in error
    assert "pa55" not in error


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_error_for_an_unreachable_proxy_names_its_environment_variable(
    bare: pytest.MonkeyPatch, scheme: str
) -> None:
    for proxy in ("http://127.0.0.1:9", f"http://{NOWHERE}:3128"):
        bare.setenv("all_proxy", proxy)
        error = str(await call_error(f"{scheme}://api.example"))
        for word in (proxy, "all_proxy", "NO_PROXY", "trust_env=False"):
            assert word in error


async def test_the_error_for_an_https_url_of_a_plain_proxy_gives_the_right_url(
    bare: pytest.MonkeyPatch,
) -> None:
    async with raw_server(send_raw(http("400 Bad Request"))) as through:
        bare.setenv("HTTPS_PROXY", through.replace("http:", "https:"))
        error = str(await call_error("https://api.example"))
    assert f"set HTTPS_PROXY to {through}" in error


NO_ANSWERS = [b"", b"what?\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"a" * 9000 + b"\r\n\r\n"]
NO_ANSWER_IDS = ["hangs up", "speaks no HTTP", "sends a long line"]


@pytest.mark.parametrize("answer", NO_ANSWERS, ids=NO_ANSWER_IDS)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_error_for_a_proxy_without_a_response_names_its_environment_variable(
    bare: pytest.MonkeyPatch, scheme: str, answer: bytes
) -> None:
    async with raw_server(send_raw(answer)) as through:
        bare.setenv("all_proxy", through)
        error = str(await call_error(f"{scheme}://api.example"))
    words = (
        (through, "all_proxy") if b"200" in answer else (through, "all_proxy", "NO_PROXY", "trust_env=False")
    )
    assert [word for word in words if word not in error] == []
    assert "base_url" not in error


@pytest.mark.parametrize("answer", NO_ANSWERS, ids=NO_ANSWER_IDS)
async def test_a_request_that_never_passed_the_tunnel_counts_as_not_sent(
    bare: pytest.MonkeyPatch, answer: bytes
) -> None:
    async with raw_server(send_raw(answer)) as through:
        bare.setenv("https_proxy", through)
        async with AsyncImgwireClient("sk_x", base_url="https://api.example", retries=0) as client:
            with pytest.raises(APIConnectionError) as caught:
                await client.images.create_upload_token()
    assert not caught.value.sent
    assert "may have carried out this call" not in str(caught.value)


async def test_the_error_for_an_http_url_of_a_tls_proxy_gives_the_right_url(bare: pytest.MonkeyPatch) -> None:
    async with raw_server(send_raw(b"\x15\x03\x01\x00\x02\x02\x46")) as through:
        bare.setenv("http_proxy", through)
        error = str(await call_error("http://api.example"))
    assert "Write its URL in http_proxy with https://" in error
    assert "base_url" not in error
