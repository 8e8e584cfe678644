"""The interface for tracers, which are hooks that also follow the start and end of calls and attempts.

`imgwire_async.otel` implements this interface for OpenTelemetry. A client without a tracer uses none of the
wrappers in this module, so the wrappers cost it no time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, TypeVar

import attrs

from imgwire_async.exchange import Exchange, Headers, Kind
from imgwire_async.hooks import Hooks
from imgwire_async.protocol.request import APIResponse, GetRequest, PutRequest, StreamedResponse
from imgwire_async.retry import is_success

if TYPE_CHECKING:
    from typing import Self

T = TypeVar("T")


class Attempt(Protocol):
    """An object that records one HTTP request for a tracer. The transport calls its methods."""

    def on_progress(self, sent: int) -> None:
        """Record that `sent` bytes of the request body have been sent so far."""
        ...

    def on_response(self, status: int, headers: Headers) -> None:
        """Record that the response headers arrived."""
        ...

    def on_received(self, size: int) -> None:
        """Record that the received response body has `size` bytes in total."""
        ...

    def end(self, error: BaseException | None = None) -> None:
        """Record that the attempt ended, with a response or with `error`."""
        ...


class Tracer(Hooks):
    """Hooks that follow operations, calls and attempts from beginning to end.

    The methods are called on the event loop, in the `contextvars` context of the caller. They have to return
    at once and must not raise exceptions. A context manager that a method returns is entered and left in the
    same task. An `Attempt` may be ended in another task than the task that started it.
    """

    __slots__ = ()

    def operation(self, name: str) -> AbstractContextManager[object]:
        """Return a context manager for one awaited operation. `name` is the name of the SDK's method."""
        raise NotImplementedError

    def call(self, method: str, path: str | None, url: str) -> AbstractContextManager[object]:
        """Return a context manager for one API call, with its attempts and delays.

        `path` is the path template (`/images/{image_id}`), or None for `client.request()`, which has no
        template. The query has been removed from `url`.
        """
        raise NotImplementedError

    def wrap_slot(self, slot: AbstractAsyncContextManager[None]) -> AbstractAsyncContextManager[None]:
        """Return a context manager for one attempt of the current API call.

        The context manager acquires `slot`, and then starts to record the attempt.
        """
        raise NotImplementedError

    def on_call_response(self, status: int, headers: Headers, size: int | None) -> None:
        """Record the response to the last attempt of the current API call.

        Called after the context manager of `wrap_slot` was left. `size` is the size of the body in bytes.
        """
        raise NotImplementedError

    def on_rate_limited(self, seconds: float) -> None:
        """Record that the current API call waited `seconds` seconds for the service's rate limit."""
        raise NotImplementedError

    def wrap_transfer_slot(
        self, slot: AbstractAsyncContextManager[None]
    ) -> AbstractAsyncContextManager[None]:
        """Return a context manager that acquires the slot of a transfer, and records the wait."""
        raise NotImplementedError

    def start_attempt(self, kind: Kind, method: str, url: str, number: int, size: int | None) -> Attempt:
        """Start to record an attempt to send or fetch bytes, and return the object that records it.

        `url` may be presigned, so its query must not be recorded. `number` counts the attempts from 1. `size`
        is the size of the request body in bytes, or None for a GET.
        """
        raise NotImplementedError

    def before_retry(self, kind: Kind, method: str, reason: str, delay: float) -> None:
        """Record that another attempt follows after `delay` seconds.

        Called just before the hook `on_retry`.
        """
        raise NotImplementedError


def tracer_of(hooks: Hooks) -> Tracer | None:
    """Return the hooks if they are a tracer, else None."""
    return hooks if isinstance(hooks, Tracer) else None


@attrs.frozen
class TracedScope(AbstractAsyncContextManager[T]):
    """Enters `span` before `inner` and leaves `span` last, so that `span` records the errors of `inner`."""

    span: AbstractContextManager[object]
    inner: AbstractAsyncContextManager[T]

    async def __aenter__(self) -> T:
        self.span.__enter__()
        try:
            return await self.inner.__aenter__()
        except BaseException as error:
            self.span.__exit__(type(error), error, error.__traceback__)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self.inner.__aexit__(kind, error, traceback)
        except BaseException as new_error:
            # Leaving `inner` may raise a new error, for example the APITimeoutError of a deadline.
            self.span.__exit__(type(new_error), new_error, new_error.__traceback__)
            raise
        self.span.__exit__(kind, error, traceback)


async def send_traced_put(
    tracer: Tracer, request: PutRequest, send: Callable[[PutRequest], Awaitable[APIResponse]]
) -> APIResponse:
    """Send `request` with `send` and return the response. The tracer records the attempt and its progress."""
    attempt = tracer.start_attempt("storage", "PUT", request.url, request.attempt, request.size)
    on_progress = request.on_progress

    async def report(sent: int) -> None:
        attempt.on_progress(sent)
        if on_progress is not None:
            await on_progress(sent)

    try:
        response = await send(attrs.evolve(request, on_progress=report))
        if is_success(response.status):
            attempt.on_progress(request.size)
        attempt.on_response(response.status, response.headers)
        attempt.on_received(len(response.body))
    except BaseException as error:
        attempt.end(error)
        raise
    attempt.end()
    return response


class TracedResponse(AbstractAsyncContextManager["TracedResponse"]):
    """A `StreamedResponse` whose attempt a tracer records, from the request to the last byte.

    The `async with` may be left in another task than the task that entered it.
    """

    def __init__(
        self, tracer: Tracer, request: GetRequest, inner: AbstractAsyncContextManager[StreamedResponse]
    ) -> None:
        self._tracer = tracer
        self._request = request
        self._inner = inner
        self._error: BaseException | None = None

    async def __aenter__(self) -> Self:
        request = self._request
        self._attempt = self._tracer.start_attempt("cdn", "GET", request.url, request.attempt, None)
        try:
            self._response = await self._inner.__aenter__()
        except BaseException as error:
            self._attempt.end(error)
            raise
        if self._response.status is not None:
            self._attempt.on_response(self._response.status, self._response.headers)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._inner.__aexit__(kind, error, traceback)
        finally:
            self._attempt.on_received(self._response.received)
            # Record only an error of `__anext__`. An exception in the body of the `async with` ends the
            # reading early, but is no failure of the attempt.
            self._attempt.end(self._error)

    @property
    def status(self) -> int | None:
        return self._response.status

    @property
    def headers(self) -> Headers:
        return self._response.headers

    @property
    def total(self) -> int | None:
        return self._response.total

    @property
    def delimited(self) -> bool:
        return self._response.delimited

    @property
    def received(self) -> int:
        return self._response.received

    @property
    def exchange(self) -> Exchange:
        return self._response.exchange

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._response)
        except StopAsyncIteration:
            raise
        except BaseException as error:
            self._error = error
            raise
