"""Planned faults, observed by a client on a real socket."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import sys
import time
from typing import Any, Self

import pytest
from aiohttp import ClientPayloadError, StreamReader
from aiohttp.base_protocol import BaseProtocol

from imgwire_async.emulator import Emulator
from imgwire_async.emulator.host_server import Connections
from imgwire_async.emulator.http import Body, ClientDisconnectedError

from .raw_client import PNG, RawClient, request_head

LIST = "/api/v1/images/"


@pytest.fixture(params=["http", pytest.param("https", marks=pytest.mark.slow)])
def switches(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Run each test over TCP and over TLS."""
    if request.param == "https":
        pytest.importorskip("trustme")
    return {"tls": request.param == "https"}


class Connection:
    """One connection with a plain reader and writer."""

    def __init__(self, emulator: Emulator, origin: str) -> None:
        host, _, port = origin.partition("://")[2].partition(":")
        self.address = host, int(port)
        self.ssl_context = emulator.ssl_context

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection(*self.address, ssl=self.ssl_context)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()


def head(emulator: Emulator, method: str = "GET", path: str = LIST, *more: str) -> bytes:
    lines = (
        f"{method} {path} HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {emulator.api_key}",
        *more,
        "",
        "",
    )
    return "\r\n".join(lines).encode()


async def wait_for_request(emulator: Emulator, method: str) -> None:
    while not any(record.method == method for record in emulator.requests):
        await asyncio.sleep(0.001)


async def test_a_fault_can_replace_a_response(client: RawClient, emulator: Emulator) -> None:
    planned = emulator.faults.add("GET", LIST, status=503, headers={"Retry-After": "7"}, body="busy")
    response = await client.request("GET", "/images/", lenient=True)
    assert (response.status, response.headers["Retry-After"], response.body) == (503, "7", b"busy")
    assert (await client.request("GET", "/images/")).status == 200
    assert (planned.seen, planned.fired) == (2, 1)
    assert [record.status for record in emulator.requests] == [503, 200]


async def test_a_mapping_as_body_is_sent_as_json(client: RawClient, emulator: Emulator) -> None:
    emulator.faults.add("GET", "*", status=500, body={"detail": "no"})
    emulator.faults.add(
        "GET", "*", status=500, body={"detail": "no"}, headers=[("content-type", "text/html")]
    )
    responses = [await client.request("GET", "/images/") for _ in range(2)]
    assert [response.headers["Content-Type"] for response in responses] == ["application/json", "text/html"]
    assert responses[0].json == {"detail": "no"}


async def test_repeated_headers_stay_repeated(client: RawClient, emulator: Emulator) -> None:
    emulator.faults.add("GET", "*", status=200, headers=[("X-A", "1"), ("X-A", "2")], body=b"[]")
    response = await client.request("GET", "/images/")
    assert response.headers.getall("X-A") == ["1", "2"]  # type: ignore[attr-defined]


async def test_faults_count_requests_and_apply_in_order(client: RawClient, emulator: Emulator) -> None:
    emulator.faults.add("GET", LIST, status=501, after=1, times=2)
    emulator.faults.add("*", "*", status=502, times=None)
    statuses = [(await client.request("GET", "/images/", lenient=True)).status for _ in range(5)]
    assert statuses == [502, 501, 501, 502, 502]
    emulator.faults.clear()
    assert (await client.request("GET", "/images/")).status == 200


@pytest.mark.parametrize(
    ("path", "matches"),
    [
        ("/api/v1/images/{image_id}", True),
        ("/api/v1/images/*", True),
        ("/api/v1/{what}", False),
        ("/api/v1/images/", False),
        ("/api/v1/images/.*", False),
        ("*", True),
    ],
)
async def test_the_path_of_a_fault_is_exact_a_template_or_has_wildcards(
    client: RawClient, emulator: Emulator, path: str, matches: bool
) -> None:
    image = (await client.create())["image"]
    emulator.faults.add("GET", path, status=418)
    assert ((await client.request("GET", f"/images/{image['id']}")).status == 418) is matches


async def test_a_fault_can_be_limited_to_one_host(client: RawClient, emulator: Emulator) -> None:
    emulator.faults.add("*", "*", host="storage", status=503, times=None)
    created = await client.create()
    assert (await client.put(created["upload_url"], PNG, None)).status == 503
    assert (await client.get(created["image"]["cdn_url"])).status == 404


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"headers": {"A": "b"}},
        {"body": "x"},
        {"early": True, "reset": "before"},
        {"reset": "after"},
        {"reset": -1},
        {"stall": -0.1},
        {"stall": float("nan")},
        {"slow": 0},
        {"cut": -1},
        {"close_notify": False},
        {"status": 500, "times": -1},
        {"status": 500, "after": -1},
    ],
)
def test_wrong_arguments_of_a_fault_are_rejected(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Emulator().faults.add("GET", "*", **arguments)


@pytest.mark.parametrize(
    ("arguments", "required"),
    [({"close_notify": False}, "cut"), ({"early": True}, "status"), ({"headers": {"A": "b"}}, "status")],
)
def test_an_argument_that_requires_another_one_names_it(arguments: dict[str, Any], required: str) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(arguments))}.*{required}"):
        Emulator().faults.add("GET", "*", **arguments)


