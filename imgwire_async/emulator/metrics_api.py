"""The API operations on metrics."""

from __future__ import annotations

from datetime import UTC, datetime

from imgwire_async.emulator import metrics
from imgwire_async.emulator.http import Response, json_response
from imgwire_async.emulator.state import ApiCall, State
from imgwire_async.emulator.validation import Field, InvalidError, Problem
from imgwire_async.emulator.validators import date_time, one_of, timezone, with_time_zone

__all__ = ["RANGE_FIELDS", "get_datasets", "get_stats"]

_EARLIEST_TIME = datetime.min.replace(tzinfo=UTC)

RANGE_FIELDS = (
    Field("interval", one_of(*metrics.INTERVALS), schema="MetricsDatasetInterval", default="HOURLY"),
    Field("tz", timezone, default="UTC"),
    Field("date_start", date_time),
    Field("date_end", date_time),
)


def get_datasets(state: State, call: ApiCall) -> Response:
    """Return the metrics per interval.

    [GET /metrics/datasets]
    """
    time_range = _time_range(state, call)
    interval = call.query.optional_text("interval") or "HOURLY"
    try:
        starts = metrics.interval_starts(time_range, interval, call.query.optional_text("tz") or "UTC")
    except OverflowError:
        # The start of an interval lies outside the years 1 to 9999.
        starts = None
    if starts is None:
        raise InvalidError(
            Problem(("query", "interval"), "Value error, too many points for this range", "value_error")
        )
    return json_response(metrics.datasets(_events(state, call), starts, time_range))


def get_stats(state: State, call: ApiCall) -> Response:
    """Return the totals of the metrics in a time range and in the previous range of the same length.

    [GET /metrics/stats]
    """
    return json_response(metrics.stats(_events(state, call), _time_range(state, call)))


def _time_range(state: State, call: ApiCall) -> metrics.TimeRange:
    """Return the time range of the query. By default the range ends now and is 24 hours long."""
    names = ("date_start", "date_end")
    values = [(call.query.optional_datetime(name), ("query", name)) for name in names]
    start, end = with_time_zone(values, state.switches.naive_dates)
    end = end or call.now
    start = start or end - min(metrics.DEFAULT_RANGE, end - _EARLIEST_TIME)
    if start >= end:
        raise InvalidError(Problem(("query", "date_start"), "Value error, the range is empty", "value_error"))
    return metrics.TimeRange(start, end)


def _events(state: State, call: ApiCall) -> list[metrics.MetricEvent]:
    return metrics.metric_events(state.store.all_images(call.now), state.log.snapshot())
