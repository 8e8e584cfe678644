"""One 429 slows the whole client: every loop, thread and clone."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from imgwire_async import (
    APITimeoutError,
    AsyncImgwireClient,
    Hooks,
    ImgwireClient,
    RateLimitError,
    RetryPolicy,
    Timeouts,
)
from imgwire_async.emulator import Emulator

FAST = RetryPolicy(backoff=0.01)


def times(emulator: Emulator) -> list[float]:
    """When each request came, in seconds after the first one."""
    moments = [record.at.timestamp() for record in emulator.requests]
    return [moment - moments[0] for moment in moments]


async def work(client: AsyncImgwireClient, calls: int, workers: int) -> None:
    """`calls` calls, by so many workers that never rest."""
    todo = iter(range(calls))

    async def worker() -> None:
        for _ in todo:
            await client.images.list()

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(worker())


@pytest.mark.slow
@pytest.mark.parametrize("switches", [{"rate_limit": 20}])
async def test_a_limited_service_serves_many_workers_with_few_requests_wasted(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    await work(client, calls=50, workers=24)
    statuses = [record.status for record in emulator.requests]
    assert statuses.count(200) == 50
    assert len(statuses) < 1.2 * 50 + 24, "the first moment may cost each worker one"


@pytest.mark.slow
@pytest.mark.parametrize("switches", [{"rate_limit": 20}])
async def test_500_calls_at_20_per_second_need_fewer_than_600_requests(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    await work(client, calls=500, workers=64)
    statuses = [record.status for record in emulator.requests]
    assert statuses.count(200) == 500
    assert len(statuses) < 1.2 * 500


@pytest.mark.parametrize(
    ("tasks", "told"), [(12, 1), pytest.param(50, 2, marks=pytest.mark.slow)], ids=["12 tasks", "50 tasks"]
)
async def test_nobody_comes_back_early_nor_all_together(
    emulator: Emulator, client: AsyncImgwireClient, tasks: int, told: int
) -> None:
    emulator.faults.add("GET", "*", times=tasks, status=429, headers={"Retry-After": str(told)})
    await asyncio.gather(*(client.images.list() for _ in range(tasks)))
    refused, again = times(emulator)[:tasks], times(emulator)[tasks:]
    assert len(again) == tasks
    assert min(again) - max(refused) >= told
    assert max(again) - min(again) > 0.2


@pytest.mark.slow
async def test_who_queues_for_a_connection_is_held_back_too(emulator: Emulator) -> None:
    emulator.faults.add("GET", "*", status=429, headers={"Retry-After": "1"})
    async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url, max_connections=2) as client:
        await asyncio.gather(*(client.images.list() for _ in range(8)))
    assert sum(moment < 1.0 for moment in times(emulator)) <= 2, (
        "the refused one, and the other one under way"
    )


async def test_an_impatient_call_opens_the_gate_for_nobody(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    emulator.faults.add("GET", "*", status=429, headers={"Retry-After": "1"})
    with pytest.raises(RateLimitError):
        await client.with_options(retries=RetryPolicy(max_retry_after=0.1)).images.list()
    await client.images.list()
    assert times(emulator)[1] >= 1.0


@pytest.mark.slow
async def test_a_date_is_waited_for_like_seconds(emulator: Emulator, client: AsyncImgwireClient) -> None:
    then = (datetime.now(UTC) + timedelta(seconds=1.2)).replace(microsecond=0)
    emulator.faults.add("GET", "*", status=429, headers={"Retry-After": format_datetime(then, usegmt=True)})
    await client.images.list()
    assert datetime.now(UTC) >= then


@pytest.mark.parametrize("told", ["9999", "soon", "-3", "1e3", "nan", "Wed, 21 Oct 2015 07:28:00 GMT", ""])
async def test_what_asks_for_too_much_is_raised_and_nonsense_is_plain_backoff(
    emulator: Emulator, client: AsyncImgwireClient, told: str
) -> None:
    emulator.faults.add("GET", "*", status=429, headers={"Retry-After": told})
    began = time.monotonic()
    if told == "9999":
        with pytest.raises(RateLimitError) as caught:
            await client.images.list()
        assert caught.value.retry_after == 9999
    else:
        await client.with_options(retries=FAST).images.list()
    assert time.monotonic() - began < 4


async def test_a_429_slows_clones_threads_and_other_loops(emulator: Emulator) -> None:
    with ImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
        emulator.faults.add("GET", "*", status=429, headers={"Retry-After": "1"})
        with pytest.raises(RateLimitError):
            await asyncio.to_thread(client.with_options(retries=0).images.list)
        other = threading.Thread(target=client.with_options(timeout=20).images.list)
        other.start()
        await asyncio.to_thread(client.images.list)
        await asyncio.to_thread(other.join)
    assert min(times(emulator)[1:]) >= 1.0


async def test_the_gate_is_the_same_on_every_loop(emulator: Emulator) -> None:
    client = AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url)
    emulator.faults.add("GET", "*", status=429, headers={"Retry-After": "1"})
    with pytest.raises(RateLimitError):
        await client.with_options(retries=0).images.list()
    await asyncio.to_thread(asyncio.run, client.images.list())
    await client.aclose()
    assert times(emulator)[1] >= 1.0


async def test_waiting_for_a_turn_uses_up_no_retry(emulator: Emulator, client: AsyncImgwireClient) -> None:
    emulator.faults.add("GET", "*", times=4, status=429)
    patient = client.with_options(retries=RetryPolicy(max_retries=1, backoff=0.01, max_backoff=0.02))
    await asyncio.gather(*(patient.images.list() for _ in range(2)))
    emulator.faults.add("GET", "*", status=503)
    await patient.images.list()


async def test_whoever_would_wait_longer_than_allowed_is_told_at_once(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    emulator.faults.add("GET", "*", status=429, headers={"Retry-After": "30"})
    with pytest.raises(RateLimitError):
        await client.with_options(retries=0).images.list()
    hurried = client.with_options(retries=RetryPolicy(max_rate_wait=5))
    began = time.monotonic()
    with pytest.raises(RateLimitError, match=r"0 attempts.*not sent.*max_rate_wait is 5 s") as caught:
        await hurried.images.list()
    assert time.monotonic() - began < 4
    assert caught.value.retry_after is not None
    assert 20 < caught.value.retry_after <= 30
    assert len(emulator.requests) == 1


async def test_the_deadline_ends_the_wait_for_a_turn(emulator: Emulator, client: AsyncImgwireClient) -> None:
    emulator.faults.add("GET", "*", status=429, headers={"Retry-After": "30"})
    began = time.monotonic()
    with pytest.raises(APITimeoutError, match=r"deadline of 0.3 s.*HTTP 429") as caught:
        await client.with_options(timeout=Timeouts(deadline=0.3)).images.list()
    assert caught.value.which == "deadline"
    assert time.monotonic() - began < 4


async def test_a_deadline_that_passes_before_the_turn_says_what_held_the_call_back(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    emulator.faults.add("GET", "*", status=429, headers={"Retry-After": "30"})
    with pytest.raises(RateLimitError):
        await client.with_options(retries=0).images.list()
    with pytest.raises(
        APITimeoutError, match=r"held back by .* rate limit.*GET /images/ \(0 attempts"
    ) as caught:
        await client.with_options(timeout=Timeouts(deadline=0.3)).images.list()
    assert caught.value.exchange is not None


async def test_cancelled_waiters_leave_no_hole(emulator: Emulator, client: AsyncImgwireClient) -> None:
    emulator.faults.add("GET", "*", status=429, headers={"Retry-After": "1"})
    with pytest.raises(RateLimitError):
        await client.with_options(retries=0).images.list()
    waiting = [asyncio.create_task(client.images.list()) for _ in range(2000)]
    await asyncio.sleep(0.1)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    began = time.monotonic()
    await client.images.list()
    assert time.monotonic() - began < 5, "in the places of those 2000 it would be 9 s"
    assert len(emulator.requests) == 2


async def test_storage_that_asks_to_slow_down_never_moves_the_gate(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    emulator.faults.add("PUT", "/uploads/*", status=429, headers={"Retry-After": "10"})
    uploading = asyncio.create_task(client.images.upload(b"GIF89a\x01\0\x01\0\0\0\0;", mime_type="image/gif"))
    while not any(record.host == "storage" for record in emulator.requests):
        await asyncio.sleep(0.01)
    await client.images.list()
    assert not uploading.done(), "the call did not wait, the upload does"
    uploading.cancel()
    await asyncio.wait([uploading])


async def test_hooks_hear_how_long_the_gate_holds_a_call_back(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    told: list[Any] = []
    emulator.faults.add("GET", "*", status=429, headers={"Retry-After": "1"})
    await client.with_options(hooks=Hooks(on_retry=told.append)).images.list()
    assert [(event.reason, 0 < event.delay <= 1.0) for event in told] == [("HTTP 429", True)]
