"""The number of requests that one call sends: only the SDK retries, and no layer below it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import worlds

from imgwire_async import (
    AsyncImgwireClient,
    ConflictError,
    ImageStatus,
    ImgwireError,
    RetryPolicy,
    UploadItem,
)
from imgwire_async.emulator import Emulator

from .conftest import http, raw_server
from .pictures import png

METHODS = ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH"]
SWITCHES = ["same", "conflict", "same_dead_url", "ignored"]


@pytest.fixture
async def quick(client: AsyncImgwireClient) -> AsyncImgwireClient:
    return client.with_options(retries=RetryPolicy(backoff=0.01))


# --- stale connections --------------------------------------------------------------------------------------


@attrs.define
class StaleServer:
    """A server that responds to the first request of a connection, and ends it after the second.

    `end` says how it ends the connection. `requests` holds the method and body of all requests.
    """

    end: str
    requests: list[tuple[str, bytes]] = attrs.field(factory=list)
    connections: int = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        for number in range(2):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                ),
                0,
            )
            self.requests.append((head.decode().split()[0], await reader.readexactly(length)))
            if number == 0:
                body = b"" if head.startswith(b"HEAD") else b"[]"
                writer.write(http("200 OK", body).replace(b"Connection: close\r\n", b""))
                await writer.drain()
        if self.end == "reset":
            writer.transport.abort()
        elif self.end == "half":
            writer.write(b"HTTP/1.1 2")

    @property
    def methods(self) -> list[str]:
        return [method for method, _ in self.requests]


@asynccontextmanager
async def stale_connection(end: str, **options: Any) -> AsyncIterator[tuple[StaleServer, AsyncImgwireClient]]:
    """Yield a server, and a client whose connection to it has been used for one call."""
    server = StaleServer(end)
    async with (
        raw_server(server) as origin,
        worlds.current().client("sk_x", origin, **options) as client,
    ):
        await client.request("GET", "/warm")
        yield server, client


@pytest.mark.world
@pytest.mark.parametrize(
    ("end", "body"),
    [("close", None), ("close", {"a": "b"}), ("reset", None), ("half", {"a": "b"})],
    ids=["close", "close, a body", "reset", "half, a body"],
)
@pytest.mark.parametrize("method", METHODS)
async def test_without_retries_a_stale_connection_is_used_for_one_request(
    method: str, end: str, body: dict[str, str] | None
) -> None:
    async with stale_connection(end, retries=0) as (server, client):
        with pytest.raises(ImgwireError):
            await client.request(method, "/things", json=body, idempotent=True)
        assert server.methods == ["GET", method]
        assert server.connections == 1


@pytest.mark.world
@pytest.mark.parametrize(
    ("method", "end"), [*((method, "close") for method in METHODS), ("GET", "reset"), ("POST", "half")]
)
async def test_with_retries_a_stale_connection_is_replaced(method: str, end: str) -> None:
    async with stale_connection(end, retries=RetryPolicy(backoff=0.01)) as (server, client):
        await client.request(method, "/things", json={"a": "b"}, idempotent=True)
        assert server.methods == ["GET", method, method]
        assert len({body for _, body in server.requests[1:]}) == 1


async def test_a_post_without_a_key_is_not_repeated_after_a_stale_connection() -> None:
    async with stale_connection("close", retries=3) as (server, client):
        with pytest.raises(ImgwireError, match="may have carried out this call"):
            await client.request("POST", "/things", json={})
        assert server.methods == ["GET", "POST"]


# --- requests per call --------------------------------------------------------------------------------------

FAULTS: list[dict[str, Any]] = [
    {"status": 500},
    {"status": 502},
    {"reset": "before"},
    {"reset": "after_commit"},
    {"status": 200, "body": b"[]", "cut": 1},
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_a_failing_call_sends_one_request_and_one_per_retry(
    emulator: Emulator, client: AsyncImgwireClient, fault: dict[str, Any]
) -> None:
    retrying = client.with_options(retries=RetryPolicy(max_retries=2, backoff=0.001))
    for method in ("GET", "PUT", "POST", "DELETE", "PATCH"):
        emulator.faults.clear()
        # Opens the connection.
        await retrying.images.list()
        emulator.faults.add(method, "*", times=None, **fault)
        before = len(emulator.requests)
        with pytest.raises(ImgwireError) as caught:
            await retrying.request(method, "/images/")
        expected = 1 if method == "POST" else 3
        assert len(emulator.requests) - before == expected, method
        assert caught.value.exchange is not None
        assert caught.value.exchange.attempts == expected


@pytest.mark.world
@pytest.mark.parametrize("fault", FAULTS, ids=str)
async def test_without_retries_an_upload_is_one_post_and_one_put(
    emulator: Emulator, client: AsyncImgwireClient, fault: dict[str, Any]
) -> None:
    once = client.with_options(retries=0)
    # Opens the connections to API and storage.
    await once.images.upload(png())
    emulator.requests.clear()
    emulator.faults.add("PUT", "/uploads/*", times=None, **fault)
    with pytest.raises(ImgwireError):
        await once.images.upload(png())
    assert [request.method for request in emulator.requests] == ["POST", "PUT"]


@pytest.mark.parametrize("fault", [{"status": 500}, {"reset": "before"}, {"reset": "after_commit"}], ids=str)
async def test_without_retries_a_download_is_one_get(
    emulator: Emulator, client: AsyncImgwireClient, fault: dict[str, Any]
) -> None:
    once = client.with_options(retries=0)
    image = await once.images.upload(png(), wait=True)
    await once.images.read(image)
    emulator.requests.clear()
    emulator.faults.add("GET", "*", times=None, host="cdn", **fault)
    with pytest.raises(ImgwireError):
        await once.images.read(image)
    assert len(emulator.requests) == 1


# --- idempotency keys ---------------------------------------------------------------------------------------

ODD_KEY = 'own "1" \\ \N{SNOWMAN}  \u00e9/?#'

Call = Callable[[AsyncImgwireClient, Any], Awaitable[Any]]
WITH_A_KEY: dict[str, Call] = {
    "create": lambda client, key: client.images.create(file_name="a.png", idempotency_key=key),
    "upload": lambda client, key: client.images.upload(png(), idempotency_key=key),
    "upload_via_url": lambda client, key: client.images.upload_via_url(
        "https://a.example/b.png", idempotency_key=key
    ),
}


@asynccontextmanager
async def failing_server(**options: Any) -> AsyncIterator[tuple[list[dict[str, Any]], AsyncImgwireClient]]:
    """Yield the JSON bodies that a server received, which always responds with 503, and a client for it."""
    bodies: list[dict[str, Any]] = []

    async def fail(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        bodies.append(json.loads(await reader.readexactly(length)))
        writer.write(http("503 Service Unavailable"))
        await writer.drain()

    async with (
        raw_server(fail) as origin,
        AsyncImgwireClient(
            "sk_x", base_url=origin, retries=RetryPolicy(max_retries=2, backoff=0.001)
        ) as client,
    ):
        yield bodies, client


@pytest.mark.parametrize("name", WITH_A_KEY)
async def test_the_callers_key_is_sent_unchanged_on_every_attempt(name: str) -> None:
    async with failing_server() as (bodies, client):
        with pytest.raises(ImgwireError):
            await WITH_A_KEY[name](client, ODD_KEY)
    assert [body["idempotency_key"] for body in bodies] == [ODD_KEY] * 3


@pytest.mark.parametrize("name", WITH_A_KEY)
async def test_a_generated_key_is_the_same_for_all_attempts_and_new_for_the_next_call(name: str) -> None:
    async with failing_server() as (bodies, client):
        for _ in range(2):
            with pytest.raises(ImgwireError):
                await WITH_A_KEY[name](client, None)
    assert list(Counter(body["idempotency_key"] for body in bodies).values()) == [3, 3]


@pytest.mark.parametrize("name", WITH_A_KEY)
async def test_without_a_key_a_post_is_sent_once(name: str) -> None:
    async with failing_server() as (bodies, client):
        with pytest.raises(ImgwireError):
            await WITH_A_KEY[name](client, False)
    assert [("idempotency_key" in body) for body in bodies] == [False]


# --- lost responses -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize("switches", [{"idempotency": switch} for switch in SWITCHES])
async def test_an_upload_whose_create_response_is_lost_ends_with_one_ready_image(
    emulator: Emulator, quick: AsyncImgwireClient, switches: dict[str, Any], lost: int
) -> None:
    emulator.faults.add("POST", "*/standard_upload", times=lost, reset="after_commit")
    image = await quick.images.upload(png(), wait=True)
    statuses = Counter(str(image.status) for image in emulator.images.values())
    assert image.status == ImageStatus.READY
    assert statuses["READY"] == 1
    assert (
        statuses["PENDING"]
        == {"same": 0, "same_dead_url": 0, "conflict": 1, "ignored": lost}[switches["idempotency"]]
    ), "records without bytes are those that the service created although the key was used"


@pytest.mark.parametrize("switches", [{"idempotency": switch} for switch in SWITCHES])
async def test_with_the_callers_key_a_lost_response_ends_as_the_idempotency_switch_says(
    emulator: Emulator, quick: AsyncImgwireClient, switches: dict[str, Any]
) -> None:
    emulator.faults.add("POST", "*/standard_upload", reset="after_commit")
    uploading = quick.images.upload(png(), idempotency_key="own-key", wait=True)
    if switches["idempotency"] == "conflict":
        with pytest.raises(ConflictError):
            await uploading
    else:
        assert (await uploading).idempotency_key == "own-key"
    assert {image.idempotency_key for image in emulator.images.values()} == {"own-key"}
    assert len(emulator.images) == (2 if switches["idempotency"] == "ignored" else 1)


@pytest.mark.parametrize("switches", [{"idempotency": switch} for switch in SWITCHES])
async def test_a_create_whose_response_is_lost_is_repeated_with_its_key(
    emulator: Emulator, quick: AsyncImgwireClient, switches: dict[str, Any]
) -> None:
    emulator.faults.add("POST", "*/standard_upload", reset="after_commit")
    creating = quick.images.create(file_name="a.png")
    # The id of the first record is unknown, and the key cannot be used for another one.
    if switches["idempotency"] == "conflict":
        with pytest.raises(ConflictError, match="2 attempts"):
            await creating
    else:
        assert (await creating).image.id in emulator.images
    assert len(emulator.images) == (2 if switches["idempotency"] == "ignored" else 1)


@pytest.mark.world
@pytest.mark.parametrize(
    "switches", [{"idempotency": switch, "second_put": "refused"} for switch in SWITCHES]
)
async def test_an_upload_whose_put_response_is_lost_ends_with_one_ready_image(
    emulator: Emulator, quick: AsyncImgwireClient, switches: dict[str, Any]
) -> None:
    emulator.faults.add("PUT", "/uploads/*", reset="after_commit")
    results = [result async for result in quick.images.upload_many([UploadItem(png())], wait=True)]
    image = results[0].unwrap()
    assert image.status == ImageStatus.READY
    assert set(emulator.images) - {image.id} == set(results[0].abandoned)
