"""The bounded queue between the steps of a walk."""

from __future__ import annotations

import asyncio

import pytest

from imgwire_async.batch.chunk_queue import CHUNK, ChunkQueue


async def test_take_returns_all_items_that_are_there() -> None:
    queue: ChunkQueue[int] = ChunkQueue()
    await queue.put_all(range(CHUNK + 3))
    assert [len(await queue.take()) for _ in range(2)] == [CHUNK, 3]


async def test_put_waits_while_the_queue_is_full() -> None:
    queue: ChunkQueue[int] = ChunkQueue(capacity=2)
    put = asyncio.ensure_future(queue.put_all([1, 2]))
    done, _ = await asyncio.wait([put], timeout=0.05)
    assert not done
    assert await queue.take() == [1, 2]
    await put


async def test_a_cancelled_take_loses_nothing() -> None:
    queue: ChunkQueue[int] = ChunkQueue()
    taking = asyncio.ensure_future(queue.take())
    await asyncio.sleep(0)
    await queue.put_all([1])
    taking.cancel()
    await asyncio.wait([taking])
    assert await queue.take() == [1]


async def test_the_end_comes_after_the_items_before() -> None:
    queue: ChunkQueue[int] = ChunkQueue()
    await queue.put_all([1])
    queue.end()
    assert [await queue.take() for _ in range(3)] == [[1], [], []]


async def test_an_error_comes_after_the_items_before() -> None:
    queue: ChunkQueue[int] = ChunkQueue()
    await queue.put_all([1])
    queue.end(ValueError("first"))
    queue.end(ValueError("second"))
    assert await queue.take() == [1]
    with pytest.raises(ValueError, match="first"):
        await queue.take()


async def test_the_end_wakes_both_sides() -> None:
    full: ChunkQueue[int] = ChunkQueue(capacity=1)
    empty: ChunkQueue[int] = ChunkQueue()
    put, taking = asyncio.ensure_future(full.put_all([1])), asyncio.ensure_future(empty.take())
    await asyncio.sleep(0)
    full.end()
    empty.end()
    async with asyncio.timeout(5):
        await put
        assert await taking == []
