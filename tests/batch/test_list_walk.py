"""The walk through the list of images shows every image, also if the list moves meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
import samples
from recording import Api, in_no_time, numbered, pages

from imgwire_async import APIConnectionError, PermissionDeniedError
from imgwire_async.batch.held_calls import HeldCalls
from imgwire_async.batch.list_walk import Motion, walk_images
from imgwire_async.models import Image
from imgwire_async.protocol import codec
from imgwire_async.results import Page, Pagination


def image_list(first: int, last: int) -> list[dict[str, Any]]:
    return [samples.image(id=image_id) for image_id in numbered(first, last)]


def walk(
    items: list[dict[str, Any]],
    *,
    between: Callable[[int], Awaitable[None]] | None = None,
    max_pages: int | None = None,
) -> tuple[bool, list[str], list[int]]:
    """Return whether the walk was complete, the ids that it showed, and the numbers of the pages."""
    shown: list[str] = []
    api = Api(pages(items, between=between))

    async def on_page(images: Sequence[Image]) -> None:
        shown.extend(image.id for image in images)

    async def work() -> bool:
        calls = HeldCalls(lambda: api.images.list(limit=1))
        return await walk_images(api.images, calls, on_page, max_pages=max_pages)

    is_complete = in_no_time(work)
    return is_complete, shown, [int((request.params or {})["page"]) for request in api.sent.requests]


@pytest.mark.parametrize(
    ("count", "requests"), [(0, [1]), (1, [1]), (100, [1]), (101, [1, 2, 1]), (250, [1, 2, 3, 1])]
)
def test_a_list_that_does_not_move_is_read_once(count: int, requests: list[int]) -> None:
    items = image_list(1, count)
    assert walk(items) == (True, [item["id"] for item in items], requests)


@pytest.mark.parametrize(("max_pages", "is_complete"), [(2, False), (3, True), (4, True), (None, True)])
def test_the_walk_ends_at_its_limit(max_pages: int | None, is_complete: bool) -> None:
    complete, shown, _ = walk(image_list(1, 250), max_pages=max_pages)
    assert (complete, len(shown)) == (is_complete, 250 if is_complete else 200)


def test_an_image_that_moves_to_a_page_before_is_found_by_another_round() -> None:
    items = image_list(1, 350)
    moved: list[int] = []

    async def move(page: int) -> None:
        # The list is sorted by its updates, and this image is updated after the first page was read.
        if page == 2 and not moved:
            moved.append(page)
            items.insert(0, items.pop(340))

    _, shown, requests = walk(items, between=move)
    assert {item["id"] for item in items} == {*shown}
    assert requests.count(2) == 2


def test_an_image_that_was_skipped_because_others_were_deleted_is_found_by_another_round() -> None:
    items = image_list(1, 350)
    left = items[1:]

    async def delete(page: int) -> None:
        if page == 2 and len(items) == 350:
            del items[0]

    _, shown, requests = walk(items, between=delete)
    assert {item["id"] for item in left} <= {*shown}
    assert requests.count(2) == 2


def test_a_list_that_always_moves_is_read_three_times() -> None:
    items = image_list(1, 150)

    async def grow(page: int) -> None:
        items.insert(0, samples.image(id=f"new {len(items)}"))

    is_complete, _, requests = walk(items, between=grow)
    assert is_complete
    assert requests.count(2) == 3


def test_a_page_that_fails_is_requested_again() -> None:
    items = image_list(1, 350)
    failures = {2: 3, 1: 1}

    async def fail(page: int) -> None:
        if failures.get(page, 0):
            failures[page] -= 1
            raise APIConnectionError("no connection")

    is_complete, shown, _ = walk(items, between=fail)
    assert is_complete
    assert shown == [item["id"] for item in items]


def test_an_error_that_is_not_transient_ends_the_walk() -> None:
    async def refuse(_: int) -> None:
        raise PermissionDeniedError("403", status=403)

    with pytest.raises(PermissionDeniedError):
        walk(image_list(1, 3), between=refuse)


@pytest.mark.parametrize(
    ("second", "first_again", "expected"),
    [
        ((3, "cd"), (3, "ab"), False),
        ((4, "cd"), (3, "ab"), True),
        # An image of the first page is on the second page, too.
        ((3, "bc"), (3, "ab"), True),
        ((3, "cd"), (4, "ab"), True),
        ((3, "cd"), (3, "ba"), True),
    ],
)
def test_a_list_has_moved_if_its_total_or_the_edge_of_a_page_has_changed(
    second: tuple[int, str], first_again: tuple[int, str], expected: bool
) -> None:
    motion = Motion()
    motion.add(page(3, "ab"))
    motion.add(page(*second))
    motion.add_first_page_again(page(*first_again))
    assert motion.has_moved is expected


def page(total: int, ids: str) -> Page[Image]:
    images = [codec.decode(samples.api_response(samples.image(id=image_id)), Image) for image_id in ids]
    return Page(images, Pagination(total_count=total))
