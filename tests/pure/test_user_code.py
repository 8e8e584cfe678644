"""Other people's code runs where it belongs: callbacks on the loop, readers and the disk in worker threads."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from imgwire_async import disk_work, thread_pools, user_code


def here() -> int:
    return threading.get_ident()


async def test_a_callback_runs_on_the_loop() -> None:
    assert await user_code.run_callback(here) == here()


@pytest.mark.parametrize("run", [user_code.run_reader, disk_work.run])
async def test_readers_and_disk_work_run_in_worker_threads(run: Any) -> None:
    assert await run(here) != here()


@pytest.mark.parametrize("run", [user_code.run_reader, disk_work.run, user_code.run_callback])
async def test_arguments_results_and_exceptions_are_passed_unchanged(run: Any) -> None:
    assert await run(int, "ff", base=16) == 255
    with pytest.raises(ValueError, match="no number"):
        await run(fail, ValueError("no number"))


def fail(error: Exception) -> None:
    raise error


async def test_slow_readers_do_not_use_the_threads_of_disk_work() -> None:
    go = threading.Event()
    readers = [
        asyncio.ensure_future(user_code.run_reader(go.wait, 10)) for _ in range(thread_pools.DISK_THREADS + 4)
    ]
    try:
        async with asyncio.timeout(5):
            assert await disk_work.run(here) != here()
    finally:
        go.set()
        assert all(await asyncio.gather(*readers))


async def ask_async() -> str:
    return "async"


class Promise:
    def __await__(self) -> Any:
        yield from asyncio.sleep(0).__await__()
        return "promise"


@pytest.mark.parametrize(
    ("source", "answer"), [(lambda: "plain", "plain"), (ask_async, "async"), (Promise, "promise")]
)
async def test_a_callable_may_return_a_result_or_an_awaitable(source: Any, answer: str) -> None:
    assert await user_code.call_maybe_async(source) == answer
