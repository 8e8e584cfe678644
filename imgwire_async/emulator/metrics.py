"""Compute the values of the metrics operations from the image records and the request log."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

from attrs import frozen

from imgwire_async.emulator.log import RequestRecord
from imgwire_async.emulator.records import Image, format_rfc3339

__all__ = [
    "DEFAULT_RANGE",
    "INTERVALS",
    "MetricEvent",
    "TimeRange",
    "datasets",
    "interval_starts",
    "metric_events",
    "stats",
]

INTERVALS = ("HOURLY", "DAILY", "WEEKLY", "MONTHLY")
# The length of the time range if a request gives no start.
DEFAULT_RANGE = timedelta(hours=24)
# The maximum number of intervals in one response.
_MAXIMUM_INTERVALS = 10_000


@frozen
class TimeRange:
    """A range of time from `start` (included) to `end` (excluded)."""

    start: datetime
    end: datetime

    def contains(self, time: datetime) -> bool:
        """Return whether a time lies in the range."""
        return self.start <= time < self.end

    @property
    def previous(self) -> TimeRange:
        """The range of the same length that ends where this range starts."""
        # The previous range may be shorter, because Python has no dates before the year 1.
        maximum_length = self.start - datetime.min.replace(tzinfo=UTC)
        return TimeRange(self.start - min(self.end - self.start, maximum_length), self.start)


@frozen
class MetricEvent:
    """An upload, a deletion or a CDN request, and what it adds to each of the metrics.

    `transfer` and `storage` are numbers of bytes. `storage` is negative for a deletion.
    """

    at: datetime
    uploads: int = 0
    requests: int = 0
    transfer: int = 0
    storage: int = 0


def metric_events(images: Iterable[Image], log: Iterable[RequestRecord]) -> list[MetricEvent]:
    """Return the events for all images that became READY, also deleted ones, and for requests to the CDN.

    Preflights do not count. An upload counts from the time at which its image became READY. [contract 6]
    """
    events = [
        MetricEvent(record.at, requests=1, transfer=record.response_length if record.status == 200 else 0)
        for record in log
        if record.host == "cdn" and record.method != "OPTIONS"
    ]
    for image in images:
        if image.ready_at is not None:
            events.append(MetricEvent(image.ready_at, uploads=1, storage=image.size_bytes))
            if image.deleted_at is not None:
                events.append(MetricEvent(image.deleted_at, storage=-image.size_bytes))
    return events


def interval_starts(time_range: TimeRange, interval: str, tz: str) -> list[datetime] | None:
    """Return the start times of all intervals in a time range, or None if there are more than 10,000.

    An interval is a whole hour, day, week or month in the time zone `tz`. A week starts on Monday. The first
    interval may start before the time range.
    """
    # UTC is handled here, because `ZoneInfo` needs a time zone database, which may be missing.
    zone = UTC if tz == "UTC" else ZoneInfo(tz)
    start = _interval_start(time_range.start.astimezone(zone), interval)
    starts: list[datetime] = []
    while start.astimezone(UTC) < time_range.end:
        starts.append(start.astimezone(UTC))
        if len(starts) > _MAXIMUM_INTERVALS:
            return None
        start = _next_start(start, interval, zone)
    return starts


def _interval_start(local: datetime, interval: str) -> datetime:
    """Return the start of the interval that contains a local time."""
    if interval == "HOURLY":
        return local.replace(minute=0, second=0, microsecond=0)
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if interval == "WEEKLY":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if interval == "MONTHLY" else day


def _next_start(start: datetime, interval: str, zone: tzinfo) -> datetime:
    if interval == "HOURLY":
        # Add the hour in UTC, because a change of the local clock can skip or repeat a local hour.
        return (start.astimezone(UTC) + timedelta(hours=1)).astimezone(zone)
    if interval == "MONTHLY":
        return (start + timedelta(days=32)).replace(day=1)
    return start + timedelta(days=7 if interval == "WEEKLY" else 1)


def datasets(events: list[MetricEvent], starts: list[datetime], time_range: TimeRange) -> dict[str, object]:
    """Return the six lists of the operation `metrics.get_datasets`, by name.

    Each list has one value per interval, except `cache_hit_ratio`, which has two values for the whole range.
    The numbers of transformations and cache hits are 0, because the emulator does not transform or cache.
    """
    uploads: list[object] = []
    requests: list[object] = []
    transfer: list[object] = []
    transformations: list[object] = []
    storage: list[object] = []
    for start, end in pairwise([*starts, time_range.end]):
        interval_range = TimeRange(max(start, time_range.start), end)
        inside = [event for event in events if interval_range.contains(event.at)]
        timestamp = {"timestamp": format_rfc3339(start)}
        uploads.append({**timestamp, "uploads": sum(event.uploads for event in inside)})
        requests.append({**timestamp, "requests": sum(event.requests for event in inside)})
        transfer.append({**timestamp, "transfer_bytes": sum(event.transfer for event in inside)})
        transformations.append({**timestamp, "transformations": 0})
        current = sum(event.storage for event in events if event.at < end)
        added = sum(max(event.storage, 0) for event in inside)
        storage.append({**timestamp, "storage_bytes_current": current, "storage_bytes_added": added})
    return {
        "uploads": uploads,
        "transformations": transformations,
        "requests": requests,
        "transfer_bytes": transfer,
        "cache_hit_ratio": [{"label": "hit", "value": 0}, {"label": "miss", "value": 0}],
        "storage_bytes": storage,
    }


def stats(events: list[MetricEvent], time_range: TimeRange) -> dict[str, object]:
    """Return the total of each metric in the range and in the previous range, and the change in percent.

    The total of `storage_bytes` is the number of bytes stored at the end of a range.
    """
    ranges = (time_range, time_range.previous)
    groups = [[event for event in events if one_range.contains(event.at)] for one_range in ranges]
    return {
        "uploads": _stat(*(sum(event.uploads for event in group) for group in groups)),
        "transformations": _stat(0, 0),
        "requests": _stat(*(sum(event.requests for event in group) for group in groups)),
        "transfer_bytes": _stat(*(sum(event.transfer for event in group) for group in groups)),
        "cache_hit_ratio": _stat(0, 0),
        "storage_bytes": _stat(
            *(sum(event.storage for event in events if event.at < one_range.end) for one_range in ranges)
        ),
    }


def _stat(value: int, prev: int) -> dict[str, object]:
    # A change from 0 has no percentage, so `pct_change` is null. [contract 10]
    change = None if prev == 0 else round((value - prev) / prev * 100, 2)
    return {"value": value, "prev": prev, "pct_change": change}
