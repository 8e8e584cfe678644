"""Looks at the disk that share their way into a thread: everybody gets the own answer, and nobody waits for one that hangs."""

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


def batcher(threads: int = 4) -> ThreadBatcher:
    return ThreadBatcher(ThreadPool(threads))


async def test_each_future_gets_the_result_of_its_own_function() -> None:
    batches = batcher()

    def odd(number: int) -> int:
        if number % 2 == 0:
            raise ValueError(number)
        return number

    asked = [batches.submit(lambda number=number: odd(number)) for number in range(100)]  # type: ignore[misc]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [answer.args[0] if isinstance(answer, ValueError) else answer for answer in answers] == list(
        range(100)
    )
    assert isinstance(answers[0], ValueError)
    assert answers[1] == 1


async def test_a_function_runs_in_another_thread() -> None:
    assert await batcher().submit(threading.get_ident) != threading.get_ident()


async def test_a_function_that_hangs_delays_no_other_function() -> None:
    batches, go = batcher(), threading.Event()
    before = [batches.submit(lambda: "before") for _ in range(3)]
    hanging = batches.submit(lambda: go.wait(10))
    behind = [batches.submit(lambda: "behind") for _ in range(30)]
    try:
        async with asyncio.timeout(5):
            assert set(await asyncio.gather(*before, *behind)) == {"before", "behind"}
        assert not hanging.done()
    finally:
        go.set()
        assert await hanging


async def test_a_function_whose_future_was_cancelled_is_not_run() -> None:
    batches, go, made = batcher(threads=1), threading.Event(), list[str]()
    first = batches.submit(lambda: go.wait(10))
    unwanted, wanted = (
        batches.submit(lambda: made.append("unwanted")),
        batches.submit(lambda: made.append("wanted")),
    )
    unwanted.cancel()
    go.set()
    await asyncio.gather(first, wanted)
    assert made == ["wanted"]


class Counted(ThreadBatcher):
    """Counts its ways into a thread."""

    def __init__(self) -> None:
        super().__init__(ThreadPool(4))
        self.ways = 0

    def _run_batch(self) -> None:
        self.ways += 1
        super()._run_batch()


class Bus(BatchTimer):
    """Takes along whoever waits, and notes how many those were."""

    def __init__(self, window: float = 60.0) -> None:
        super().__init__()
        self.window = window
        self.waiting = 0
        self.trips: list[int] = []

    def _count_waiting(self) -> int:
        return self.waiting

    def _start_batch(self) -> None:
        self.trips.append(self.waiting)
        self.waiting = 0

    def come(self) -> None:
        self.waiting += 1
        self._schedule_batch()


async def test_items_that_arrive_in_a_row_share_a_batch() -> None:
    bus = Bus()
    bus.come()
    assert bus.trips == [1], "who comes first goes at once"
    bus.waiting = BATCH_SIZE - 1
    bus.come()
    for _ in range(BATCH_SIZE * 5):
        bus.come()
        await asyncio.sleep(0)  # one in each round of the loop
    assert bus.trips == [1, *[BATCH_SIZE] * 6]


async def test_a_batch_waits_only_a_few_loop_iterations_for_further_items() -> None:
    bus = Bus()
    bus.waiting = 2
    bus.come()
    bus.come()
    assert bus.trips == [3]
    for _ in range(20):
        await asyncio.sleep(0)
    assert bus.trips == [3, 1]
    bus.come()
    assert bus.trips == [3, 1, 1]
    bus.waiting = 5
    bus.come()
    bus.come()
    bus.waiting = 0  # somebody was in a hurry and took them
    for _ in range(40):
        await asyncio.sleep(0)
    assert bus.trips == [3, 1, 1, 6], "nobody there, no trip"


async def test_a_single_function_starts_at_once() -> None:
    batches = Counted()
    for number in range(1, 30):
        await batches.submit(int)
        assert batches.ways == number


async def test_a_batch_waits_no_longer_than_its_window() -> None:
    bus = Bus(window=0.0)
    bus.waiting = 9
    bus.come()
    bus.come()
    assert bus.trips == [10, 1]
    assert 0 < BatchTimer.window < 0.05


class Opened:
    """Counts those that are held."""

    held = 0

    def __init__(self) -> None:
        Opened.held += 1

    def __del__(self) -> None:
        Opened.held -= 1


async def test_finish_runs_on_the_loop_and_the_result_of_a_cancelled_future_is_dropped() -> None:
    batches, go, finished = batcher(threads=1), threading.Event(), list[int]()

    def seen() -> Opened:
        go.wait(10)
        return Opened()

    def finish(_: Opened) -> str:
        finished.append(threading.get_ident())
        return "done"

    kept, left = batches.submit(seen, finish), batches.submit(seen, finish)
    await asyncio.sleep(0.05)  # the first is under way
    left.cancel()
    go.set()
    assert await kept == "done"
    handed = batches.submit(Opened, finish)
    while batches._finished or batches._running:
        handed.cancel()
        await asyncio.sleep(0)
    assert finished == [threading.get_ident()]
    assert Opened.held == 0


def test_a_loop_that_ends_with_waiting_functions_is_not_kept_alive() -> None:
    async def leave() -> weakref.ref[asyncio.AbstractEventLoop]:
        for _ in range(40):
            task = asyncio.ensure_future(disk_work.run_batched(int))
        await asyncio.sleep(0)
        task.cancel()
        return weakref.ref(asyncio.get_running_loop())

    loops = [asyncio.run(leave()) for _ in range(5)]
    end = time.monotonic() + 5  # a thread may have a look in its hands just now
    while any(loop() is not None for loop in loops) and time.monotonic() < end:
        gc.collect()
    assert [loop() for loop in loops] == [None] * 5


async def test_an_exception_of_finish_is_raised_by_the_future() -> None:
    def finish(_: int) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await batcher().submit(int, finish)


async def test_a_failure_to_start_a_thread_is_raised_by_all_futures() -> None:
    class Broken(ThreadPool):
        def submit(self, function: Any, dispose: Any = None) -> asyncio.Future[Any]:
            future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            future.set_exception(RuntimeError("can't start new thread"))
            return future

    batches = ThreadBatcher(Broken(1))
    asked = [batches.submit(lambda: None) for _ in range(20)]
    for each in asked:
        with pytest.raises(RuntimeError, match="new thread"):
            async with asyncio.timeout(5):
                await each


def test_a_loop_that_ended_is_not_kept_alive() -> None:
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def look() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await disk_work.run_batched(int)

    asyncio.run(look())
    gc.collect()
    assert loops[0]() is None


async def test_the_result_of_a_cancelled_future_is_disposed_of_in_a_thread() -> None:
    batches, go, cleaned = batcher(threads=1), threading.Event(), list[tuple[str, int]]()
    reached = threading.Event()

    def seen() -> str:
        go.wait(10)
        return "seen"

    def late(value: str) -> None:
        cleaned.append((value, threading.get_ident()))
        reached.set()

    left = batches.submit(seen, dispose=late)
    await asyncio.sleep(0.05)  # it is under way
    left.cancel()
    go.set()
    assert await asyncio.to_thread(reached.wait, 10)
    ((value, thread),) = cleaned
    assert (value, thread != threading.get_ident()) == ("seen", True)
