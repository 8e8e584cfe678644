"""The caller's files on their way to the workers: each once, in order, no more than are waited for, and an end for everybody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from imgwire_async.uploads.input_queue import InputQueue


async def taken(feed: InputQueue[int], count: int) -> list[tuple[int, int] | None]:
    async with asyncio.timeout(10):
        return await asyncio.gather(*(feed.next() for _ in range(count)))


def numbers(most: int, taken: list[int]) -> Iterator[int]:
    for number in range(most):
        taken.append(number)
        yield number


async def numbered(most: int) -> AsyncIterator[int]:
    for number in range(most):
        yield number


@pytest.mark.parametrize("kind", ["list", "generator", "async generator"])
async def test_each_file_comes_once_and_then_the_end(kind: str) -> None:
    files = {"list": list(range(100)), "generator": iter(range(100)), "async generator": numbered(100)}[kind]
    feed = InputQueue(files)
    found = [*await taken(feed, 40), *await taken(feed, 40), *await taken(feed, 40)]
    assert sorted(each for each in found if each is not None) == [(n, n) for n in range(100)]
    assert found.count(None) == 20
    assert await feed.next() is None
    await feed.aclose()


async def test_no_more_are_taken_than_are_waited_for() -> None:
    seen = list[int]()
    feed = InputQueue(numbers(1000, seen))
    for count in (1, 20, 1, 1, 7):
        before = len(seen)
        await taken(feed, count)
        assert len(seen) - before == count
    await feed.aclose()


async def test_whoever_waits_for_others_to_come_is_told_when_it_is_over() -> None:
    feed = InputQueue(iter(range(1000)))
    await taken(feed, 16)  # now it expects many
    waiting = [asyncio.ensure_future(feed.next()) for _ in range(3)]
    await asyncio.sleep(0)
    feed.over = True  # a fatal error of another file
    async with asyncio.timeout(10):
        assert await asyncio.gather(*waiting) == [None, None, None]


async def test_closed_while_somebody_waits_for_others_to_come_nothing_runs_on() -> None:
    feed = InputQueue(iter(range(1000)))
    await taken(feed, 16)
    waiting = [asyncio.ensure_future(feed.next()) for _ in range(3)]
    await asyncio.sleep(0)
    for each in waiting:
        each.cancel()
    await feed.aclose()
    await asyncio.gather(*waiting, return_exceptions=True)
    for _ in range(100):
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await asyncio.sleep(0)


# --- fetches that other code cancels ------------------------------------------------------------------------------------------


def fetches() -> list[asyncio.Task[object]]:
    return [task for task in asyncio.all_tasks() if "InputQueue._fetch" in repr(task)]


@pytest.mark.parametrize("rounds", [1, 2, 3])
async def test_whoever_waits_gets_a_file_though_others_cancel_the_fetch(rounds: int) -> None:
    """A fetch that is cancelled before its first step runs no line of it."""
    go, taken = threading.Event(), list[int]()

    def slow() -> Iterator[int]:
        for number in range(10):
            assert go.wait(30)
            taken.append(number)
            yield number

    feed = InputQueue(slow())
    waiting = [asyncio.ensure_future(feed.next()) for _ in range(3)]
    while not fetches():
        await asyncio.sleep(0)
    for _ in range(rounds - 1):
        await asyncio.sleep(0)
    for task in fetches():
        task.cancel()
    await asyncio.sleep(0.02)  # its thread goes on, if it had begun
    go.set()
    async with asyncio.timeout(20):
        found = await asyncio.gather(*waiting)
        assert sorted(each for each in found if each) == [(0, 0), (1, 1), (2, 2)]
        assert await feed.next() == (3, 3)
    assert taken == [0, 1, 2, 3]
    await feed.aclose()


async def test_what_the_iterator_raises_is_told_though_others_cancelled_the_fetch() -> None:
    go, over = threading.Event(), threading.Event()

    def broken() -> Iterator[int]:
        over.set()
        assert go.wait(30)
        raise KeyError("mine")
        yield 0

    feed = InputQueue(broken())
    waiting = asyncio.ensure_future(feed.next())
    while not over.is_set():
        await asyncio.sleep(0.001)
    for task in fetches():
        task.cancel()
    await asyncio.sleep(0.02)
    go.set()
    async with asyncio.timeout(20):
        with pytest.raises(KeyError, match="mine"):
            await waiting
        assert await feed.next() is None
    await feed.aclose()
