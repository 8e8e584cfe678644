"""Usage metrics of the environment.

[contract 10]
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from imgwire_async import checks
from imgwire_async.models import MetricsDatasetInterval, MetricsDatasets, MetricsStats
from imgwire_async.protocol.request import Request, drop_none
from imgwire_async.resources import arguments
from imgwire_async.resources.base import Resource


class AsyncMetrics(Resource):
    """`client.metrics`: time series and totals of uploads, requests, traffic and storage."""

    @arguments.keyword_only('metrics.get_datasets(interval="DAILY", ...)')
    async def get_datasets(
        self,
        *,
        interval: MetricsDatasetInterval | str | None = None,
        tz: str | None = None,
        date_start: datetime | None = None,
        date_end: datetime | None = None,
    ) -> MetricsDatasets:
        """Return six time series with the points between `date_start` and `date_end`.

        Args:
            interval: Time between two points: HOURLY, DAILY, WEEKLY or MONTHLY. None takes the service's
                default, HOURLY.
            tz: IANA name of the time zone in which hours and days begin. None takes the service's default,
                UTC.
            date_start: Start of the time range, with a timezone. None takes the service's default.
            date_end: End of the time range, with a timezone. None takes the service's default.

        Returns:
            The series of uploads, transformations, requests, transferred bytes, stored bytes and cache hit
            ratio.

        Raises:
            ValueError: A date has no timezone, or `interval` is unknown. No request was sent.

        [GET /metrics/datasets]
        """
        params = _params(interval, tz, date_start, date_end)
        return await self._call(Request("GET", "/metrics/datasets", MetricsDatasets, params=params))

    @arguments.keyword_only('metrics.get_stats(interval="DAILY", ...)')
    async def get_stats(
        self,
        *,
        interval: MetricsDatasetInterval | str | None = None,
        tz: str | None = None,
        date_start: datetime | None = None,
        date_end: datetime | None = None,
    ) -> MetricsStats:
        """Return six totals of the time between `date_start` and `date_end`.

        Args:
            interval: Time between two points: HOURLY, DAILY, WEEKLY or MONTHLY. None takes the service's
                default, HOURLY.
            tz: IANA name of the time zone in which hours and days begin. None takes the service's default,
                UTC.
            date_start: Start of the time range, with a timezone. None takes the service's default.
            date_end: End of the time range, with a timezone. None takes the service's default.

        Returns:
            One `MetricsStatValue` per total. It contains the total, the same total for the previous time
            range, and the change in percent. Sizes are in bytes.

        Raises:
            ValueError: A date has no timezone, or `interval` is unknown. No request was sent.

        [GET /metrics/stats]
        """
        params = _params(interval, tz, date_start, date_end)
        return await self._call(Request("GET", "/metrics/stats", MetricsStats, params=params))


def _params(interval: object, tz: object, date_start: object, date_end: object) -> Mapping[str, str] | None:
    """Check the arguments of a metrics call, and return them as the query of a request."""
    params = drop_none(
        interval=arguments.interval(interval),
        tz=checks.printable_ascii("tz", tz),
        date_start=arguments.rfc3339("date_start", date_start),
        date_end=arguments.rfc3339("date_end", date_end),
    )
    return {name: str(value) for name, value in params.items()} or None
