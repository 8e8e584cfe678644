"""The bounded queue between the steps of a walk."""

from __future__ import annotations

import asyncio

import pytest

from imgwire_async.batch.chunk_queue import CHUNK, ChunkQueue
from imgwire_async.batch.items import MAX_BYTES


def no_bytes(_: object) -> int:
    return 0


async def test_take_returns_all_items_that_are_there() -> None:
    queue: ChunkQueue[int] = ChunkQueue(no_bytes)
    await queue.put_all(range(CHUNK + 3))
    assert [len(await queue.take()) for _ in range(2)] == [CHUNK, 3]


async def test_put_waits_while_the_queue_is_full() -> None:
    queue: ChunkQueue[int] = ChunkQueue(no_bytes, capacity=2)
    put = asyncio.ensure_future(queue.put_all([1, 2]))
    done, _ = await asyncio.wait([put], timeout=0.05)
    assert not done
    assert await queue.take() == [1, 2]
    await put


async def test_a_cancelled_take_loses_nothing() -> None:
    queue: ChunkQueue[int] = ChunkQueue(no_bytes)
    taking = asyncio.ensure_future(queue.take())
    await asyncio.sleep(0)
    await queue.put_all([1])
    taking.cancel()
    await asyncio.wait([taking])
    assert await queue.take() == [1]


async def test_the_end_comes_after_the_items_before() -> None:
    queue: ChunkQueue[int] = ChunkQueue(no_bytes)
    await queue.put_all([1])
    queue.end()
    assert [await queue.take() for _ in range(3)] == [[1], [], []]


async def test_an_error_comes_after_the_items_before() -> None:
    queue: ChunkQueue[int] = ChunkQueue(no_bytes)
    await queue.put_all([1])
    queue.end(ValueError("first"))
    queue.end(ValueError("second"))
    assert await queue.take() == [1]
    with pytest.raises(ValueError, match="first"):
        await queue.take()


async def test_the_end_wakes_both_sides() -> None:
    full: ChunkQueue[int] = ChunkQueue(no_bytes, capacity=1)
    empty: ChunkQueue[int] = ChunkQueue(no_bytes)
    put, taking = asyncio.ensure_future(full.put_all([1])), asyncio.ensure_future(empty.take())
    await asyncio.sleep(0)
    full.end()
    empty.end()
    async with asyncio.timeout(5):
        await put
        assert await taking == []


async def test_bytes_in_memory_fill_the_queue() -> None:
    queue: ChunkQueue[bytes] = ChunkQueue(len)
    put = asyncio.ensure_future(queue.put_all([bytes(MAX_BYTES // 3)] * 10))
    taken = 0
    while taken < 10:
        items = await queue.take()
        assert len(items) <= 4
        taken += len(items)
    await put
