"""OpenTelemetry traces and metrics of a client: `AsyncImgwireClient(hooks=OpenTelemetryHooks())`. Needs the extra `otel`.

Spans, outermost first: an operation (`imgwire images.upload`), the calls that it makes (`imgwire GET /images/{image_id}`), and
each attempt on the wire (`GET /images/{image_id}`, `PUT`). The names of attributes are OpenTelemetry's for HTTP clients;
what those lack begins with `imgwire.`. No query, key, header value or body is ever recorded, and no trace header is sent.
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
    Attempt,
    Attributes,
    Call,
    Queued,
    Scope,
    Turn,
    bare,
    current,
    measured,
    place,
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
    """Hooks that record spans and metrics of everything a client does.

    ```python
    client = AsyncImgwireClient(hooks=OpenTelemetryHooks())
    ```

    Without providers the global ones count, also those that are set later. The three functions of `Hooks` may be given as
    well. One object serves any number of clients; make it once.
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
        return Scope(self._tracer, self._instruments, name)

    def call(self, method: str, path: str | None, url: str) -> AbstractContextManager[object]:
        return Call(self._tracer, self._instruments, method, path, url)

    def wrap_slot(self, slot: AbstractAsyncContextManager[None]) -> AbstractAsyncContextManager[None]:
        call = current()
        assert isinstance(call, Call)  # the transport entered it, in this very task
        return Turn(Queued(self._instruments, "call", slot), call)

    def on_call_response(self, status: int, headers: Headers, size: int | None) -> None:
        call = current()
        if isinstance(call, Call) and call.attempt is not None:
            call.attempt.on_response(status, headers)
            call.attempt.on_received(size or 0)
            call.attempt.end()

    def on_rate_limited(self, seconds: float) -> None:
        call = current()
        if isinstance(call, Call):
            call.on_rate_limited(seconds)

    def wrap_transfer_slot(
        self, slot: AbstractAsyncContextManager[None]
    ) -> AbstractAsyncContextManager[None]:
        return Queued(self._instruments, "transfer", slot)

    def start_attempt(self, kind: Kind, method: str, url: str, number: int, size: int | None) -> Attempt:
        about = place(url) | {"http.request.method": method, "imgwire.kind": kind}
        return Attempt(self._tracer, self._instruments, current(), method, about, bare(url), number, size)

    def before_retry(self, kind: Kind, method: str, reason: str, delay: float) -> None:
        scope = current()
        about: Attributes = {"imgwire.kind": kind, "http.request.method": method}
        if isinstance(scope, Call):
            about |= scope.template
        if kind != "api":  # a call measures its pauses itself, the gate's included
            waited: Attributes = {"imgwire.kind": kind, "imgwire.wait.reason": "retry"}
            measured(self._instruments.waits.record, delay, waited)
        if scope is not None:
            event: Attributes = {"imgwire.retry.reason": redact(reason), "imgwire.retry.delay": delay}
            measured(scope.span.add_event, "imgwire.retry", event)
            if scope.trouble is not None:
                about["error.type"] = scope.trouble
        measured(self._instruments.retries.add, 1, about)
