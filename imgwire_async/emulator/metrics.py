"""Numbers from the records and the request log. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

from attrs import frozen

from imgwire_async.emulator.log import RequestRecord
from imgwire_async.emulator.records import Image, rfc3339

__all__ = ["DEFAULT_RANGE", "INTERVALS", "Event", "Span", "buckets", "datasets", "events", "stats"]

INTERVALS = ("HOURLY", "DAILY", "WEEKLY", "MONTHLY")
DEFAULT_RANGE = timedelta(hours=24)
_MOST_POINTS = 10_000


@frozen
class Span:
    """From `start` up to, but without, `end`."""

    start: datetime
    end: datetime

    def holds(self, when: datetime) -> bool:
        """Whether a rfc3339 lies inside."""
        return self.start <= when < self.end

    @property
    def before(self) -> Span:
        """The range of equal length that ends where this one starts."""
        most = self.start - datetime.min.replace(tzinfo=UTC)  # the calendar begins somewhere
        return Span(self.start - min(self.end - self.start, most), self.start)


@frozen
class Event:
    """Something countable: an upload, a CDN request, or bytes that came into or left the storage."""

    at: datetime
    uploads: int = 0
    requests: int = 0
    transfer: int = 0
    storage: int = 0


def events(images: Iterable[Image], log: Iterable[RequestRecord]) -> list[Event]:
    """An upload counts when its image becomes READY [contract 6]; requests and transfer are the CDN's."""
    found = [
        Event(record.at, requests=1, transfer=record.answer_length if record.status == 200 else 0)
        for record in log
        if record.host == "cdn" and record.method != "OPTIONS"
    ]
    for image in images:
        if image.ready_at is not None:
            found.append(Event(image.ready_at, uploads=1, storage=image.size_bytes))
            if image.deleted_at is not None:
                found.append(Event(image.deleted_at, storage=-image.size_bytes))
    return found


def buckets(span: Span, interval: str, tz: str) -> list[datetime] | None:
    """Where the points begin: at whole hours, days, weeks (Mondays) or months of the zone; None for far too many."""
    zone = UTC if tz == "UTC" else ZoneInfo(tz)  # UTC needs no time zone database
    point = _floor(span.start.astimezone(zone), interval)
    points: list[datetime] = []
    while point.astimezone(UTC) < span.end:
        points.append(point.astimezone(UTC))
        if len(points) > _MOST_POINTS:
            return None
        point = _next(point, interval, zone)
    return points


def _floor(local: datetime, interval: str) -> datetime:
    if interval == "HOURLY":
        return local.replace(minute=0, second=0, microsecond=0)
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if interval == "WEEKLY":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if interval == "MONTHLY" else day


def _next(point: datetime, interval: str, zone: tzinfo) -> datetime:
    if interval == "HOURLY":  # in real hours: a local hour may come twice or never
        return (point.astimezone(UTC) + timedelta(hours=1)).astimezone(zone)
    if interval == "MONTHLY":
        return (point + timedelta(days=32)).replace(day=1)
    return point + timedelta(days=7 if interval == "WEEKLY" else 1)


def datasets(found: list[Event], starts: list[datetime], span: Span) -> dict[str, object]:
    """The six lists of the contract, one point per bucket; what the emulator has none of is 0."""
    uploads: list[object] = []
    requests: list[object] = []
    transfer: list[object] = []
    transformations: list[object] = []
    storage: list[object] = []
    for start, end in pairwise([*starts, span.end]):
        bucket = Span(max(start, span.start), end)
        here = [event for event in found if bucket.holds(event.at)]
        at = {"timestamp": rfc3339(start)}
        uploads.append({**at, "uploads": sum(event.uploads for event in here)})
        requests.append({**at, "requests": sum(event.requests for event in here)})
        transfer.append({**at, "transfer_bytes": sum(event.transfer for event in here)})
        transformations.append({**at, "transformations": 0})
        current = sum(event.storage for event in found if event.at < end)
        added = sum(max(event.storage, 0) for event in here)
        storage.append({**at, "storage_bytes_current": current, "storage_bytes_added": added})
    return {
        "uploads": uploads,
        "transformations": transformations,
        "requests": requests,
        "transfer_bytes": transfer,
        "cache_hit_ratio": [{"label": "hit", "value": 0}, {"label": "miss", "value": 0}],
        "storage_bytes": storage,
    }


def stats(found: list[Event], span: Span) -> dict[str, object]:
    """Each number in the range, in the range of equal length before it, and the change in percent."""
    ranges = (span, span.before)
    inside = [[event for event in found if each.holds(event.at)] for each in ranges]
    return {
        "uploads": _stat(*(sum(event.uploads for event in here) for here in inside)),
        "transformations": _stat(0, 0),
        "requests": _stat(*(sum(event.requests for event in here) for here in inside)),
        "transfer_bytes": _stat(*(sum(event.transfer for event in here) for here in inside)),
        "cache_hit_ratio": _stat(0, 0),
        "storage_bytes": _stat(*(sum(e.storage for e in found if e.at < each.end) for each in ranges)),
    }


def _stat(value: int, prev: int) -> dict[str, object]:
    change = None if prev == 0 else round((value - prev) / prev * 100, 2)  # [contract 10]
    return {"value": value, "prev": prev, "pct_change": change}
