"""The base class of `client.images` and the other resources: it sends requests and decodes responses."""

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

# The model of responses whose fields are not documented. The caller gets the parsed JSON.
UNDOCUMENTED_BODY = cast("type[Mapping[str, object]]", dict)


class Resource:
    """A group of operations, such as `client.images`.

    `transport` returns the transport of the client. A resource has no other state.
    """

    def __init__(self, transport: Callable[[], Transport]) -> None:
        # The first call of `transport` imports aiohttp, which is slow. So this attribute is a function and
        # not a property: `inspect` and mocks read all properties, and would cause the import.
        self._transport = transport

    def _transport_for(self, what: str) -> Transport:
        """Return the transport of the client.

        Raises `RuntimeError` when the client is closed. `what` describes the operation in the message.
        """
        transport = self._transport()
        try:
            transport.require_usable()
        except RuntimeError as error:
            prefix_closed_client_error(error, what)
            raise
        return transport

    def _operation(self, name: str, text: str | None = None) -> AbstractAsyncContextManager[object]:
        """Return a context manager for the code of operation `name`. The client's deadline cancels the code.

        Messages show `text` if it is given, or `name`.
        """
        return self._transport_for(text or name).operation(name, text)

    async def _call(self, request: Request[T]) -> T:
        """Send a request, retry it if necessary, and return the decoded response."""
        return codec.decode(await self._send(request), request.model)

    async def _send(self, request: Request[Any]) -> APIResponse:
        """Send a request, retry it if necessary, and return the response without decoding its body."""
        try:
            return await self._transport().send(request)
        except RuntimeError as error:
            prefix_closed_client_error(error, f"{request.method} {request.path}")
            raise

    async def _page(self, request: Request[list[T]]) -> Page[T]:
        """Send a request for one page of a list, and return the decoded page."""
        response = await self._send(request)
        return Page(codec.decode(response, request.model), pagination(response.headers))

    def _pages(
        self,
        request_for: Callable[[Mapping[str, int]], Request[list[T]]],
        page: int,
        limit: int,
        prefetch: int,
    ) -> PageIterator[T]:
        """Return an iterator over the pages of a list. The iteration begins with page number `page`.

        `request_for` gets the query of a page, and returns the request for it. `limit` is the number of items
        per page. Up to `prefetch` pages are requested at the same time.
        """
        page, limit, prefetch = iterator_arguments(page, limit, prefetch)

        def request(number: int) -> Request[list[T]]:
            return request_for({"page": number, "limit": limit})

        # If the client is closed, this line raises before the iteration begins.
        self._transport_for(f"GET {request(page).path}")
        return PageIterator(self._send, request, page, limit, prefetch)
