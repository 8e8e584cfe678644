"""What every resource can do: ask, and iterate over pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar, cast

from imgwire_async.errors import prefix_if_closed
from imgwire_async.protocol import codec
from imgwire_async.protocol.request import APIResponse, Request, Transport
from imgwire_async.resources.pages import PageIterator, iterator_arguments, pagination
from imgwire_async.results import Page

T = TypeVar("T")

# The model of answers whose keys are not documented: they are handed out as they come.
OPAQUE = cast("type[Mapping[str, object]]", dict)


class Resource:
    """A group of operations. Holds no state of its own, only the way to its client's transport."""

    def __init__(self, transport: Callable[[], Transport]) -> None:
        # Asked on each call: the transport, and aiohttp with it, is loaded on the first one. No property: `inspect` and mocks
        # would get it, too, where no loop runs.
        self._transport = transport

    def _transport_for(self, what: str) -> Transport:
        """The transport for an operation, which an error of a closed client then names."""
        transport = self._transport()
        try:
            transport.require_usable()
        except RuntimeError as error:
            prefix_if_closed(error, what)
            raise
        return transport

    def _operation(self, name: str, text: str | None = None) -> AbstractAsyncContextManager[object]:
        return self._transport_for(text or name).operation(name, text)

    async def _call(self, request: Request[T]) -> T:
        return codec.decode(await self._send(request), request.model)

    async def _send(self, request: Request[Any]) -> APIResponse:
        try:
            return await self._transport().send(request)
        except RuntimeError as error:
            prefix_if_closed(error, f"{request.method} {request.path}")
            raise

    async def _page(self, request: Request[list[T]]) -> Page[T]:
        """Return the page that `request` asks for."""
        response = await self._send(request)
        return Page(codec.decode(response, request.model), pagination(response.headers))

    def _pages(
        self, listing: Callable[[Mapping[str, int]], Request[list[T]]], page: int, limit: int, prefetch: int
    ) -> PageIterator[T]:
        """Return an iterator over the pages from `page` on; `listing` makes the request of one from its query."""
        page, limit, prefetch = iterator_arguments(page, limit, prefetch)

        def request(number: int) -> Request[list[T]]:
            return listing({"page": number, "limit": limit})

        self._transport_for(f"GET {request(page).path}")  # a closed client is an error before anything begins
        return PageIterator(self._send, request, page, limit, prefetch)
