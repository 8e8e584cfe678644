"""What is under way, as spans and measurements: operations, calls, attempts, and the queue for a slot."""

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

_SCOPE = context.create_key("imgwire_async.scope")
# What the instrumentations of HTTP libraries ask before they make spans of their own, the later ones and the earlier. Ours
# tell more, and less: no query.
_SUPPRESS: tuple[str, ...] = (
    getattr(context, "_SUPPRESS_HTTP_INSTRUMENTATION_KEY", "suppress_http_instrumentation"),
    "suppress_instrumentation",
)


class Scope(AbstractContextManager[None]):
    """An operation under way; its span is the current one meanwhile."""

    def __init__(
        self, tracer: trace.Tracer, instruments: Instruments, name: str, about: Attributes | None = None
    ) -> None:
        self.tracer: trace.Tracer = tracer
        self.instruments: Instruments = instruments
        self.name: str = name
        self._about = about
        self.trouble: str | None = None  # the error.type of the last attempt

    def __enter__(self) -> None:
        self._began = time.monotonic()
        about = {"imgwire.operation": self.name, **(self._about or {})}
        self.span: trace.Span = start_span(
            self.tracer, f"imgwire {self.name}", trace.SpanKind.INTERNAL, about
        )
        self._token = context.attach(context.set_value(_SCOPE, self, trace.set_span_in_context(self.span)))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        context.detach(self._token)
        about: Attributes = {"imgwire.operation": self.name}
        if error is not None:
            about["error.type"] = _type_of(error)
            _fail(self.span, about["error.type"], _description(error))
        measured(self.instruments.operations.record, time.monotonic() - self._began, about)
        end_span(self.span)


class Call(Scope):
    """An API call under way: attempts, and pauses between them."""

    def __init__(
        self, tracer: trace.Tracer, instruments: Instruments, method: str, path: str | None, url: str
    ) -> None:
        self.template: Attributes = {} if path is None else {"url.template": path}
        super().__init__(tracer, instruments, method if path is None else f"{method} {path}", self.template)
        self._method = method
        self._url = url
        self._attempts = 0
        self._paused_since: float | None = None
        self.attempt: Attempt | None = None

    def on_rate_limited(self, seconds: float) -> None:
        """The rate limit holds it back. Between two attempts the pause is measured as a whole."""
        measured(self.span.add_event, "imgwire.rate_limit", {"imgwire.wait": seconds})
        if self._paused_since is None:
            self._waited(seconds, "rate_limit")

    def paused(self) -> None:
        """Whatever it waited for since the last attempt, it now wants another one."""
        if self._paused_since is not None:
            reason = "rate_limit" if self.trouble == "429" else "retry"
            self._waited(time.monotonic() - self._paused_since, reason)

    def _waited(self, seconds: float, reason: str) -> None:
        about: Attributes = {"imgwire.kind": "api", "imgwire.wait.reason": reason}
        measured(self.instruments.waits.record, seconds, about)

    def begin(self) -> Attempt:
        """The next attempt is on the wire."""
        self._attempts += 1
        about = place(self._url) | self.template
        about |= {"http.request.method": self._method, "imgwire.kind": "api"}
        self.attempt = Attempt(
            self.tracer, self.instruments, self, self.name, about, self._url, self._attempts, None
        )
        return self.attempt

    def ended(self, trouble: str | None) -> None:
        """The attempt is over."""
        self.trouble = trouble
        self._paused_since = time.monotonic()
        self.attempt = None


class Attempt:
    """One request on the wire. Implements `tracing.Attempt`; ended by whoever sees its end, in whichever task."""

    def __init__(
        self,
        tracer: trace.Tracer,
        instruments: Instruments,
        scope: Scope | None,
        name: str,
        about: Attributes,
        url: str,
        number: int,
        size: int | None,
    ) -> None:
        self._instruments = instruments
        self._scope = scope
        self._about = about
        self._size = size
        self._quarters = self._sent = self._received = 0
        self._began = time.monotonic()
        more: Attributes = {"url.full": url}
        if number > 1:
            more["http.request.resend_count"] = number - 1
        if size is not None:
            more["http.request.body.size"] = size
        self.span: trace.Span = start_span(tracer, name, trace.SpanKind.CLIENT, about | more)

    def on_progress(self, sent: int) -> None:
        self._sent = sent
        quarters = 4 * sent // self._size if self._size else 4
        if quarters > self._quarters:
            self._quarters = quarters
            event: Attributes = {"imgwire.upload.sent": sent, "imgwire.upload.total": self._size or 0}
            span = self.span if self._scope is None else self._scope.span
            measured(span.add_event, "imgwire.upload.progress", event)

    def on_response(self, status: int, headers: Headers) -> None:
        self._about["http.response.status_code"] = status
        measured(self.span.set_attribute, "http.response.status_code", status)
        if headers.request_id:
            measured(self.span.set_attribute, "imgwire.request_id", redact(headers.request_id)[:200])

    def on_received(self, size: int) -> None:
        self._received = size

    def end(self, error: BaseException | None = None) -> None:
        about, status = self._about, self._about.get("http.response.status_code", 0)
        if error is not None:
            about["error.type"] = _type_of(error)
            _fail(self.span, about["error.type"], _description(error))
        elif isinstance(status, int) and status >= 400:
            about["error.type"] = str(status)
            _fail(self.span, about["error.type"], "")
        if self._received:
            measured(self.span.set_attribute, "http.response.body.size", self._received)
        measured(self._instruments.requests.record, time.monotonic() - self._began, about)
        for direction, size in (("transmit", self._sent), ("receive", self._received)):
            if size:
                which: Attributes = {"network.io.direction": direction, "imgwire.kind": about["imgwire.kind"]}
                measured(self._instruments.bytes.add, size, which)
        trouble = about.get("error.type")
        if isinstance(self._scope, Call):
            self._scope.ended(None if trouble is None else str(trouble))
        elif self._scope is not None:
            self._scope.trouble = None if trouble is None else str(trouble)
        end_span(self.span)


