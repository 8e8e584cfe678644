"""What holds a slot, and what must not: GET and PUT do not wait for each other, and no pause or caller holds one for ever."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from imgwire_async import (
    AsyncImgwireClient,
    AuthenticationError,
    Image,
    Timeouts,
    UploadItem,
    UploadStalledError,
    user_code,
)
from imgwire_async.emulator import Emulator

from .pictures import png

PICTURE = png(padding=200_000)


async def ready(client: AsyncImgwireClient) -> Image:
    return await client.images.upload(PICTURE, wait=True)


async def test_streams_that_feed_uploads_never_wait_for_each_other(emulator: Emulator) -> None:
    async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url, max_connections=4) as client:
        image = await ready(client)

        async def copy() -> Image:
            async with client.images.stream(image) as chunks:
                return await client.images.upload(chunks, content_length=len(PICTURE), mime_type="image/png")

        async with asyncio.timeout(30):
            copies = await asyncio.gather(*(copy() for _ in range(12)))
    assert {stored.length for each in copies if (stored := emulator.images[each.id].stored)} == {len(PICTURE)}


async def test_sources_that_download_never_wait_for_each_other(emulator: Emulator) -> None:
    async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url, max_connections=2) as client:
        image = await ready(client)

        async def source() -> AsyncIterator[bytes]:
            yield await client.images.read(image)

        async with asyncio.timeout(30):
            await asyncio.gather(
                *(
                    client.images.upload(source(), content_length=len(PICTURE), mime_type="image/png")
                    for _ in range(8)
                )
            )


async def test_streams_that_are_held_keep_nobody_waiting(emulator: Emulator) -> None:
    async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url, max_connections=1) as client:
        image = await ready(client)
        async with (
            asyncio.timeout(30),
            client.images.stream(image) as first,
            client.images.stream(image) as second,
        ):
            assert await client.images.read(image) == PICTURE
            await ready(client)
            assert b"".join([chunk async for chunk in second]) == PICTURE
            assert b"".join([chunk async for chunk in first]) == PICTURE


async def test_an_upload_inside_the_source_of_another_one_says_what_it_waits_for(emulator: Emulator) -> None:
    """With one slot, which the outer one holds, the inner one can never begin: it must not hang."""
    async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url, max_connections=1) as client:
        hasty = client.with_options(timeout=Timeouts(stall=0.5))
        inner: list[UploadStalledError] = []

        async def source() -> AsyncIterator[bytes]:
            yield PICTURE[:2000]
            with pytest.raises(UploadStalledError, match="inside the source or a callback") as caught:
                await hasty.images.upload(PICTURE)
            inner.append(caught.value)
            yield PICTURE[2000:]

        async with asyncio.timeout(20):
            await client.images.upload(source(), content_length=len(PICTURE), mime_type="image/png")
            assert inner
            assert await ready(client), "the slot is free again"


@contextmanager
def few_open_files() -> Iterator[None]:
    """A limit of open files that makes 32 rooms for spools, which a loop counts when it needs the first."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def of_unknown_size() -> AsyncIterator[bytes]:
    yield PICTURE[:2000]


@pytest.mark.slow
@pytest.mark.parametrize("looked_at", [True, False], ids=["in the first bytes", "later"])
async def test_uploads_of_unknown_size_inside_the_sources_of_such_say_what_they_wait_for(
    emulator: Emulator, looked_at: bool
) -> None:
    """When all rooms for temporary files are held by uploads that wait for one, nobody would ever give one back."""
    async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
        with few_open_files():
            await client.images.upload(of_unknown_size())
        hasty = client.with_options(timeout=Timeouts(stall=0.5))
        begun = 0
        all_begun = asyncio.Event()

        async def source() -> AsyncIterator[bytes]:
            nonlocal begun
            yield PICTURE[: 100 if looked_at else 2000]
            begun += 1
            if begun == 32:
                all_begun.set()
            await all_begun.wait()
            await hasty.images.upload(of_unknown_size())

        async with asyncio.timeout(30):
            ends = await asyncio.gather(
                *(client.images.upload(source()) for _ in range(32)), return_exceptions=True
            )
            told = [str(end) for end in ends if isinstance(end, UploadStalledError)]
            assert told
            assert all("Start it outside, give content_length=" in each for each in told)
            # No wait of another task, or of this one later, is taken for one inside a source.
            assert not user_code.inside_user_code.get()
            await client.images.upload(of_unknown_size())


@pytest.mark.slow
async def test_uploads_of_unknown_size_wait_for_their_rooms_without_a_clock(emulator: Emulator) -> None:
    async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
        with few_open_files():
            await client.images.upload(of_unknown_size())
        hasty = client.with_options(timeout=Timeouts(stall=0.2))
        go = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield PICTURE[:2000]
            await go.wait()

        async with asyncio.timeout(30):
            holding = [asyncio.ensure_future(client.images.upload(slow())) for _ in range(32)]
            await asyncio.sleep(0.2)
            waiting = asyncio.ensure_future(hasty.images.upload(of_unknown_size()))
            await asyncio.sleep(0.6)
            assert not waiting.done()
            go.set()
            await asyncio.gather(*holding, waiting)


async def test_a_rate_limit_of_the_api_holds_no_slot_of_the_storage(emulator: Emulator) -> None:
    """While one upload waits for its turn to ask for a URL, another that has one goes on."""
    async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url, max_connections=1) as client:
        image = await ready(client)
        emulator.faults.add("POST", "*", status=429, headers={"Retry-After": "1"})
        waiting = asyncio.ensure_future(client.images.upload(PICTURE))
        async with asyncio.timeout(10):
            while client._shared.rate_gate.controller is None:
                await asyncio.sleep(0.01)
        began = time.monotonic()
        assert await client.images.read(image) == PICTURE
        assert time.monotonic() - began < 2
        sessions = await client._shared.sessions.get()
        assert not sessions.slots.puts.locked()
        async with asyncio.timeout(20):
            await waiting


async def test_an_error_of_a_files_own_source_meets_that_file_alone(emulator: Emulator) -> None:
    """Also when it comes from another client of ours, and is of a class that ends a run when the API says it."""
    async with (
        AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url) as client,
        AsyncImgwireClient("sk_wrong", base_url=emulator.base_url) as other,
    ):

        async def broken() -> AsyncIterator[bytes]:
            yield PICTURE[:2000]
            await other.images.list()
            yield PICTURE[2000:]

        files = [
            UploadItem(broken(), content_length=len(PICTURE)) if number % 5 == 0 else UploadItem(PICTURE)
            for number in range(20)
        ]
        results = [result async for result in client.images.upload_many(files, concurrency=2)]
    assert len(results) == 20
    failed = [result for result in results if result.error is not None]
    assert {result.index for result in failed} == {0, 5, 10, 15}
    for result in failed:
        assert isinstance(result.error, AuthenticationError)
        assert result.error.image is None, "it is another call's error, and says nothing of this file"
        assert result.image is not None


async def test_a_refused_key_still_ends_the_run(emulator: Emulator) -> None:
    async with AsyncImgwireClient("sk_wrong", base_url=emulator.base_url) as client:
        run = client.images.upload_many([PICTURE] * 20, concurrency=2)
        results = []
        with pytest.raises(AuthenticationError):
            async for result in run:
                results.append(result)
    assert 1 <= len(results) < 20
