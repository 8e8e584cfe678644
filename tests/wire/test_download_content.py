"""A download rejects content that is no picture or archive, and an existing file stays."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import attrs
import pytest

from imgwire_async import AsyncImgwireClient, DownloadError, Image, ImageDownloadJob, RetryPolicy
from imgwire_async.emulator import Emulator

from .conftest import http, raw_server
from .pictures import png
from .sites import TINY, at, chunked, site

Get = Callable[[AsyncImgwireClient, Image], Awaitable[object]]

PAGE = b"<!DOCTYPE html><html><head><title>Sign in to Free Wi-Fi</title></head><body>?token=1</body></html>"
XML = b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>'
NEW_FORMAT = b"\x93NEW\0\1\2\3" * 300


@pytest.fixture
async def image(client: AsyncImgwireClient, emulator: Emulator) -> Image:
    image = await client.images.retrieve((await client.images.upload(png())).id)
    emulator.requests.clear()
    return image


@pytest.fixture
async def job(client: AsyncImgwireClient, emulator: Emulator, image: Image) -> ImageDownloadJob:
    emulator.download_polls = 1
    job = await client.images.create_bulk_download_job([image.id])
    return await client.images.retrieve_bulk_download_job(job.id)


@pytest.fixture
def old_file(tmp_path: Path) -> Path:
    """An existing file, alone in its folder."""
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "it.png"
    path.write_bytes(b"good")
    return path


@pytest.fixture(params=["download", "read", "stream"])
def get(request: pytest.FixtureRequest, old_file: Path) -> Get:
    """One of the three methods that return the bytes. `download` overwrites the old file."""

    async def download(client: AsyncImgwireClient, image: Image) -> bytes:
        return (await client.images.download(image, old_file, overwrite=True)).read_bytes()

    async def read(client: AsyncImgwireClient, image: Image) -> bytes:
        return await client.images.read(image)

    async def stream(client: AsyncImgwireClient, image: Image) -> bytes:
        async with client.images.stream(image) as chunks:
            return b"".join([chunk async for chunk in chunks])

    methods: dict[str, Get] = {"download": download, "read": read, "stream": stream}
    return methods[request.param]


NO_PICTURES = {
    "a page": (http("200 OK", PAGE, "Content-Type: text/html"), "it is no picture: an HTML page titled 'Sign in to Free Wi-Fi'"),
    "a page labelled as a picture": (http("200 OK", PAGE, "Content-Type: image/png"), "an HTML page titled"),
    "a page in tiny chunks": (chunked(*(PAGE[at : at + 1] for at in range(len(PAGE)))), "an HTML page titled"),
    "json": (http("200 OK", b'{"detail": "Not Found"}', "Content-Type: application/json"), r'JSON \(\{"detail": "Not Found"\}\)'),
    "xml": (http("200 OK", XML, "Content-Type: image/png"), "an XML document"),
    "text": (http("200 OK", b"upstream gone"), r"plain text \(upstream gone\)"),
    "svg": (http("200 OK", b"<svg xmlns=''></svg>", "Content-Type: image/svg+xml"), "an SVG drawing"),
    "unknown bytes called text": (http("200 OK", NEW_FORMAT, "Content-Type: text/plain"), "called 'text/plain'"),
    "a compressed page": (http("200 OK", gzip.compress(PAGE), "Content-Type: image/png"), "a gzip archive"),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_PICTURES)
async def test_content_that_is_no_picture_is_rejected_without_a_retry_and_the_old_file_stays(
    client: AsyncImgwireClient, image: Image, old_file: Path, get: Get, name: str
) -> None:
    raw, match = NO_PICTURES[name]
    async with site({"/i": raw}) as served:
        with pytest.raises(DownloadError, match=rf"image {image.id}: GET .*{match}.*proxy") as caught:
            await get(client, at(image, f"{served.origin}/i"))
        # A retry would get the same page.
        assert len(served.heads) == 1
    assert (caught.value.status, caught.value.image is not None) == (200, True)
    assert {path.name: path.read_bytes() for path in old_file.parent.iterdir()} == {"it.png": b"good"}


@pytest.mark.parametrize("raw", [http("200 OK", b"", "Content-Type: image/png"), chunked()])
async def test_an_empty_response_is_retried(
    client: AsyncImgwireClient, image: Image, old_file: Path, get: Get, raw: bytes
) -> None:
    quick = client.with_options(retries=RetryPolicy(2, backoff=0.01))
    async with site({"/i": raw}) as served:
        with pytest.raises(DownloadError, match="HTTP 200 without any bytes") as caught:
            await get(quick, at(image, f"{served.origin}/i"))
        assert len(served.heads) == 3
    assert caught.value.status == 200
    assert [path.read_bytes() for path in old_file.parent.iterdir()] == [b"good"]
    async with site({"/i": http("200 OK", TINY)}, first=raw) as served:
        assert await get(quick, at(image, f"{served.origin}/i")) == TINY


@pytest.mark.parametrize(
    "head", ["HTTP/1.1 200 OK", "HTTP/1.0 200 OK", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity"]
)
async def test_a_response_without_a_length_or_chunks_is_rejected(
    client: AsyncImgwireClient, image: Image, old_file: Path, get: Get, head: str
) -> None:
    raw = head.encode() + b"\r\nContent-Type: image/png\r\nConnection: close\r\n\r\n" + png()
    async with site({"/i": raw}) as served:
        with pytest.raises(DownloadError, match=r"neither a Content-Length nor chunked encoding.*HTTP/1\.0"):
            await get(client, at(image, f"{served.origin}/i"))
        assert len(served.heads) == 1
    assert [path.read_bytes() for path in old_file.parent.iterdir()] == [b"good"]


PICTURES = {
    "octet-stream": http("200 OK", png(), "Content-Type: application/octet-stream"),
    "binary/octet-stream": http("200 OK", png(), "Content-Type: binary/octet-stream"),
    "no type": http("200 OK", png()),
    "text/plain": http("200 OK", png(), "Content-Type: text/plain; charset=utf-8"),
    "an old server with a length": http("200 OK", png()).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "tiny chunks": chunked(*(png()[at : at + 1] for at in range(len(png())))),
    "a new format": http("200 OK", NEW_FORMAT, "Content-Type: image/new"),
    "unknown bytes": http("200 OK", NEW_FORMAT, "Content-Type: application/octet-stream"),
}


@pytest.mark.parametrize("name", PICTURES)
async def test_a_picture_is_accepted_with_any_content_type(
    client: AsyncImgwireClient, image: Image, get: Get, name: str
) -> None:
    wanted = NEW_FORMAT if NEW_FORMAT in PICTURES[name] else png()
    async with site({"/i": PICTURES[name]}) as served:
        assert await get(client, at(image, f"{served.origin}/i")) == wanted


async def test_slow_small_chunks_are_collected_before_the_check(
    client: AsyncImgwireClient, image: Image, get: Get
) -> None:
    async def send_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PAGE))
        for begin in range(0, len(PAGE), 10):
            writer.write(PAGE[begin : begin + 10])
            await writer.drain()
            await asyncio.sleep(0.005)

    async with raw_server(send_slowly) as origin:
        with pytest.raises(DownloadError, match="an HTML page titled 'Sign in to Free Wi-Fi'"):
            await get(client, at(image, f"{origin}/i"))


# Archives


@pytest.mark.parametrize(
    ("raw", "match"),
    [
        (
            http("200 OK", PAGE, "Content-Type: text/html"),
            "it is no ZIP archive: an HTML page titled 'Sign in",
        ),
        (http("200 OK", XML, "Content-Type: application/zip"), "an XML document"),
        (http("200 OK", png(), "Content-Type: application/zip"), r"a picture \(image/png\)"),
        (http("200 OK", b"", "Content-Type: application/zip"), "without any bytes"),
        (
            b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nPK\x05\x06" + bytes(18),
            "neither a Content-Length nor chunked encoding",
        ),
    ],
)
async def test_content_that_is_no_archive_is_rejected_and_the_old_file_stays(
    client: AsyncImgwireClient, job: ImageDownloadJob, old_file: Path, raw: bytes, match: str
) -> None:
    async with site({"/a?sig=secret": raw}) as served:
        changed_job = attrs.evolve(job, download_url=f"{served.origin}/a?sig=secret")
        with pytest.raises(DownloadError, match=rf"archive of bulk download job .*{match}") as caught:
            await client.with_options(retries=0).images.download_archive(
                changed_job, old_file, overwrite=True
            )
    assert "secret" not in str(caught.value)
    assert [path.read_bytes() for path in old_file.parent.iterdir()] == [b"good"]


async def test_an_archive_is_accepted_with_any_content_type(
    client: AsyncImgwireClient, job: ImageDownloadJob, old_file: Path
) -> None:
    empty = b"PK\x05\x06" + bytes(18)
    async with site({"/a": http("200 OK", empty, "Content-Type: text/plain")}) as served:
        changed_job = attrs.evolve(job, download_url=f"{served.origin}/a")
        assert (
            await client.images.download_archive(changed_job, old_file, overwrite=True)
        ).read_bytes() == empty


# TLS

LOOPBACK = Path(__file__).parents[1] / "data" / "loopback.pem"


@pytest.fixture
async def broken_tls_server() -> AsyncIterator[str]:
    """The URL of a server that ends its response with a FIN but no TLS close, like a broken connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(LOOPBACK)

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nConnection: close\r\n\r\n" + png()[:30])
        await writer.drain()
        writer.get_extra_info("socket").shutdown(socket.SHUT_WR)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(respond, "127.0.0.1", 0, ssl=context)
    yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/i"
    server.close()


async def test_a_connection_that_breaks_without_a_tls_close_is_no_complete_response(
    emulator: Emulator, image: Image, old_file: Path, get: Get, broken_tls_server: str
) -> None:
    async with AsyncImgwireClient(
        emulator.api_key, base_url=emulator.base_url, ssl=LOOPBACK, retries=0
    ) as client:
        with pytest.raises(DownloadError, match="neither a Content-Length nor chunked encoding"):
            await get(client, at(image, broken_tls_server))
    assert [path.read_bytes() for path in old_file.parent.iterdir()] == [b"good"]
