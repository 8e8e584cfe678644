"""Dates in a query: the forms that FastAPI accepts, and those that clients in other languages send."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pydantic
import pytest

from imgwire_async.emulator.dates import parse_datetime

from .raw_client import RawClient

DATES = [
    "2026-04-01", "2026-04-01T00:00", "2026-04-01T00:00Z", "2026-04-01 00:00", "2026-04-01_00:00:00", "2026-04-01t00:00:00z",
    "2026-04-01T00:00:00.1Z", "2026-04-01T00:00:00,5Z", "2026-04-01T00:00:00.123456789Z", "2026-04-01T00:00:00.123456789",
    "2026-04-01T00:00:00.Z", "2026-04-01T00:00:00+02", "2026-04-01T00:00:00+0200", "2026-04-01T00:00:00-02:00",
    "2026-04-01T00:00:00 00:00", "2026-04-01T24:00:00Z", "2026-04-01T00:00:60Z", "2026-04-01T00:00:00+24:00",
    "20260401T000000Z", "2026-04", "2026-W01-1", "2026-04-01T00", "2026-04-01Z", "2026-4-1", "2026-02-30", "0000-01-01", "",
    "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59.999999999Z", "0", "-1", "+1712000000", "1712000000.5", "1712000000.",
    ".5", "-1.5", "20000000000", "20000000001", "-20000000001", "253402300800", "1e9", " 1712000000", "1_000", "1.5.5",
    "NaN", "inf", "99999999999999999999", "yesterday",
]  # fmt: skip


def date_or_none(parse: Any, value: str) -> datetime | None:
    try:
        date: datetime = parse(value)
    except (ValueError, ArithmeticError):
        return None
    return date


@pytest.mark.parametrize("value", DATES)
def test_a_date_is_parsed_as_pydantic_parses_it(value: str) -> None:
    pydantic_parse = pydantic.TypeAdapter(datetime).validate_python
    assert date_or_none(parse_datetime, value) == date_or_none(pydantic_parse, value)


def test_a_long_line_of_digits_is_rejected_quickly() -> None:
    started_at = time.process_time()
    assert date_or_none(parse_datetime, "1" * 100_000 + "x") is None
    assert time.process_time() - started_at < 2


async def status_of(client: RawClient, value: str) -> int:
    return (await client.request("GET", f"/metrics/stats?date_start={quote(value)}")).status


@pytest.mark.parametrize(
    "value", ["2026-11-30T03:54:27.903942634Z", "2026-11-30T03:54:27", "2026-11-30", "1764474867"]
)
async def test_the_dates_of_the_vendors_sdks_are_accepted(client: RawClient, value: str) -> None:
    assert await status_of(client, value) == 200


async def test_a_naive_date_is_read_as_utc(client: RawClient) -> None:
    days = [
        (
            await client.request(
                "GET", f"/metrics/datasets?date_start={start}&date_end=2026-01-03T00:00:00Z&interval=DAILY"
            )
        ).json
        for start in ("2026-01-01T00:00:00", "2026-01-01T00:00:00Z", "2026-01-01")
    ]
    assert datetime.fromisoformat(days[0]["uploads"][0]["timestamp"]) == datetime(2026, 1, 1, tzinfo=UTC)
    assert days[0] == days[1] == days[2]


@pytest.mark.parametrize("switches", [{"naive_dates": "refused"}])
async def test_naive_dates_are_rejected_if_the_switch_says_so(client: RawClient) -> None:
    response = await client.request("GET", "/metrics/stats?date_start=2026-01-01&date_end=2026-01-02T00:00")
    problems = [(problem["loc"][1], problem["type"]) for problem in response.json["detail"]]
    assert (response.status, problems) == (
        422,
        [("date_start", "timezone_aware"), ("date_end", "timezone_aware")],
    )
    assert await status_of(client, "2026-11-30T03:54:27.9Z") == 200
