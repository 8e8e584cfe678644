"""The metrics operations."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from zoneinfo import available_timezones

import pytest

from imgwire_async.emulator import Emulator
from imgwire_async.emulator.metrics import MetricEvent, TimeRange, datasets, interval_starts, stats

from .raw_client import GIF, PNG, RawClient


async def test_the_metrics_count_the_uploads_and_cdn_requests(client: RawClient, emulator: Emulator) -> None:
    kept, gone = await client.upload(), await client.upload(GIF, "b.gif", "image/gif")
    await client.upload(b"no picture", "c.png", None)
    for url in (kept["cdn_url"], kept["cdn_url"], f"{kept['cdn_url']}/missing"):
        await client.get(url)
    await client.get(kept["cdn_url"], "HEAD")
    await client.request("DELETE", f"/images/{gone['id']}")
    metrics = (await client.request("GET", "/metrics/stats")).json
    assert {name: metric["value"] for name, metric in metrics.items()} == {
        "uploads": 2,
        "requests": 4,
        "transfer_bytes": 2 * len(PNG),
        "storage_bytes": len(PNG),
        "transformations": 0,
        "cache_hit_ratio": 0,
    }
    assert {metric["prev"] for metric in metrics.values()} == {0}
    assert {metric["pct_change"] for metric in metrics.values()} == {None}
    emulator.clock.advance(86_400)
    await client.get(kept["cdn_url"])
    later = (await client.request("GET", "/metrics/stats")).json
    assert later["requests"] == {"value": 1, "prev": 4, "pct_change": -75.0}
    assert later["uploads"] == {"value": 0, "prev": 2, "pct_change": -100.0}
    assert later["storage_bytes"] == {"value": len(PNG), "prev": len(PNG), "pct_change": 0.0}


async def test_datasets_have_one_point_per_interval(client: RawClient, emulator: Emulator) -> None:
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
def test_intervals_start_at_whole_units_of_the_time_zone(
    interval: str, tz: str, start: str, end: str, expected: list[str]
) -> None:
    assert interval_starts(TimeRange(at(start), at(end)), interval, tz) == [
        at(start_time) for start_time in expected
    ]


def test_an_interval_counts_only_events_inside_the_time_range() -> None:
    time_range = TimeRange(at("2026-01-01T00:30"), at("2026-01-01T01:30"))
    times = ("2026-01-01T00:10", "2026-01-01T00:30", "2026-01-01T01:29", "2026-01-01T01:30")
    events = [MetricEvent(at(time), uploads=1, storage=10) for time in times]
    points: Any = datasets(events, [at("2026-01-01T00:00"), at("2026-01-01T01:00")], time_range)
    assert [point["uploads"] for point in points["uploads"]] == [1, 1]
    assert [point["storage_bytes_current"] for point in points["storage_bytes"]] == [20, 30]
    metrics: Any = stats(events, time_range)
    assert (metrics["uploads"]["value"], metrics["uploads"]["prev"]) == (2, 1)
