"""Usage figures of the environment. [contract 10]"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from imgwire_async import checks
from imgwire_async.models import MetricsDatasetInterval, MetricsDatasets, MetricsStats
from imgwire_async.protocol.request import Request, drop_none
from imgwire_async.resources import arguments
from imgwire_async.resources.base import Resource


class AsyncMetrics(Resource):
    """`client.metrics`. Dates must carry a timezone; `tz` is the IANA name by whose days and hours points are cut."""

    @arguments.keyword_only('metrics.get_datasets(interval="DAILY", ...)')
    async def get_datasets(
        self,
        *,
        interval: MetricsDatasetInterval | str | None = None,
        tz: str | None = None,
        date_start: datetime | None = None,
        date_end: datetime | None = None,
    ) -> MetricsDatasets:
        """Six series of points from `date_start` to `date_end`, both aware; the service's defaults are HOURLY and UTC.

        A naive datetime is a `ValueError` before any request. [GET /metrics/datasets]
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
        """Six figures over the range, each beside that of the range before and the change in percent.

        Sizes are in bytes. A naive datetime is a `ValueError` before any request. [GET /metrics/stats]
        """
        params = _params(interval, tz, date_start, date_end)
        return await self._call(Request("GET", "/metrics/stats", MetricsStats, params=params))


def _params(interval: object, tz: object, date_start: object, date_end: object) -> Mapping[str, str] | None:
    params = drop_none(
        interval=arguments.interval(interval),
        tz=checks.printable_ascii("tz", tz),
        date_start=arguments.rfc3339("date_start", date_start),
        date_end=arguments.rfc3339("date_end", date_end),
    )
    return {name: str(value) for name, value in params.items()} or None
