"""The search of the list of images for records whose create requests got no response."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
import samples
from hypothesis import given
from hypothesis import strategies as st

from imgwire_async import AsyncImgwireClient
from imgwire_async.batch.list_search import ListOrder, ListSearch, better_record
from imgwire_async.emulator import Emulator
from imgwire_async.errors import ServerError
from imgwire_async.models import Image
from imgwire_async.protocol import codec

START = datetime(2026, 4, 1, tzinfo=UTC)


def image(image_id: str = "i", status: str = "READY", *, created: float = 0, updated: float = 0) -> Image:
    """Return a record. The times are in seconds after `START`."""
    values = {
        "id": image_id,
        "status": status,
        "created_at": (START + timedelta(seconds=created)).isoformat(),
        "updated_at": (START + timedelta(seconds=updated)).isoformat(),
        "deleted_at": None,
    }
    return codec.decode(samples.api_response(samples.image(**values)), Image)


def order_of(pages: Sequence[Sequence[Image]]) -> ListOrder:
    order = ListOrder()
    for page in pages:
        order = order.after(page)
    return order


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        ([], False),
        ([[]], False),
        ([[(9, 9), (5, 5)], [(3, 3), (1, 1)]], True),
        # By the last change.
        ([[(1, 9), (3, 5)], [(2, 3), (1, 1)]], True),
        # The oldest first, or in no order.
        ([[(1, 1), (3, 3)], [(5, 5), (9, 9)]], False),
        ([[(9, 9), (1, 1)], [(5, 5), (2, 2)]], False),
        # Equal times show no order.
        ([[(1, 1), (1, 1)], [(1, 1)]], False),
        ([[(9, 9), (5, 5)]], False),
    ],
)
def test_a_search_ends_early_only_if_the_newest_images_come_first(
    pages: list[list[tuple[float, float]]], expected: bool
) -> None:
    order = order_of([[image(created=a, updated=b) for a, b in page] for page in pages])
    assert order.is_before(START.timestamp() + 2) is expected


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30), st.integers(1, 7), st.integers(0, 50))
def test_a_search_never_ends_before_a_page_with_a_newer_image(ages: list[int], size: int, since: int) -> None:
    images = [image(created=age, updated=age) for age in sorted(ages, reverse=True)]
    pages = [images[start : start + size] for start in range(0, len(images), size)]
    for count in range(len(pages)):
        if order_of(pages[:count]).is_before(START.timestamp() + since):
            rest = [one for page in pages[count:] for one in page]
            assert all(one.created_at < START + timedelta(seconds=since) for one in rest)


def test_of_two_records_with_one_key_the_older_one_with_bytes_is_used() -> None:
    pending, old, new = image("a", "PENDING"), image("c", created=1), image("b", created=2)
    assert better_record(None, pending) is pending
    assert better_record(pending, new) is new
    assert better_record(new, pending) is new
    assert better_record(new, old) is old


@attrs.define
class Listing:
    """An emulator with many images, a search through its list, and the counts of the search."""

    emulator: Emulator
    client: AsyncImgwireClient
    unsure: list[int] = attrs.field(factory=list[int])

    def search(self, **options: Any) -> ListSearch:
        return ListSearch(self.client.images, self.unsure.append, page_size=5, **options)

    async def add(self, *keys: str) -> None:
        for key in keys:
            await self.client.images.create(file_name=f"{key}.png", idempotency_key=key)

    @property
    def pages(self) -> int:
        return sum(request.method == "GET" for request in self.emulator.requests)


@pytest.fixture
def switches() -> dict[str, Any]:
    return {}


@pytest.fixture
async def listing(switches: dict[str, Any]) -> AsyncIterator[Listing]:
    async with Emulator(**switches) as emulator:
        async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url, retries=0) as client:
            listing = Listing(emulator, client)
            await listing.add(*[f"old{number}" for number in range(13)])
            yield listing


async def test_a_new_record_is_found_on_the_first_page(listing: Listing) -> None:
    await listing.add("new")
    found = await listing.search().find("new", time.time())
    assert found is not None
    assert (found.original_filename, listing.pages <= 3) == ("new.png", True)


@pytest.mark.parametrize("switches", [{"list_order": "id"}, {"list_order": "updated"}, {}])
async def test_a_record_is_found_in_any_order_of_the_list(listing: Listing) -> None:
    search = listing.search()
    assert await search.find("old0", 0) is not None
    assert await search.find("missing", 0) is None
    assert listing.unsure == []


async def test_a_search_ends_at_images_that_are_older_than_the_request(listing: Listing) -> None:
    listing.emulator.clock.advance(3600)
    await listing.add("new")
    before = listing.pages
    assert await listing.search().find("missing", time.time() + 3600) is None
    # The first page, one that was requested ahead, and the first page again.
    assert listing.pages - before <= 4


async def test_one_walk_serves_all_files_that_wait_for_it(listing: Listing) -> None:
    search = listing.search()
    keys = [f"old{number}" for number in range(13)]
    found = await asyncio.gather(*[search.find(key, 0) for key in keys])
    assert [one and one.original_filename for one in found] == [f"{key}.png" for key in keys]
    # One walk for the first file, and one for all others.
    assert listing.pages <= 8


async def test_a_file_that_is_cancelled_does_not_end_the_search_of_others(listing: Listing) -> None:
    search = listing.search()
    tasks = [asyncio.ensure_future(search.find(f"old{number}", 0)) for number in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert all(isinstance(result, Image) for result in results[1:])


async def test_a_list_that_is_too_long_leaves_a_file_unsure(listing: Listing) -> None:
    assert await listing.search(max_pages=2).find("missing", 0) is None
    assert listing.unsure == [1]


async def test_an_error_of_the_list_is_raised_for_each_file(listing: Listing) -> None:
    listing.emulator.faults.add("GET", "/api/v1/images/", times=None, status=503)
    search = listing.search()
    results = await asyncio.gather(*[search.find(key, 0) for key in ("a", "b", "c")], return_exceptions=True)
    assert [type(result) for result in results] == [ServerError] * 3
    assert len({id(result) for result in results}) == 3