@attrs.frozen
class Queued(AbstractAsyncContextManager[None]):
    """A slot, and the time and number of those who wait for it."""

    instruments: Instruments
    kind: str
    slot: AbstractAsyncContextManager[None]

    async def __aenter__(self) -> None:
        about: Attributes = {"imgwire.slot": self.kind}
        began = time.monotonic()
        measured(self.instruments.queue_length.add, 1, about)
        try:
            await self.slot.__aenter__()
        except BaseException:
            self._left(began, about)
            raise
        try:
            self._left(began, about)
        except BaseException:
            await self.slot.__aexit__(None, None, None)
            raise

    def _left(self, began: float, about: Attributes) -> None:
        measured(self.instruments.queue_length.add, -1, about)
        measured(self.instruments.queue.record, time.monotonic() - began, about)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.slot.__aexit__(kind, error, traceback)


class Turn(AbstractAsyncContextManager[None]):
    """One attempt of an API call: its slot, and inside it the span. A good answer ends the span when it is told."""

    def __init__(self, slot: Queued, call: Call) -> None:
        self._slot = slot
        self._call = call

    async def __aenter__(self) -> None:
        self._call.paused()
        await self._slot.__aenter__()
        try:
            self._attempt = self._call.begin()
        except BaseException:
            await self._slot.__aexit__(None, None, None)
            raise
        inside = trace.set_span_in_context(self._attempt.span)
        for key in _SUPPRESS:
            inside = context.set_value(key, True, inside)
        self._token = context.attach(inside)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        context.detach(self._token)
        try:
            if error is not None:
                self._attempt.end(error)
        finally:
            await self._slot.__aexit__(kind, error, traceback)


def current() -> Scope | None:
    scope = context.get_value(_SCOPE)
    return scope if isinstance(scope, Scope) else None


def measured(tell: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    """Tell OpenTelemetry something. An error there, of an SDK that the user chose, ends no call."""
    try:
        tell(*args, **kwargs)
    except Exception:
        logger.exception("a measurement or event could not be recorded; the call goes on")


def start_span(
    tracer: trace.Tracer, name: str, kind: trace.SpanKind, about: Mapping[str, str | int | float]
) -> trace.Span:
    try:
        return tracer.start_span(name, kind=kind, attributes=about)
    except Exception:  # a sampler or processor of the user's
        logger.exception("a span could not be started; the call goes on")
        return trace.INVALID_SPAN


def end_span(span: trace.Span) -> None:
    try:
        span.end()
    except Exception:
        logger.exception("a span could not be ended; the call goes on")


def _fail(span: trace.Span, error_type: str | float, description: str) -> None:
    measured(span.set_attribute, "error.type", error_type)
    measured(span.set_status, trace.Status(trace.StatusCode.ERROR, description))


def _type_of(error: BaseException) -> str:
    if isinstance(error, APIStatusError):
        return str(error.status)
    while type(error).__module__.startswith("imgwire_async.") and not isinstance(error, ImgwireError):
        if error.__cause__ is None:
            break
        error = error.__cause__  # what it was before the transport translated it
    # Not by class: the one for a response of somebody on the way stands beside aiohttp, which a tracer does not load.
    if isinstance(error, NoResponseError):
        return error.failure.kind or "connection_lost"
    failure_kind = getattr(error, "failure_kind", None)
    if isinstance(failure_kind, str):
        return failure_kind
    cls = type(error)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _description(error: BaseException) -> str:
    """Our own errors hold no secret; what other people's say, nobody knows."""
    if isinstance(error, ImgwireError):
        return str(error)[:300]
    return "cancelled" if isinstance(error, asyncio.CancelledError) else ""


def bare(url: str) -> str:
    """The URL without query, fragment and user info."""
    try:
        parts = urlsplit(url)
    except ValueError:  # refused before anything is sent there
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def place(url: str) -> Attributes:
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return {}
    return {"server.address": parts.hostname or "", "server.port": port}
