"""The transport as those who ask see it: one object per set of options, sharing connections, slots, gate and key."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

from imgwire_async.config import Options
from imgwire_async.exchange import Exchange
from imgwire_async.protocol.request import Fetch, Fetched, Put, Reply, Request
from imgwire_async.transport import deadline
from imgwire_async.transport.api import Api, Shared
from imgwire_async.transport.fetch import Fetches
from imgwire_async.transport.transfer import Transfers


class AiohttpCarrier:
    """Carries requests and bytes. Implements `protocol.request.Carrier`."""

    def __init__(self, shared: Shared, options: Options, owner: object) -> None:
        self.options = options
        self.secure: bool = shared.config.secure
        self._sessions = shared.sessions
        self._api = Api(shared, options, owner)
        self._transfers = Transfers(shared, options, owner)
        self._fetches = Fetches(shared, options, owner)

    @property
    def closed(self) -> bool:
        """Whether the client was closed."""
        return self._sessions.closed

    async def send(self, request: Request[Any], /) -> Reply:
        """The answer to one API call. Raises the error that fits when it is no success."""
        if self.options.timeout.deadline is None:
            return await self._api.send(request)
        async with self.operation(f"{request.method} {request.path}"):
            return await self._api.send(request)

    def transfer_slot(self) -> AbstractAsyncContextManager[None]:
        """One of the slots for a PUT or GET of bytes, for the length of the `async with`."""
        return self._transfers.slot()

    async def put(self, put: Put, /) -> Reply:
        """The storage's answer to one attempt, whatever its status."""
        return await self._transfers.put(put)

    def fetch(self, fetch: Fetch, /) -> AbstractAsyncContextManager[Fetched]:
        """The answer to one attempt to get bytes, whatever its status; held open for the `async with`."""
        return self._fetches.open(fetch)

    async def pause(self, exchange: Exchange, reason: str, seconds: float, /) -> None:
        """Tell hooks and log that another attempt to get bytes follows, and let the time pass."""
        await self._fetches.pause(exchange, reason, seconds)

    def record(self, exchange: Exchange, /) -> None:
        """Give the record of a fetch to whoever captures: one for all its attempts."""
        self._fetches.record(exchange)

    def operation(self, name: str, /) -> AbstractAsyncContextManager[None]:
        """The deadline around everything that one awaited operation does."""
        return deadline.Operation(name, self.options.timeout.deadline)
