"""One 429 delays all requests of a client: on every event loop and thread, and of every clone."""

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


def request_times(emulator: Emulator) -> list[float]:
    """Return the time of each request, in seconds after the first one."""
    timestamps = [request.at.timestamp() for request in emulator.requests]
    return [timestamp - timestamps[0] for timestamp in timestamps]


async def list_images(client: AsyncImgwireClient, calls: int, workers: int) -> None:
    """Make `calls` calls in all, with `workers` tasks that do not pause between two calls."""
    numbers = iter(range(calls))

    async def worker() -> None:
        for _ in numbers:
            await client.images.list()

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(worker())


@pytest.mark.slow
@pytest.mark.parametrize("switches", [{"rate_limit": 20}])
async def test_many_workers_get_few_429s_from_a_service_with_a_rate_limit(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    await list_images(client, calls=50, workers=24)
    statuses = [request.status for request in emulator.requests]
    assert statuses.count(200) == 50
    assert len(statuses) < 1.2 * 50 + 24, "each worker may get one 429 at the start"


@pytest.mark.slow
@pytest.mark.parametrize("switches", [{"rate_limit": 20}])
async def test_500_calls_at_20_per_second_need_fewer_than_600_requests(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    await list_images(client, calls=500, workers=64)
    statuses = [request.status for request in emulator.requests]
    assert statuses.count(200) == 500
    assert len(statuses) < 1.2 * 500


@pytest.mark.parametrize(
    ("tasks", "retry_after"),
    [(12, 1), pytest.param(50, 2, marks=pytest.mark.slow)],
    ids=["12 tasks", "50 tasks"],
)
async def test_retries_after_a_429_are_neither_early_nor_all_at_once(
    emulator: Emulator, client: AsyncImgwireClient, tasks: int, retry_after: int
) -> None:
    emulator.faults.add("GET", "*", times=tasks, status=429, headers={"Retry-After": str(retry_after)})
    await asyncio.gather(*(client.images.list() for _ in range(tasks)))
    rejected, retried = request_times(emulator)[:tasks], request_times(emulator)[tasks:]
    assert len(retried) == tasks
    assert min(retried) - max(rejected) >= retry_after
    assert max(retried) - min(retried) > 0.2


@pytest.mark.slow
async def test_a_call_that_waits_for_a_slot_is_delayed_too(emulator: Emulator) -> None:
    emulator.faults.add("GET", "*", status=429, headers={"Retry-After": "1"})
    async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url, max_connections=2) as client:
        await asyncio.gather(*(client.images.list() for _ in range(8)))
    assert sum(seconds < 1.0 for seconds in request_times(emulator)) <= 2, (
        "the rejected request, and the one sent together with it"
    )


@pytest.mark.long
async def test_a_call_that_gives_up_does_not_open_the_gate_for_others(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    emulator.faults.add("GET", "*", status=429, headers={"Retry-After": "1"})
    with pytest.raises(RateLimitError):
        await client.with_options(retries=RetryPolicy(max_retry_after=0.1)).images.list()
    await client.images.list()
    assert request_times(emulator)[1] >= 1.0


@pytest.mark.slow
async def test_a_retry_after_with_a_date_delays_the_retry(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    then = (datetime.now(UTC) + timedelta(seconds=1.2)).replace(microsecond=0)
    emulator.faults.add("GET", "*", status=429, headers={"Retry-After": format_datetime(then, usegmt=True)})
    await client.images.list()
    assert datetime.now(UTC) >= then


@pytest.mark.parametrize("value", ["9999", "soon", "-3", "1e3", "nan", "Wed, 21 Oct 2015 07:28:00 GMT", ""])
async def test_a_too_long_retry_after_raises_and_an_invalid_one_is_ignored(
    emulator: Emulator, client: AsyncImgwireClient, value: str
) -> None:
    emulator.faults.add("GET", "*", status=429, headers={"Retry-After": value})
    started_at = time.monotonic()
    if value == "9999":
        with pytest.raises(RateLimitError) as caught:
            await client.images.list()
        assert caught.value.retry_after == 9999
    else:
        await client.with_options(retries=FAST).images.list()
    assert time.monotonic() - started_at < 4


@pytest.mark.long
async def test_a_429_delays_clones_and_other_threads(emulator: Emulator) -> None:
    with ImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
        emulator.faults.add("GET", "*", status=429, headers={"Retry-After": "1"})
        with pytest.raises(RateLimitError):
            await asyncio.to_thread(client.with_options(retries=0).images.list)
        other = threading.Thread(target=client.with_options(timeout=20).images.list)
        other.start()
        await asyncio.to_thread(client.images.list)
        await asyncio.to_thread(other.join)
    assert min(request_times(emulator)[1:]) >= 1.0


@pytest.mark.long
async def test_a_429_delays_calls_on_other_event_loops(emulator: Emulator) -> None:
    client = AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url)
    emulator.faults.add("GET", "*", status=429, headers={"Retry-After": "1"})
    with pytest.raises(RateLimitError):
        await client.with_options(retries=0).images.list()
    await asyncio.to_thread(asyncio.run, client.images.list())
    await client.aclose()
    assert request_times(emulator)[1] >= 1.0


@pytest.mark.long
async def test_a_429_does_not_use_up_a_retry(emulator: Emulator, client: AsyncImgwireClient) -> None:
    emulator.faults.add("GET", "*", times=4, status=429)
    patient = client.with_options(retries=RetryPolicy(max_retries=1, backoff=0.01, max_backoff=0.02))
    await asyncio.gather(*(patient.images.list() for _ in range(2)))
    emulator.faults.add("GET", "*", status=503)
    await patient.images.list()


async def test_a_call_that_would_wait_longer_than_max_rate_wait_raises_at_once(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    emulator.faults.add("GET", "*", status=429, headers={"Retry-After": "30"})
    with pytest.raises(RateLimitError):
        await client.with_options(retries=0).images.list()
    limited = client.with_options(retries=RetryPolicy(max_rate_wait=5))
    started_at = time.monotonic()
    with pytest.raises(RateLimitError, match=r"0 attempts.*not sent.*max_rate_wait is 5 s") as caught:
        await limited.images.list()
    assert time.monotonic() - started_at < 4
    assert caught.value.retry_after is not None
    assert 20 < caught.value.retry_after <= 30
    assert len(emulator.requests) == 1


async def test_the_deadline_ends_the_wait_for_the_rate_limit(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    emulator.faults.add("GET", "*", status=429, headers={"Retry-After": "30"})
    started_at = time.monotonic()
    with pytest.raises(APITimeoutError, match=r"deadline of 0.3 s.*HTTP 429") as caught:
        await client.with_options(timeout=Timeouts(deadline=0.3)).images.list()
    assert caught.value.which == "deadline"
    assert time.monotonic() - started_at < 4


async def test_the_deadline_error_of_an_unsent_call_names_the_rate_limit(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    emulator.faults.add("GET", "*", status=429, headers={"Retry-After": "30"})
    with pytest.raises(RateLimitError):
        await client.with_options(retries=0).images.list()
    with pytest.raises(
        APITimeoutError, match=r"waiting for .* rate limit.*GET /images/ \(0 attempts"
    ) as caught:
        await client.with_options(timeout=Timeouts(deadline=0.3)).images.list()
    assert caught.value.exchange is not None


@pytest.mark.long
async def test_the_send_times_of_cancelled_calls_are_used_by_others(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    emulator.faults.add("GET", "*", status=429, headers={"Retry-After": "1"})
    with pytest.raises(RateLimitError):
        await client.with_options(retries=0).images.list()
    waiting = [asyncio.create_task(client.images.list()) for _ in range(2000)]
    await asyncio.sleep(0.1)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    started_at = time.monotonic()
    await client.images.list()
    assert time.monotonic() - started_at < 5, "behind the 2000 reserved send times it would take 9 s"
    assert len(emulator.requests) == 2


async def test_a_429_from_the_storage_does_not_delay_api_calls(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    emulator.faults.add("PUT", "/uploads/*", status=429, headers={"Retry-After": "10"})
    uploading = asyncio.create_task(client.images.upload(b"GIF89a\x01\0\x01\0\0\0\0;", mime_type="image/gif"))
    while not any(request.host == "storage" for request in emulator.requests):
        await asyncio.sleep(0.01)
    await client.images.list()
    assert not uploading.done(), "only the upload waits"
    uploading.cancel()
    await asyncio.wait([uploading])


@pytest.mark.long
async def test_on_retry_gets_the_delay_of_the_rate_limit(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    events: list[Any] = []
    emulator.faults.add("GET", "*", status=429, headers={"Retry-After": "1"})
    await client.with_options(hooks=Hooks(on_retry=events.append)).images.list()
    assert [(event.reason, 0 < event.delay <= 1.0) for event in events] == [("HTTP 429", True)]
