"""The CDN, archives and metrics: what goes out."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from zoneinfo import available_timezones

import pytest

from imgwire_async.emulator import Emulator
from imgwire_async.emulator.metrics import Event, TimeRange, datasets, interval_starts, stats

from .raw_client import GIF, PNG, UNKNOWN_ID, RawClient


async def test_the_cdn_serves_the_original_bytes(client: RawClient) -> None:
    image = await client.upload()
    for suffix in ("", "@small", "@thumbnail?width=10", "?format=auto"):
        response = await client.get(image["cdn_url"] + suffix)
        assert (response.status, response.body, response.headers["Content-Type"]) == (200, PNG, "image/png")
    head = await client.get(image["cdn_url"], "HEAD")
    assert (head.status, head.headers["Content-Length"], head.body) == (200, str(len(PNG)), b"")


async def test_the_cdn_has_nothing_else(client: RawClient) -> None:
    image = await client.upload()
    url: str = image["cdn_url"]
    for wrong in (
        f"{url}@huge",
        f"{url}/x",
        url.replace(image["id"], UNKNOWN_ID),
        url.replace(client.emulator.environment_id, UNKNOWN_ID),
    ):
        assert (await client.get(wrong)).status == 404
    assert (await client.get((await client.create())["image"]["cdn_url"])).status == 404
    refused = await client.get(url, "POST")
    assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD")


async def job(client: RawClient, ids: list[str]) -> Any:
    response = await client.request("POST", "/images/downloads", json={"image_ids": ids})
    assert response.status == 200
    return response.json


async def seen(client: RawClient, made: Any) -> Any:
    return (await client.request("GET", f"/images/downloads/{made['id']}")).json


async def test_a_download_job_ends_in_an_archive(client: RawClient) -> None:
    names = ["a.png", "A.png", "../evil/a.png", "c:\\x\\b.gif", "a.png", "/"]
    images = [await client.upload(GIF if name.endswith("gif") else PNG, name, None) for name in names]
    pending = (await client.create("late.png"))["image"]["id"]
    made = await job(client, [*(image["id"] for image in images), pending])
    assert (made["status"], made["download_url"]) == ("PENDING", None)
    first, second = await seen(client, made), await seen(client, made)
    assert [first["status"], first["download_url"], second["status"]] == ["PROCESSING", None, "READY"]
    response = await client.get(second["download_url"])
    assert (response.status, response.headers["Content-Type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(response.body)) as archive:
        assert archive.namelist() == ["a.png", "A (2).png", "a (3).png", "b.gif", "a (4).png", "image"]
        assert [archive.read(name) for name in archive.namelist()] == [PNG, PNG, PNG, GIF, PNG, PNG]


async def test_an_archive_link_is_signed_and_expires_and_is_renewed(
    client: RawClient, emulator: Emulator
) -> None:
    emulator.download_polls = 1
    made = await job(client, [(await client.upload())["id"]])
    url = (await seen(client, made))["download_url"]
    assert url.startswith(f"{emulator.storage_url}/archives/")
    assert (await client.get(url.replace("%7E", "~"))).s3_error == (403, "SignatureDoesNotMatch")
    assert (await client.get(url, "PUT")).s3_error == (405, "MethodNotAllowed")
    assert (await client.get(url)).status == (await client.get(url)).status == 200
    emulator.clock.advance(900)
    assert (await client.get(url)).s3_error == (403, "AccessDenied")
    fresh = (await seen(client, made))["download_url"]
    assert fresh != url
    assert (await client.get(fresh)).status == 200
    emulator._state.store.jobs.clear()
    assert (await client.get(fresh)).s3_error == (404, "NoSuchKey")


async def test_a_job_without_any_picture_fails(client: RawClient) -> None:
    made = await job(client, [(await client.create())["image"]["id"]])
    assert [(await seen(client, made))["status"] for _ in range(3)] == ["PROCESSING", "FAILED", "FAILED"]
    assert (await seen(client, made))["download_url"] is None


async def test_a_job_knows_its_images(client: RawClient) -> None:
    response = await client.request("POST", "/images/downloads", json={"image_ids": [UNKNOWN_ID]})
    assert response.api_error == (404, "ResourceNotFoundError")
    assert (await client.request("GET", f"/images/downloads/{UNKNOWN_ID}")).api_error == (
        404,
        "ResourceNotFoundError",
    )


async def test_metrics_are_what_the_log_holds(client: RawClient, emulator: Emulator) -> None:
    kept, gone = await client.upload(), await client.upload(GIF, "b.gif", "image/gif")
    await client.upload(b"no picture", "c.png", None)
    for url in (kept["cdn_url"], kept["cdn_url"], f"{kept['cdn_url']}/missing"):
        await client.get(url)
    await client.get(kept["cdn_url"], "HEAD")
    await client.request("DELETE", f"/images/{gone['id']}")
    numbers = (await client.request("GET", "/metrics/stats")).json
    assert {name: each["value"] for name, each in numbers.items()} == {
        "uploads": 2,
        "requests": 4,
        "transfer_bytes": 2 * len(PNG),
        "storage_bytes": len(PNG),
        "transformations": 0,
        "cache_hit_ratio": 0,
    }
    assert {each["prev"] for each in numbers.values()} == {0}
    assert {each["pct_change"] for each in numbers.values()} == {None}
    emulator.clock.advance(86_400)
    await client.get(kept["cdn_url"])
    later = (await client.request("GET", "/metrics/stats")).json
    assert later["requests"] == {"value": 1, "prev": 4, "pct_change": -75.0}
    assert later["uploads"] == {"value": 0, "prev": 2, "pct_change": -100.0}
    assert later["storage_bytes"] == {"value": len(PNG), "prev": len(PNG), "pct_change": 0.0}


async def test_datasets_hold_a_point_per_bucket(client: RawClient, emulator: Emulator) -> None:
    await client.get((await client.upload())["cdn_url"])
    points = (await client.request("GET", "/metrics/datasets?tz=UTC")).json
    assert len(points["uploads"]) in {24, 25}
    assert sum(point["uploads"] for point in points["uploads"]) == 1
    assert sum(point["requests"] for point in points["requests"]) == 1
    assert points["storage_bytes"][-1]["storage_bytes_current"] == len(PNG)
    assert [point["label"] for point in points["cache_hit_ratio"]] == ["hit", "miss"]
    now = emulator.clock.now()
    day = f"date_start={quote((now - timedelta(days=2)).isoformat())}&date_end={quote((now - timedelta(days=1)).isoformat())}"
    past = (await client.request("GET", f"/metrics/datasets?interval=DAILY&{day}")).json
    assert sum(point["uploads"] for point in past["uploads"]) == 0


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.skipif(not available_timezones(), reason="this machine has no time zone database")
@pytest.mark.parametrize(
    ("interval", "tz", "start", "end", "expected"),
    [
        ("HOURLY", "UTC", "2026-01-01T00:30", "2026-01-01T02:00", ["2026-01-01T00:00", "2026-01-01T01:00"]),
        ("DAILY", "Europe/Berlin", "2026-03-28T12:00", "2026-03-30T00:00", ["2026-03-27T23:00", "2026-03-28T23:00", "2026-03-29T22:00"]),
        ("WEEKLY", "UTC", "2026-01-01T00:00", "2026-01-06T00:00", ["2025-12-29T00:00", "2026-01-05T00:00"]),
        ("MONTHLY", "UTC", "2025-12-31T00:00", "2026-02-01T00:00", ["2025-12-01T00:00", "2026-01-01T00:00"]),
        ("HOURLY", "Europe/Berlin", "2026-10-25T00:00", "2026-10-25T03:00", ["2026-10-25T00:00", "2026-10-25T01:00", "2026-10-25T02:00"]),
    ],
)  # fmt: skip
def test_buckets_begin_at_whole_units_of_the_zone(
    interval: str, tz: str, start: str, end: str, expected: list[str]
) -> None:
    assert interval_starts(TimeRange(at(start), at(end)), interval, tz) == [at(each) for each in expected]


def test_a_bucket_counts_what_lies_in_the_range_alone() -> None:
    span = TimeRange(at("2026-01-01T00:30"), at("2026-01-01T01:30"))
    times = ("2026-01-01T00:10", "2026-01-01T00:30", "2026-01-01T01:29", "2026-01-01T01:30")
    found = [Event(at(each), uploads=1, storage=10) for each in times]
    points: Any = datasets(found, [at("2026-01-01T00:00"), at("2026-01-01T01:00")], span)
    assert [point["uploads"] for point in points["uploads"]] == [1, 1]
    assert [point["storage_bytes_current"] for point in points["storage_bytes"]] == [20, 30]
    numbers: Any = stats(found, span)
    assert (numbers["uploads"]["value"], numbers["uploads"]["prev"]) == (2, 1)
