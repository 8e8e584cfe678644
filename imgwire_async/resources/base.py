"""What every resource can do: ask, and walk through pages."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from imgwire_async import checks, userland
from imgwire_async.errors import PaginationError, name_closed
from imgwire_async.exchange import Exchange
from imgwire_async.protocol import codec
from imgwire_async.protocol.request import APIResponse, Request, Transport, compact
from imgwire_async.resources.pages import last_page, pagination
from imgwire_async.results import Page, Pagination

if TYPE_CHECKING:
    from typing import Self

T = TypeVar("T")


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
            name_closed(error, what)
            raise
        return transport

    def _operation(self, name: str, text: str | None = None) -> AbstractAsyncContextManager[object]:
        return self._transport_for(text or name).operation(name, text)

    async def _ask(self, request: Request[T]) -> T:
        return codec.decode(await self._send(request), request.model)

    async def _send(self, request: Request[Any]) -> APIResponse:
        try:
            return await self._transport().send(request)
        except RuntimeError as error:
            name_closed(error, f"{request.method} {request.path}")
            raise

    async def _page(self, request: Request[Any]) -> Page[Any]:
        reply = await self._send(request)
        return Page(codec.decode(reply, request.model), pagination(reply.headers))

    def _walk(
        self, listing: Callable[[Mapping[str, Any]], Request[Any]], page: int, limit: int, prefetch: int
    ) -> Walk:
        page, limit, prefetch = check_walk(page, limit, prefetch)

        def request(number: int) -> Request[Any]:
            return listing({"page": number, "limit": limit})

        return Walk(self._transport_for(f"GET {request(page).path}"), request, page, limit, prefetch)


class Walk(AbstractAsyncContextManager["Walk"]):
    """`async with` gives every page from `page` on, in order, with up to `prefetch` of them in flight.

    The first page comes alone and tells the total. Without a total the pages come one by one. With one, an answer is decoded
    when its turn comes, after the next ones were asked for: that is the time in which they are on their way. No generator: one
    within another would be closed by two at once when the loop ends.
    """

    def __init__(
        self,
        transport: Transport,
        request: Callable[[int], Request[Any]],
        page: int,
        limit: int,
        prefetch: int,
    ) -> None:
        self._transport = transport
        self._request = request
        self._model = request(page).model
        self._number = page
        self._limit = limit
        self._prefetch = prefetch
        self._told: tuple[Pagination, Exchange] | None = None  # by the page that was given last
        self._empty = False
        self._ahead: deque[tuple[int, asyncio.Task[APIResponse]]] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Page[Any]:
        if self._told is None:
            reply = await self._load(self._number)
            told = pagination(reply.headers)
        else:
            following = None if self._empty else self._following(*self._told)
            if following is None:
                raise StopAsyncIteration
            self._ask_ahead(following, self._told[0])
            self._number, task = self._ahead.popleft()
            reply = await self._arrived(task)
            told = pagination(reply.headers)
            await self._go_on(told, reply.exchange)
        page = Page(codec.decode(reply, self._model), told)
        self._told, self._empty = (told, reply.exchange), not page.data
        return page

    async def _arrived(self, task: asyncio.Task[APIResponse]) -> APIResponse:
        """The answer that is on its way; asked for once more when other code, a shutdown perhaps, cancelled its task."""
        try:
            return await task
        except asyncio.CancelledError:
            if userland.is_being_cancelled() or not task.cancelled():
                raise
            return await self._load(self._number)

    async def _load(self, number: int) -> APIResponse:
        request = self._request(number)
        try:
            return await self._transport.send(request)
        except RuntimeError as error:
            name_closed(error, f"{request.method} {request.path}")
            raise
        except (
            StopAsyncIteration
        ) as error:  # raised by the caller's own code, a key's perhaps: would look like an end
            raise RuntimeError("the caller's own code raised StopAsyncIteration") from error

    def _ask_ahead(self, following: int, told: Pagination) -> bool:
        """Whether there was anything to ask for: pages from `following` on, as far as the total and `prefetch` allow."""
        last = last_page(told, self._limit) or following
        asked = self._ahead[-1][0] if self._ahead else following - 1
        numbers = range(asked + 1, min(last, following + self._prefetch - 1) + 1)
        self._ahead.extend((each, asyncio.ensure_future(self._load(each))) for each in numbers)
        return bool(numbers)

    async def _go_on(self, told: Pagination, exchange: Exchange) -> None:
        """Let the next questions leave before this answer is decoded, if it is known that there are such pages."""
        if told.total_count is None:
            return
        try:
            following = self._following(told, exchange)
        except PaginationError:  # raised when that page is wanted: those before it are good
            return
        if following is not None and self._ask_ahead(following, told):
            await asyncio.sleep(0)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        tasks = [task for _, task in self._ahead]
        for task in tasks:
            task.cancel()
        await userland.settled(tasks)

    def _following(self, told: Pagination, exchange: Exchange) -> int | None:
        """The number of the next page, or None at the end. Raises when the server's numbers do not move forward."""
        number, following = self._number, told.next_page
        last = last_page(told, self._limit)
        if following is None:
            return None
        if (
            following != number + 1
        ):  # numbered pages have no gaps: anything else repeats, or skips what nobody would see
            raise PaginationError(
                f"{exchange}: after page {number} the service names page {following} as the next one, so the list would never "
                "end, or have gaps; what came before is complete. Report this to the service.",
                exchange=exchange,
            )
        return following if last is None or following <= last else None


def page_params(page: object, limit: object) -> dict[str, Any]:
    """The query of a list call, checked."""
    return compact(
        page=checks.integer("page", page, minimum=1),
        limit=checks.optional_integer("limit", limit, minimum=1, maximum=100),
    )


def check_walk(page: object, limit: object, prefetch: object) -> tuple[int, int, int]:
    """The arguments of a walk through pages, checked."""
    return (
        checks.integer("page", page, minimum=1),
        checks.integer("limit", limit, minimum=1, maximum=100),
        checks.integer("prefetch", prefetch, minimum=1, maximum=1000),
    )
