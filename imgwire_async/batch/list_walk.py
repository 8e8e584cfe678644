"""Read the list of images of an environment page by page, and find out whether it has moved meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TypeAlias

from imgwire_async.batch.held_calls import HeldCalls
from imgwire_async.models import Image
from imgwire_async.resources.images import AsyncImages
from imgwire_async.results import Page

OnPage: TypeAlias = Callable[[Sequence[Image]], Awaitable[object]]

# Images per page, which is the maximum of the service.
PAGE_SIZE = 100
# How often a list is read again because it has moved.
_MAX_ROUNDS = 3


async def walk_images(
    images: AsyncImages, calls: HeldCalls, on_page: OnPage, *, max_pages: int | None = None
) -> bool:
    """Await `on_page` for all pages of the list, and return whether the list was read to its end.

    A list that has moved meanwhile is read again, up to three times in all. So `on_page` may get an image
    more than once. At most `max_pages` pages are read each time.
    """
    for _ in range(_MAX_ROUNDS):
        motion = Motion()
        if not await _walk_once(images, calls, on_page, motion, max_pages):
            return False
        if motion.pages > 1:
            # An image that was updated may have moved to the first page after that page was read.
            motion.add_first_page_again(await calls.run(lambda: images.list(limit=PAGE_SIZE)))
        if not motion.has_moved:
            break
    return True


async def _walk_once(
    images: AsyncImages, calls: HeldCalls, on_page: OnPage, motion: Motion, max_pages: int | None
) -> bool:
    pages = _Pages(images)
    async with contextlib.aclosing(pages):
        while (page := await calls.run(pages.next)) is not None:
            motion.add(page)
            await on_page(page.data)
            if motion.pages == max_pages:
                return page.pagination.next_page is None
    return True


class Motion:
    """Whether images have moved to other pages while a list was read.

    Images move when others are created, deleted or updated. Then the total changes, an image is on two
    neighbouring pages, or the first page is another one at the end.
    """

    def __init__(self) -> None:
        self.pages: int = 0
        self.has_moved: bool = False
        self._total: int | None = None
        self._first: list[str] = []
        self._last: list[str] = []

    def add(self, page: Page[Image]) -> None:
        """Compare the next page with the pages before it."""
        ids = [image.id for image in page.data]
        if self.pages == 0:
            self._total, self._first = page.pagination.total_count, ids
        elif page.pagination.total_count != self._total or not {*ids}.isdisjoint(self._last):
            self.has_moved = True
        self._last = ids
        self.pages += 1

    def add_first_page_again(self, page: Page[Image]) -> None:
        """Compare the first page with what it was at the beginning."""
        if page.pagination.total_count != self._total or [image.id for image in page.data] != self._first:
            self.has_moved = True


class _Pages:
    """The pages of the list. After an error, `next` requests the same page again."""

    def __init__(self, images: AsyncImages) -> None:
        self._images = images
        self._number = 1
        self._pages: AsyncGenerator[Page[Image], None] | None = None

    async def next(self) -> Page[Image] | None:
        """Return the next page, or None after the last one."""
        if self._pages is None:
            self._pages = self._images.list_pages(page=self._number, limit=PAGE_SIZE)
        try:
            page = await anext(self._pages, None)
        except BaseException:
            await self.aclose()
            raise
        self._number += 1
        return page

    async def aclose(self) -> None:
        """End the requests for the next pages."""
        pages, self._pages = self._pages, None
        if pages is not None:
            await pages.aclose()
