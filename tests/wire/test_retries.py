"""Retries: which requests are repeated, how often, and after which delay."""

from __future__ import annotations

import time
from typing import Any

import pytest
from worlds import World

from imgwire_async import (
    APIConnectionError,
    APIStatusError,
    AsyncImgwireClient,
    AuthenticationError,
    Hooks,
    ImgwireError,
    RateLimitError,
    RetryPolicy,
    ServerError,
)
from imgwire_async.emulator import Emulator

from .conftest import http, raw_server, respond_with
from .pictures import png

FAST = RetryPolicy(backoff=0.01)


@pytest.fixture
async def quick(client: AsyncImgwireClient) -> AsyncImgwireClient:
    return client.with_options(retries=FAST)


@pytest.mark.world
@pytest.mark.parametrize(
    "fault",
    [{"status": 500}, {"status": 503}, {"status": 408}, {"reset": "before"}, {"reset": "after_commit"}],
)
async def test_a_get_is_retried_until_it_succeeds(
    emulator: Emulator, quick: AsyncImgwireClient, fault: dict[str, Any]
) -> None:
    emulator.faults.add("GET", "/api/v1/images/", times=2, **fault)
    with quick.capture() as exchanges:
        await quick.images.list()
    assert (exchanges[0].attempts, exchanges[0].status, len(emulator.requests)) == (3, 200, 3)


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422, 501])
async def test_a_status_that_will_not_change_is_not_retried(
    emulator: Emulator, quick: AsyncImgwireClient, status: int
) -> None:
    emulator.faults.add("GET", "/api/v1/images/", status=status, body=b'{"detail": "No."}')
    with pytest.raises(APIStatusError, match=f"HTTP {status}: No\\.") as caught:
        await quick.images.list()
    assert (caught.value.status, caught.value.message, len(emulator.requests)) == (status, "No.", 1)


FAULTS: list[dict[str, Any]] = [
    {"status": 500},
    {"status": 429},
    {"reset": "before"},
    {"reset": "after_commit"},
]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE", "PATCH"])
async def test_retries_0_sends_exactly_one_request(
    emulator: Emulator, client: AsyncImgwireClient, method: str, fault: dict[str, Any]
) -> None:
    once = client.with_options(retries=0)
    # aiohttp may silently repeat a request over a reused connection, so this call opens one.
    await once.images.list()
    emulator.faults.add(method, "*", times=None, **fault)
    before = len(emulator.requests)
    with pytest.raises(ImgwireError):
        await once.request(method, "/images/")
    assert len(emulator.requests) - before == 1


async def test_a_post_is_retried_only_with_an_idempotency_key(
    emulator: Emulator, quick: AsyncImgwireClient
) -> None:
    emulator.faults.add("POST", "*", status=503)
    await quick.images.create(file_name="a.png")
    bodies = [record.body_sha256 for record in emulator.requests]
    assert (len(bodies), len(set(bodies))) == (2, 1), "the same key on both attempts"
    emulator.faults.add("POST", "*", status=503)
    with pytest.raises(ServerError):
        await quick.images.create(file_name="a.png", idempotency_key=False)
    emulator.faults.add("POST", "*", status=503)
    with pytest.raises(ServerError):
        await quick.cors_origins.create("a.example.com")


async def test_a_post_that_changes_nothing_is_retried(emulator: Emulator, quick: AsyncImgwireClient) -> None:
    await quick.custom_domain.create("img.example.com")
    emulator.faults.add("POST", "/api/v1/custom_domain/test_connection", status=502)
    await quick.custom_domain.test_connection()


async def test_a_post_that_was_not_sent_is_retried(quick: AsyncImgwireClient) -> None:
    nobody = AsyncImgwireClient(
        "sk_x", base_url="http://127.0.0.1:9", retries=RetryPolicy(max_retries=2, backoff=0.01)
    )
    with pytest.raises(APIConnectionError, match=r"3 attempts.*cannot be reached") as caught:
        await nobody.cors_origins.create("a.example.com")
    assert caught.value.exchange is not None
    assert caught.value.exchange.attempts == 3


@pytest.mark.world
async def test_a_retry_after_a_lost_response_creates_one_image(
    emulator: Emulator, quick: AsyncImgwireClient
) -> None:
    emulator.faults.add("POST", "/api/v1/images/standard_upload", reset="after_commit")
    await quick.images.create(file_name="a.png")
    assert len(emulator.images) == 1


@pytest.mark.world
async def test_a_404_for_a_retried_delete_is_a_success(emulator: Emulator, quick: AsyncImgwireClient) -> None:
    image = (await quick.images.create(file_name="a.png")).image
    emulator.faults.add("DELETE", "*", reset="after_commit")
    assert await quick.images.delete(image.id) == {}
    with pytest.raises(APIStatusError, match="HTTP 404"):
        await quick.images.delete(image.id)


async def test_the_retry_waits_for_retry_after(emulator: Emulator, quick: AsyncImgwireClient) -> None:
    emulator.faults.add("GET", "*", status=503, headers={"Retry-After": "1"})
    started_at = time.monotonic()
    await quick.images.list()
    assert 1.0 <= time.monotonic() - started_at < 5.0


async def test_a_retry_after_above_the_maximum_raises_at_once(
    emulator: Emulator, quick: AsyncImgwireClient
) -> None:
    emulator.faults.add("GET", "*", status=429, headers={"Retry-After": "9999"})
    with pytest.raises(RateLimitError) as caught:
        await quick.images.list()
    assert caught.value.retry_after == 9999


async def test_a_429_does_not_use_up_a_retry(emulator: Emulator, client: AsyncImgwireClient) -> None:
    once = client.with_options(retries=RetryPolicy(max_retries=1, backoff=0.01))
    emulator.faults.add("GET", "*", times=3, status=429)
    await once.images.list()
    assert len(emulator.requests) == 4


