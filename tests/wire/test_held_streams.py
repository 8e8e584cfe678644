"""A stream that its reader holds keeps nothing else from beginning."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from imgwire_async import AsyncImgwireClient, Image
from imgwire_async.emulator import Emulator

from .pictures import png

BIG = png(padding=600_000)


@pytest.fixture
async def narrow(emulator: Emulator) -> AsyncIterator[AsyncImgwireClient]:
    """A client with one slot for PUTs and one for GETs: whatever keeps one, stops the next of its kind."""
    async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url, max_connections=1) as client:
        yield client


@pytest.fixture
async def image(client: AsyncImgwireClient) -> Image:
    return await client.images.retrieve((await client.images.upload(BIG)).id)


async def test_open_streams_do_not_block_other_transfers(narrow: AsyncImgwireClient, image: Image) -> None:
    async with asyncio.timeout(20), narrow.images.stream(image) as one, narrow.images.stream(image) as two:
        first = await anext(one), await anext(two)
        copy = await narrow.images.upload(BIG, wait=True)
        assert await narrow.images.read(copy) == BIG
        for begun, rest in zip(first, (one, two), strict=True):
            assert begun + b"".join([chunk async for chunk in rest]) == BIG


async def test_a_stream_feeds_an_upload_of_known_length_through_one_slot(
    narrow: AsyncImgwireClient, image: Image
) -> None:
    async with asyncio.timeout(20), narrow.images.stream(image) as chunks:
        copy = await narrow.images.upload(chunks, file_name="a.png", content_length=len(BIG), wait=True)
    assert await narrow.images.read(copy) == BIG


@pytest.mark.parametrize(("slots", "copies"), [(3, 10), pytest.param(100, 120, marks=pytest.mark.slow)])
async def test_more_copies_than_slots_all_finish(emulator: Emulator, slots: int, copies: int) -> None:
    settings: dict[str, Any] = {"base_url": emulator.base_url, "max_connections": slots}
    held = asyncio.Barrier(copies)

    async def copied() -> None:
        async with client.images.stream(image) as chunks:
            await held.wait()  # all of them are open before the first is read
            await client.images.upload(chunks, file_name="a.png", content_length=image.size_bytes)

    async with asyncio.timeout(60), AsyncImgwireClient(emulator.api_key, **settings) as client:
        image = await client.images.upload(png(padding=100_000), wait=True)
        await asyncio.gather(*(copied() for _ in range(copies)))
    assert len(emulator.images) == copies + 1


async def test_the_number_of_streams_that_start_is_limited(
    narrow: AsyncImgwireClient, emulator: Emulator, image: Image
) -> None:
    emulator.faults.add("GET", "*", host="cdn", stall=float("inf"))
    emulator.requests.clear()
    async with contextlib.AsyncExitStack() as held:
        tasks = [
            asyncio.ensure_future(held.enter_async_context(narrow.images.stream(image))) for _ in range(3)
        ]
        while not emulator.requests:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert len(emulator.requests) == 1
        tasks[0].cancel()
        async with asyncio.timeout(20):
            await asyncio.gather(*tasks[1:])
    with pytest.raises(asyncio.CancelledError):
        await tasks[0]
