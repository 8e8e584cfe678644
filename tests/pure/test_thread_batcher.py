"""Functions run in batches in worker threads, and a function that hangs delays no other function."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from typing import Any

import pytest

from imgwire_async import disk_work
from imgwire_async.thread_batcher import BATCH_SIZE, BatchTimer, ThreadBatcher
from imgwire_async.threads import ThreadPool


def new_batcher(threads: int = 4) -> ThreadBatcher:
    return ThreadBatcher(ThreadPool(threads))


async def test_each_future_gets_the_result_of_its_own_function() -> None:
    batcher = new_batcher()

    def odd(number: int) -> int:
        if number % 2 == 0:
            raise ValueError(number)
        return number

    futures = [batcher.submit(lambda number=number: odd(number)) for number in range(100)]  # type: ignore[misc]
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert [result.args[0] if isinstance(result, ValueError) else result for result in results] == list(
        range(100)
    )
    assert isinstance(results[0], ValueError)
    assert results[1] == 1


async def test_a_function_runs_in_another_thread() -> None:
    assert await new_batcher().submit(threading.get_ident) != threading.get_ident()


async def test_a_function_that_hangs_delays_no_other_function() -> None:
    batcher, release = new_batcher(), threading.Event()
    before = [batcher.submit(lambda: "before") for _ in range(3)]
    hanging = batcher.submit(lambda: release.wait(10))
    later = [batcher.submit(lambda: "later") for _ in range(30)]
    try:
        async with asyncio.timeout(5):
            assert set(await asyncio.gather(*before, *later)) == {"before", "later"}
        assert not hanging.done()
    finally:
        release.set()
        assert await hanging


async def test_a_function_whose_future_was_cancelled_is_not_run() -> None:
    batcher, release, ran = new_batcher(threads=1), threading.Event(), list[str]()
    first = batcher.submit(lambda: release.wait(10))
    unwanted, wanted = (
        batcher.submit(lambda: ran.append("unwanted")),
        batcher.submit(lambda: ran.append("wanted")),
    )
    unwanted.cancel()
    release.set()
    await asyncio.gather(first, wanted)
    assert ran == ["wanted"]


class CountingBatcher(ThreadBatcher):
    """Counts the batches that it runs."""

    def __init__(self) -> None:
        super().__init__(ThreadPool(4))
        self.runs = 0

    def _run_batch(self) -> None:
        self.runs += 1
        super()._run_batch()


class RecordingTimer(BatchTimer):
    """Records the size of each batch instead of running it."""

    def __init__(self, window: float = 60.0) -> None:
        super().__init__()
        self.window = window
        self.waiting = 0
        self.batches: list[int] = []

    def _count_waiting(self) -> int:
        return self.waiting

    def _start_batch(self) -> None:
        self.batches.append(self.waiting)
        self.waiting = 0

    def add(self) -> None:
        self.waiting += 1
        self._schedule_batch()


async def test_items_that_arrive_in_a_row_share_a_batch() -> None:
    timer = RecordingTimer()
    timer.add()
    assert timer.batches == [1], "the first item starts a batch at once"
    timer.waiting = BATCH_SIZE - 1
    timer.add()
    for _ in range(BATCH_SIZE * 5):
        timer.add()
        # One item in each iteration of the loop.
        await asyncio.sleep(0)
    assert timer.batches == [1, *[BATCH_SIZE] * 6]


async def test_a_batch_waits_only_a_few_loop_iterations_for_further_items() -> None:
    timer = RecordingTimer()
    timer.waiting = 2
    timer.add()
    timer.add()
    assert timer.batches == [3]
    for _ in range(20):
        await asyncio.sleep(0)
    assert timer.batches == [3, 1]
    timer.add()
    assert timer.batches == [3, 1, 1]
    timer.waiting = 5
    timer.add()
    timer.add()
    # Another batch has run the items before.
    timer.waiting = 0
    for _ in range(40):
        await asyncio.sleep(0)
    assert timer.batches == [3, 1, 1, 6], "without items no batch starts"


async def test_a_single_function_starts_at_once() -> None:
    batcher = CountingBatcher()
    for number in range(1, 30):
        await batcher.submit(int)
        assert batcher.runs == number


async def test_a_batch_waits_no_longer_than_its_window() -> None:
    timer = RecordingTimer(window=0.0)
    timer.waiting = 9
    timer.add()
    timer.add()
    assert timer.batches == [10, 1]
    assert 0 < BatchTimer.window < 0.05


class Opened:
    """Counts the instances that are alive."""

    alive = 0

    def __init__(self) -> None:
        Opened.alive += 1

    def __del__(self) -> None:
        Opened.alive -= 1


async def test_finish_runs_on_the_loop_and_the_result_of_a_cancelled_future_is_dropped() -> None:
    batcher, release, finished = new_batcher(threads=1), threading.Event(), list[int]()

    def function() -> Opened:
        release.wait(10)
        return Opened()

    def finish(_: Opened) -> str:
        finished.append(threading.get_ident())
        return "done"

    awaited, unwanted = batcher.submit(function, finish), batcher.submit(function, finish)
    # The first function starts.
    await asyncio.sleep(0.05)
    unwanted.cancel()
    release.set()
    assert await awaited == "done"
    cancelled = batcher.submit(Opened, finish)
    while batcher._finished or batcher._running:
        cancelled.cancel()
        await asyncio.sleep(0)
    assert finished == [threading.get_ident()]
    assert Opened.alive == 0


def test_a_loop_that_ends_with_waiting_functions_is_not_kept_alive() -> None:
    async def end_early() -> weakref.ref[asyncio.AbstractEventLoop]:
        for _ in range(40):
            task = asyncio.ensure_future(disk_work.run_batched(int))
        await asyncio.sleep(0)
        task.cancel()
        return weakref.ref(asyncio.get_running_loop())

    loops = [asyncio.run(end_early()) for _ in range(5)]
    # A thread may still run a function.
    end = time.monotonic() + 5
    while any(loop() is not None for loop in loops) and time.monotonic() < end:
        gc.collect()
    assert [loop() for loop in loops] == [None] * 5


async def test_an_exception_of_finish_is_raised_by_the_future() -> None:
    def finish(_: int) -> None:
        raise LookupError("from finish")

    with pytest.raises(LookupError, match="from finish"):
        await new_batcher().submit(int, finish)


async def test_a_failure_to_start_a_thread_is_raised_by_all_futures() -> None:
    class Broken(ThreadPool):
        def submit(self, function: Any, dispose: Any = None) -> asyncio.Future[Any]:
            future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            future.set_exception(RuntimeError("can't start new thread"))
            return future

    batcher = ThreadBatcher(Broken(1))
    futures = [batcher.submit(lambda: None) for _ in range(20)]
    for future in futures:
        with pytest.raises(RuntimeError, match="new thread"):
            async with asyncio.timeout(5):
                await future


def test_a_loop_that_ended_is_not_kept_alive() -> None:
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def run_one() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await disk_work.run_batched(int)

    asyncio.run(run_one())
    gc.collect()
    assert loops[0]() is None


async def test_the_result_of_a_cancelled_future_is_disposed_of_in_a_thread() -> None:
    batcher, release, disposed = new_batcher(threads=1), threading.Event(), list[tuple[str, int]]()
    done = threading.Event()

    def function() -> str:
        release.wait(10)
        return "result"

    def dispose(value: str) -> None:
        disposed.append((value, threading.get_ident()))
        done.set()

    future = batcher.submit(function, dispose=dispose)
    # The function starts.
    await asyncio.sleep(0.05)
    future.cancel()
    release.set()
    assert await asyncio.to_thread(done.wait, 10)
    ((value, thread),) = disposed
    assert (value, thread != threading.get_ident()) == ("result", True)
