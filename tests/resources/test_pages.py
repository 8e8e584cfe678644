"""Iteration over pages: in order, with some requested ahead, each item once, and always with an end."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
from drawing import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from recording import Api, Response, numbered, pages
from samples import data, image

from imgwire_async import errors, models
from imgwire_async.protocol.request import Request


def images(count: int) -> list[dict[str, Any]]:
    return [image(id=image_id) for image_id in numbered(1, count)]


def page_of(first: int, last: int, **page_headers: Any) -> Response:
    headers = {name.replace("_", "-"): str(value) for name, value in page_headers.items()}
    return Response([image(id=f"id-{number}") for number in range(first, last + 1)], headers)


async def ids(images: AsyncGenerator[models.Image, None]) -> list[str]:
    return [image.id async for image in images]


async def test_list_all_yields_every_image_once_and_in_order() -> None:
    api = Api(pages(images(95)))
    assert await ids(api.images.list_all(limit=10)) == list(numbered(1, 95))
    assert Counter(api.sent.lines) == Counter(
        f"GET /images/?page={number}&limit=10" for number in range(1, 11)
    )


async def test_pages_have_all_their_items_and_their_numbers() -> None:
    api = Api(pages(images(5)))
    listed = [page async for page in api.images.list_pages(limit=2)]
    assert [[item.id for item in page.data] for page in listed] == [
        ["id-1", "id-2"],
        ["id-3", "id-4"],
        ["id-5"],
    ]
    assert [page.pagination.page for page in listed] == [1, 2, 3]
    assert listed[-1].pagination.next_page is None


async def test_cors_origins_are_iterated_like_images() -> None:
    origins = [data(models.CorsOrigin, id=origin_id) for origin_id in numbered(1, 7)]
    api = Api(pages(origins))
    assert [origin.id async for origin in api.cors_origins.list_all(limit=3)] == list(numbered(1, 7))
    assert [len(page.data) async for page in api.cors_origins.list_pages(limit=3)] == [3, 3, 1]


async def test_an_iteration_may_start_at_a_later_page() -> None:
    api = Api(pages(images(10)))
    assert await ids(api.images.list_all(page=4, limit=3)) == ["id-10"]
    assert api.sent.lines == ["GET /images/?page=4&limit=3"]


async def test_pages_have_the_maximum_size_by_default() -> None:
    api = Api(pages(images(1)))
    await ids(api.images.list_all())
    assert api.sent.lines == ["GET /images/?page=1&limit=100"]


async def test_no_request_is_sent_before_the_first_step() -> None:
    api = Api(pages(images(3)))
    iterators = [
        api.images.list_all(),
        api.images.list_pages(),
        api.cors_origins.list_all(),
        api.cors_origins.list_pages(),
    ]
    await asyncio.sleep(0)
    assert api.sent.requests == []
    for iterator in iterators:
        await iterator.aclose()
    assert api.sent.requests == []


# --- ahead --------------------------------------------------------------------------------------------------


class Traffic:
    """Counts the pages that are requested at the same time."""

    def __init__(self) -> None:
        self.open = self.maximum = 0

    async def __call__(self, page: int) -> None:
        self.open += 1
        self.maximum = max(self.maximum, self.open)
        try:
            for _ in range(5):
                await asyncio.sleep(0)
        finally:
            self.open -= 1


@pytest.mark.parametrize(("prefetch", "maximum"), [(1, 1), (2, 2), (5, 5), (100, 19)])
async def test_at_most_prefetch_pages_are_requested_at_a_time(prefetch: int, maximum: int) -> None:
    traffic = Traffic()
    api = Api(pages(images(40), between=traffic))
    assert await ids(api.images.list_all(limit=2, prefetch=prefetch)) == list(numbered(1, 40))
    assert traffic.maximum == maximum


async def test_the_first_page_is_requested_alone() -> None:
    traffic = Traffic()
    api = Api(pages(images(40), between=traffic))
    async with contextlib.aclosing(api.images.list_pages(limit=2)) as iterator:
        await anext(iterator)
        assert api.sent.lines == ["GET /images/?page=1&limit=2"]


async def test_the_next_pages_are_requested_before_a_page_is_returned() -> None:
    api = Api(pages(images(40)))
    async with contextlib.aclosing(api.images.list_pages(limit=2, prefetch=3)) as iterator:
        await anext(iterator)
        await anext(iterator)
        assert [line.split("?")[1] for line in api.sent.lines] == [f"page={n}&limit=2" for n in range(1, 6)]


async def test_a_slow_page_does_not_change_the_order() -> None:
    async def slow_first(page: int) -> None:
        for _ in range(50 - page):
            await asyncio.sleep(0)

    api = Api(pages(images(30), between=slow_first))
    assert await ids(api.images.list_all(limit=2)) == list(numbered(1, 30))


async def test_leaving_the_loop_early_cancels_open_requests() -> None:
    cancelled: list[int] = []

    async def hang(page: int) -> None:
        if page > 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(page)
                raise

    api = Api(pages(images(100), between=hang))
    async with contextlib.aclosing(api.images.list_all(limit=10, prefetch=4)) as iterator:
        async for image in iterator:
            if image.id == "id-11":
                await asyncio.sleep(0)
                break
    assert cancelled == [3, 4, 5, 6]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_cancelled_iteration_leaves_no_task_behind() -> None:
    async def hang(page: int) -> None:
        if page > 1:
            await asyncio.Event().wait()

    api = Api(pages(images(100), between=hang))
    iterator = asyncio.ensure_future(ids(api.images.list_all(limit=10)))
    while len(api.sent.requests) < 9:
        await asyncio.sleep(0)
    iterator.cancel()
    with pytest.raises(asyncio.CancelledError):
        await iterator
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_failed_page_ends_the_iteration_after_the_pages_before_it() -> None:
    inner = pages(images(100))

    def respond(request: Request[Any]) -> Any:
        if request.params and request.params["page"] == 4:
            return errors.ServerError("HTTP 500", status=500)
        return inner(request)

    api = Api(respond)
    ids_read: list[str] = []
    with pytest.raises(errors.ServerError):
        async for image in api.images.list_all(limit=10):
            ids_read.append(image.id)
    assert ids_read == list(numbered(1, 30))
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("steps", [0, 1, 4])
async def test_a_page_is_requested_again_when_other_code_cancels_its_task(steps: int) -> None:
    go = asyncio.Event()

    async def hang(page: int) -> None:
        if page > 1:
            await go.wait()

    api = Api(pages(images(100), between=hang))
    ids_read: list[str] = []

    def cancel_others(mine: asyncio.Task[Any] | None) -> None:
        others = asyncio.all_tasks() - {mine}
        assert others
        for task in others:
            task.cancel()
        go.set()

    loop = asyncio.get_running_loop()
    async with asyncio.timeout(20):
        async for image in api.images.list_all(limit=10, prefetch=4):
            ids_read.append(image.id)
            if image.id == "id-10":
                later = functools.partial(cancel_others, asyncio.current_task())
                for _ in range(steps):
                    later = functools.partial(loop.call_soon, later)
                loop.call_soon(later)
    assert ids_read == list(numbered(1, 100))
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_stop_async_iteration_of_user_code_does_not_look_like_the_end() -> None:
    async def odd(page: int) -> None:
        if page == 3:
            raise StopAsyncIteration

    for iterator in (
        Api(pages(images(100), between=odd)).images.list_all(limit=10, prefetch=n) for n in (1, 4)
    ):
        with pytest.raises(RuntimeError, match="raised StopAsyncIteration"):
            await ids(iterator)


# --- odd numbers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("next_page", ["null", "NULL", "none", "", " ", "garbage", "-1"])
async def test_a_next_page_that_is_no_number_ends_the_iteration(next_page: str) -> None:
    api = Api(page_of(1, 2, X_Next_Page=next_page), page_of(3, 4))
    assert await ids(api.images.list_all(limit=2)) == ["id-1", "id-2"]


async def test_a_response_without_page_numbers_is_the_only_page() -> None:
    api = Api(page_of(1, 2))
    assert await ids(api.images.list_all(limit=2)) == ["id-1", "id-2"]


async def test_without_a_total_pages_are_requested_one_by_one() -> None:
    api = Api(page_of(1, 2, X_Next_Page=2), page_of(3, 4, X_Next_Page=3), page_of(5, 5, X_Next_Page="null"))
    assert await ids(api.images.list_all(limit=2)) == list(numbered(1, 5))
    assert [request.params["page"] for request in api.sent.requests] == [1, 2, 3]


async def test_an_empty_list_has_one_empty_page() -> None:
    api = Api(pages([]))
    assert [page.data async for page in api.images.list_pages()] == [[]]


async def test_an_empty_page_ends_the_iteration() -> None:
    api = Api(page_of(1, 2, X_Next_Page=2), page_of(1, 0, X_Next_Page=3), page_of(9, 9))
    assert await ids(api.images.list_all(limit=2)) == ["id-1", "id-2"]


async def test_a_lower_limit_in_the_headers_is_used() -> None:
    inner = pages(images(10))

    def at_most_two(request: Request[Any]) -> Any:
        return inner(
            Request(
                request.method, request.path, request.model, params={**(request.params or {}), "limit": 2}
            )
        )

    assert await ids(Api(at_most_two).images.list_all(limit=50)) == list(numbered(1, 10))


@pytest.mark.parametrize("next_page", [1, 2, 4, 0, 100])
async def test_a_next_page_that_repeats_or_skips_pages_raises_an_error(next_page: int) -> None:
    api = Api(page_of(1, 2, X_Next_Page=2), page_of(3, 4, X_Next_Page=next_page), page_of(5, 6))
    ids_read: list[str] = []
    with pytest.raises(errors.PaginationError, match=f"after page 2 .* page {next_page}"):
        async for image in api.images.list_all(limit=2):
            ids_read.append(image.id)
    assert ids_read == list(numbered(1, 4))


async def test_a_next_page_that_repeats_the_first_page_raises_an_error() -> None:
    api = Api(page_of(1, 2, X_Next_Page=1, X_Total_Count=100))
    with pytest.raises(errors.PaginationError, match=r"GET /images/ \(1 attempt") as caught:
        await ids(api.images.list_all(limit=2))
    assert caught.value.exchange is not None


def changing(
    items: list[Any], change: Callable[[int, list[Any]], None]
) -> Callable[[Request[Any]], Awaitable[Response]]:
    async def at(page: int) -> None:
        change(page, items)

    return pages(items, between=at)


@pytest.mark.parametrize("prefetch", [1, 3, 8])
async def test_a_list_that_shrinks_during_the_iteration_ends_it_early(prefetch: int) -> None:
    def shrink(page: int, items: list[Any]) -> None:
        if page == 3:
            del items[5:]

    api = Api(changing(images(40), shrink))
    ids_read = await ids(api.images.list_all(limit=2, prefetch=prefetch))
    assert ids_read == list(numbered(1, len(ids_read)))
    assert 5 <= len(ids_read) < 40
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("prefetch", [1, 3, 8])
async def test_a_list_that_grows_during_the_iteration_is_read_to_its_new_end(prefetch: int) -> None:
    def grow(page: int, items: list[Any]) -> None:
        if page == 4 and len(items) < 20:
            items += [image(id=image_id) for image_id in numbered(13, 20)]

    api = Api(changing(images(12), grow))
    assert await ids(api.images.list_all(limit=2, prefetch=prefetch)) == list(numbered(1, 20))


@settings(max_examples=examples(40))
@given(st.integers(0, 40), st.integers(1, 7), st.integers(1, 10), st.integers(1, 4))
async def test_any_iteration_yields_each_image_from_its_first_page_on_once(
    count: int, limit: int, prefetch: int, page: int
) -> None:
    api = Api(pages(images(count)))
    ids_read = await ids(api.images.list_all(page=page, limit=limit, prefetch=prefetch))
    assert ids_read == list(numbered((page - 1) * limit + 1, count))
    assert len(api.sent.requests) == max(1, -(-count // limit) - page + 1)
