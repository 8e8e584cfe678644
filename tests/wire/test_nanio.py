"""Uploads to nanio, an S3 server of another author that checks every signature."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import attrs
import pytest

from imgwire_async import AsyncImgwireClient, UploadRejectedError, UploadUrlExpiredError
from imgwire_async.emulator import Emulator

from .sources import async_chunks_of, noise

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

KEY, SECRET, REGION = "AK", "secretsecret", "us-east-1"


def presigned(
    origin: str, method: str, path: str, *, age: float = 0.0, lifetime: int = 900, **signed: str
) -> str:
    """Return a presigned URL (signature version 4) that was created `age` seconds ago.

    `signed` are the headers that a request must send with the URL.
    """
    made = datetime.now(UTC) - timedelta(seconds=age)
    day, timestamp = made.strftime("%Y%m%d"), made.strftime("%Y%m%dT%H%M%SZ")
    headers = {
        "host": urlsplit(origin).netloc,
        **{name.replace("_", "-"): value for name, value in signed.items()},
    }
    names = ";".join(sorted(headers))
    scope = f"{day}/{REGION}/s3/aws4_request"
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{KEY}/{scope}",
        "X-Amz-Date": timestamp,
        "X-Amz-Expires": str(lifetime),
        "X-Amz-SignedHeaders": names,
    }
    target = quote(path, safe="/~")
    query_text = "&".join(f"{name}={quote(value, safe='~')}" for name, value in sorted(query.items()))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = f"{method}\n{target}\n{query_text}\n{lines}\n{names}\nUNSIGNED-PAYLOAD"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{SECRET}".encode()
    for part in (day, REGION, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    text = f"AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{digest}"
    return f"{origin}{target}?{query_text}&X-Amz-Signature={hmac.new(key, text.encode(), hashlib.sha256).hexdigest()}"


@pytest.fixture(scope="module")
def nanio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run nanio, and yield its origin."""
    if importlib.util.find_spec("nanio") is None:
        pytest.skip("nanio is not installed; `nox -s slow` installs it")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("nanio")
    command = [Path(sys.executable).with_name("nanio"), "serve", "--host", "127.0.0.1", "--port", str(port)]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            [*command, "--no-access-log", "--data-dir", str(folder / "data")],
            env={**os.environ, "NANIO_ACCESS_KEY": KEY, "NANIO_SECRET_KEY": SECRET},
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            while not _listens(port):
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _listens(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


@attrs.frozen
class Store:
    """A bucket of nanio, and an emulator of the API that returns URLs of that bucket."""

    origin: str
    session: aiohttp.ClientSession
    emulator: Emulator
    record: dict[str, Any]

    def return_urls(self, *urls: str) -> None:
        """Let the API return these URLs, one after the other, and then errors."""
        for url in urls:
            body = {"image": self.record, "upload_url": url}
            self.emulator.faults.add("POST", "*/standard_upload", status=200, body=body)
        self.emulator.faults.add("POST", "*/standard_upload", times=None, status=400, body="no more URLs")

    def url(self, name: str, **options: Any) -> str:
        return presigned(self.origin, "PUT", f"/pictures/{name}", **options)

    async def stored(self, name: str) -> tuple[int, str, str] | None:
        """Return length, type and hash of an object in the bucket, None if there is no such object."""
        url = presigned(self.origin, "GET", f"/pictures/{name}")
        digest, length = hashlib.sha256(), 0
        async with self.session.get(aiohttp.client.URL(url, encoded=True)) as response:
            if response.status == 404:
                return None
            assert response.status == 200, await response.text()
            async for chunk in response.content.iter_chunked(2**20):
                digest.update(chunk)
                length += len(chunk)
            return length, response.headers["Content-Type"], digest.hexdigest()


@pytest.fixture
async def store(nanio: str, client: AsyncImgwireClient, emulator: Emulator) -> AsyncIterator[Store]:
    made = await client.images.create(file_name="a.png", mime_type="image/png")
    record = json.loads((await client.request("GET", f"/images/{made.image.id}")).text)
    async with aiohttp.ClientSession() as session:
        url = presigned(nanio, "PUT", "/pictures")
        async with session.put(aiohttp.client.URL(url, encoded=True)) as response:
            assert response.status in {200, 409}, await response.text()
        yield Store(nanio, session, emulator, record)


def stored_as(data: bytes, mime_type: str = "image/png") -> tuple[int, str, str]:
    return len(data), mime_type, hashlib.sha256(data).hexdigest()


# No literal %, because nanio decodes it twice.
NAMES = ["plain.png", "a b+c~d (1).png", "Zoë-ß-写真.png"]


@pytest.mark.parametrize("signed", [{}, {"content_type": "image/png"}], ids=["host alone", "with its type"])
@pytest.mark.parametrize("name", NAMES)
async def test_a_valid_url_is_used_unchanged(
    client: AsyncImgwireClient, store: Store, name: str, signed: dict[str, str]
) -> None:
    data = noise(100_000 + len(name) + len(signed))
    store.return_urls(store.url(name, **signed))
    await client.images.upload(data, mime_type="image/png")
    assert await store.stored(name) == stored_as(data)


@pytest.mark.parametrize("size", [0, 1, 5_000_000, 200_000_000])
@pytest.mark.parametrize("kind", ["path", "stream"])
async def test_every_size_arrives_completely(
    client: AsyncImgwireClient, store: Store, tmp_path: Path, size: int, kind: str
) -> None:
    data, name = noise(size), f"{kind}-{size}.png"
    store.return_urls(store.url(name, content_type="image/png", content_length=str(size)))
    if kind == "path":
        path = tmp_path / "picture.png"
        path.write_bytes(data)
        await client.images.upload(path, mime_type="image/png")
        path.unlink()
    else:
        await client.images.upload(async_chunks_of(data), mime_type="image/png", content_length=size)
    assert await store.stored(name) == stored_as(data)


def tampered(url: str) -> str:
    return url[:-1] + ("0" if url[-1] != "0" else "1")


WRONG_URLS: dict[str, Callable[[Store, str], str]] = {
    "another signature": lambda store, name: tampered(store.url(name)),
    "another path": lambda store, name: store.url(name).replace("/pictures/", "/pictures/x"),
    "a longer lifetime": lambda store, name: store.url(name).replace("Expires=900", "Expires=901"),
    "more in the query": lambda store, name: store.url(name) + "&x-id=PutObject",
    "no signature": lambda store, name: store.url(name).partition("?")[0],
    "another type": lambda store, name: store.url(name, content_type="image/jpeg"),
    "another length": lambda store, name: store.url(name, content_length="7"),
}


@pytest.mark.parametrize("wrong", WRONG_URLS)
async def test_a_rejected_url_is_replaced_once_and_then_raises(
    client: AsyncImgwireClient, store: Store, wrong: str
) -> None:
    names = [f"{wrong} {number}.png" for number in range(4)]
    store.return_urls(*(WRONG_URLS[wrong](store, name) for name in names))
    with pytest.raises(UploadRejectedError, match="HTTP 403 after 2 PUTs") as caught:
        await client.images.upload(noise(100_000), mime_type="image/png")
    assert caught.value.status == 403
    assert caught.value.image is not None
    assert not re.search("Signature=|Credential=", str(caught.value)), "the URL is secret"
    assert await asyncio.gather(*(store.stored(name) for name in names)) == [None] * 4


async def test_an_upload_succeeds_with_the_second_url(client: AsyncImgwireClient, store: Store) -> None:
    data = noise(100_000)
    store.return_urls(tampered(store.url("second.png")), store.url("second.png"))
    await client.images.upload(data, mime_type="image/png")
    assert await store.stored("second.png") == stored_as(data)


async def test_an_expired_url_is_replaced(client: AsyncImgwireClient, store: Store) -> None:
    data = noise(100_001)
    old = [store.url("third.png", age=age, lifetime=60) for age in (100, 200)]
    store.return_urls(*old, store.url("third.png"))
    await client.images.upload(data, mime_type="image/png")
    assert await store.stored("third.png") == stored_as(data)


@pytest.mark.parametrize("lifetime", [60, 604_800], ids=["a minute", "a week"])
async def test_an_upload_fails_after_three_expired_urls(
    client: AsyncImgwireClient, store: Store, lifetime: int
) -> None:
    store.return_urls(*(store.url("fourth.png", age=lifetime + 100 + n, lifetime=lifetime) for n in range(4)))
    with pytest.raises(UploadUrlExpiredError, match="3 requested") as caught:
        await client.images.upload(noise(100_000), mime_type="image/png")
    assert caught.value.image is not None
    assert await store.stored("fourth.png") is None