async def test_the_request_body_is_read_before_a_replaced_response(
    client: RawClient, emulator: Emulator
) -> None:
    created = await client.create()
    emulator.faults.add("PUT", "/uploads/*", status=503)
    assert (await client.put(created["upload_url"], PNG, None)).status == 503
    assert emulator.requests[-1].body_sha256 == hashlib.sha256(PNG).hexdigest()
    assert (await client.put(created["upload_url"], PNG, None)).status == 200


async def test_an_early_response_comes_before_the_request_body(emulator: Emulator) -> None:
    emulator.faults.add("PUT", "/uploads/*", status=413, early=True)
    async with Connection(emulator, emulator.storage_url) as connection:
        connection.writer.write(b"PUT /uploads/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        assert (await connection.reader.readline()).startswith(b"HTTP/1.1 413 ")
    assert emulator.requests[-1].body_length == 0


async def test_an_early_response_with_connection_close_ends_the_servers_side(emulator: Emulator) -> None:
    emulator.faults.add(
        "PUT", "/uploads/*", status=413, early=True, headers={"Connection": "close"}, body="no"
    )
    async with Connection(emulator, emulator.storage_url) as connection:
        connection.writer.write(b"PUT /uploads/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        async with asyncio.timeout(5):
            response = await connection.reader.read()
    assert response.startswith(b"HTTP/1.1 413 ")
    assert response.endswith(b"\r\n\r\nno")
    assert emulator.requests[-1].body_length == 0


async def test_a_reset_before_the_operation_resets_the_tcp_connection(
    client: RawClient, emulator: Emulator
) -> None:
    emulator.faults.add("POST", "/api/v1/images/standard_upload", reset="before")
    async with Connection(emulator, emulator.base_url) as connection:
        path = "/api/v1/images/standard_upload"
        connection.writer.write(head(emulator, "POST", path, "Content-Length: 19") + b'{"file_name":"a.p"}')
        with pytest.raises(ConnectionResetError):
            await connection.reader.read()
    assert len(emulator.images) == 0
    assert emulator.requests[-1].status is None


async def test_a_reset_after_n_bytes_has_read_n_bytes(client: RawClient, emulator: Emulator) -> None:
    created = await client.create()
    emulator.faults.add("PUT", "/uploads/*", reset=1000)
    origin, start = request_head(created["upload_url"], length=5000)
    async with Connection(emulator, origin) as connection:
        connection.writer.write(start + bytes(5000))
        with pytest.raises(ConnectionResetError):
            await connection.reader.read()
    assert (emulator.requests[-1].body_length, emulator.requests[-1].status) == (1000, None)
    assert emulator.images[created["image"]["id"]].status == "PENDING"


async def test_a_reset_after_commit_has_done_the_operation(client: RawClient, emulator: Emulator) -> None:
    created = await client.create()
    emulator.faults.add("PUT", "/uploads/*", reset="after_commit")
    origin, start = request_head(created["upload_url"], length=len(PNG))
    async with Connection(emulator, origin) as connection:
        connection.writer.write(start + PNG)
        with pytest.raises(ConnectionResetError):
            await connection.reader.read()
    assert emulator.images[created["image"]["id"]].status == "PROCESSING"
    assert emulator.requests[-1].body_length == len(PNG)


async def test_a_kept_connection_can_be_reset_when_it_is_reused(
    client: RawClient, emulator: Emulator
) -> None:
    emulator.faults.add("GET", LIST, reset="before", after=1)
    async with Connection(emulator, emulator.base_url) as connection:
        connection.writer.write(head(emulator))
        assert (await connection.reader.readline()).startswith(b"HTTP/1.1 200 ")
        await connection.reader.readuntil(b"[]")
        connection.writer.write(head(emulator))
        with pytest.raises(ConnectionResetError):
            await connection.reader.read()
    first, second = emulator.requests
    assert first.connection == second.connection > 0


async def test_a_stalled_response_comes_late(client: RawClient, emulator: Emulator) -> None:
    emulator.faults.add("GET", LIST, stall=0.2, status=504)
    start = time.monotonic()
    assert (await client.request("GET", "/images/", lenient=True)).status == 504
    assert time.monotonic() - start >= 0.2


async def test_a_stall_stops_reading_the_request_body(client: RawClient, emulator: Emulator) -> None:
    created = await client.create()
    emulator.faults.add("PUT", "/uploads/*", stall=float("inf"))
    origin, start = request_head(created["upload_url"], length=10**8)
    async with Connection(emulator, origin) as connection:
        connection.writer.write(start)
        await wait_for_request(emulator, "PUT")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                # The send buffer of the kernel is full after some megabytes.
                while True:
                    connection.writer.write(bytes(2**20))
                    await connection.writer.drain()
        assert emulator.requests[-1].body_length == 0
        connection.writer.transport.abort()


def unacknowledged(connection: Connection) -> int:
    """Return the number of sent bytes that the kernel of the server has not received."""
    import fcntl
    import termios

    packed = fcntl.ioctl(connection.writer.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
    return connection.writer.transport.get_write_buffer_size() + int.from_bytes(packed, sys.byteorder)


@pytest.mark.skipif(sys.platform != "linux", reason="uses an ioctl of Linux")
@pytest.mark.parametrize("threaded", [False, True])
async def test_a_client_notices_a_slow_upload_at_once_on_a_kept_connection(
    client: RawClient, emulator: Emulator, threaded: bool
) -> None:
    created = await client.create()
    origin, start = request_head(created["upload_url"], length=2**20)
    start = start.replace(b"Connection: close\r\n", b"")
    async with Connection(emulator, origin) as connection:
        emulator.faults.add("PUT", "/uploads/*", status=200, times=1)
        connection.writer.write(start + bytes(2**20))
        await connection.reader.readuntil(b"\r\n\r\n")
        add_fault = functools.partial(emulator.faults.add, "PUT", "/uploads/*", slow=10_000)
        await (asyncio.to_thread(add_fault) if threaded else asyncio.sleep(0, add_fault()))
        connection.writer.write(start + bytes(2**20))
        await asyncio.sleep(0.2)
        assert unacknowledged(connection) > 2**20 * 2 // 3
        connection.writer.transport.abort()


async def test_a_client_that_disconnects_ends_its_stall(emulator: Emulator) -> None:
    emulator.faults.add("GET", LIST, stall=float("inf"))
    async with Connection(emulator, emulator.base_url) as connection:
        connection.writer.write(head(emulator))
        await wait_for_request(emulator, "GET")
        host_server = emulator._servers.listeners[0]._host_server  # pyright: ignore[reportPrivateUsage]
        assert host_server._tasks
        connection.writer.close()
        async with asyncio.timeout(2):
            while host_server._tasks:
                await asyncio.sleep(0.001)


async def test_a_slow_request_body_takes_the_planned_time(client: RawClient, emulator: Emulator) -> None:
    created = await client.create()
    emulator.faults.add("PUT", "/uploads/*", slow=20_000)
    start = time.monotonic()
    assert (await client.put(created["upload_url"], bytes(6_000), None)).status == 200
    assert 0.25 < time.monotonic() - start < 3
    assert emulator.requests[-1].body_length == 6_000


async def test_a_cut_response_is_shorter_than_its_content_length(
    client: RawClient, emulator: Emulator
) -> None:
    image = await client.upload()
    emulator.faults.add("GET", "/*", host="cdn", cut=10)
    with pytest.raises(ClientPayloadError):
        await client.get(image["cdn_url"])
    assert (await client.get(image["cdn_url"])).body == PNG


async def test_a_slow_response_takes_the_planned_time(client: RawClient, emulator: Emulator) -> None:
    emulator.faults.add("GET", LIST, slow=100, status=200, body=b"[" + b" " * 28 + b"]")
    start = time.monotonic()
    assert (await client.request("GET", "/images/")).json == []
    assert 0.2 < time.monotonic() - start < 3


async def test_a_stall_can_come_in_the_middle_of_a_response(emulator: Emulator) -> None:
    emulator.faults.add("GET", LIST, status=200, body=b"0123456789", cut=4, stall=float("inf"))
    async with Connection(emulator, emulator.base_url) as connection:
        connection.writer.write(head(emulator))
        await connection.reader.readuntil(b"\r\n\r\n0123")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await connection.reader.read(1)


async def test_a_read_error_in_the_body_is_a_client_disconnect() -> None:
    loop = asyncio.get_running_loop()
    reader = StreamReader(BaseProtocol(loop), 2**16, loop=loop)
    reader.feed_data(b"abc")
    body = Body(reader)
    with pytest.raises(ClientDisconnectedError):
        async for chunk in body.chunks():
            assert chunk == b"abc"
            reader.set_exception(ConnectionResetError())
    assert body.length == 3


def test_a_closed_connection_has_the_number_0() -> None:
    assert Connections().number(None) == 0


async def test_a_cut_response_sends_the_start_of_the_body(emulator: Emulator) -> None:
    emulator.faults.add("GET", LIST, status=200, body=b"0123456789", cut=4)
    async with Connection(emulator, emulator.base_url) as connection:
        connection.writer.write(head(emulator))
        response = await connection.reader.read()
    assert response.endswith(b"\r\n\r\n0123")
    assert b"Content-Length: 10\r\n" in response
    assert b"Date: " in response


async def test_a_bug_in_the_emulator_is_sent_as_a_traceback(client: RawClient, emulator: Emulator) -> None:
    emulator._state.store = None  # type: ignore[assignment]
    response = await client.request("GET", "/images/")
    assert response.status == 500
    assert b"Traceback" in response.body
