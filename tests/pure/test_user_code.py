"""Callbacks run on the loop, readers and disk work in worker threads."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from imgwire_async import disk_work, thread_pools, user_code


def current_thread_id() -> int:
    return threading.get_ident()


async def test_a_callback_runs_on_the_loop() -> None:
    assert await user_code.run_callback(current_thread_id) == current_thread_id()


@pytest.mark.parametrize("run", [user_code.run_reader, disk_work.run])
async def test_readers_and_disk_work_run_in_worker_threads(run: Any) -> None:
    assert await run(current_thread_id) != current_thread_id()


@pytest.mark.parametrize("run", [user_code.run_reader, disk_work.run, user_code.run_callback])
async def test_arguments_results_and_exceptions_are_passed_unchanged(run: Any) -> None:
    assert await run(int, "ff", base=16) == 255
    with pytest.raises(ValueError, match="failed"):
        await run(fail, ValueError("failed"))


def fail(error: Exception) -> None:
    raise error


async def test_slow_readers_do_not_use_the_threads_of_disk_work() -> None:
    release = threading.Event()
    readers = [
        asyncio.ensure_future(user_code.run_reader(release.wait, 10))
        for _ in range(thread_pools.DISK_THREADS + 4)
    ]
    try:
        async with asyncio.timeout(5):
            assert await disk_work.run(current_thread_id) != current_thread_id()
    finally:
        release.set()
        assert all(await asyncio.gather(*readers))


async def async_key() -> str:
    return "async"


class CustomAwaitable:
    def __await__(self) -> Any:
        yield from asyncio.sleep(0).__await__()
        return "awaitable"


@pytest.mark.parametrize(
    ("function", "result"), [(lambda: "plain", "plain"), (async_key, "async"), (CustomAwaitable, "awaitable")]
)
async def test_a_callable_may_return_a_result_or_an_awaitable(function: Any, result: str) -> None:
    assert await user_code.call_maybe_async(function) == result
