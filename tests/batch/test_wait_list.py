"""Stored images wait until they are READY: with about one request each, and without an upload slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import pytest
from wire.pictures import png

from imgwire_async import (
    AsyncImgwireClient,
    ImageQuarantinedError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    WaitTimeoutError,
)
from imgwire_async.batch.wait_list import WaitList
from imgwire_async.emulator import Emulator
from imgwire_async.models import Image, ImageStatus

Result = tuple[int, Image | Exception]


@asynccontextmanager
async def service(ready_after: float = 0.0) -> AsyncGenerator[tuple[Emulator, AsyncImgwireClient], None]:
    """Start an emulator and a client that does not retry by itself."""
    async with (
        Emulator(ready_polls=0, ready_after=ready_after) as emulator,
        AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url, retries=0) as client,
    ):
        yield emulator, client


@asynccontextmanager
async def wait_list(
    retrieve: Callable[[str], Awaitable[Image]],
    *,
    timeout: float = 20.0,
    max_checks: int = 16,
    capacity: int = 10_000,
    last_check: float = 5.0,
) -> AsyncGenerator[WaitList[int], None]:
    waiting = WaitList[int](
        retrieve, timeout=timeout, max_checks=max_checks, capacity=capacity, last_check=last_check
    )
    try:
        yield waiting
    finally:
        await waiting.aclose()
    left = [task for task in asyncio.all_tasks() if "WaitList" in repr(task.get_coro())]
    assert not left, "the list must leave no task behind"


async def add_uploads(client: AsyncImgwireClient, waiting: WaitList[int], count: int) -> None:
    async for result in client.images.upload_many([png() for _ in range(count)], concurrency=8):
        waiting.add(result.unwrap().id, result.index)


async def take(waiting: WaitList[int], count: int) -> list[Result]:
    async with asyncio.timeout(30):
        return [await waiting.next() for _ in range(count)]


def retrieves(emulator: Emulator) -> int:
    return sum(record.host == "api" and record.method == "GET" for record in emulator.requests)


def error_of(results: list[Result]) -> Exception:
    ((_, result),) = results
    assert isinstance(result, Exception), result
    return result


# --- requests -----------------------------------------------------------------------------------------------


async def test_images_that_take_equally_long_need_about_one_request_each() -> None:
    async with service(ready_after=0.2) as (emulator, client), wait_list(client.images.retrieve) as waiting:
        _, results = await asyncio.gather(add_uploads(client, waiting, 50), take(waiting, 50))
        assert sorted(index for index, _ in results) == list(range(50))
        assert all(isinstance(image, Image) and image.status == ImageStatus.READY for _, image in results)
        assert retrieves(emulator) <= 50 * 1.5 + 30


async def test_many_images_without_a_known_time_are_not_all_checked_again_and_again() -> None:
    async with service(ready_after=0.4) as (emulator, client), wait_list(client.images.retrieve) as waiting:
        await add_uploads(client, waiting, 30)
        await take(waiting, 30)
        assert retrieves(emulator) <= 30 * 1.5 + 30


async def test_images_of_an_earlier_run_are_checked_at_once() -> None:
    async with service() as (emulator, client), wait_list(client.images.retrieve) as waiting:
        images = [await client.images.upload(png()) for _ in range(5)]
        for index, image in enumerate(images):
            waiting.add(image.id, index, check_now=True)
        assert sorted(index for index, _ in await take(waiting, 5)) == list(range(5))
        assert retrieves(emulator) == 5


async def test_no_more_than_max_checks_requests_run_at_the_same_time() -> None:
    running = highest = 0
    async with service() as (_, client):

        async def retrieve(image_id: str) -> Image:
            nonlocal running, highest
            running += 1
            highest = max(highest, running)
            try:
                return await client.images.retrieve(image_id)
            finally:
                running -= 1

        async with wait_list(retrieve, max_checks=3) as waiting:
            image = await client.images.upload(png())
            for index in range(40):
                waiting.add(image.id, index, check_now=True)
            await take(waiting, 40)
    assert highest == 3


# --- results ------------------------------------------------------------------------------------------------


async def test_a_picture_in_quarantine_is_an_error() -> None:
    async with service() as (_, client), wait_list(client.images.retrieve) as waiting:
        image = await client.images.upload(b"no picture", mime_type="image/png")
        waiting.add(image.id, 0)
        assert isinstance(error_of(await take(waiting, 1)), ImageQuarantinedError)


async def test_an_image_that_takes_too_long_is_a_wait_timeout_error_with_its_record() -> None:
    async with (
        service(ready_after=60.0) as (_, client),
        wait_list(client.images.retrieve, timeout=0.5) as waiting,
    ):
        image = await client.images.upload(png())
        waiting.add(image.id, 0)
        error = error_of(await take(waiting, 1))
        assert isinstance(error, WaitTimeoutError)
        assert error.image is not None
        assert error.image.id == image.id
        assert "the upload itself succeeded" in str(error)


async def test_one_image_that_is_stuck_does_not_delay_the_others() -> None:
    async with service() as (_, client):
        stuck = await client.images.upload(png())

        async def retrieve(image_id: str) -> Image:
            if image_id == stuck.id:
                return stuck
            return await client.images.retrieve(image_id)

        async with wait_list(retrieve) as waiting:
            waiting.add(stuck.id, -1)
            await add_uploads(client, waiting, 20)
            results = await take(waiting, 20)
            assert {index for index, _ in results} == set(range(20))
            assert len(waiting) == 1


async def test_a_deleted_image_is_an_error_at_once() -> None:
    async with service() as (_, client), wait_list(client.images.retrieve) as waiting:
        image = await client.images.upload(png())
        await client.images.delete(image.id)
        waiting.add(image.id, 0)
        assert isinstance(error_of(await take(waiting, 1)), NotFoundError)


async def test_a_wrong_key_is_an_error_at_once() -> None:
    async with service() as (emulator, client), wait_list(client.images.retrieve) as waiting:
        image = await client.images.upload(png())
        emulator.faults.add("GET", "/api/v1/images/{image_id}", status=403)
        waiting.add(image.id, 0)
        assert isinstance(error_of(await take(waiting, 1)), PermissionDeniedError)


@pytest.mark.parametrize(
    "fault",
    [{"status": 503}, {"reset": "before"}, {"status": 429, "headers": {"Retry-After": "0"}}],
    ids=["503", "reset", "429"],
)
async def test_a_transient_error_is_retried_within_the_timeout(fault: dict[str, Any]) -> None:
    async with service() as (emulator, client), wait_list(client.images.retrieve) as waiting:
        image = await client.images.upload(png())
        emulator.faults.add("GET", "/api/v1/images/{image_id}", times=2, **fault)
        waiting.add(image.id, 7)
        ((payload, result),) = await take(waiting, 1)
        assert (payload, isinstance(result, Image)) == (7, True), result


async def test_the_error_after_the_timeout_has_the_last_error_of_a_request_as_its_cause() -> None:
    async with (
        service() as (emulator, client),
        wait_list(client.images.retrieve, timeout=0.4) as waiting,
    ):
        image = await client.images.upload(png())
        emulator.faults.add("GET", "/api/v1/images/{image_id}", times=None, status=429)
        waiting.add(image.id, 0)
        error = error_of(await take(waiting, 1))
        assert isinstance(error, WaitTimeoutError)
        assert isinstance(error.__cause__, RateLimitError)


async def test_a_request_that_hangs_ends_some_seconds_after_the_timeout() -> None:
    cancelled = False

    async def retrieve(image_id: str) -> Image:
        nonlocal cancelled
        try:
            return await asyncio.Future[Image]()
        finally:
            cancelled = True

    async with wait_list(retrieve, timeout=0.2, last_check=0.1) as waiting:
        waiting.add("img", 0)
        assert isinstance(error_of(await take(waiting, 1)), WaitTimeoutError)
        assert cancelled


# --- the room of the list -----------------------------------------------------------------------------------


async def test_a_full_list_makes_the_run_pause_until_results_are_taken() -> None:
    async with service() as (_, client), wait_list(client.images.retrieve, capacity=3) as waiting:
        image = await client.images.upload(png())
        for index in range(3):
            assert not waiting.is_full
            waiting.add(image.id, index, check_now=True)
        assert waiting.is_full
        room = asyncio.ensure_future(waiting.wait_until_room())
        await asyncio.sleep(0.1)
        assert not room.done()
        await take(waiting, 1)
        await asyncio.wait_for(room, 10)
        assert not waiting.is_full


# --- the end ------------------------------------------------------------------------------------------------


async def test_closing_cancels_running_requests_and_wakes_all_waiters() -> None:
    started = asyncio.Event()

    async def retrieve(image_id: str) -> Image:
        started.set()
        return await asyncio.Future[Image]()

    async with wait_list(retrieve, capacity=1) as waiting:
        waiting.add("img", 0, check_now=True)
        waiting.add("img", 1)
        next_result = asyncio.ensure_future(waiting.next())
        room = asyncio.ensure_future(waiting.wait_until_room())
        await started.wait()
        await waiting.aclose()
        await asyncio.wait_for(room, 10)
        with pytest.raises(RuntimeError, match="closed"):
            await asyncio.wait_for(next_result, 10)
        with pytest.raises(RuntimeError, match="closed"):
            waiting.add("img", 2)


async def test_a_request_that_other_code_cancels_is_sent_again() -> None:
    async with service() as (_, client):
        image = await client.images.upload(png())
        calls = 0

        async def retrieve(image_id: str) -> Image:
            nonlocal calls
            calls += 1
            task = asyncio.current_task()
            if calls == 1 and task is not None:
                task.cancel()
                await asyncio.sleep(0)
            if calls == 2:
                raise asyncio.CancelledError
            return await client.images.retrieve(image_id)

        async with wait_list(retrieve) as waiting:
            waiting.add(image.id, 0)
            ((_, result),) = await take(waiting, 1)
            assert isinstance(result, Image)
            assert calls == 3


async def test_a_cancelled_next_loses_no_result() -> None:
    async with service() as (_, client), wait_list(client.images.retrieve) as waiting:
        image = await client.images.upload(png())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(waiting.next(), 0.05)
        waiting.add(image.id, 5)
        assert [payload for payload, _ in await take(waiting, 1)] == [5]


async def test_the_requests_run_in_the_context_of_the_list() -> None:
    upload = ContextVar("upload", default="none")
    seen = list[str]()
    async with service() as (_, client):
        image = await client.images.upload(png())

        async def retrieve(image_id: str) -> Image:
            seen.append(upload.get())
            upload.set("a request")
            return await client.images.retrieve(image_id)

        async with wait_list(retrieve) as waiting:
            upload.set("one of many")
            waiting.add(image.id, 0)
            waiting.add(image.id, 1)
            await take(waiting, 2)
    assert seen == ["none", "none"]
