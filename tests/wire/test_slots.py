"""Slots: GETs and PUTs do not wait for each other, and no delay and no user code holds a slot for ever."""

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


async def test_streams_that_feed_uploads_do_not_deadlock(emulator: Emulator) -> None:
    async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url, max_connections=4) as client:
        image = await ready(client)

        async def copy() -> Image:
            async with client.images.stream(image) as chunks:
                return await client.images.upload(chunks, content_length=len(PICTURE), mime_type="image/png")

        async with asyncio.timeout(30):
            copies = await asyncio.gather(*(copy() for _ in range(12)))
    assert {stored.length for image in copies if (stored := emulator.images[image.id].stored)} == {
        len(PICTURE)
    }


async def test_sources_that_download_do_not_deadlock(emulator: Emulator) -> None:
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


async def test_open_streams_do_not_delay_other_transfers(emulator: Emulator) -> None:
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


async def test_an_upload_inside_the_source_of_another_upload_fails_with_an_explanation(
    emulator: Emulator,
) -> None:
    """The outer upload holds the only slot, so the inner upload cannot start. It must not wait for ever."""
    async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url, max_connections=1) as client:
        impatient = client.with_options(timeout=Timeouts(stall=0.5))
        inner: list[UploadStalledError] = []

        async def source() -> AsyncIterator[bytes]:
            yield PICTURE[:2000]
            with pytest.raises(UploadStalledError, match="inside the source or a callback") as caught:
                await impatient.images.upload(PICTURE)
            inner.append(caught.value)
            yield PICTURE[2000:]

        async with asyncio.timeout(20):
            await client.images.upload(source(), content_length=len(PICTURE), mime_type="image/png")
            assert inner
            assert await ready(client), "the slot is free again"


@contextmanager
def few_open_files() -> Iterator[None]:
    """Provide a limit of open files that allows 32 temporary files.

    A loop reads the limit when it needs the first.
    """
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
async def test_uploads_of_unknown_size_inside_such_sources_fail_with_an_explanation(
    emulator: Emulator, looked_at: bool
) -> None:
    """All temporary files belong to uploads that wait for another one, so none would ever be released."""
    async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
        with few_open_files():
            await client.images.upload(of_unknown_size())
        impatient = client.with_options(timeout=Timeouts(stall=0.5))
        begun = 0
        all_begun = asyncio.Event()

        async def source() -> AsyncIterator[bytes]:
            nonlocal begun
            yield PICTURE[: 100 if looked_at else 2000]
            begun += 1
            if begun == 32:
                all_begun.set()
            await all_begun.wait()
            await impatient.images.upload(of_unknown_size())

        async with asyncio.timeout(30):
            ends = await asyncio.gather(
                *(client.images.upload(source()) for _ in range(32)), return_exceptions=True
            )
            messages = [str(end) for end in ends if isinstance(end, UploadStalledError)]
            assert messages
            assert all("Start it outside, pass content_length=" in message for message in messages)
            # A wait of another task, or a later wait of this task, does not count as a wait inside a source.
            assert not user_code.inside_user_code.get()
            await client.images.upload(of_unknown_size())


@pytest.mark.slow
async def test_uploads_of_unknown_size_wait_for_temporary_files_without_a_timeout(emulator: Emulator) -> None:
    async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
        with few_open_files():
            await client.images.upload(of_unknown_size())
        impatient = client.with_options(timeout=Timeouts(stall=0.2))
        go = asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield PICTURE[:2000]
            await go.wait()

        async with asyncio.timeout(30):
            holding = [asyncio.ensure_future(client.images.upload(slow())) for _ in range(32)]
            await asyncio.sleep(0.2)
            waiting = asyncio.ensure_future(impatient.images.upload(of_unknown_size()))
            await asyncio.sleep(0.6)
            assert not waiting.done()
            go.set()
            await asyncio.gather(*holding, waiting)


@pytest.mark.long
async def test_an_upload_that_waits_for_the_rate_limit_holds_no_put_slot(emulator: Emulator) -> None:
    """While one upload waits for the rate limit to fetch its URL, another upload that has a URL continues."""
    async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url, max_connections=1) as client:
        image = await ready(client)
        emulator.faults.add("POST", "*", status=429, headers={"Retry-After": "1"})
        waiting = asyncio.ensure_future(client.images.upload(PICTURE))
        async with asyncio.timeout(10):
            while client._shared.rate_gate.controller is None:
                await asyncio.sleep(0.01)
        started_at = time.monotonic()
        assert await client.images.read(image) == PICTURE
        assert time.monotonic() - started_at < 2
        sessions = await client._shared.sessions.get()
        assert not sessions.slots.puts.locked()
        async with asyncio.timeout(20):
            await waiting


async def test_an_error_of_a_source_fails_only_its_own_file(emulator: Emulator) -> None:
    """This holds for an authentication error of another client, too. From the API it would end the run."""
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


async def test_a_rejected_key_ends_the_whole_upload_many(emulator: Emulator) -> None:
    async with AsyncImgwireClient("sk_wrong", base_url=emulator.base_url) as client:
        run = client.images.upload_many([PICTURE] * 20, concurrency=2)
        results = []
        with pytest.raises(AuthenticationError):
            async for result in run:
                results.append(result)
    assert 1 <= len(results) < 20
