"""The input queue of `upload_many` returns items once, in order, and reads only when a worker waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from imgwire_async.uploads.input_queue import InputQueue


async def take(queue: InputQueue[int], count: int) -> list[tuple[int, int] | None]:
    async with asyncio.timeout(10):
        return await asyncio.gather(*(queue.next() for _ in range(count)))


def numbers(count: int, read: list[int]) -> Iterator[int]:
    for number in range(count):
        read.append(number)
        yield number


async def async_numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


@pytest.mark.parametrize("kind", ["list", "generator", "async generator"])
async def test_items_are_returned_once_and_then_none(kind: str) -> None:
    files = {"list": list(range(100)), "generator": iter(range(100)), "async generator": async_numbers(100)}[
        kind
    ]
    queue = InputQueue(files)
    found = [*await take(queue, 40), *await take(queue, 40), *await take(queue, 40)]
    assert sorted(item for item in found if item is not None) == [(n, n) for n in range(100)]
    assert found.count(None) == 20
    assert await queue.next() is None
    await queue.aclose()


async def test_no_more_items_are_read_than_workers_wait() -> None:
    read = list[int]()
    queue = InputQueue(numbers(1000, read))
    for count in (1, 20, 1, 1, 7):
        before = len(read)
        await take(queue, count)
        assert len(read) - before == count
    await queue.aclose()


async def test_waiting_workers_get_none_when_the_queue_is_over() -> None:
    queue = InputQueue(iter(range(1000)))
    # From now on the queue collects waiting workers before it reads.
    await take(queue, 16)
    waiting = [asyncio.ensure_future(queue.next()) for _ in range(3)]
    await asyncio.sleep(0)
    queue.is_over = True  # a fatal error of another file
    async with asyncio.timeout(10):
        assert await asyncio.gather(*waiting) == [None, None, None]


async def test_no_task_remains_when_the_queue_is_closed_with_waiting_workers() -> None:
    queue = InputQueue(iter(range(1000)))
    await take(queue, 16)
    waiting = [asyncio.ensure_future(queue.next()) for _ in range(3)]
    await asyncio.sleep(0)
    for item in waiting:
        item.cancel()
    await queue.aclose()
    await asyncio.gather(*waiting, return_exceptions=True)
    for _ in range(100):
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await asyncio.sleep(0)


# --- fetches that other code cancels ------------------------------------------------------------------------


def fetches() -> list[asyncio.Task[object]]:
    return [task for task in asyncio.all_tasks() if "InputQueue._fetch" in repr(task)]


@pytest.mark.parametrize("rounds", [1, 2, 3])
async def test_waiting_workers_get_items_although_other_code_cancels_the_fetch(rounds: int) -> None:
    """A task that is cancelled before its first step never runs."""
    go, read = threading.Event(), list[int]()

    def slow() -> Iterator[int]:
        for number in range(10):
            assert go.wait(30)
            read.append(number)
            yield number

    queue = InputQueue(slow())
    waiting = [asyncio.ensure_future(queue.next()) for _ in range(3)]
    while not fetches():
        await asyncio.sleep(0)
    for _ in range(rounds - 1):
        await asyncio.sleep(0)
    for task in fetches():
        task.cancel()
    # If the thread of the fetch has started, it continues.
    await asyncio.sleep(0.02)
    go.set()
    async with asyncio.timeout(20):
        found = await asyncio.gather(*waiting)
        assert sorted(item for item in found if item) == [(0, 0), (1, 1), (2, 2)]
        assert await queue.next() == (3, 3)
    assert read == [0, 1, 2, 3]
    await queue.aclose()


async def test_an_exception_of_the_iterator_is_raised_although_other_code_cancels_the_fetch() -> None:
    go, entered = threading.Event(), threading.Event()

    def broken() -> Iterator[int]:
        entered.set()
        assert go.wait(30)
        raise KeyError("mine")
        yield 0

    queue = InputQueue(broken())
    waiting = asyncio.ensure_future(queue.next())
    while not entered.is_set():
        await asyncio.sleep(0.001)
    for task in fetches():
        task.cancel()
    await asyncio.sleep(0.02)
    go.set()
    async with asyncio.timeout(20):
        with pytest.raises(KeyError, match="mine"):
            await waiting
        assert await queue.next() is None
    await queue.aclose()
