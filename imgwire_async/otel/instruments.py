"""The metrics of a client: names, units and bucket boundaries."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry import metrics

from imgwire_async import __version__

# The bucket boundaries, in seconds, that OpenTelemetry recommends for the durations of HTTP requests.
# OpenTelemetry's default boundaries are made for milliseconds.
_REQUEST_BOUNDARIES = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
# The bucket boundaries, in seconds, for durations that include waits, and so may be several minutes.
_LONG_BOUNDARIES = (*_REQUEST_BOUNDARIES, 30, 60, 120, 300, 600)


class Instruments:
    """The counters and histograms of one `OpenTelemetryHooks`."""

    def __init__(self, provider: metrics.MeterProvider | None) -> None:
        meter = metrics.get_meter("imgwire_async", __version__, provider)

        def duration_histogram(name: str, description: str, boundaries: Sequence[float]) -> metrics.Histogram:
            return meter.create_histogram(
                name, "s", description, explicit_bucket_boundaries_advisory=boundaries
            )

        self.operations: metrics.Histogram = duration_histogram(
            "imgwire.client.operation.duration",
            "Operations and API calls, including delays and waits for slots",
            _LONG_BOUNDARIES,
        )
        self.requests: metrics.Histogram = duration_histogram(
            "http.client.request.duration", "HTTP requests, one for each attempt", _REQUEST_BOUNDARIES
        )
        self.retries: metrics.Counter = meter.create_counter(
            "imgwire.client.retries", "{retry}", "Attempts after the first"
        )
        self.bytes: metrics.Counter = meter.create_counter(
            "imgwire.client.io", "By", "Bytes of files sent, and of responses received"
        )
        self.waits: metrics.Histogram = duration_histogram(
            "imgwire.client.wait.duration",
            "Waits before an attempt, because of the rate limit or a failure",
            _LONG_BOUNDARIES,
        )
        self.slot_waits: metrics.Histogram = duration_histogram(
            "imgwire.client.queue.duration", "Waits for a slot among max_connections", _REQUEST_BOUNDARIES
        )
        self.queue_length: metrics.UpDownCounter = meter.create_up_down_counter(
            "imgwire.client.queue.length", "{request}", "Requests that wait for a slot now"
        )
