"""Record spans and measurements of operations, calls, attempts and waits for a slot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import ParamSpec, TypeAlias
from urllib.parse import urlsplit

import attrs
from opentelemetry import context, trace

from imgwire_async.errors import APIStatusError, ImgwireError
from imgwire_async.exchange import Headers
from imgwire_async.logs import logger
from imgwire_async.otel.instruments import Instruments
from imgwire_async.protocol.request import NoResponseError
from imgwire_async.redaction import redact

Attributes: TypeAlias = "dict[str, str | int | float]"
P = ParamSpec("P")

# The context key of the current `OperationSpan`.
_CURRENT_SPAN_KEY = context.create_key("imgwire_async.current_span")
# The context keys that turn off OpenTelemetry's own instrumentation of aiohttp, because its spans would
# repeat the spans of this module, and contain the queries of URLs. Old versions of that instrumentation read
# the second key.
_SUPPRESS_KEYS: tuple[str, ...] = (
    getattr(context, "_SUPPRESS_HTTP_INSTRUMENTATION_KEY", "suppress_http_instrumentation"),
    "suppress_instrumentation",
)


class OperationSpan(AbstractContextManager[None]):
    """The span of one operation. It is the current span inside the `with` block."""

    def __init__(
        self, tracer: trace.Tracer, instruments: Instruments, name: str, attributes: Attributes | None = None
    ) -> None:
        self.tracer: trace.Tracer = tracer
        self.instruments: Instruments = instruments
        self.name: str = name
        self._attributes = attributes
        # The attribute `error.type` of the last attempt, or None if that attempt succeeded.
        self.error_type: str | None = None

    def __enter__(self) -> None:
        self._started_at = time.monotonic()
        attributes = {"imgwire.operation": self.name, **(self._attributes or {})}
        self.span: trace.Span = start_span(
            self.tracer, f"imgwire {self.name}", trace.SpanKind.INTERNAL, attributes
        )
        self._token = context.attach(
            context.set_value(_CURRENT_SPAN_KEY, self, trace.set_span_in_context(self.span))
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        context.detach(self._token)
        attributes: Attributes = {"imgwire.operation": self.name}
        if error is not None:
            attributes["error.type"] = _error_type(error)
            _mark_failed(self.span, attributes["error.type"], _error_description(error))
        record_safely(self.instruments.operations.record, time.monotonic() - self._started_at, attributes)
        end_span(self.span)


class CallSpan(OperationSpan):
    """The span of one API call. It starts the spans of the attempts and measures the waits between them."""

    def __init__(
        self, tracer: trace.Tracer, instruments: Instruments, method: str, path: str | None, url: str
    ) -> None:
        self.template_attributes: Attributes = {} if path is None else {"url.template": path}
        name = method if path is None else f"{method} {path}"
        super().__init__(tracer, instruments, name, self.template_attributes)
        self._method = method
        self._url = url
        self._attempts = 0
        self._waiting_since: float | None = None
        self.attempt: AttemptSpan | None = None

    def on_rate_limited(self, seconds: float) -> None:
        """Record that the call waited `seconds` for the rate limit of the service.

        Before the first attempt, this method adds the wait to the metric of waits. Later, the wait is a part
        of the time that `record_wait` measures.
        """
        record_safely(self.span.add_event, "imgwire.rate_limit", {"imgwire.wait": seconds})
        if self._waiting_since is None:
            self._record_wait(seconds, "rate_limit")

    def record_wait(self) -> None:
        """Record the time since the last attempt ended. Do nothing before the first attempt."""
        if self._waiting_since is not None:
            reason = "rate_limit" if self.error_type == "429" else "retry"
            self._record_wait(time.monotonic() - self._waiting_since, reason)

    def _record_wait(self, seconds: float, reason: str) -> None:
        attributes: Attributes = {"imgwire.kind": "api", "imgwire.wait.reason": reason}
        record_safely(self.instruments.waits.record, seconds, attributes)

    def start_attempt(self) -> AttemptSpan:
        """Start the span of the next attempt, and return it."""
        self._attempts += 1
        attributes = server_attributes(self._url) | self.template_attributes
        attributes |= {"http.request.method": self._method, "imgwire.kind": "api"}
        self.attempt = AttemptSpan(
            self.tracer, self.instruments, self, self.name, attributes, self._url, self._attempts, None
        )
        return self.attempt

    def on_attempt_end(self, error_type: str | None) -> None:
        """Record that the current attempt has ended. `error_type` is None if the attempt succeeded."""
        self.error_type = error_type
        self._waiting_since = time.monotonic()
        self.attempt = None


class AttemptSpan:
    """The span of one HTTP request.

    The class implements `transport.tracing.Attempt`. One task may start the span and another task end it.
    """

    def __init__(
        self,
        tracer: trace.Tracer,
        instruments: Instruments,
        parent: OperationSpan | None,
        name: str,
        attributes: Attributes,
        url: str,
        number: int,
        size: int | None,
    ) -> None:
        self._instruments = instruments
        self._parent = parent
        self._attributes = attributes
        self._size = size
        self._reported_quarters = self._sent = self._received = 0
        self._started_at = time.monotonic()
        details: Attributes = {"url.full": url}
        if number > 1:
            details["http.request.resend_count"] = number - 1
        if size is not None:
            details["http.request.body.size"] = size
        self.span: trace.Span = start_span(tracer, name, trace.SpanKind.CLIENT, attributes | details)

    def on_progress(self, sent: int) -> None:
        self._sent = sent
        quarters = 4 * sent // self._size if self._size else 4
        if quarters > self._reported_quarters:
            self._reported_quarters = quarters
            event: Attributes = {"imgwire.upload.sent": sent, "imgwire.upload.total": self._size or 0}
            span = self.span if self._parent is None else self._parent.span
            record_safely(span.add_event, "imgwire.upload.progress", event)

    def on_response(self, status: int, headers: Headers) -> None:
        self._attributes["http.response.status_code"] = status
        record_safely(self.span.set_attribute, "http.response.status_code", status)
        if headers.request_id:
            record_safely(self.span.set_attribute, "imgwire.request_id", redact(headers.request_id)[:200])

    def on_received(self, size: int) -> None:
        self._received = size

    def end(self, error: BaseException | None = None) -> None:
        attributes, status = self._attributes, self._attributes.get("http.response.status_code", 0)
        if error is not None:
            attributes["error.type"] = _error_type(error)
            _mark_failed(self.span, attributes["error.type"], _error_description(error))
        elif isinstance(status, int) and status >= 400:
            attributes["error.type"] = str(status)
            _mark_failed(self.span, attributes["error.type"], "")
        if self._received:
            record_safely(self.span.set_attribute, "http.response.body.size", self._received)
        record_safely(self._instruments.requests.record, time.monotonic() - self._started_at, attributes)
        for direction, size in (("transmit", self._sent), ("receive", self._received)):
            if size:
                io_attributes: Attributes = {
                    "network.io.direction": direction,
                    "imgwire.kind": attributes["imgwire.kind"],
                }
                record_safely(self._instruments.bytes.add, size, io_attributes)
        error_type = attributes.get("error.type")
        if isinstance(self._parent, CallSpan):
            self._parent.on_attempt_end(None if error_type is None else str(error_type))
        elif self._parent is not None:
            self._parent.error_type = None if error_type is None else str(error_type)
        end_span(self.span)


@attrs.frozen
class MeasuredSlot(AbstractAsyncContextManager[None]):
    """A slot that measures how long a request waits for the slot, and how many requests are waiting.

    `slot_kind` is "call" or "transfer".
    """

    instruments: Instruments
    slot_kind: str
    slot: AbstractAsyncContextManager[None]

    async def __aenter__(self) -> None:
        attributes: Attributes = {"imgwire.slot": self.slot_kind}
        started_at = time.monotonic()
        record_safely(self.instruments.queue_length.add, 1, attributes)
        try:
            await self.slot.__aenter__()
        except BaseException:
            self._record_wait_end(started_at, attributes)
            raise
        try:
            self._record_wait_end(started_at, attributes)
        except BaseException:
            await self.slot.__aexit__(None, None, None)
            raise

    def _record_wait_end(self, started_at: float, attributes: Attributes) -> None:
        record_safely(self.instruments.queue_length.add, -1, attributes)
        record_safely(self.instruments.slot_waits.record, time.monotonic() - started_at, attributes)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.slot.__aexit__(kind, error, traceback)


class AttemptSlot(AbstractAsyncContextManager[None]):
    """Acquire the slot of one attempt of an API call, and start the span of the attempt.

    If a response comes, `OpenTelemetryHooks.on_call_response` ends the span, after the slot is released. If
    the attempt raises an exception, `__aexit__` ends the span. If the block is left without a response,
    because the rate gate was closed, the span is not ended.
    """

    def __init__(self, slot: MeasuredSlot, call: CallSpan) -> None:
        self._slot = slot
        self._call = call

    async def __aenter__(self) -> None:
        self._call.record_wait()
        await self._slot.__aenter__()
        try:
            self._attempt = self._call.start_attempt()
        except BaseException:
            await self._slot.__aexit__(None, None, None)
            raise
        attempt_context = trace.set_span_in_context(self._attempt.span)
        for key in _SUPPRESS_KEYS:
            attempt_context = context.set_value(key, True, attempt_context)
        self._token = context.attach(attempt_context)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        context.detach(self._token)
        try:
            if error is not None:
                self._attempt.end(error)
        finally:
            await self._slot.__aexit__(kind, error, traceback)


def current_span() -> OperationSpan | None:
    """Return the innermost operation or call span of the current context, or None if there is none."""
    span = context.get_value(_CURRENT_SPAN_KEY)
    return span if isinstance(span, OperationSpan) else None


def record_safely(record: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    """Call a function of OpenTelemetry. If it raises, log the exception and go on.

    A failed measurement must not end the call of the user.
    """
    try:
        record(*args, **kwargs)
    except Exception:
        logger.exception("a measurement or event could not be recorded; the call goes on")


def start_span(
    tracer: trace.Tracer, name: str, kind: trace.SpanKind, attributes: Mapping[str, str | int | float]
) -> trace.Span:
    """Start a span and return it.

    If the user's sampler or span processor raises, log the exception and return `INVALID_SPAN`, which records
    nothing.
    """
    try:
        return tracer.start_span(name, kind=kind, attributes=attributes)
    except Exception:
        logger.exception("a span could not be started; the call goes on")
        return trace.INVALID_SPAN


def end_span(span: trace.Span) -> None:
    """End a span. If the user's span processor raises, log the exception."""
    try:
        span.end()
    except Exception:
        logger.exception("a span could not be ended; the call goes on")


