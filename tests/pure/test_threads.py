"""Thread pools: stuck jobs do not count, late results are disposed of, and only the loop's clock counts."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from imgwire_async import cancellation, disk_work, thread_pools, user_code
from imgwire_async.threads import CANCEL_GRACE, ThreadPool


async def test_a_stuck_job_does_not_count_towards_the_limit() -> None:
    pool, release = ThreadPool(2), threading.Event()
    stuck = [pool.submit(lambda: release.wait(20)) for _ in range(2)]
    waiting = [pool.submit(threading.get_ident) for _ in range(5)]
    try:
        async with asyncio.timeout(10):
            assert threading.get_ident() not in await asyncio.gather(*waiting)
        assert not any(future.done() for future in stuck)
    finally:
        release.set()
        assert await asyncio.gather(*stuck) == [True] * 2


async def test_the_number_of_stuck_jobs_is_limited() -> None:
    pool, release = ThreadPool(1, max_stuck=1), threading.Event()
    stuck = [pool.submit(lambda: release.wait(20)) for _ in range(2)]
    waiting = pool.submit(int)
    await asyncio.sleep(1.4 * CANCEL_GRACE)
    assert not waiting.done()
    release.set()
    async with asyncio.timeout(10):
        await asyncio.gather(*stuck)
        assert await waiting == 0


async def test_a_job_whose_future_was_cancelled_is_not_started() -> None:
    pool, release, ran = ThreadPool(1), threading.Event(), list[str]()
    first = pool.submit(lambda: release.wait(20))
    pool.submit(lambda: ran.append("unwanted")).cancel()
    wanted = pool.submit(lambda: ran.append("wanted"))
    release.set()
    await asyncio.gather(first, wanted)
    assert ran == ["wanted"]


@pytest.mark.parametrize("error", [StopIteration(3), LookupError("failed"), SystemExit(4)], ids=repr)
async def test_an_exception_of_a_function_is_raised_by_its_future(error: BaseException) -> None:
    def fail() -> None:
        raise error

    future = ThreadPool(1).submit(fail)
    await asyncio.wait([future])
    raised = future.exception()
    assert raised is error or (isinstance(raised, RuntimeError) and raised.__cause__ is error)


class Opened:
    def __init__(self, release: threading.Event) -> None:
        release.wait(20)
        self.closed = threading.Event()
        opened.append(self)

    def close(self) -> None:
        self.closed.set()


opened: list[Opened] = []


@pytest.mark.parametrize("slow", [False, True], ids=["soon", "late"])
async def test_a_result_that_comes_after_the_cancellation_is_disposed_of(slow: bool) -> None:
    opened.clear()
    release = threading.Event()
    task = asyncio.ensure_future(disk_work.run_or_dispose(Opened.close, Opened, release))
    await asyncio.sleep(0.05)
    task.cancel()
    started_at = time.monotonic()
    if not slow:
        release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - started_at < 5
    release.set()
    async with asyncio.timeout(10):
        while not opened:
            await asyncio.sleep(0.01)
    assert await asyncio.to_thread(opened[0].closed.wait, 10)


def test_a_result_that_comes_after_the_end_of_the_loop_is_disposed_of() -> None:
    opened.clear()
    release = threading.Event()

    async def end_early() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await disk_work.run_or_dispose(Opened.close, Opened, release)

    asyncio.run(end_early())
    release.set()
    started_at = time.monotonic()
    while not opened and time.monotonic() - started_at < 10:
        time.sleep(0.01)
    assert opened[0].closed.wait(10)


@pytest.mark.parametrize(
    "run",
    [
        disk_work.run,
        *(pytest.param(run, marks=pytest.mark.slow) for run in (user_code.run_reader, disk_work.run_cleanup)),
    ],
)
async def test_a_cancelled_wait_for_a_thread_ends_soon(run: Any) -> None:
    release = threading.Event()
    task = asyncio.ensure_future(run(release.wait, 20))
    await asyncio.sleep(0.05)
    started_at = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - started_at < 5
    release.set()


async def test_cleanup_is_done_although_the_task_is_cancelled_repeatedly() -> None:
    done = threading.Event()

    async def work() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await disk_work.run_cleanup(lambda: (time.sleep(0.1), done.set()))

    task = asyncio.ensure_future(work())
    for _ in range(3):
        await asyncio.sleep(0.02)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done.is_set()


@pytest.mark.parametrize("now", [lambda: 0.0, lambda: 1e12], ids=["stands still", "far ahead"])
async def test_only_the_clock_of_the_loop_counts(monkeypatch: pytest.MonkeyPatch, now: Any) -> None:
    loop, real = asyncio.get_running_loop(), time.monotonic
    monkeypatch.setattr(loop, "time", real)
    future: asyncio.Future[None] = loop.create_future()
    monkeypatch.setattr(time, "monotonic", now)
    started_at = real()
    await cancellation.wait_all([future], timeout=0.1)
    assert 0.09 < real() - started_at < 5


async def test_cancelling_all_tasks_does_not_cancel_later_work() -> None:
    release = threading.Event()
    first = asyncio.ensure_future(disk_work.run_batched(release.wait, 20))
    await asyncio.sleep(0.02)
    others = [asyncio.ensure_future(disk_work.run_batched(int)) for _ in range(3)]
    await asyncio.sleep(0)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    later = asyncio.ensure_future(disk_work.run_batched(os.getpid))
    await asyncio.sleep(0)
    release.set()
    async with asyncio.timeout(10):
        assert await later == os.getpid()
    results = await asyncio.gather(first, *others, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_has_its_own_threads(tmp_path: Path) -> None:
    # The thread of this call stays idle in the parent.
    asyncio.run(disk_work.run(int))
    child = os.fork()
    if child == 0:
        result = asyncio.run(disk_work.run(lambda: 7))
        os._exit(result)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


async def test_a_wait_that_is_cancelled_twice_raises_once_and_disposes_of_the_result() -> None:
    opened.clear()
    release = threading.Event()
    task = asyncio.ensure_future(disk_work.run_or_dispose(Opened.close, Opened, release))
    for _ in range(2):
        await asyncio.sleep(0.05)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    async with asyncio.timeout(10):
        while not opened:
            await asyncio.sleep(0.01)
    assert await asyncio.to_thread(opened[0].closed.wait, 10)


@pytest.mark.slow
async def test_a_waiting_job_starts_when_a_stuck_job_ends() -> None:
    pool, first, second = ThreadPool(1, max_stuck=1), threading.Event(), threading.Event()
    stuck = [pool.submit(lambda: first.wait(60)), pool.submit(lambda: second.wait(60))]
    waiting = pool.submit(int)
    # Now the first job counts as stuck. The second job does not, because the limit of stuck jobs is reached.
    await asyncio.sleep(2.5 * CANCEL_GRACE)
    first.set()
    try:
        async with asyncio.timeout(10):
            assert await waiting == 0
    finally:
        second.set()
        await asyncio.gather(*stuck)


async def test_an_exception_of_dispose_is_not_logged_by_asyncio() -> None:
    logged = list[object]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context))
    pool, release, tried = ThreadPool(1), threading.Event(), threading.Event()

    def dispose(_: object) -> None:
        tried.set()
        raise OSError("EIO")

    pool.submit(lambda: release.wait(20), dispose).cancel()
    await asyncio.sleep(0.05)
    future = pool.submit(lambda: release.wait(20), dispose)
    release.set()
    await asyncio.sleep(0)
    future.cancel()
    assert await asyncio.to_thread(tried.wait, 10)
    async with asyncio.timeout(10):
        while pool._running:
            await asyncio.sleep(0.01)
    gc.collect()
    assert logged == []


def test_a_dispose_that_hangs_after_the_end_of_its_loop_delays_no_other_loop() -> None:
    release, cleaning, end = threading.Event(), threading.Event(), threading.Event()

    def dispose(_: object) -> None:
        cleaning.set()
        end.wait(60)

    async def end_early() -> None:
        ThreadPool(1).submit(lambda: release.wait(60), dispose)
        await asyncio.sleep(0.05)

    asyncio.run(end_early())
    release.set()
    assert cleaning.wait(10)

    async def run_many() -> None:
        # More jobs than there are idle threads.
        async with asyncio.timeout(10):
            await asyncio.gather(*(disk_work.run(int) for _ in range(thread_pools.DISK_THREADS)))

    try:
        asyncio.run(run_many())
    finally:
        end.set()


def test_a_dispose_that_fails_after_the_end_of_its_loop_ends_no_thread() -> None:
    release, tried = threading.Event(), threading.Event()

    def dispose(_: object) -> None:
        tried.set()
        raise OSError("EIO")

    async def end_early() -> None:
        ThreadPool(1).submit(lambda: release.wait(60), dispose)
        await asyncio.sleep(0.05)

    asyncio.run(end_early())
    release.set()
    assert tried.wait(10)
    asyncio.run(asyncio.wait_for(disk_work.run(int), 10))


def test_loops_of_many_threads_can_start_at_the_same_time() -> None:
    before = sys.getswitchinterval()
    errors = list[Exception]()
    kept = [asyncio.new_event_loop() for _ in range(60)]

    async def begin() -> None:
        thread_pools.of_running_loop()

    def run() -> None:
        try:
            for _ in range(60):
                asyncio.run(begin())
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(8)]
    sys.setswitchinterval(1e-6)
    try:
        for loop in kept:
            loop.run_until_complete(begin())
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
        for loop in kept:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
    assert errors == []
