# pyright: reportUnnecessaryTypeIgnoreComment=error
"""Type checks of the OpenTelemetry hooks. `nox -s typing` checks this file; it is never run."""

from __future__ import annotations

from typing import assert_type

from opentelemetry import metrics, trace

from imgwire_async import AsyncImgwireClient, Hooks, ImgwireClient, RetryEvent
from imgwire_async.otel import OpenTelemetryHooks


def again(event: RetryEvent) -> None:
    assert_type(event.delay, float)


hooks = OpenTelemetryHooks(
    on_retry=again, tracer_provider=trace.get_tracer_provider(), meter_provider=metrics.get_meter_provider()
)
as_hooks: Hooks = hooks
client = AsyncImgwireClient("sk_test", hooks=hooks)
assert_type(client.with_options(hooks=OpenTelemetryHooks()), AsyncImgwireClient)
ImgwireClient("sk_test", hooks=hooks)

OpenTelemetryHooks(on_retry=5)  # type: ignore[arg-type]
OpenTelemetryHooks(None, None, None, trace.get_tracer_provider())  # type: ignore[call-arg]
