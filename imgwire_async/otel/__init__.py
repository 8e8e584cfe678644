"""OpenTelemetry traces and metrics of a client: `AsyncImgwireClient(hooks=OpenTelemetryHooks())`.

This module needs the extra `otel`: `pip install 'imgwire-async[otel]'`.

There are three kinds of spans (each with an example of its name):

- An operation is one awaited method of the SDK: `imgwire images.upload`.
- An API call is a child of an operation, and includes retries: `imgwire GET /images/{image_id}`.
- An attempt is one HTTP request, of an API call (`GET /images/{image_id}`) or of the transfer of a file
  (`PUT`).

The attributes follow OpenTelemetry's conventions for HTTP clients. The names of all other attributes begin
with `imgwire.`. The spans contain no URL query, no API key, no body, and no header value except the id of the
request. The hooks add no trace header to requests.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AbstractContextManager

import attrs

try:
    from opentelemetry import metrics, trace
except ImportError as _missing:
    raise ImportError(
        "imgwire_async.otel needs the package opentelemetry-api: pip install 'imgwire-async[otel]'"
    ) from _missing

from imgwire_async import __version__
from imgwire_async.exchange import Headers, Kind
from imgwire_async.otel.instruments import Instruments
from imgwire_async.otel.recording import (
    AttemptSlot,
    AttemptSpan,
    Attributes,
    CallSpan,
    MeasuredSlot,
    OperationSpan,
    current_span,
    record_safely,
    server_attributes,
    strip_url,
)
from imgwire_async.redaction import redact
from imgwire_async.transport.tracing import Tracer

__all__ = ["OpenTelemetryHooks"]


def _tracer_for(hooks: OpenTelemetryHooks) -> trace.Tracer:
    return trace.get_tracer("imgwire_async", __version__, hooks.tracer_provider)


def _instruments_for(hooks: OpenTelemetryHooks) -> Instruments:
    return Instruments(hooks.meter_provider)


@attrs.frozen(eq=False)
class OpenTelemetryHooks(Tracer):
    """Hooks that record spans and metrics of all operations, calls and attempts of a client.

    ```python
    client = AsyncImgwireClient(hooks=OpenTelemetryHooks())
    ```

    One object can serve any number of clients.

    Args:
        on_request: As in `Hooks`.
        on_response: As in `Hooks`.
        on_retry: As in `Hooks`.
        tracer_provider: The provider of the tracer. None means OpenTelemetry's global provider, which the
            program may also set after it creates this object.
        meter_provider: The provider of the meter. None means OpenTelemetry's global provider, which the
            program may also set after it creates this object.
    """

    tracer_provider: trace.TracerProvider | None = attrs.field(default=None, kw_only=True)
    meter_provider: metrics.MeterProvider | None = attrs.field(default=None, kw_only=True)
    _tracer: trace.Tracer = attrs.field(
        init=False, repr=False, default=attrs.Factory(_tracer_for, takes_self=True)
    )
    _instruments: Instruments = attrs.field(
        init=False, repr=False, default=attrs.Factory(_instruments_for, takes_self=True)
    )

    def operation(self, name: str) -> AbstractContextManager[object]:
        return OperationSpan(self._tracer, self._instruments, name)

    def call(self, method: str, path: str | None, url: str) -> AbstractContextManager[object]:
        return CallSpan(self._tracer, self._instruments, method, path, url)

    def wrap_slot(self, slot: AbstractAsyncContextManager[None]) -> AbstractAsyncContextManager[None]:
        call = current_span()
        # The transport has entered `self.call(...)` in this task, so the current span is that of the call.
        assert isinstance(call, CallSpan)
        return AttemptSlot(MeasuredSlot(self._instruments, "call", slot), call)

    def on_call_response(self, status: int, headers: Headers, size: int | None) -> None:
        call = current_span()
        if isinstance(call, CallSpan) and call.attempt is not None:
            call.attempt.on_response(status, headers)
            call.attempt.on_received(size or 0)
            call.attempt.end()

    def on_rate_limited(self, seconds: float) -> None:
        call = current_span()
        if isinstance(call, CallSpan):
            call.on_rate_limited(seconds)

    def wrap_transfer_slot(
        self, slot: AbstractAsyncContextManager[None]
    ) -> AbstractAsyncContextManager[None]:
        return MeasuredSlot(self._instruments, "transfer", slot)

    def start_attempt(self, kind: Kind, method: str, url: str, number: int, size: int | None) -> AttemptSpan:
        attributes = server_attributes(url) | {"http.request.method": method, "imgwire.kind": kind}
        return AttemptSpan(
            self._tracer, self._instruments, current_span(), method, attributes, strip_url(url), number, size
        )

    def before_retry(self, kind: Kind, method: str, reason: str, delay: float) -> None:
        parent = current_span()
        attributes: Attributes = {"imgwire.kind": kind, "http.request.method": method}
        if isinstance(parent, CallSpan):
            attributes |= parent.template_attributes
        # The delay of an API call is not recorded here. A wait for the rate limit may follow it, so
        # `CallSpan.record_wait` records both together.
        if kind != "api":
            wait_attributes: Attributes = {"imgwire.kind": kind, "imgwire.wait.reason": "retry"}
            record_safely(self._instruments.waits.record, delay, wait_attributes)
        if parent is not None:
            event: Attributes = {"imgwire.retry.reason": redact(reason), "imgwire.retry.delay": delay}
            record_safely(parent.span.add_event, "imgwire.retry", event)
            if parent.error_type is not None:
                attributes["error.type"] = parent.error_type
        record_safely(self._instruments.retries.add, 1, attributes)
