"""OpenTelemetry traces and metrics of a client: `AsyncImgwireClient(hooks=OpenTelemetryHooks())`.

This module needs the extra `otel`.

There are three kinds of spans, from the outermost to the innermost: an operation (`imgwire images.upload`),
the calls that it makes (`imgwire GET /images/{image_id}`), and the attempts of a call or a transfer (`GET
/images/{image_id}`, `PUT`). The attributes follow OpenTelemetry's conventions for HTTP clients; names of
further attributes begin with `imgwire.`. No query, key, header value or body is recorded, and no trace header
is sent.
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

    Make one object and use it for any number of clients. The three functions of `Hooks` may be given as well.

    Args:
        on_request: As in `Hooks`.
        on_response: As in `Hooks`.
        on_retry: As in `Hooks`.
        tracer_provider: The source of tracers. None means the global provider, even if it is set later.
        meter_provider: The source of meters. None means the global provider, even if it is set later.
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
        # The transport entered the span of the call in this task before.
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
        scope = current_span()
        attributes: Attributes = {"imgwire.kind": kind, "http.request.method": method}
        if isinstance(scope, CallSpan):
            attributes |= scope.template
        # The span of an API call measures its waits itself, including those for the rate limit.
        if kind != "api":
            wait_attributes: Attributes = {"imgwire.kind": kind, "imgwire.wait.reason": "retry"}
            record_safely(self._instruments.waits.record, delay, wait_attributes)
        if scope is not None:
            event: Attributes = {"imgwire.retry.reason": redact(reason), "imgwire.retry.delay": delay}
            record_safely(scope.span.add_event, "imgwire.retry", event)
            if scope.error_type is not None:
                attributes["error.type"] = scope.error_type
        record_safely(self._instruments.retries.add, 1, attributes)
