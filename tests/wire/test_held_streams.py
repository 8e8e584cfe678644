"""An open stream that nobody reads does not keep other transfers from starting."""

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
async def one_slot_client(emulator: Emulator) -> AsyncIterator[AsyncImgwireClient]:
    """A client with one put slot and one get slot, so that a leaked slot blocks the next transfer."""
    async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url, max_connections=1) as client:
        yield client


@pytest.fixture
async def image(client: AsyncImgwireClient) -> Image:
    return await client.images.retrieve((await client.images.upload(BIG)).id)


async def test_open_streams_do_not_block_other_transfers(
    one_slot_client: AsyncImgwireClient, image: Image
) -> None:
    async with (
        asyncio.timeout(20),
        one_slot_client.images.stream(image) as one,
        one_slot_client.images.stream(image) as two,
    ):
        first = await anext(one), await anext(two)
        copy = await one_slot_client.images.upload(BIG, wait=True)
        assert await one_slot_client.images.read(copy) == BIG
        for first_chunk, rest in zip(first, (one, two), strict=True):
            assert first_chunk + b"".join([chunk async for chunk in rest]) == BIG


async def test_a_stream_feeds_an_upload_of_known_length_through_one_slot(
    one_slot_client: AsyncImgwireClient, image: Image
) -> None:
    async with asyncio.timeout(20), one_slot_client.images.stream(image) as chunks:
        copy = await one_slot_client.images.upload(
            chunks, file_name="a.png", content_length=len(BIG), wait=True
        )
    assert await one_slot_client.images.read(copy) == BIG


@pytest.mark.parametrize(("slots", "copies"), [(3, 10), pytest.param(100, 120, marks=pytest.mark.slow)])
async def test_more_copies_than_slots_all_finish(emulator: Emulator, slots: int, copies: int) -> None:
    settings: dict[str, Any] = {"base_url": emulator.base_url, "max_connections": slots}
    all_open = asyncio.Barrier(copies)

    async def copy() -> None:
        async with client.images.stream(image) as chunks:
            # All streams are open before the first one is read.
            await all_open.wait()
            await client.images.upload(chunks, file_name="a.png", content_length=image.size_bytes)

    async with asyncio.timeout(60), AsyncImgwireClient(emulator.api_key, **settings) as client:
        image = await client.images.upload(png(padding=100_000), wait=True)
        await asyncio.gather(*(copy() for _ in range(copies)))
    assert len(emulator.images) == copies + 1


async def test_the_number_of_streams_that_start_is_limited(
    one_slot_client: AsyncImgwireClient, emulator: Emulator, image: Image
) -> None:
    emulator.faults.add("GET", "*", host="cdn", stall=float("inf"))
    emulator.requests.clear()
    async with contextlib.AsyncExitStack() as streams:
        tasks = [
            asyncio.ensure_future(streams.enter_async_context(one_slot_client.images.stream(image)))
            for _ in range(3)
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
