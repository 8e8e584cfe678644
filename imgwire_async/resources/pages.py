"""Read the page numbers of a response, and iterate over the pages of a list.

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
    """Iterate over the pages of a list in order, and request the next pages ahead.

    The first page has the number `page`, and is requested alone. If its response says how many items the list
    has, up to `prefetch` later pages are requested at the same time. If not, pages are requested one by one.
    Except for the first page, a response is decoded after the requests for the next pages were sent, so that
    decoding does not delay them. When the `async with` block ends, running requests are cancelled.

    This is a class and not an async generator, because the public methods that use it are async generators.
    When an event loop shuts down, it would close a generator inside another generator twice.
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
        self._max_open_requests = prefetch
        # The number of the page that `__anext__` returns next. None after the last page.
        self._next_page: int | None = page
        # The number of the last page, or 0 if it is unknown. Later pages are not requested ahead.
        self._last_page = 0
        # The error that the next call of `__anext__` raises.
        self._error: PaginationError | None = None
        # Tasks that request the pages `_next_page`, `_next_page + 1` and so on.
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
        response = await (
            self._wait_for(self._tasks.popleft(), number) if self._tasks else self._request_page(number)
        )
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
        """Store the number of the page after page `number`, or the error that the iteration raises next."""
        self._last_page = last_page(numbers, self._limit) or 0
        try:
            self._next_page = next_page_number(number, numbers, self._limit, exchange)
        except PaginationError as error:
            self._next_page, self._error = None, error

    def _prefetch(self) -> bool:
        """Start tasks that request the next pages, up to the limit. Return whether a task was started."""
        if self._next_page is None:
            return False
        end = min(self._last_page, self._next_page + self._max_open_requests - 1) + 1
        numbers = range(self._next_page + len(self._tasks), end)
        self._tasks.extend(asyncio.ensure_future(self._request_page(number)) for number in numbers)
        return bool(numbers)

    async def _wait_for(self, task: asyncio.Task[APIResponse], number: int) -> APIResponse:
        """Wait for the task that requests page `number`, and return the response.

        If code outside of this class cancelled the task, this method requests the page again.
        """
        try:
            return await task
        except asyncio.CancelledError:
            if not cancellation.was_cancelled_elsewhere(task):
                raise
            return await self._request_page(number)

    async def _request_page(self, number: int) -> APIResponse:
        """Request page `number`, and return the response.

        When user code raises `StopAsyncIteration`, this method raises `RuntimeError`.
        """
        try:
            return await self._send(self._request(number))
        except StopAsyncIteration as error:
            # The user's callable for the API key may raise `StopAsyncIteration`. If that error were passed
            # on, the iteration would end as if the list had no more pages.
            raise RuntimeError("user code raised StopAsyncIteration") from error

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Break a reference cycle: the traceback of the error refers to this iterator.
        self._error = None
        for task in self._tasks:
            task.cancel()
        await cancellation.wait_all(self._tasks)


def next_page_number(number: int, numbers: Pagination, limit: int, exchange: Exchange) -> int | None:
    """Return the number of the page after page `number`, or None at the end of the list.

    `numbers` contains the page numbers in the response for page `number`. Raises `PaginationError` when the
    service names a next page that is not `number + 1`, because pages would then be repeated or skipped.
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
    """Return the number of the last page, or None when the service does not say how many items there are.

    `limit` is the number of items per page, used when the response does not contain it.
    """
    return None if numbers.total_count is None else -(-numbers.total_count // (numbers.limit or limit))


def pagination(headers: Mapping[str, str]) -> Pagination:
    """Read the page numbers from the headers of a response. A missing number is None."""
    return Pagination(
        total_count=_header_number(headers.get("X-Total-Count")),
        page=_header_number(headers.get("X-Page")),
        limit=_header_number(headers.get("X-Limit")),
        prev_page=_header_number(headers.get("X-Prev-Page")),
        next_page=_header_number(headers.get("X-Next-Page")),
    )


def _header_number(text: str | None) -> int | None:
    """Convert the value of a header to an integer. Return None when it is missing or not a number."""
    digits = (text or "").strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else None


def page_params(page: object, limit: object) -> dict[str, int]:
    """Check the arguments `page` and `limit`, and return them as the query of a request."""
    params = {"page": checks.integer("page", page, minimum=1)}
    if limit is not None:
        params["limit"] = checks.integer("limit", limit, minimum=1, maximum=100)
    return params


def iterator_arguments(page: object, limit: object, prefetch: object) -> tuple[int, int, int]:
    """Check the arguments of an iteration over pages, and return them."""
    return (
        checks.integer("page", page, minimum=1),
        checks.integer("limit", limit, minimum=1, maximum=100),
        checks.integer("prefetch", prefetch, minimum=1, maximum=1000),
    )
