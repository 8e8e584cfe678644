"""Odd servers: wrong clocks, interim statuses, closed idle connections, compressed errors."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from samples import data

from imgwire_async import (
    APIConnectionError,
    APITimeoutError,
    AsyncImgwireClient,
    DownloadError,
    Image,
    ImgwireError,
    RetryPolicy,
    StandardUpload,
    Timeouts,
    UploadConnectionError,
    UploadUrlExpiredError,
)
from imgwire_async.emulator import Emulator

from .conftest import http, raw_server
from .pictures import png

EXPIRED = b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"


def dated(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


# --- a wrong clock ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hours", [pytest.param(-2, marks=pytest.mark.slow), 2])
async def test_retry_after_dates_work_with_a_wrong_server_clock(hours: int) -> None:
    times: list[float] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        times.append(time.monotonic())
        now = (datetime.now(UTC) + timedelta(hours=hours)).replace(microsecond=0)
        if len(times) == 1:
            wait = [f"Date: {dated(now)}", f"Retry-After: {dated(now + timedelta(seconds=1))}"]
            writer.write(http("429 Too Many Requests", b"{}", *wait))
        else:
            writer.write(http("200 OK", b"[]", f"Date: {dated(now)}"))
        await writer.drain()

    async with (
        raw_server(answer) as origin,
        AsyncImgwireClient("sk_x", base_url=origin) as client,
        asyncio.timeout(10),
    ):
        await client.images.list()
    assert 1.0 <= times[1] - times[0] < 6


# --- statuses below 200 -------------------------------------------------------------------------------------

INTERIM = [
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    b"HTTP/1.1 000 What\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 099 What\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
]


@pytest.mark.parametrize("raw", INTERIM, ids=["101", "000", "099"])
@pytest.mark.parametrize("operation", ["retrieve", "delete", "upload", "read", "download", "stream"])
async def test_a_status_below_200_is_never_a_success(raw: bytes, operation: str, tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"POST"):
            upload = data(StandardUpload, upload_url=f"{origin}/k?signature=x")
            upload["image"]["cdn_url"] = f"{origin}/o/e/i"
            writer.write(http("200 OK", json.dumps(upload).encode(), "Content-Type: application/json"))
        else:
            writer.write(raw)
        await writer.drain()

    async with (
        raw_server(answer) as origin,
        AsyncImgwireClient("sk_x", base_url=origin, retries=0) as client,
        asyncio.timeout(20),
    ):
        image = (await client.images.create(file_name="a.png")).image

        async def stream() -> None:
            async with client.images.stream(image) as chunks:
                async for _ in chunks:
                    pass

        calls: dict[str, tuple[Callable[[], Awaitable[object]], type[ImgwireError]]] = {
            "retrieve": (lambda: client.images.retrieve(image.id), APIConnectionError),
            "delete": (lambda: client.images.delete(image.id), APIConnectionError),
            "upload": (lambda: client.images.upload(png()), UploadConnectionError),
            "read": (lambda: client.images.read(image), DownloadError),
            "download": (lambda: client.images.download(image, tmp_path / "a.png"), DownloadError),
            "stream": (stream, DownloadError),
        }
        call, kind = calls[operation]
        with pytest.raises(kind, match="not a final response"):
            await call()
    assert list(tmp_path.iterdir()) == []


# --- connections that end while the loop does not run -------------------------------------------------------


async def test_a_connection_closed_while_the_loop_was_blocked_is_not_used() -> None:
    """Some servers soon close idle connections. A loop that is blocked or stopped does not notice that."""
    connections = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        # Then the server closes the connection, without `Connection: close`.
        await writer.drain()

    async with (
        raw_server(answer) as origin,
        AsyncImgwireClient("sk_x", base_url=origin, retries=0) as client,
    ):
        for _ in range(3):
            # A POST without a key and without retries: only aiohttp itself could repeat it.
            assert (await client.request("POST", "/things")).status == 200
            await asyncio.sleep(0)
            time.sleep(0.3)  # blocks the loop, so that it does not notice the end
    assert connections == 3


@pytest.mark.slow
async def test_a_response_that_cannot_be_decompressed_breaks_no_other_call() -> None:
    """When such a response has been read, another request may use its connection already."""
    cut = gzip.compress(b"x" * 3000)[:-9]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            if b"/cut" not in await reader.readuntil(b"\r\n\r\n"):
                await asyncio.sleep(0.002)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                continue
            head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(cut)}\r\n\r\n"
            writer.write(head.encode())
            await writer.drain()
            await asyncio.sleep(0.002)
            writer.write(cut)

    async with (
        raw_server(answer) as origin,
        AsyncImgwireClient("sk_x", base_url=origin, retries=0, max_connections=30) as client,
    ):

        async def post() -> None:
            for _ in range(200):
                await client.request("POST", "/good")

        async def get() -> None:
            for _ in range(200):
                with pytest.raises(APIConnectionError, match="before the end of its compressed data"):
                    await client.request("GET", "/cut")

        await asyncio.gather(*(post() for _ in range(20)), *(get() for _ in range(10)))


# --- compressed errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", ["gzip", "identity"])
async def test_a_compressed_error_of_the_storage_is_decompressed(
    coding: str, emulator: Emulator, client: AsyncImgwireClient
) -> None:
    said = gzip.compress(EXPIRED) if coding == "gzip" else EXPIRED
    emulator.faults.add(
        "PUT", "/uploads/*", times=None, status=403, body=said, headers={"Content-Encoding": coding}
    )
    with pytest.raises(UploadUrlExpiredError, match="Request has expired"):
        await client.images.upload(png())
    puts = [record for record in emulator.requests if record.host == "storage"]
    assert {put.header("Accept-Encoding") for put in puts} == {"identity"}


@pytest.mark.parametrize("coding", ["gzip", "identity"])
async def test_a_compressed_error_of_the_cdn_is_decompressed(
    coding: str, emulator: Emulator, client: AsyncImgwireClient
) -> None:
    image = await client.images.upload(png(), wait=True)
    said = b"no such picture here"
    emulator.faults.add(
        "GET",
        "*",
        host="cdn",
        status=404,
        body=gzip.compress(said) if coding == "gzip" else said,
        headers={"Content-Encoding": coding},
    )
    with pytest.raises(DownloadError, match="no such picture here"):
        await client.images.read(image)


@pytest.mark.parametrize("said", [b"\x1f\x8bnonsense", b"", b"no gzip at all"])
async def test_an_error_response_that_cannot_be_decompressed_keeps_its_status(
    said: bytes, emulator: Emulator, client: AsyncImgwireClient
) -> None:
    emulator.faults.add("PUT", "/uploads/*", status=413, body=said, headers={"Content-Encoding": "gzip"})
    with pytest.raises(ImgwireError, match="HTTP 413"):
        await client.images.upload(png())


# --- an unknown status --------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["UPLOAD_FAILED", "AWAITING_BYTES", "EXPIRED"])
async def test_an_unknown_status_after_a_lost_put_does_not_count_as_stored(
    status: str, emulator: Emulator, client: AsyncImgwireClient
) -> None:
    quick = client.with_options(retries=RetryPolicy(backoff=0.01))
    emulator.faults.add("PUT", "/uploads/*", reset="before")
    made: list[Image] = []

    def created(image: Image) -> None:
        made.append(image)
        odd = {**data(Image, id=image.id), "status": status}
        emulator.faults.add("GET", f"/api/v1/images/{image.id}", status=200, body=json.dumps(odd))

    image = await quick.images.upload(png(), on_created=created)
    assert [image.id for image in made] == [image.id]
    stored = emulator.images[image.id].stored
    assert stored is not None, "the bytes were sent once more"


# --- invalid bodies, proxies that close the connection, quoted tokens ---------------------------------------


@pytest.mark.parametrize("body", [b"zz\r\n", b"5\r\nabcdeXX"], ids=["no size", "no end of a piece"])
@pytest.mark.parametrize("operation", ["read", "download", "retrieve"])
async def test_invalid_chunked_encoding_raises_an_imgwire_error(
    body: bytes, operation: str, tmp_path: Path
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"POST"):
            upload = data(StandardUpload)
            upload["image"]["cdn_url"] = f"{origin}/o/e/i"
            writer.write(http("200 OK", json.dumps(upload).encode(), "Content-Type: application/json"))
        else:
            piece = b"%x\r\n%b\r\n" % (len(png()), png())
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + piece + body)
        await writer.drain()

    clocks = Timeouts(attempt=1, stall=1)
    async with (
        raw_server(answer) as origin,
        AsyncImgwireClient("sk_x", base_url=origin, retries=0, timeout=clocks) as client,
        asyncio.timeout(20),
    ):
        image = (await client.images.create(file_name="a.png")).image
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "read": lambda: client.images.read(image),
            "download": lambda: client.images.download(image, tmp_path / "a.png"),
            "retrieve": lambda: client.images.retrieve(image.id),
        }
        with pytest.raises(ImgwireError):
            await calls[operation]()
    assert list(tmp_path.iterdir()) == []


async def test_a_request_lost_in_the_proxy_counts_as_not_sent() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"CONNECT")

    async with (
        raw_server(refuse) as proxy,
        AsyncImgwireClient("sk_x", base_url="https://api.example", proxy=proxy, retries=0) as client,
    ):
        with pytest.raises(APIConnectionError) as caught:
            await client.images.create_upload_token()
    assert not caught.value.sent
    assert "may have carried out this call" not in str(caught.value)


@pytest.mark.parametrize("status", [401, 403, 422, 500])
async def test_an_upload_token_quoted_by_the_service_appears_in_no_error(
    status: int, emulator: Emulator, client: AsyncImgwireClient
) -> None:
    token = "SECRETTOKEN1"
    emulator.faults.add(
        "POST", "*", status=status, body={"detail": f"bad token {token}", "error_type": f"x{token}"}
    )
    with pytest.raises(ImgwireError) as caught:
        await client.with_options(retries=0).images.upload(png(), upload_token=token)
    assert "bad token" in str(caught.value)
    assert token not in f"{caught.value} {caught.value.__dict__}"


# --- sources and connections that never end -----------------------------------------------------------------


@pytest.mark.parametrize("head", [b"", png()], ids=["from the start", "after a picture"])
async def test_the_deadline_ends_an_upload_whose_source_yields_nothing(
    head: bytes, client: AsyncImgwireClient
) -> None:
    async def empty() -> AsyncIterator[bytes]:
        yield head
        while True:
            yield b""

    with pytest.raises(APITimeoutError):
        await client.with_options(timeout=Timeouts(deadline=0.3)).images.upload(
            empty(), content_length=10_000, mime_type="image/png"
        )


@pytest.mark.world
async def test_nothing_is_written_after_the_connection_broke(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    """This holds for a source that never suspends, too."""
    given = 0

    async def quick() -> AsyncIterator[bytes]:
        nonlocal given
        for _ in range(400):
            given += 1
            yield bytes(100_000)

    emulator.faults.add("PUT", "/uploads/*", reset=1_000)
    with pytest.raises(ImgwireError):
        await client.images.upload(quick(), content_length=40_000_000, mime_type="image/png")
    assert given < 400
