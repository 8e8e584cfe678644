"""The client: options, timeouts, closing, capture, proxies, TLS, and no secrets in errors and logs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pickle
import socket
import ssl
import time
import traceback
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from worlds import World

from imgwire_async import (
    APIConnectionError,
    APITimeoutError,
    AsyncImgwireClient,
    ConfigurationError,
    Exchange,
    Hooks,
    ImgwireError,
    RequestEvent,
    Timeouts,
    UploadRejectedError,
)
from imgwire_async.emulator import Emulator

from .conftest import http, raw_server, respond_with
from .pictures import png


async def test_calls_after_closing_raise_and_open_no_connection(emulator: Emulator) -> None:
    client = AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url)
    other = client.with_options(timeout=5)
    await client.images.list()
    await other.aclose()
    await client.images.list()
    await client.aclose()
    await client.aclose()
    assert (client.closed, other.closed) == (True, True)
    for closed in (client, other):
        with pytest.raises(RuntimeError, match="client is closed"):
            await closed.images.list()
    with pytest.raises(RuntimeError, match="client is closed"):
        async with client:
            pass
    assert len(emulator.requests) == 2


@pytest.mark.world
async def test_closing_ends_running_calls(emulator: Emulator, world: World) -> None:
    client = world.client_of(emulator)
    emulator.faults.add("*", "*", times=None, stall=float("inf"))
    calls = [
        asyncio.ensure_future(client.images.list()),
        asyncio.ensure_future(client.images.create(file_name="a.png")),
    ]
    while len(emulator.requests) < 2:
        await asyncio.sleep(0.01)
    await client.aclose()
    for outcome in await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 5):
        assert isinstance(outcome, RuntimeError)
        assert "client is closed" in str(outcome)


async def test_options_are_inherited_replaced_or_reset(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    first = client.with_options(default_headers={"X-Team": "a"}, environment_id=emulator.environment_id)
    await first.images.list()
    await first.with_options(default_headers={"X-Other": "b"}).images.list()
    await first.with_options(default_headers=None, environment_id=None).images.list()
    seen = [
        (r.header("X-Team"), r.header("X-Other"), r.header("X-Environment-Id")) for r in emulator.requests
    ]
    assert seen == [
        ("a", None, emulator.environment_id),
        (None, "b", emulator.environment_id),
        (None, None, None),
    ]


async def test_a_default_header_is_sent_once_in_any_case(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    headers = {"accept": "text/plain", "content-type": "text/plain", "x-environment-id": "nonsense"}
    odd = client.with_options(default_headers=headers, environment_id=emulator.environment_id)
    await odd.cors_origins.create("a.example.com")
    sent = [(n.lower(), v) for n, v in emulator.requests[-1].headers if n.lower() in headers]
    assert sorted(sent) == [
        ("accept", "text/plain"), ("content-type", "application/json"), ("x-environment-id", emulator.environment_id),
    ]  # fmt: skip


@pytest.mark.parametrize("switches", [{"ready_after": 1e9}])
async def test_the_deadline_limits_a_whole_wait(client: AsyncImgwireClient) -> None:
    image = await client.images.upload(png())
    with pytest.raises(APITimeoutError, match=r"wait for image .* deadline of 0\.4 s"):
        await client.with_options(timeout=Timeouts(deadline=0.4)).images.wait_until_ready(image)


async def test_the_user_agent_names_the_application_and_the_sdk(emulator: Emulator) -> None:
    async with AsyncImgwireClient(
        emulator.api_key, base_url=emulator.base_url, user_agent="shop/1.0"
    ) as client:
        await client.images.upload(png())
    for record in emulator.requests:
        agent = record.header("User-Agent") or ""
        assert agent.startswith("shop/1.0 imgwire-async/")
        assert "python/3." in agent
        assert "aiohttp/3." in agent


async def test_capture_collects_only_calls_of_its_context_and_client(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    other = AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url)
    with client.capture() as outer:
        await other.images.list()
        with client.capture() as inner:
            await asyncio.gather(
                client.with_options(timeout=5).images.list(), client.images.create(file_name="a.png")
            )
        image = await client.images.upload(png())
    await client.images.list()
    await other.aclose()
    assert len(inner) == 2
    assert [(e.kind, e.method, e.status) for e in outer[2:]] == [
        ("api", "POST", 200),
        ("storage", "PUT", 200),
    ]
    assert outer[3].path == f"{emulator.storage_url.removeprefix('http://')}/uploads/{image.id}/upload.png"
    assert all(isinstance(exchange, Exchange) and exchange.elapsed > 0 for exchange in outer)


# --- timeouts -----------------------------------------------------------------------------------------------


@pytest.mark.world
async def test_the_attempt_timeout_ends_every_attempt(emulator: Emulator, client: AsyncImgwireClient) -> None:
    emulator.faults.add("GET", "*", times=None, stall=float("inf"))
    started_at = time.monotonic()
    with pytest.raises(APITimeoutError, match=r"2 attempts.*Timeouts\(attempt=") as caught:
        await client.with_options(timeout=0.3, retries=1).images.list()
    assert 0.6 <= time.monotonic() - started_at < 6
    assert (caught.value.which, isinstance(caught.value, TimeoutError)) == ("attempt", True)


@pytest.mark.long
@pytest.mark.world
async def test_waiting_for_a_slot_does_not_count_for_the_attempt_timeout(
    emulator: Emulator, world: World
) -> None:
    emulator.faults.add("GET", "*", times=None, stall=0.4)
    async with world.client_of(emulator, max_connections=1, timeout=1.5, retries=0) as client:
        await asyncio.gather(*(client.images.list() for _ in range(6)))


async def test_the_error_names_the_connect_timeout() -> None:
    with socket.socket() as full:
        # The accept queue is full, so a connection attempt gets no response.
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(address)
        try:
            client = AsyncImgwireClient(
                "sk_x", base_url=f"http://127.0.0.1:{address[1]}", timeout=Timeouts(connect=0.3), retries=0
            )
            with pytest.raises(APITimeoutError, match="no connection to") as caught:
                await client.images.list()
            assert caught.value.which == "connect"
            await client.aclose()
        finally:
            for sock in waiting:
                sock.close()


async def test_the_deadline_limits_retries_and_delays(emulator: Emulator, client: AsyncImgwireClient) -> None:
    emulator.faults.add("GET", "*", times=None, status=503, headers={"Retry-After": "30"})
    started_at = time.monotonic()
    with pytest.raises(APITimeoutError, match=r"deadline of 0.5 s.*HTTP 503") as caught:
        await client.with_options(timeout=Timeouts(deadline=0.5)).images.list()
    assert 0.5 <= time.monotonic() - started_at < 5
    assert caught.value.which == "deadline"


async def test_a_long_deadline_changes_nothing(client: AsyncImgwireClient) -> None:
    patient = client.with_options(timeout=Timeouts(deadline=60))
    image = await patient.images.upload(png(), wait=True)
    assert [image.id async for image in patient.images.list_all()] == [image.id]


async def test_a_timeout_of_the_caller_is_raised_unchanged(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    emulator.faults.add("GET", "*", times=None, stall=float("inf"))
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.2):
            await client.with_options(timeout=Timeouts(deadline=60)).images.list()
    assert not isinstance(caught.value, ImgwireError)
    emulator.faults.clear()
    await client.images.list()


# --- proxies, TLS, connectors -------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def proxying() -> AsyncIterator[tuple[str, list[str]]]:
    """Start a plain HTTP proxy. Provide its URL and the targets of its requests."""
    targets: list[str] = []

    async def handle(request: aiohttp.web.BaseRequest) -> aiohttp.web.StreamResponse:
        targets.append(request.raw_path)
        headers = {k: v for k, v in request.headers.items() if k.lower() not in {"host", "proxy-connection"}}
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                request.method,
                aiohttp.client.URL(request.raw_path, encoded=True),
                headers=headers,
                data=await request.read(),
                skip_auto_headers=["Content-Type"],
            ) as answer,
        ):
            return aiohttp.web.Response(
                status=answer.status, body=await answer.read(), headers=answer.headers
            )

    server = aiohttp.web.Server(handle)
    runner = aiohttp.web.ServerRunner(server)
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", targets
    finally:
        await runner.cleanup()


async def test_a_proxy_is_used_for_api_and_storage(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login thief password secret")
    monkeypatch.setenv("NETRC", str(netrc))
    async with proxying() as (proxy, targets):
        async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url, proxy=proxy) as client:
            await client.images.upload(png())
    hosts = {target.split("/")[2] for target in targets}
    assert hosts == {emulator.base_url.removeprefix("http://"), emulator.storage_url.removeprefix("http://")}
    assert [r.header("Authorization") for r in emulator.requests] == [f"Bearer {emulator.api_key}", None]


async def test_the_error_for_an_unreachable_proxy_names_it(emulator: Emulator) -> None:
    async with AsyncImgwireClient(
        emulator.api_key, base_url=emulator.base_url, proxy="http://u:pw@127.0.0.1:9", retries=0
    ) as client:
        with pytest.raises(
            APIConnectionError, match=r"proxy http://127\.0\.0\.1:9 \(from proxy=\) .* cannot be reached"
        ) as caught:
            await client.images.list()
    assert "pw" not in str(caught.value)


async def test_the_error_for_an_unknown_host_names_it(client: AsyncImgwireClient) -> None:
    # The C library rejects a name with this beginning without a name server, which a runner may not have.
    async with AsyncImgwireClient("sk_x", base_url="http://-no-such-host.invalid", retries=0) as nowhere:
        with pytest.raises(APIConnectionError, match=r"-no-such-host\.invalid"):
            await nowhere.images.list()


async def test_an_unreadable_ca_bundle_is_a_configuration_error(tmp_path: Path) -> None:
    async with AsyncImgwireClient(
        "sk_x", base_url="https://127.0.0.1:9", ssl=tmp_path / "missing.pem"
    ) as client:
        with pytest.raises(ConfigurationError, match="CA bundle"):
            await client.images.list()
    context = ssl.create_default_context()
    async with AsyncImgwireClient("sk_x", base_url="https://127.0.0.1:9", ssl=context, retries=0) as client:
        with pytest.raises(APIConnectionError, match="cannot be reached"):
            await client.images.list()


async def test_the_error_for_tls_to_a_server_without_tls_says_so() -> None:
    async with raw_server(respond_with(http("200 OK", b"[]"))) as origin:
        async with AsyncImgwireClient(
            "sk_x", base_url=origin.replace("http", "https"), retries=0, timeout=Timeouts(connect=0.5)
        ) as client:
            with pytest.raises(APIConnectionError):
                await client.images.list()


async def test_all_requests_use_the_connector_of_the_caller(emulator: Emulator) -> None:
    made: list[aiohttp.TCPConnector] = []

    def connector() -> aiohttp.TCPConnector:
        made.append(aiohttp.TCPConnector(limit=3))
        return made[-1]

    async with AsyncImgwireClient(
        emulator.api_key, base_url=emulator.base_url, connector=connector
    ) as client:
        await asyncio.gather(*(client.images.upload(png(), wait=True) for _ in range(12)))
    assert [connector.closed for connector in made] == [True]
    assert len({record.connection for record in emulator.requests}) <= 3
    async with AsyncImgwireClient("sk_x", connector=lambda: "nonsense") as client:  # type: ignore[arg-type, return-value]
        with pytest.raises(TypeError, match="BaseConnector"):
            await client.images.list()


# --- errors, logs, hooks ------------------------------------------------------------------------------------


async def test_plain_http_off_loopback_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    AsyncImgwireClient("sk_x", base_url="http://api.example.com")
    AsyncImgwireClient("sk_x", base_url="http://127.0.0.1:1")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "clear text" in caplog.text


async def test_the_debug_log_has_a_line_per_attempt_and_no_secret(
    emulator: Emulator, client: AsyncImgwireClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "imgwire_async")
    emulator.faults.add("PUT", "/uploads/*", status=503)
    emulator.faults.add("POST", "*/standard_upload", reset="before")
    await client.images.upload(png())
    lines = (record.message for record in caplog.records if record.name == "imgwire_async")
    first = next(line for line in lines if " -> 200" in line)
    assert first.startswith("POST /images/standard_upload -> 200 in ")
    assert emulator.api_key not in caplog.text
    assert "Signature" not in caplog.text


async def test_no_error_shows_a_key_or_a_signature(emulator: Emulator, client: AsyncImgwireClient) -> None:
    signed = "X-Amz-Signature=0123456789abcdef"
    leaky = f'{{"detail": "your key {emulator.api_key} at http://s/u?{signed} is bad", "token": "tok_secret"}}'.encode()
    emulator.faults.add("GET", "*", status=400, body=leaky, headers={"Location": f"http://s/u?{signed}"})
    emulator.faults.add("PUT", "/uploads/*", status=400, body=leaky)
    emulator.faults.add("POST", "/api/v1/cors_origins/", status=200, body=leaky)
    caught: list[BaseException] = []
    for call in (
        client.images.list(),
        client.images.upload(png()),
        client.cors_origins.create("a.example.com"),
    ):
        with pytest.raises(ImgwireError) as info:
            await call
        caught.append(info.value)
    assert isinstance(caught[1], UploadRejectedError)
    for error in caught:
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again)) == (type(error), str(error))
        body = getattr(error, "body", "")
        for text in (
            str(error),
            repr(error),
            "".join(traceback.format_exception(error)),
            pickle.dumps(error).decode("latin-1"),
            body,
        ):
            assert emulator.api_key not in text
            assert "0123456789abcdef" not in text
            assert "tok_secret" not in text


async def test_a_failed_bulk_delete_reports_the_ids_with_their_error() -> None:
    async with AsyncImgwireClient("sk_x", base_url="http://127.0.0.1:9", retries=0) as client:
        result = await client.images.bulk_delete(["a", "b"])
    assert [image_id for image_id, _ in result.failed] == ["a", "b"]
    assert all(isinstance(error, APIConnectionError) and not error.sent for _, error in result.failed)


@pytest.mark.long
async def test_the_deadline_limits_all_batches_together(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    emulator.faults.add("POST", "*/bulk_delete", times=None, stall=0.4, status=200, body=b"{}")
    with pytest.raises(APITimeoutError, match="bulk_delete") as caught:
        await client.with_options(timeout=Timeouts(deadline=1.0)).images.bulk_delete(
            list("abcdefgh"), chunk_size=1
        )
    assert "images are known to be deleted" in caught.value.__notes__[0]


@pytest.mark.parametrize("location", ["http://[bad", "http://" + "a" * 70 + ".example/"])
async def test_an_invalid_redirect_raises_an_imgwire_error(location: str) -> None:
    away = respond_with(http("307 Temporary Redirect", b"", f"Location: {location}"))
    async with raw_server(away) as origin, AsyncImgwireClient("sk_x", base_url=origin) as client:
        with pytest.raises(ImgwireError, match="another origin"):
            await client.images.list()


@pytest.mark.world
async def test_a_call_that_waits_for_a_slot_raises_when_the_client_is_closed(
    emulator: Emulator, world: World
) -> None:
    emulator.faults.add("*", "*", times=None, stall=float("inf"))
    client = world.client_of(emulator, max_connections=1)
    calls = [asyncio.create_task(client.images.list()) for _ in range(3)]
    while not len(emulator.requests):
        await asyncio.sleep(0.01)
    await client.aclose()
    for outcome in await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 5):
        assert "client is closed" in str(outcome)


@pytest.mark.long
async def test_calls_do_not_wait_inside_a_connector_with_a_limit_per_host(emulator: Emulator) -> None:
    emulator.faults.add("GET", "*", times=None, stall=0.3)
    async with AsyncImgwireClient(
        emulator.api_key, base_url=emulator.base_url, connector=lambda: aiohttp.TCPConnector(limit_per_host=1),
        timeout=Timeouts(connect=0.5), retries=0,
    ) as client:  # fmt: skip
        await asyncio.gather(*(client.images.list() for _ in range(4)))


async def test_pickling_a_client_raises(client: AsyncImgwireClient) -> None:
    with pytest.raises(TypeError, match="key callable"):
        pickle.dumps(client)


async def test_hooks_of_a_clone_do_not_change_the_client(client: AsyncImgwireClient) -> None:
    events: list[RequestEvent] = []
    await client.with_options(hooks=Hooks(on_request=events.append)).images.list()
    await client.images.list()
    assert [(event.kind, event.method, event.path, event.attempt) for event in events] == [
        ("api", "GET", "/images/", 1)
    ]
