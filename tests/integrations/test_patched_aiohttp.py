"""aioresponses and vcrpy patch aiohttp: API calls and downloads work with them, and an upload raises."""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from imgwire_async import (
    AsyncImgwireClient,
    Image,
    NotFoundError,
    UploadRejectedError,
    to_dict,
)
from imgwire_async.emulator import Emulator

from .serving import GIF

pytestmark = pytest.mark.slow

API = "https://api.example.com/api/v1"
UPLOAD_URL = "https://storage.example.com/up?X-Amz-Signature=secret"
NO_UPLOAD = "aiohttp is patched .* imgwire_async.emulator.Emulator"
LENGTH = {"Content-Length": str(len(GIF)), "Content-Type": "image/gif"}


class Response(aiohttp.ClientResponse):
    """The response class for aioresponses 0.7.9, with the argument that aiohttp requires since 3.14."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if "stream_writer" in inspect.signature(aiohttp.ClientResponse).parameters:
            kwargs["stream_writer"] = SimpleNamespace(output_size=0)
        super().__init__(*args, **kwargs)


@pytest.fixture
async def local(emulator: Emulator) -> AsyncIterator[AsyncImgwireClient]:
    async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
        yield client


@pytest.fixture
async def client() -> AsyncIterator[AsyncImgwireClient]:
    async with AsyncImgwireClient("k", base_url="https://api.example.com") as client:
        yield client


@pytest.fixture
async def image(local: AsyncImgwireClient) -> Image:
    return await local.images.upload(GIF, file_name="hero.gif", wait=True)


@pytest.fixture
def record(image: Image) -> dict[str, Any]:
    return {**to_dict(image), "cdn_url": f"https://cdn.example.com/o/e/{image.id}"}


@pytest.fixture
def mocked(record: dict[str, Any]) -> Iterator[Any]:
    """Patch aiohttp. Depends on `record`, because its upload needs the real aiohttp."""
    aioresponses: Any = pytest.importorskip("aioresponses", reason="needs aioresponses")
    with aioresponses.aioresponses() as mocked:
        yield mocked


async def test_api_calls_and_downloads_work_with_aioresponses(
    mocked: Any, client: AsyncImgwireClient, record: dict[str, Any], tmp_path: Path
) -> None:
    url = f"{API}/images/{record['id']}"
    mocked.get(url, payload=record, response_class=Response)
    image = await client.images.retrieve(record["id"])
    assert image.original_filename == "hero.gif"
    mocked.get(url, status=404, payload={"detail": "gone"}, response_class=Response)
    with pytest.raises(NotFoundError, match="gone"):
        await client.images.retrieve(record["id"])
    mocked.get(image.cdn_url, body=GIF, headers=LENGTH, response_class=Response, repeat=True)
    assert await client.images.read(image) == GIF
    assert (await client.images.download(image, tmp_path / "hero.gif")).read_bytes() == GIF


async def test_an_upload_under_aioresponses_raises_once_that_nothing_was_sent(
    mocked: Any, client: AsyncImgwireClient, record: dict[str, Any]
) -> None:
    created = {"image": record, "upload_url": UPLOAD_URL}
    mocked.post(f"{API}/images/standard_upload", payload=created, response_class=Response, repeat=True)
    mocked.put(re.compile("https://storage"), status=200, response_class=Response)
    with pytest.raises(RuntimeError, match=NO_UPLOAD) as caught:
        await client.images.upload(GIF, file_name="hero.gif")
    assert "secret" not in str(caught.value)
    assert [method for method, _ in mocked.requests] == ["POST", "PUT"]
    mocked.put(re.compile("https://storage"), status=400, response_class=Response)
    # Failures can be mocked.
    with pytest.raises(UploadRejectedError):
        await client.images.upload(GIF, file_name="hero.gif")


async def test_vcrpy_replays_calls_and_downloads_but_no_upload(
    local: AsyncImgwireClient, emulator: Emulator, image: Image, tmp_path: Path
) -> None:
    vcr: Any = pytest.importorskip("vcr", reason="needs vcrpy")
    cassette = str(tmp_path / "hero.yaml")
    with vcr.use_cassette(cassette, filter_headers=["authorization"]):
        page = await local.images.list()
        data = await local.images.read(image)
        await local.images.upload(GIF, file_name="other.gif")
    assert len(emulator.images) == 2
    before = len(emulator.requests)
    with vcr.use_cassette(cassette, record_mode="none", allow_playback_repeats=True):
        assert (await local.images.list()).data == page.data
        assert await local.images.read(image) == data == GIF
        with pytest.raises(RuntimeError, match=NO_UPLOAD):
            await local.images.upload(GIF, file_name="other.gif")
    assert len(emulator.requests) == before
    assert emulator.api_key not in Path(cassette).read_text()


async def test_uploads_reach_the_emulator_through_vcrpy(
    local: AsyncImgwireClient, emulator: Emulator, tmp_path: Path
) -> None:
    vcr: Any = pytest.importorskip("vcr", reason="needs vcrpy")
    with vcr.use_cassette(str(tmp_path / "none.yaml"), ignore_localhost=True):
        image = await local.images.upload(GIF, file_name="hero.gif", wait=True)
    assert emulator.images[image.id].size_bytes == len(GIF)
    assert not (tmp_path / "none.yaml").exists()
