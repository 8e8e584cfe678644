"""The seam for tracers: hooks that are also told where things begin and end. `imgwire_async.otel` has the one for OpenTelemetry.

A client without a tracer passes by none of the wrappers here: the transport asks once, when it is made, and what is told along
the way asks whether anybody listens.
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
    """One request on the wire, as a tracer follows it."""

    def progressed(self, sent: int) -> None:
        """So many bytes of the body have left."""
        ...

    def answered(self, status: int, headers: Headers) -> None:
        """The head of an answer is here."""
        ...

    def received(self, size: int) -> None:
        """So many bytes of the answer came."""
        ...

    def end(self, error: BaseException | None = None) -> None:
        """It is over, with an answer or because of `error`."""
        ...


class Tracer(Hooks):
    """Hooks that follow operations, calls and attempts from begin to end.

    Its methods are called on the loop, in the context of whoever asked; they return at once and never raise. What they give
    is entered and left in one task, attempts excepted.
    """

    __slots__ = ()

    def operation(self, name: str) -> AbstractContextManager[object]:
        """Around all that one awaited operation of a resource does; `name` is the method's."""
        raise NotImplementedError

    def call(self, method: str, path: str | None, url: str) -> AbstractContextManager[object]:
        """Around one API call, attempts and pauses included; `path` is the template if there is one, `url` has no query."""
        raise NotImplementedError

    def turn(self, slot: AbstractAsyncContextManager[None]) -> AbstractAsyncContextManager[None]:
        """Around one attempt of the API call under way: the wait for its slot, then the exchange."""
        raise NotImplementedError

    def answered(self, status: int, headers: Headers, size: int | None) -> None:
        """The attempt that just left its `turn` got this answer."""
        raise NotImplementedError

    def gated(self, seconds: float) -> None:
        """The API call under way is held back by the service's rate limit."""
        raise NotImplementedError

    def transfer_turn(self, slot: AbstractAsyncContextManager[None]) -> AbstractAsyncContextManager[None]:
        """The slot of a PUT or a GET of bytes, and the wait for it."""
        raise NotImplementedError

    def attempt(self, kind: Kind, method: str, url: str, number: int, size: int | None) -> Attempt:
        """A PUT or GET of bytes begins; `url` may be signed, `size` is the body's."""
        raise NotImplementedError

    def repeated(self, kind: Kind, method: str, reason: str, delay: float) -> None:
        """Another attempt follows after `delay` seconds, as `on_retry` is told."""
        raise NotImplementedError


def tracer_of(hooks: Hooks) -> Tracer | None:
    """The hooks, if they are a tracer's."""
    return hooks if isinstance(hooks, Tracer) else None


@attrs.frozen
class Traced(AbstractAsyncContextManager[T]):
    """What happens inside `inner` is one operation for the tracer, its clock's verdict included."""

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
        except BaseException as other:  # the deadline has passed
            self.span.__exit__(type(other), other, other.__traceback__)
            raise
        self.span.__exit__(kind, error, traceback)


async def put_traced(
    tracer: Tracer, put: PutRequest, send: Callable[[PutRequest], Awaitable[APIResponse]]
) -> APIResponse:
    """The storage's answer; the tracer sees the attempt and how far it got."""
    attempt = tracer.attempt("storage", "PUT", put.url, put.attempt, put.size)
    on_progress = put.on_progress

    async def report(so_far: int) -> None:
        attempt.progressed(so_far)
        if on_progress is not None:
            await on_progress(so_far)

    try:
        reply = await send(attrs.evolve(put, on_progress=report))
        if is_success(reply.status):
            attempt.progressed(put.size)
        attempt.answered(reply.status, reply.headers)
        attempt.received(len(reply.body))
    except BaseException as error:
        attempt.end(error)
        raise
    attempt.end()
    return reply


class TracedFetch(AbstractAsyncContextManager["TracedFetch"]):
    """A `StreamedResponse` whose attempt the tracer sees, from the question to the last byte. May be left in another task."""

    def __init__(
        self, tracer: Tracer, fetch: GetRequest, arrival: AbstractAsyncContextManager[StreamedResponse]
    ) -> None:
        self._tracer = tracer
        self._fetch = fetch
        self._arrival = arrival
        self._error: BaseException | None = None

    async def __aenter__(self) -> Self:
        fetch = self._fetch
        self._attempt = self._tracer.attempt("cdn", "GET", fetch.url, fetch.attempt, None)
        try:
            self._answer = await self._arrival.__aenter__()
        except BaseException as error:
            self._attempt.end(error)
            raise
        if self._answer.status is not None:
            self._attempt.answered(self._answer.status, self._answer.headers)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._arrival.__aexit__(kind, error, traceback)
        finally:
            self._attempt.received(self._answer.received)
            # A stream that is left early is no failure, whatever made its reader leave.
            self._attempt.end(self._error)

    @property
    def status(self) -> int | None:
        return self._answer.status

    @property
    def headers(self) -> Headers:
        return self._answer.headers

    @property
    def total(self) -> int | None:
        return self._answer.total

    @property
    def delimited(self) -> bool:
        return self._answer.delimited

    @property
    def received(self) -> int:
        return self._answer.received

    @property
    def exchange(self) -> Exchange:
        return self._answer.exchange

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._answer)
        except StopAsyncIteration:
            raise
        except BaseException as error:
            self._error = error
            raise
