"""Operations 19 and 20: metrics."""

from __future__ import annotations

from datetime import UTC, datetime

from imgwire_async.emulator import metrics
from imgwire_async.emulator.validation import (
    Field,
    InvalidError,
    Problem,
    aware,
    date_time,
    one_of,
    timezone,
)
from imgwire_async.emulator.wire import Answer, json_answer
from imgwire_async.emulator.world import Call, World

__all__ = ["RANGE", "get_datasets", "get_stats"]

_CALENDAR_START = datetime.min.replace(tzinfo=UTC)

RANGE = (
    Field("interval", one_of(*metrics.INTERVALS), schema="MetricsDatasetInterval", default="HOURLY"),
    Field("tz", timezone, default="UTC"),
    Field("date_start", date_time),
    Field("date_end", date_time),
)


def get_datasets(world: World, call: Call) -> Answer:
    """[GET /metrics/datasets]"""
    span = _span(world, call)
    interval = call.query.maybe_text("interval") or "HOURLY"
    try:
        starts = metrics.buckets(span, interval, call.query.maybe_text("tz") or "UTC")
    except OverflowError:  # at either end of the calendar
        starts = None
    if starts is None:
        raise InvalidError(
            Problem(("query", "interval"), "Value error, too many points for this range", "value_error")
        )
    return json_answer(metrics.datasets(_events(world, call), starts, span))


def get_stats(world: World, call: Call) -> Answer:
    """[GET /metrics/stats]"""
    return json_answer(metrics.stats(_events(world, call), _span(world, call)))


def _span(world: World, call: Call) -> metrics.Span:
    names = ("date_start", "date_end")
    given = [(call.query.maybe_moment(name), ("query", name)) for name in names]
    start, end = aware(given, world.switches.naive_dates)
    end = end or call.now
    start = start or end - min(metrics.DEFAULT_RANGE, end - _CALENDAR_START)
    if start >= end:
        raise InvalidError(Problem(("query", "date_start"), "Value error, the range is empty", "value_error"))
    return metrics.Span(start, end)


def _events(world: World, call: Call) -> list[metrics.Event]:
    return metrics.events(world.store.everything(call.now), world.log.snapshot())
