"""Search the list of images for records whose create requests got no response.

Many files may lose their responses at the same time, so one walk through the list serves all that wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections.abc import Callable, Sequence
from datetime import datetime

import attrs

from imgwire_async.batch.doubts import CLOCK_TOLERANCE
from imgwire_async.batch.list_walk import PAGE_SIZE
from imgwire_async.errors import ImgwireError
from imgwire_async.models import Image
from imgwire_async.resources.images import AsyncImages
from imgwire_async.uploads.states import ARRIVED

# The maximum number of pages of one walk.
_MAX_PAGES = 1_000
# Most records are on the first page.
_PREFETCH = 2


class ListSearch:
    """Finds records by their idempotency keys. It belongs to the event loop of a run.

    Args:
        images: The images of the service.
        on_unsure: Called with the number of records that were not found in a list that is too long.
        max_pages: The maximum number of pages of one walk.
        page_size: The number of images on a page.
    """

    def __init__(
        self,
        images: AsyncImages,
        on_unsure: Callable[[int], object],
        *,
        max_pages: int = _MAX_PAGES,
        page_size: int = PAGE_SIZE,
    ) -> None:
        self._images = images
        self._on_unsure = on_unsure
        self._max_pages = max_pages
        self._page_size = page_size
        # One walk at a time. The files that come during a walk share the next one.
        self._lock = asyncio.Lock()
        self._next: _Walk | None = None

    async def find(self, key: str, since: float) -> Image | None:
        """Return the record with an idempotency key that was created after `since`, or None.

        `since` is in seconds since the epoch. A walk begins after this call, so it also finds a record that
        was created a moment ago. Raises the error of a request.
        """
        walk = self._next = self._next or _Walk()
        walk.wanted[key] = min(since, walk.wanted.get(key, since))
        async with self._lock:
            # The walk of another task may have found the record. If that task was cancelled, this one walks.
            if not walk.is_over:
                self._next = None
                await self._run(walk)
        if walk.error is not None:
            # Each upload adds details to its own error.
            raise copy.copy(walk.error)
        return walk.found.get(key)

    async def _run(self, walk: _Walk) -> None:
        walk.found.clear()
        try:
            is_complete = await self._read_pages(walk)
        except ImgwireError as error:
            walk.error = error
            is_complete = True
        walk.is_over = True
        if not is_complete:
            self._on_unsure(len(walk.wanted) - len(walk.found))

    async def _read_pages(self, walk: _Walk) -> bool:
        """Read pages until all records are found. Return False if the list is too long."""
        since = min(walk.wanted.values()) - CLOCK_TOLERANCE
        order, count = ListOrder(), 0
        pages = self._images.list_pages(limit=self._page_size, prefetch=_PREFETCH)
        async with contextlib.aclosing(pages):
            async for page in pages:
                count += 1
                walk.add(page.data)
                order = order.after(page.data)
                if walk.is_complete or order.is_before(since):
                    break
                if count == self._max_pages:
                    return page.pagination.next_page is None
        if count > 1 and not walk.is_complete:
            # A record that has changed meanwhile may have moved to the first page after that page was read.
            walk.add((await self._images.list(limit=self._page_size)).data)
        return True


class _Walk:
    """One walk through the list: the keys that it looks for, and the records that it has found."""

    def __init__(self) -> None:
        # The times since which the records of the keys may exist.
        self.wanted: dict[str, float] = {}
        self.found: dict[str, Image] = {}
        self.is_over: bool = False
        self.error: ImgwireError | None = None

    @property
    def is_complete(self) -> bool:
        """Whether all records are found."""
        return len(self.found) == len(self.wanted)

    def add(self, images: Sequence[Image]) -> None:
        """Keep the records of a page that are wanted."""
        for image in images:
            key = image.idempotency_key
            if key is not None and key in self.wanted and image.deleted_at is None:
                self.found[key] = better_record(self.found.get(key), image)


def better_record(before: Image | None, image: Image) -> Image:
    """Return the record to use of two with the same key: one with bytes, and of these the older one."""
    if before is None:
        return image
    return min(before, image, key=lambda one: (one.status not in ARRIVED, one.created_at, one.id))


@attrs.frozen
class ListOrder:
    """The order of the list, as far as its pages show it: the times of the first and of the last image.

    A list that is ordered by neither time has None for both.
    """

    created: tuple[datetime, datetime] | None = None
    updated: tuple[datetime, datetime] | None = None
    is_empty: bool = True

    def after(self, images: Sequence[Image]) -> ListOrder:
        """Return the order after the next page."""
        if not images:
            return self
        created = [image.created_at for image in images]
        updated = [image.updated_at for image in images]
        return ListOrder(
            _range_of(created, self.created, is_first=self.is_empty),
            _range_of(updated, self.updated, is_first=self.is_empty),
            is_empty=False,
        )

    def is_before(self, time: float) -> bool:
        """Return whether the images of all further pages were created before a time."""
        # An image is never changed before it is created, so each of the two orders shows that.
        return any(
            times is not None and times[0] > times[1] and times[1].timestamp() < time
            for times in (self.created, self.updated)
        )


def _range_of(
    times: Sequence[datetime], before: tuple[datetime, datetime] | None, *, is_first: bool
) -> tuple[datetime, datetime] | None:
    """Return the first and the last time of a list whose times do not increase, else None."""
    if before is None and not is_first:
        return None
    first, last = before or (times[0], times[0])
    for time in times:
        if time > last:
            return None
        last = time
    return first, last