def _mark_failed(span: trace.Span, error_type: str | float, description: str) -> None:
    record_safely(span.set_attribute, "error.type", error_type)
    record_safely(span.set_status, trace.Status(trace.StatusCode.ERROR, description))


def _error_type(error: BaseException) -> str:
    if isinstance(error, APIStatusError):
        return str(error.status)
    while type(error).__module__.startswith("imgwire_async.") and not isinstance(error, ImgwireError):
        if error.__cause__ is None:
            break
        # Report the cause of an internal exception of the transport: the exception of aiohttp or Python.
        error = error.__cause__
    if isinstance(error, NoResponseError):
        return error.failure.kind or "connection_lost"
    # Only the error for the response of a proxy has this attribute. `isinstance` would need the class, whose
    # module imports aiohttp.
    failure_kind = getattr(error, "failure_kind", None)
    if isinstance(failure_kind, str):
        return failure_kind
    cls = type(error)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _error_description(error: BaseException) -> str:
    """Return the description of a failed span.

    Only the messages of `ImgwireError` are used, because messages of other exceptions may contain secrets.
    """
    if isinstance(error, ImgwireError):
        return str(error)[:300]
    return "cancelled" if isinstance(error, asyncio.CancelledError) else ""


def strip_url(url: str) -> str:
    """Return `url` without query, fragment and user info, or an empty text if it cannot be parsed."""
    try:
        parts = urlsplit(url)
    except ValueError:
        # The transport rejects this URL later, before it sends a request.
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def server_attributes(url: str) -> Attributes:
    """Return the span attributes with host and port of `url`, or no attributes if it cannot be parsed."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return {}
    return {"server.address": parts.hostname or "", "server.port": port}