async def test_the_wait_for_the_rate_limit_ends_at_max_rate_wait(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    impatient = client.with_options(retries=RetryPolicy(backoff=0.01, max_rate_wait=0.6))
    emulator.faults.add("GET", "*", times=None, status=429)
    started_at = time.monotonic()
    with pytest.raises(RateLimitError):
        await impatient.images.list()
    assert time.monotonic() - started_at < 5


async def test_a_call_waits_at_most_max_rate_wait_for_a_closed_gate(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    emulator.faults.add("GET", "*", status=429, headers={"Retry-After": "50"})
    with pytest.raises(RateLimitError):
        await client.with_options(retries=0).images.list()
    with pytest.raises(RateLimitError, match="not sent") as caught:
        await client.with_options(retries=RetryPolicy(max_rate_wait=10)).images.list()
    assert caught.value.retry_after is not None
    assert 40 < caught.value.retry_after <= 50
    assert len(emulator.requests) == 1


@pytest.mark.long
async def test_a_429_delays_other_calls_of_the_client(emulator: Emulator, client: AsyncImgwireClient) -> None:
    emulator.faults.add("GET", "*", status=429, headers={"Retry-After": "1"})
    started_at = time.monotonic()
    with pytest.raises(RateLimitError):
        await client.with_options(retries=0).images.list()
    await client.images.list()
    assert 1.0 <= time.monotonic() - started_at < 8


async def test_a_key_callable_is_called_again_after_a_401(emulator: Emulator) -> None:
    keys = iter(["sk_old", emulator.api_key])

    async def key() -> str:
        return next(keys)

    async with AsyncImgwireClient(key, base_url=emulator.base_url) as client:
        await client.cors_origins.create("a.example.com")
    assert [record.status for record in emulator.requests] == [401, 200]


async def test_a_401_is_not_retried_with_the_same_key(emulator: Emulator) -> None:
    async with AsyncImgwireClient(lambda: "sk_wrong", base_url=emulator.base_url) as client:
        with pytest.raises(AuthenticationError, match="IMGWIRE_API_KEY"):
            await client.images.list()
    assert len(emulator.requests) == 1


async def test_with_retries_0_the_next_call_fetches_a_new_key(emulator: Emulator) -> None:
    keys = iter(["sk_old", emulator.api_key])
    async with AsyncImgwireClient(lambda: next(keys), base_url=emulator.base_url, retries=0) as client:
        with pytest.raises(AuthenticationError):
            await client.images.list()
        await client.images.list()
    assert [record.status for record in emulator.requests] == [401, 200]


async def test_hooks_get_every_attempt_and_an_exception_in_a_hook_changes_nothing(
    emulator: Emulator, client: AsyncImgwireClient, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[Any] = []

    def broken(event: object) -> None:
        events.append(event)
        raise ZeroDivisionError

    emulator.faults.add("GET", "*", status=503)
    hooks = Hooks(on_request=events.append, on_response=broken, on_retry=events.append)
    await client.with_options(hooks=hooks, retries=FAST).images.list()
    assert [type(event).__name__ for event in events] == [
        "RequestEvent", "ResponseEvent", "RetryEvent", "RequestEvent", "ResponseEvent",
    ]  # fmt: skip
    assert (events[1].status, events[2].reason, events[4].attempt) == (503, "HTTP 503", 2)
    assert "a hook raised" in caplog.text


PAGE = b"<!DOCTYPE html><html><head><title>Bad gateway</title></head><body>" + b"x" * 5000


@pytest.mark.world
@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (http("502 Bad Gateway", PAGE), "an HTML page titled 'Bad gateway'"),
        (http("500 Internal Server Error"), "no message"),
        (http("503 Service Unavailable", b"plain words"), "plain words"),
        (b"\x00\x01nonsense\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[]", "sent an incomplete response"),
        (http("200 OK", b"<html>login</html>"), "a web page, not the API"),
        (http("200 OK"), "the body is empty"),
        (http("200 OK", b'{"not": "a list"}'), "expected a list, got an object"),
    ],
)
async def test_any_invalid_response_raises_an_imgwire_error(raw: bytes, message: str, world: World) -> None:
    async with (
        raw_server(respond_with(raw)) as origin,
        world.client("sk_x", origin, retries=0) as client,
    ):
        with pytest.raises(ImgwireError, match=message) as caught:
            await client.images.list()
    assert len(str(caught.value)) < 900


async def test_a_redirect_to_another_origin_is_not_followed(emulator: Emulator) -> None:
    away = respond_with(
        http("307 Temporary Redirect", b"", f"Location: {emulator.base_url}/api/v1/images/?a=secret")
    )
    async with raw_server(away) as origin, AsyncImgwireClient("sk_x", base_url=origin) as client:
        with pytest.raises(ImgwireError, match="another origin") as caught:
            await client.images.list()
    assert type(caught.value).__name__ == "UnsafeURLError"
    assert "secret" not in str(caught.value)
    assert len(emulator.requests) == 0


async def test_a_redirect_within_the_origin_is_an_error(client: AsyncImgwireClient) -> None:
    with pytest.raises(APIStatusError, match=r"HTTP 307.*base_url") as caught:
        await client.request("GET", "/images")
    assert caught.value.status == 307


async def test_an_upload_succeeds_after_503s_of_the_api(
    emulator: Emulator, quick: AsyncImgwireClient
) -> None:
    emulator.faults.add("POST", "*", times=2, status=503)
    image = await quick.images.upload(png(), wait=True)
    assert list(emulator.images) == [image.id]
