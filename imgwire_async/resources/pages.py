"""Pages of a list: their numbers, and an iterator over all of them that asks for a few ahead. [contract 4]"""

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
    """Iterate over every page from `page` on, in order, with up to `prefetch` of them in flight; `async with` ends those.

    The first page comes alone and tells the total. Without a total the pages come one by one. With one, a response is decoded
    when its turn comes, after the next ones were asked for: that is the time in which they are on their way. No generator: one
    within another would be closed by two at once when the loop ends.
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
        self._next_page: int | None = page  # None after the last one
        self._last_page = 0  # as far as pages may be asked for ahead; 0 while no total is known
        self._error: PaginationError | None = None  # in place of the next page
        self._tasks: deque[asyncio.Task[APIResponse]] = deque()  # of the next pages, without a gap

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
            await asyncio.sleep(0)  # the requests leave before this response is decoded
        page = Page(codec.decode(response, self._model), numbers)
        if not page.data:
            self._next_page = self._error = None
        return page

    def _advance(self, number: int, numbers: Pagination, exchange: Exchange) -> None:
        """Note what follows page `number`: the next page, the end, or the error that the next call raises."""
        self._last_page = last_page(numbers, self._limit) or 0
        try:
            self._next_page = page_after(number, numbers, self._limit, exchange)
        except PaginationError as error:
            self._next_page, self._error = None, error

    def _prefetch(self) -> bool:
        """Ask for the next pages as far as total and window allow; return whether any was not asked for before."""
        if self._next_page is None:
            return False
        end = min(self._last_page, self._next_page + self._window - 1) + 1
        numbers = range(self._next_page + len(self._tasks), end)
        self._tasks.extend(asyncio.ensure_future(self._load(number)) for number in numbers)
        return bool(numbers)

    async def _finish(self, task: asyncio.Task[APIResponse], number: int) -> APIResponse:
        """Await a page that is on its way; ask once more when other code, a shutdown perhaps, cancelled its task."""
        try:
            return await task
        except asyncio.CancelledError:
            if not cancellation.was_cancelled_elsewhere(task):
                raise
            return await self._load(number)

    async def _load(self, number: int) -> APIResponse:
        try:
            return await self._send(self._request(number))
        except StopAsyncIteration as error:
            # Raised by the caller's own code, a key's perhaps: it would look like the end of the list.
            raise RuntimeError("the caller's own code raised StopAsyncIteration") from error

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._error = None  # its traceback holds this iterator
        for task in self._tasks:
            task.cancel()
        await cancellation.wait_all(self._tasks)


def page_after(number: int, numbers: Pagination, limit: int, exchange: Exchange) -> int | None:
    """Return the number of the page that follows page `number`, None at the end of the list.

    Raises `PaginationError` when the service names another one: numbered pages have no gaps, so it would repeat some, or skip what
    nobody would see.
    """
    if numbers.next_page is None:
        return None
    if numbers.next_page != number + 1:
        raise PaginationError(
            f"{exchange}: after page {number} the service names page {numbers.next_page} as the next one, so the list would never "
            "end, or have gaps; what came before is complete. Report this to the service.",
            exchange=exchange,
        )
    last = last_page(numbers, limit)
    return numbers.next_page if last is None or numbers.next_page <= last else None


def last_page(numbers: Pagination, limit: int) -> int | None:
    """Return the number of the last page by the newest total, or None when the service gave no total."""
    return None if numbers.total_count is None else -(-numbers.total_count // (numbers.limit or limit))


def pagination(headers: Mapping[str, str]) -> Pagination:
    """Return the numbers that the headers of a page carry."""
    return Pagination(
        total_count=_number(headers.get("X-Total-Count")),
        page=_number(headers.get("X-Page")),
        limit=_number(headers.get("X-Limit")),
        prev_page=_number(headers.get("X-Prev-Page")),
        next_page=_number(headers.get("X-Next-Page")),
    )


def _number(text: str | None) -> int | None:
    """Return a whole number, or None for what is missing, a word ("null") or nonsense."""
    word = (text or "").strip()
    return int(word) if word.isascii() and word.isdigit() and len(word) <= 18 else None


def page_params(page: object, limit: object) -> dict[str, int]:
    """Return the checked query of a list call."""
    params = {"page": checks.integer("page", page, minimum=1)}
    if limit is not None:
        params["limit"] = checks.integer("limit", limit, minimum=1, maximum=100)
    return params


def iterator_arguments(page: object, limit: object, prefetch: object) -> tuple[int, int, int]:
    """Return the checked arguments of an iteration over pages."""
    return (
        checks.integer("page", page, minimum=1),
        checks.integer("limit", limit, minimum=1, maximum=100),
        checks.integer("prefetch", prefetch, minimum=1, maximum=1000),
    )
