"""The base class of the resources: send requests, decode responses, iterate over pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar, cast

from imgwire_async.messages import prefix_closed_client_error
from imgwire_async.protocol import codec
from imgwire_async.protocol.request import APIResponse, Request, Transport
from imgwire_async.resources.pages import PageIterator, iterator_arguments, pagination
from imgwire_async.results import Page

T = TypeVar("T")

# The model for response bodies whose keys are not documented. They are returned as parsed JSON.
UNDOCUMENTED_BODY = cast("type[Mapping[str, object]]", dict)


class Resource:
    """A group of operations. It has no state besides the function that returns the client's transport."""

    def __init__(self, transport: Callable[[], Transport]) -> None:
        # Called for each request. The first call loads the transport, and aiohttp with it.
        # Not a property: `inspect` and mocks read properties, and would load aiohttp where no loop runs.
        self._transport = transport

    def _transport_for(self, what: str) -> Transport:
        """Return the transport for the operation `what`, named in the error of a closed client."""
        transport = self._transport()
        try:
            transport.require_usable()
        except RuntimeError as error:
            prefix_closed_client_error(error, what)
            raise
        return transport

    def _operation(self, name: str, text: str | None = None) -> AbstractAsyncContextManager[object]:
        """Return the context manager that runs the operation `name` with its deadline.

        Messages call the operation `text`.
        """
        return self._transport_for(text or name).operation(name, text)

    async def _call(self, request: Request[T]) -> T:
        """Send a request, with retries, and return the decoded response."""
        return codec.decode(await self._send(request), request.model)

    async def _send(self, request: Request[Any]) -> APIResponse:
        """Send a request, with retries, and return the response as it came."""
        try:
            return await self._transport().send(request)
        except RuntimeError as error:
            prefix_closed_client_error(error, f"{request.method} {request.path}")
            raise

    async def _page(self, request: Request[list[T]]) -> Page[T]:
        """Send a request for a page, and return the decoded page."""
        response = await self._send(request)
        return Page(codec.decode(response, request.model), pagination(response.headers))

    def _pages(
        self, listing: Callable[[Mapping[str, int]], Request[list[T]]], page: int, limit: int, prefetch: int
    ) -> PageIterator[T]:
        """Return an iterator over the pages from number `page` on.

        `listing` makes the request for one page from its query.
        """
        page, limit, prefetch = iterator_arguments(page, limit, prefetch)

        def request(number: int) -> Request[list[T]]:
            return listing({"page": number, "limit": limit})

        # A closed client raises here, before the first page.
        self._transport_for(f"GET {request(page).path}")
        return PageIterator(self._send, request, page, limit, prefetch)
