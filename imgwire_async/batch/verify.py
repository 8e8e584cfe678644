"""Find out which images that the journal calls done no longer exist."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TypeAlias

from imgwire_async import disk_work
from imgwire_async.batch.held_calls import HeldCalls, OnHeld, run_for_all, run_until
from imgwire_async.batch.journal import Journal
from imgwire_async.batch.keys import Shard
from imgwire_async.batch.list_walk import PAGE_SIZE, walk_images
from imgwire_async.batch.records import JournalRow, RowOwner
from imgwire_async.batch.scratch import KeyTable
from imgwire_async.batch.service import Service
from imgwire_async.errors import (
    APIStatusError,
    AuthenticationError,
    DecodeError,
    ImgwireError,
    NotFoundError,
    PaginationError,
    PaymentRequiredError,
    PermissionDeniedError,
)
from imgwire_async.logs import logger
from imgwire_async.models import Image

IsGone: TypeAlias = Callable[[JournalRow], bool]

_CHUNK = 500
# These errors end a run.
_FATAL = (AuthenticationError, PaymentRequiredError)


async def find_gone(
    service: Service,
    journal: Journal,
    owner: RowOwner,
    shard: Shard | None = None,
    *,
    stop: asyncio.Event,
    is_moved: bool = False,
    on_held: OnHeld | None = None,
) -> IsGone:
    """Return a function that says whether the image of a row no longer exists at the service.

    The images of the list exist. An image that the list does not show is retrieved by its id, and only the
    status 404 means that it is gone. If a walk through the list needs more requests than retrieving all
    images, the list is not read. After `stop`, images that were not checked count as existing.

    With `is_moved`, rows of other sources may belong to this one, because the user has moved it.
    """
    checking = _Checking(service, journal, owner, shard, any_source=is_moved, on_held=on_held)
    await run_until(stop, checking.run())
    gone = frozenset(checking.gone)
    return lambda row: row.image_id in gone


def prefers_list(count: int, total: int | None) -> bool:
    """Return whether the list of `total` images needs fewer requests than retrieving `count` images.

    `total` is None if the service does not say how many images there are.
    """
    return count > 0 and (total is None or total / PAGE_SIZE < count)


class _Checking:
    """One call of `find_gone`."""

    def __init__(
        self,
        service: Service,
        journal: Journal,
        owner: RowOwner,
        shard: Shard | None,
        *,
        any_source: bool,
        on_held: OnHeld | None,
    ) -> None:
        # Few images are gone, so their ids fit into memory.
        self.gone: set[str] = set()
        self._service = service
        self._journal = journal
        self._owner = owner
        self._shard = shard
        self._any_source = any_source
        self._limit = service.shared.config.max_connections
        self._calls = HeldCalls(lambda: service.images.list(limit=1), on_held)

    async def run(self) -> None:
        """Retrieve all images that the list does not show."""
        listed = KeyTable()
        try:
            if await self._prefers_list():
                await self._read_list(listed)
            with contextlib.closing(self._image_ids()) as waiting:
                while ids := await disk_work.run(_next_unlisted, waiting, listed):
                    await run_for_all(ids, self._check, self._limit)
        finally:
            await disk_work.run_cleanup(listed.close)

    async def _prefers_list(self) -> bool:
        """Return whether to read the list of images."""
        counts = await disk_work.run(self._journal.counts, self._owner.destination)
        count = counts.get("done", 0) + counts.get("stored", 0)
        if count == 0:
            return False
        try:
            page = await self._calls.run(lambda: self._service.images.list(limit=1))
        except _FATAL:
            raise
        except (APIStatusError, DecodeError):
            # A client key may not list images.
            return False
        return prefers_list(count, page.pagination.total_count)

    async def _read_list(self, listed: KeyTable) -> None:
        async def on_page(images: Sequence[Image]) -> None:
            ids = [image.id for image in images if image.deleted_at is None]
            await disk_work.run(listed.add, ids)

        try:
            await walk_images(self._service.images, self._calls, on_page)
        except _FATAL:
            raise
        except (APIStatusError, DecodeError, PaginationError) as error:
            logger.info("the list of images cannot be read to its end: %s", error)

    def _image_ids(self) -> Generator[str, None, None]:
        for status in ("done", "stored"):
            for row in self._journal.rows(self._owner.destination, status):
                is_own = self._any_source or row.source == self._owner.source
                is_in_shard = self._shard is None or row.key in self._shard
                if is_own and is_in_shard and row.image_id is not None:
                    yield row.image_id

    async def _check(self, image_id: str) -> None:
        try:
            image = await self._calls.run(lambda: self._service.images.retrieve(image_id))
        except NotFoundError:
            self.gone.add(image_id)
        except (*_FATAL, PermissionDeniedError):
            raise
        except ImgwireError as error:
            logger.info("image %s cannot be retrieved: %s", image_id, error)
        else:
            if image.deleted_at is not None:
                self.gone.add(image_id)


def _next_unlisted(waiting: Iterator[str], listed: KeyTable) -> list[str]:
    """Return the next ids that the list has not shown. An empty result means that there are no more."""
    while chunk := [*itertools.islice(waiting, _CHUNK)]:
        shown = listed.contains(chunk)
        if unlisted := [image_id for image_id in chunk if image_id not in shown]:
            return unlisted
    return []
