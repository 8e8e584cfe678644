"""What every resource can do: ask, and walk through pages."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeVar

from imgwire_async.errors import PaginationError
from imgwire_async.exchange import Exchange
from imgwire_async.models import Page
from imgwire_async.protocol import codec
from imgwire_async.protocol.paging import last_page, pagination
from imgwire_async.protocol.request import Carrier, Request, compact
from imgwire_async.resources.arguments import whole

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

    async def _pages(
        self, ask: Callable[[int], Request[Any]], page: int, limit: int, prefetch: int
    ) -> AsyncGenerator[Page[Any], None]:
        """Every page from `page` on, in order, with up to `prefetch` of them in flight.

        The first page comes alone and tells the total. Without a total the pages come one by one.
        """
        known, exchange = await self._page_and_exchange(ask(page))
        yield known
        number = page
        ahead: deque[tuple[int, asyncio.Task[tuple[Page[Any], Exchange]]]] = deque()
        try:
            while known.data and (following := _following(known, number, limit, exchange)) is not None:
                last = last_page(known.pagination, limit) or following
                asked = ahead[-1][0] if ahead else following - 1
                for each in range(asked + 1, min(last, following + prefetch - 1) + 1):
                    ahead.append((each, asyncio.ensure_future(self._page_and_exchange(ask(each)))))
                number, task = ahead.popleft()
                known, exchange = await task
                yield known
        finally:
            for _, task in ahead:
                task.cancel()
            await asyncio.gather(*(task for _, task in ahead), return_exceptions=True)


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
