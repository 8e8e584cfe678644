"""What every resource can do: ask, and walk through pages."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from imgwire_async import userland
from imgwire_async.errors import PaginationError
from imgwire_async.exchange import Exchange
from imgwire_async.models import Page
from imgwire_async.protocol import codec
from imgwire_async.protocol.paging import last_page, pagination
from imgwire_async.protocol.request import Carrier, Request, compact
from imgwire_async.resources.arguments import whole

if TYPE_CHECKING:
    from typing import Self

T = TypeVar("T")


class Resource:
    """A group of operations. Holds no state of its own, only the way to its client's carrier."""

    def __init__(self, carrier: Callable[[], Carrier]) -> None:
        # Asked on each call: the transport, and aiohttp with it, is loaded on the first one.
        self._reach = carrier

    @property
    def _carrier(self) -> Carrier:
        return self._reach()

    async def _ask(self, request: Request[T]) -> T:
        return codec.decode(await self._carrier.send(request), request.model)

    async def _page(self, request: Request[Any]) -> Page[Any]:
        page, _ = await self._page_and_exchange(request)
        return page

    async def _page_and_exchange(self, request: Request[Any]) -> tuple[Page[Any], Exchange]:
        reply = await self._carrier.send(request)
        return Page(codec.decode(reply, request.model), pagination(reply.headers)), reply.exchange

    def _walk(
        self, listing: Callable[[Mapping[str, Any]], Request[Any]], page: int, limit: int, prefetch: int
    ) -> Walk:
        page, limit, prefetch = check_walk(page, limit, prefetch)
        return Walk(
            lambda number: self._page_and_exchange(listing({"page": number, "limit": limit})),
            page,
            limit,
            prefetch,
        )


class Walk(AbstractAsyncContextManager["Walk"]):
    """`async with` gives every page from `page` on, in order, with up to `prefetch` of them in flight.

    The first page comes alone and tells the total. Without a total the pages come one by one. No generator: one within another
    would be closed by two at once when the loop ends.
    """

    def __init__(
        self,
        load: Callable[[int], Coroutine[Any, Any, tuple[Page[Any], Exchange]]],
        page: int,
        limit: int,
        prefetch: int,
    ) -> None:
        self._load = load
        self._number = page
        self._limit = limit
        self._prefetch = prefetch
        self._known: tuple[Page[Any], Exchange] | None = None
        self._ahead: deque[tuple[int, asyncio.Task[tuple[Page[Any], Exchange]]]] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Page[Any]:
        if self._known is None:
            self._known = await self._load(self._number)
            return self._known[0]
        page, exchange = self._known
        following = _following(page, self._number, self._limit, exchange) if page.data else None
        if following is None:
            raise StopAsyncIteration
        last = last_page(page.pagination, self._limit) or following
        asked = self._ahead[-1][0] if self._ahead else following - 1
        for each in range(asked + 1, min(last, following + self._prefetch - 1) + 1):
            self._ahead.append((each, asyncio.ensure_future(self._load(each))))
        self._number, task = self._ahead.popleft()
        self._known = await task
        return self._known[0]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        tasks = [task for _, task in self._ahead]
        for task in tasks:
            task.cancel()
        await userland.settled(tasks)


def _following(page: Page[Any], number: int, limit: int, exchange: Exchange) -> int | None:
    """The number of the next page, or None at the end. Raises when the server's numbers do not move forward."""
    told = page.pagination.next_page
    last = last_page(page.pagination, limit)
    if told is None:
        return None
    if (
        told != number + 1
    ):  # numbered pages have no gaps: anything else repeats, or skips what nobody would see
        raise PaginationError(
            f"{exchange}: after page {number} the service names page {told} as the next one, so the list would never end, or have "
            "gaps; what came before is complete. Report this to the service.",
            exchange=exchange,
        )
    return told if last is None or told <= last else None


def page_params(page: object, limit: object) -> dict[str, Any]:
    """The query of a list call, checked."""
    return compact(
        page=whole("page", page, low=1),
        limit=None if limit is None else whole("limit", limit, low=1, high=100),
    )


def check_walk(page: object, limit: object, prefetch: object) -> tuple[int, int, int]:
    """The arguments of a walk through pages, checked."""
    return (
        whole("page", page, low=1),
        whole("limit", limit, low=1, high=100),
        whole("prefetch", prefetch, low=1, high=1000),
    )
