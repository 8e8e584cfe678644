"""Operations 19 and 20: metrics."""

from __future__ import annotations

from imgwire_async.emulator import metrics
from imgwire_async.emulator.validation import Field, InvalidError, Problem, date_time, one_of, timezone
from imgwire_async.emulator.wire import Answer, json_answer
from imgwire_async.emulator.world import Call, World

__all__ = ["RANGE", "get_datasets", "get_stats"]

RANGE = (
    Field("interval", one_of(*metrics.INTERVALS)),
    Field("tz", timezone),
    Field("date_start", date_time),
    Field("date_end", date_time),
)


def get_datasets(world: World, call: Call) -> Answer:
    """[GET /metrics/datasets]"""
    span = _span(call)
    interval = call.query.maybe_text("interval") or "HOURLY"
    starts = metrics.buckets(span, interval, call.query.maybe_text("tz") or "UTC")
    if starts is None:
        raise InvalidError(
            Problem(("query", "interval"), "Value error, too many points for this range", "value_error")
        )
    return json_answer(metrics.datasets(_events(world, call), starts, span))


def get_stats(world: World, call: Call) -> Answer:
    """[GET /metrics/stats]"""
    return json_answer(metrics.stats(_events(world, call), _span(call)))


def _span(call: Call) -> metrics.Span:
    end = call.query.maybe_moment("date_end") or call.now
    start = call.query.maybe_moment("date_start") or end - metrics.DEFAULT_RANGE
    if start >= end:
        raise InvalidError(Problem(("query", "date_start"), "Value error, the range is empty", "value_error"))
    return metrics.Span(start, end)


def _events(world: World, call: Call) -> list[metrics.Event]:
    return metrics.events(world.store.everything(call.now), world.log.snapshot())
