"""Numbers of a page, and an iterator over all pages that requests some ahead.

[contract 4]
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from imgwire_async import cancellation, checks
from imgwire_async.errors import PaginationError
from imgwire_async.exchange import Exchange
from imgwire_async.protocol import codec
from imgwire_async.protocol.request import APIResponse, Request
from imgwire_async.results import Page, Pagination

if TYPE_CHECKING:
    from typing import Self

T = TypeVar("T")


class PageIterator(AbstractAsyncContextManager["PageIterator[T]"], Generic[T]):
    """Iterate over pages from number `page` on, in order; up to `prefetch` requests are open at a time.

    Leaving the `async with` cancels open requests. The first page is requested alone, because its headers
    carry the total. Without a total, pages are requested one by one. With a total, a response is decoded only
    after the requests for the next pages were sent, so that decoding and the network overlap.

    This is a class and not an async generator. Of two nested generators, the event loop would close the inner
    one twice when it shuts down.
    """

    def __init__(
        self,
        send: Callable[[Request[Any]], Awaitable[APIResponse]],
        request: Callable[[int], Request[list[T]]],
        page: int,
        limit: int,
        prefetch: int,
    ) -> None:
        self._send = send
        self._request = request
        self._model = request(page).model
        self._first_page = page
        self._limit = limit
        self._window = prefetch
        # None after the last page.
        self._next_page: int | None = page
        # No page after this one is requested ahead. 0 while the total is unknown.
        self._last_page = 0
        # Raised in place of the next page.
        self._error: PaginationError | None = None
        # Requests for the next pages, in order and without a gap.
        self._tasks: deque[asyncio.Task[APIResponse]] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Page[T]:
        if self._error is not None:
            raise self._error
        if self._next_page is None:
            raise StopAsyncIteration
        number = self._next_page
        self._prefetch()
        response = await (self._finish(self._tasks.popleft(), number) if self._tasks else self._load(number))
        numbers = pagination(response.headers)
        self._advance(number, numbers, response.exchange)
        if number > self._first_page and self._prefetch():
            # Let the new tasks send their requests before this response is decoded.
            await asyncio.sleep(0)
        page = Page(codec.decode(response, self._model), numbers)
        if not page.data:
            self._next_page = self._error = None
        return page

    def _advance(self, number: int, numbers: Pagination, exchange: Exchange) -> None:
        """Set what follows page `number`: the next page, the end, or the error that the next call raises."""
        self._last_page = last_page(numbers, self._limit) or 0
        try:
            self._next_page = page_after(number, numbers, self._limit, exchange)
        except PaginationError as error:
            self._next_page, self._error = None, error

    def _prefetch(self) -> bool:
        """Request the next pages, as far as total and window allow. Return whether any was requested now."""
        if self._next_page is None:
            return False
        end = min(self._last_page, self._next_page + self._window - 1) + 1
        numbers = range(self._next_page + len(self._tasks), end)
        self._tasks.extend(asyncio.ensure_future(self._load(number)) for number in numbers)
        return bool(numbers)

    async def _finish(self, task: asyncio.Task[APIResponse], number: int) -> APIResponse:
        """Wait for a page's request. Send it again when other code cancelled its task, such as a shutdown."""
        try:
            return await task
        except asyncio.CancelledError:
            if not cancellation.was_cancelled_elsewhere(task):
                raise
            return await self._load(number)

    async def _load(self, number: int) -> APIResponse:
        """Request page `number`. A `StopAsyncIteration` of user code is raised as a `RuntimeError`."""
        try:
            return await self._send(self._request(number))
        except StopAsyncIteration as error:
            # The key callable may raise it. Unchanged, it would look like the end of the list.
            raise RuntimeError("user code raised StopAsyncIteration") from error

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # The traceback of the error refers to this iterator: a reference cycle.
        self._error = None
        for task in self._tasks:
            task.cancel()
        await cancellation.wait_all(self._tasks)


def page_after(number: int, numbers: Pagination, limit: int, exchange: Exchange) -> int | None:
    """Return the number of the page after page `number`, or None at the end of the list.

    Raises `PaginationError` when the service names another page than the next one: following it would repeat
    or skip pages.
    """
    if numbers.next_page is None:
        return None
    if numbers.next_page != number + 1:
        raise PaginationError(
            f"{exchange}: after page {number} the service names page {numbers.next_page} as the next one. Following it would "
            "repeat or skip pages; the pages up to here are complete. Report this to the service.",
            exchange=exchange,
        )
    last = last_page(numbers, limit)
    return numbers.next_page if last is None or numbers.next_page <= last else None


def last_page(numbers: Pagination, limit: int) -> int | None:
    """Return the number of the last page according to the latest total, or None without a total."""
    return None if numbers.total_count is None else -(-numbers.total_count // (numbers.limit or limit))


def pagination(headers: Mapping[str, str]) -> Pagination:
    """Return the page numbers in the headers of a response."""
    return Pagination(
        total_count=_number(headers.get("X-Total-Count")),
        page=_number(headers.get("X-Page")),
        limit=_number(headers.get("X-Limit")),
        prev_page=_number(headers.get("X-Prev-Page")),
        next_page=_number(headers.get("X-Next-Page")),
    )


def _number(text: str | None) -> int | None:
    """Return the integer in a header, or None when it is missing, "null" or no number."""
    digits = (text or "").strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else None


def page_params(page: object, limit: object) -> dict[str, int]:
    """Return the query of a list call, checked."""
    params = {"page": checks.integer("page", page, minimum=1)}
    if limit is not None:
        params["limit"] = checks.integer("limit", limit, minimum=1, maximum=100)
    return params


def iterator_arguments(page: object, limit: object, prefetch: object) -> tuple[int, int, int]:
    """Return the arguments of an iteration over pages, checked."""
    return (
        checks.integer("page", page, minimum=1),
        checks.integer("limit", limit, minimum=1, maximum=100),
        checks.integer("prefetch", prefetch, minimum=1, maximum=1000),
    )
