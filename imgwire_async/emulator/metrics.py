"""Compute the metrics from the image records and the request log."""

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
DEFAULT_RANGE = timedelta(hours=24)
_MAXIMUM_POINTS = 10_000


@frozen
class TimeRange:
    """The time from `start` to `end`. `end` does not belong to it."""

    start: datetime
    end: datetime

    def contains(self, time: datetime) -> bool:
        """Return whether a time lies inside the range."""
        return self.start <= time < self.end

    @property
    def before(self) -> TimeRange:
        """The range of the same length that ends at `start`."""
        # No date lies before the year 1.
        maximum_length = self.start - datetime.min.replace(tzinfo=UTC)
        return TimeRange(self.start - min(self.end - self.start, maximum_length), self.start)


@frozen
class MetricEvent:
    """One event that the metrics count: an upload, a CDN request, or a change of the stored bytes."""

    at: datetime
    uploads: int = 0
    requests: int = 0
    transfer: int = 0
    storage: int = 0


def metric_events(images: Iterable[Image], log: Iterable[RequestRecord]) -> list[MetricEvent]:
    """Return the events that the metrics count.

    An upload counts when its image becomes READY. Only requests to the CDN count. [contract 6]
    """
    events = [
        MetricEvent(record.at, requests=1, transfer=record.answer_length if record.status == 200 else 0)
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
    """Return the start of each interval in a time range, or None if there are more than 10,000.

    Intervals start with a whole hour, day, week (Monday) or month of the time zone `tz`.
    """
    # UTC works without a time zone database.
    zone = UTC if tz == "UTC" else ZoneInfo(tz)
    point = _interval_start(time_range.start.astimezone(zone), interval)
    points: list[datetime] = []
    while point.astimezone(UTC) < time_range.end:
        points.append(point.astimezone(UTC))
        if len(points) > _MAXIMUM_POINTS:
            return None
        point = _next(point, interval, zone)
    return points


def _interval_start(local: datetime, interval: str) -> datetime:
    if interval == "HOURLY":
        return local.replace(minute=0, second=0, microsecond=0)
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if interval == "WEEKLY":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if interval == "MONTHLY" else day


def _next(point: datetime, interval: str, zone: tzinfo) -> datetime:
    if interval == "HOURLY":
        # A local hour may exist twice or not at all, so count in UTC.
        return (point.astimezone(UTC) + timedelta(hours=1)).astimezone(zone)
    if interval == "MONTHLY":
        return (point + timedelta(days=32)).replace(day=1)
    return point + timedelta(days=7 if interval == "WEEKLY" else 1)


def datasets(events: list[MetricEvent], starts: list[datetime], time_range: TimeRange) -> dict[str, object]:
    """Return the six lists of the contract, with one point per interval.

    The emulator has no transformations and no cache, so these numbers are 0.
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
    """Return the totals of the range and of the range before, and the change in percent."""
    ranges = (time_range, time_range.before)
    groups = [[event for event in events if part.contains(event.at)] for part in ranges]
    return {
        "uploads": _stat(*(sum(event.uploads for event in group) for group in groups)),
        "transformations": _stat(0, 0),
        "requests": _stat(*(sum(event.requests for event in group) for group in groups)),
        "transfer_bytes": _stat(*(sum(event.transfer for event in group) for group in groups)),
        "cache_hit_ratio": _stat(0, 0),
        "storage_bytes": _stat(
            *(sum(event.storage for event in events if event.at < part.end) for part in ranges)
        ),
    }


def _stat(value: int, prev: int) -> dict[str, object]:
    # The change is null if there is no previous value. [contract 10]
    change = None if prev == 0 else round((value - prev) / prev * 100, 2)
    return {"value": value, "prev": prev, "pct_change": change}
