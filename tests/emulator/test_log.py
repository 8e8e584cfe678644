"""The request log and the clock."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

from imgwire_async.emulator import Emulator
from imgwire_async.emulator.clock import Clock

from .raw_client import PNG, RawClient, send_raw


async def test_the_log_keeps_targets_and_headers_as_sent(emulator: Emulator) -> None:
    target = "/api/v1/images/?a=%2f+%C3%A9&b=~%7e"
    lines = (f"GET {target} HTTP/1.1", "Host: x", "X-ODD: one", "x-odd: two", "Connection: close", "", "")
    await send_raw(emulator.base_url, "\r\n".join(lines).encode())
    record = emulator.requests[0]
    assert (record.host, record.method, record.target, record.status) == ("api", "GET", target, 401)
    assert record.headers == [("Host", "x"), ("X-ODD", "one"), ("x-odd", "two"), ("Connection", "close")]
    assert record.header("X-Odd") == "one"
    assert record.header("missing") is None
    assert "headers" not in repr(record)


async def test_the_log_has_the_requests_of_all_hosts_in_order(client: RawClient, emulator: Emulator) -> None:
    image = await client.upload()
    await client.get(image["cdn_url"], "HEAD")
    hosts = [record.host for record in emulator.requests]
    assert hosts == ["api", "storage", "api", "api", "cdn"]
    assert len(emulator.requests) == 5
    assert [record.host for record in emulator.requests[1:3]] == ["storage", "api"]
    assert emulator.requests[1].body_length == len(PNG)
    assert emulator.requests[-1].response_length == 0
    assert (
        emulator.requests[0].connection == emulator.requests[2].connection != emulator.requests[1].connection
    )
    assert "5" in repr(emulator.requests)


async def test_a_request_is_in_the_log_before_its_response(client: RawClient, emulator: Emulator) -> None:
    emulator.faults.add("GET", "*", stall=float("inf"))
    waiting = asyncio.create_task(client.request("GET", "/images/"))
    while not len(emulator.requests):
        await asyncio.sleep(0.001)
    assert emulator.requests[0].status is None
    emulator.requests.clear()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    while emulator._servers.listeners[0]._host_server._tasks:
        await asyncio.sleep(0.001)
    # The unfinished request does not appear again.
    assert list(emulator.requests) == []


async def test_dates_come_from_the_clock(client: RawClient, emulator: Emulator) -> None:
    emulator.clock.advance(86_400)
    response = await client.request("GET", "/images/")
    ahead = parsedate_to_datetime(response.headers["Date"]) - datetime.now(UTC)
    assert timedelta(hours=23) < ahead < timedelta(hours=25)
    created = await client.create()
    assert f"X-Amz-Date={emulator.clock.now():%Y%m%dT}" in created["upload_url"]
    assert created["image"]["created_at"].startswith(f"{emulator.clock.now():%Y-%m-%d}")


def test_the_clock_runs_and_moves_only_forward() -> None:
    clock = Clock()
    first = clock.now()
    assert clock.now() >= first
    clock.advance(10)
    assert clock.now() - first >= timedelta(seconds=10)
    for seconds in (-1, float("nan")):
        with pytest.raises(ValueError):
            clock.advance(seconds)
    clock.reset()
    assert clock.now() - first < timedelta(seconds=10)


async def test_a_reset_removes_all_state_and_keeps_urls_and_keys(
    client: RawClient, emulator: Emulator
) -> None:
    before = (
        emulator.base_url,
        emulator.storage_url,
        emulator.cdn_url,
        emulator.api_key,
        emulator.client_key,
        emulator.environment_id,
    )
    created = await client.create(idempotency_key="k")
    await client.request("POST", "/cors_origins/", json={"pattern": "x"})
    emulator.faults.add("*", "*", status=500, times=None)
    emulator.clock.advance(1000)
    emulator.urls["https://example.com/"] = PNG
    emulator.download_polls = 9
    emulator.reset()
    assert (len(emulator.requests), len(emulator.images), emulator.urls, emulator.download_polls) == (
        0,
        0,
        {},
        2,
    )
    assert (await client.request("GET", "/cors_origins/")).json == []
    assert (await client.create(idempotency_key="k"))["image"]["id"] != created["image"]["id"]
    assert (await client.put(created["upload_url"], PNG, None)).s3_error == (404, "NoSuchKey")
    assert before == (
        emulator.base_url, emulator.storage_url, emulator.cdn_url, emulator.api_key, emulator.client_key, emulator.environment_id,
    )  # fmt: skip
    assert emulator.clock.now() - datetime.now(UTC) < timedelta(seconds=100)


async def test_a_reset_during_a_put_discards_the_upload(client: RawClient, emulator: Emulator) -> None:
    created = await client.create()
    emulator.faults.add("PUT", "*", slow=1_000)
    upload = asyncio.create_task(client.put(created["upload_url"], PNG, None))
    while emulator.requests[-1].method != "PUT":
        await asyncio.sleep(0.001)
    emulator.reset()
    assert (await upload).status == 404
    assert len(emulator.images) == len(emulator.requests) == 0
