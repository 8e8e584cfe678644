"""The transport as those who ask see it: one object per set of options, sharing connections, slots, gate and key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from imgwire_async import userland
from imgwire_async.config import API_ROOT, Options
from imgwire_async.exchange import Exchange
from imgwire_async.protocol.request import APIResponse, Fetch, Fetched, Put, Request
from imgwire_async.transport import deadline
from imgwire_async.transport.api import Api
from imgwire_async.transport.fetch import Fetches
from imgwire_async.transport.open_calls import UntilClosed
from imgwire_async.transport.shared_state import SharedState
from imgwire_async.transport.slots import without_slot
from imgwire_async.transport.tracing import Traced, TracedFetch, Tracer, put_traced, tracer_of
from imgwire_async.transport.transfer import Transfers

T = TypeVar("T")


class AiohttpTransport:
    """Carries requests and bytes. Implements `protocol.request.Transport`."""

    def __init__(self, shared: SharedState, options: Options) -> None:
        self.options = options
        self.secure: bool = shared.config.secure
        self.upload_token: str | Callable[[], str | Awaitable[str]] | None = shared.config.upload_token
        self._tracer = tracer_of(options.hooks)
        self._root = f"{shared.config.base_url}{API_ROOT}"
        self._sessions = shared.sessions
        self._api = Api(shared, options)
        self._transfers = Transfers(shared, options)
        self._fetches = Fetches(shared, options)

    @property
    def closed(self) -> bool:
        """Whether the client was closed."""
        return self._sessions.closed

    def require_usable(self) -> None:
        """Raise `RuntimeError` where no call can be made: without a running asyncio loop, and when the client was closed."""
        self._sessions.require_usable()

    def send(self, request: Request[Any], /) -> Awaitable[APIResponse]:
        """The answer to one API call. Raises the error that fits when it is no success."""
        return self._send(request) if self._tracer is None else self._traced(self._tracer, request)

    def _send(self, request: Request[Any]) -> Awaitable[APIResponse]:
        seconds = self.options.timeout.deadline
        return self._api.send(request) if seconds is None else self._send_in_time(request, seconds)

    async def _send_in_time(self, request: Request[Any], seconds: float) -> APIResponse:
        async with deadline.Operation(f"{request.method} {request.path}", seconds):
            return await self._api.send(request)

    async def _traced(self, tracer: Tracer, request: Request[Any]) -> APIResponse:
        url = self._root + request.target.partition("?")[0]  # a query may hold an upload token
        # A path that a user wrote may hold ids: as a name it would be one of endlessly many.
        template = None if request.model is object else request.path
        with tracer.call(request.method, template, url):
            return await self._send(request)

    async def ask(self, name: str, question: Callable[[], T | Awaitable[T]], method: str, path: str, /) -> T:
        """Return the answer of a callable of the user's, which the call of `method` and `path` needs first.

        A put slot is held meanwhile, so that no more answers are asked for than can be used at once. Only a caller in another
        thread, who may be busy elsewhere, gives it to others until the answer is there.
        """
        began = time.monotonic()
        try:
            if userland.in_caller.get() is not None:
                return await without_slot(lambda: userland.answer(question))
            with userland.in_user_code():
                return await userland.answer(question)
        except asyncio.CancelledError:
            unsent = Exchange("api", method, path, attempts=0, elapsed=time.monotonic() - began)
            deadline.interrupted(unsent, f"waiting for the answer of {name}, for")
            raise

    def put_slot(self) -> AbstractAsyncContextManager[None]:
        """Return one of the slots for a PUT of bytes, held for the length of the `async with`."""
        return self._traced_slot(self._transfers.slot("put"))

    def get_slot(self) -> AbstractAsyncContextManager[None]:
        """Return one of the slots for a GET of bytes, held for the length of the `async with`."""
        return self._traced_slot(self._transfers.slot("get"))

    def _traced_slot(self, slot: AbstractAsyncContextManager[None]) -> AbstractAsyncContextManager[None]:
        return slot if self._tracer is None else self._tracer.transfer_turn(slot)

    def put(self, put: Put, /) -> Awaitable[APIResponse]:
        """The storage's answer to one attempt, whatever its status."""
        if self._tracer is None:
            return self._transfers.put(put)
        return put_traced(self._tracer, put, self._transfers.put)

    def fetch(self, fetch: Fetch, /) -> AbstractAsyncContextManager[Fetched]:
        """The answer to one attempt to get bytes, whatever its status; held open for the `async with`."""
        arrival = self._fetches.open(fetch)
        return arrival if self._tracer is None else TracedFetch(self._tracer, fetch, arrival)

    async def sleep_before_retry(self, exchange: Exchange, reason: str, seconds: float, /) -> None:
        """Tell hooks and log that another attempt to get bytes follows, and let the time pass."""
        await self._fetches.pause(exchange, reason, seconds)

    async def sleep(self, seconds: float, /) -> None:
        """Let the time pass. Raises `RuntimeError` as soon as the client is closed."""
        await self._sessions.sleep(seconds)

    def record_exchange(self, exchange: Exchange, /) -> None:
        """Give the record of a fetch to whoever captures: one for all its attempts."""
        self._fetches.record(exchange)

    def operation(self, name: str, text: str | None = None, /) -> AbstractAsyncContextManager[None]:
        """The deadline around everything that one awaited operation does: `name` is its method, `text` stands in messages.

        Closing the client ends it, too, wherever it waits.
        """
        clock = deadline.Operation(text or name, self.options.timeout.deadline, UntilClosed(self._sessions))
        return clock if self._tracer is None else Traced(self._tracer.operation(name), clock)

    def deadline_passed(self) -> bool:
        """Return whether the deadline cancels the running operation, and nobody else does."""
        return deadline.ran_out()
