"""Downloads over real sockets: the complete content, or an error and no file."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import itertools
import json
import logging
import os
import ssl
import stat
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
import worlds
from worlds import World

from imgwire_async import (
    APITimeoutError,
    AsyncImgwireClient,
    DownloadError,
    DownloadJobFailedError,
    DownloadProgress,
    Hooks,
    Image,
    ImageDownloadJob,
    ImageDownloadStatus,
    ImgwireClient,
    NotFoundError,
    RetryPolicy,
    Timeouts,
    TransformationError,
    UnsafeURLError,
    UploadError,
    extract_archive,
)
from imgwire_async.emulator import Emulator, RequestRecord

from .conftest import PICTURES, http, with_pictures
from .pictures import png
from .sites import TINY, Site, at, chunked, site

FAST = RetryPolicy(backoff=0.01)
BIG = png(padding=600_000)
LOOPBACK = Path(__file__).parents[1] / "data" / "loopback.pem"

Get = Callable[[AsyncImgwireClient, Image], Awaitable[object]]


def cdn_requests(emulator: Emulator) -> list[RequestRecord]:
    return [record for record in emulator.requests if record.method == "GET" and record.host != "api"]


@pytest.fixture
async def quick(client: AsyncImgwireClient) -> AsyncImgwireClient:
    """A client with a short backoff."""
    return client.with_options(retries=FAST)


async def uploaded(client: AsyncImgwireClient, data: bytes | Path) -> Image:
    """Upload a picture and return its READY record, without the delay of `wait`."""
    image = await client.images.upload(data)
    return await client.images.retrieve(image.id)


@pytest.fixture
async def image(client: AsyncImgwireClient, emulator: Emulator) -> Image:
    image = await uploaded(client, BIG)
    emulator.requests.clear()
    return image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder


async def streamed(client: AsyncImgwireClient, image: Image) -> bytes:
    async with client.images.stream(image) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def saved(client: AsyncImgwireClient, image: Image, folder: Path) -> bytes:
    path = await client.images.download(image, folder / "it.png")
    data = path.read_bytes()
    path.unlink()
    return data


@pytest.fixture(params=["download", "read", "stream"])
def get(request: pytest.FixtureRequest, folder: Path) -> Get:
    """One of the three methods that return the bytes."""
    methods: dict[str, Get] = {
        "download": lambda client, image: saved(client, image, folder),
        "read": lambda client, image: client.images.read(image),
        "stream": streamed,
    }
    return methods[request.param]


# Content


@with_pictures
async def test_real_pictures_are_downloaded_unchanged(client: AsyncImgwireClient, folder: Path) -> None:
    manifest = json.loads((PICTURES / "manifest.json").read_text())
    pictures = [entry for entry in manifest if entry["decodes"] and entry["mime_type"]]
    assert len(pictures) > 30

    async def upload_and_download(entry: dict[str, Any]) -> None:
        image = await uploaded(client, PICTURES / entry["name"])
        path = await client.images.download(image, folder / Path(entry["name"]).name, overwrite=True)
        contents = path.read_bytes(), await client.images.read(image), await streamed(client, image)
        assert {hashlib.sha256(content).hexdigest() for content in contents} == {entry["sha256"]}

    await asyncio.gather(*map(upload_and_download, pictures))


async def test_download_read_and_stream_return_the_bytes(
    client: AsyncImgwireClient, image: Image, get: Get
) -> None:
    assert await get(client, image) == BIG


async def test_a_picture_can_be_downloaded_by_its_id(
    client: AsyncImgwireClient, emulator: Emulator, image: Image, folder: Path
) -> None:
    assert (await client.images.download(image.id, str(folder / "a.png"))).read_bytes() == BIG
    assert await client.images.read(image.id) == BIG
    async with client.images.stream(image.id) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == BIG
    assert [record.host for record in emulator.requests] == ["api", "cdn"] * 3
    with pytest.raises(NotFoundError):
        await client.images.read("7d0c1f9e-0000-4000-8000-000000000000")


async def test_no_credential_is_sent_to_the_cdn(
    client: AsyncImgwireClient, emulator: Emulator, image: Image, get: Get
) -> None:
    await get(client.with_options(default_headers={"X-Team": "a"}), image)
    (record,) = emulator.requests
    names = sorted(name.lower() for name, _ in record.headers)
    assert names == ["accept", "accept-encoding", "host", "user-agent"]
    assert record.header("Accept-Encoding") == "identity"


async def test_the_umask_sets_the_permissions_of_a_downloaded_file(
    client: AsyncImgwireClient, image: Image, folder: Path
) -> None:
    before = os.umask(0o026)
    try:
        path = await client.images.download(image, folder / "a.png")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


async def test_a_file_name_of_maximum_length_works(
    client: AsyncImgwireClient, image: Image, folder: Path
) -> None:
    path = folder / ("ü" * 125 + ".png")
    assert await client.images.download(image, path) == path
    assert [path.name for path in folder.iterdir()] == [path.name]


async def test_a_relative_path_is_resolved_when_the_call_starts(
    client: AsyncImgwireClient, image: Image, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    path = await client.images.download(
        image, "a.png", on_progress=lambda _: monkeypatch.chdir(folder.parent)
    )
    assert path == Path("a.png")
    assert (folder / "a.png").read_bytes() == BIG


async def test_two_dots_behind_a_link_mean_the_parent_of_the_links_target(
    client: AsyncImgwireClient, image: Image, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "far" / "deep").mkdir(parents=True)
    (folder / "link").symlink_to("far/deep")
    monkeypatch.chdir(folder)
    for path in (folder / "link" / ".." / "a.png", Path("link/../b.png")):
        assert await client.images.download(image, path) == path
        assert path.read_bytes() == BIG
    assert sorted(path.name for path in (folder / "far").iterdir()) == ["a.png", "b.png", "deep"]


async def test_a_deadline_that_passes_while_the_file_is_moved_into_place_is_no_error(
    client: AsyncImgwireClient, folder: Path
) -> None:
    image, target = await uploaded(client, png()), folder / "a.png"
    # On a busy machine the shorter deadlines may pass too early.
    for seconds in (0.3, 1, 5):
        impatient = client.with_options(timeout=Timeouts(deadline=seconds))
        call = asyncio.ensure_future(impatient.images.download(image, target))
        while not call.done():
            if any(folder.iterdir()):
                # The worker thread continues while the loop is blocked.
                time.sleep(0.005)
            if target.exists():
                break
            await asyncio.sleep(0)
        # The loop sees the deadline and the finished file at the same time.
        time.sleep(seconds)
        await asyncio.wait([call])
        if target.exists():
            break
    assert await call == target
    assert [path.read_bytes() for path in folder.iterdir()] == [png()]


@pytest.mark.long
def test_the_blocking_client_downloads_pictures_and_archives(folder: Path) -> None:
    steps: list[DownloadProgress] = []
    with Emulator() as emulator, ImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
        image = client.images.upload(BIG, wait=True)
        path = client.images.download(image, folder / "a.png", preset="small", on_progress=steps.append)
        assert path.read_bytes() == client.images.read(image) == BIG
        with client.images.stream(image) as chunks:
            assert b"".join(chunks) == BIG
        small = client.with_options(timeout=Timeouts(stall=0.5))
        with small.images.stream(image) as chunks:
            assert next(chunks)
            time.sleep(0.6)
        job = client.images.wait_for_bulk_download(client.images.create_bulk_download_job([image.id]))
        archive = client.images.download_archive(job, folder / "all.zip")
    assert extract_archive(archive, folder / "all")[0].read_bytes() == BIG
    assert steps[-1].received == steps[-1].total == len(BIG)


# Transformations


async def test_rules_and_preset_are_in_the_requested_url(
    client: AsyncImgwireClient, emulator: Emulator, image: Image, folder: Path
) -> None:
    await client.images.download(image, folder / "a", preset="thumbnail", width=300, format="webp")
    await client.images.read(image.id, width=300, background="#ff0000")
    async with client.images.stream(image, preset="large"):
        pass
    wanted = [
        image.url(preset="thumbnail", width=300, format="webp"),
        image.url(width=300, background="#ff0000"),
        image.url(preset="large"),
    ]
    assert [emulator.cdn_url + record.target for record in cdn_requests(emulator)] == wanted


@pytest.mark.parametrize("by_id", [False, True])
async def test_a_wrong_rule_raises_before_any_request(
    client: AsyncImgwireClient, emulator: Emulator, image: Image, folder: Path, by_id: bool
) -> None:
    argument: Any = image.id if by_id else image
    wrong: dict[str, Any] = {"widht": 300, "quality": 101}
    for call in (
        lambda: client.images.download(argument, folder / "a", **wrong),
        lambda: client.images.read(argument, **wrong),
        lambda: client.images.read(argument, preset="huge"),  # type: ignore[arg-type]
    ):
        with pytest.raises(TransformationError):
            await call()
    with pytest.raises(TransformationError, match="width"):
        client.images.stream(argument, **wrong)
    assert len(emulator.requests) == 0


# Checks before any request


async def test_a_path_that_cannot_be_written_raises_before_any_request(
    client: AsyncImgwireClient, emulator: Emulator, image: Image, folder: Path
) -> None:
    (folder / "file").write_bytes(b"mine")
    (folder / "dangling").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    before = sorted(folder.iterdir())
    cases: list[tuple[Any, type[Exception], bool]] = [
        (folder, IsADirectoryError, True),
        (f"{folder}/new/", IsADirectoryError, False),
        (f"{folder}/new/.", IsADirectoryError, False),
        (f"{folder}/new/..", FileNotFoundError, False),
        (folder / "file", FileExistsError, False),
        (folder / "dangling", FileExistsError, False),
        (folder / "pipe", FileExistsError, True),
        (folder / "none" / "a.png", FileNotFoundError, True),
        (folder / "file" / "a.png", NotADirectoryError, True),
        (b"bytes", TypeError, False),
        (None, TypeError, False),
        ("nul\0", ValueError, False),
    ]
    job = "7d0c1f9e-0000-4000-8000-000000000000"
    for path, error, overwrite in cases:
        with pytest.raises(error):
            await client.images.download(image, path, overwrite=overwrite)
        with pytest.raises(error):
            await client.images.download_archive(job, path, overwrite=overwrite)
    assert sorted(folder.iterdir()) == before
    assert len(emulator.requests) == 0


async def test_wrong_arguments_raise_before_any_request(
    client: AsyncImgwireClient, emulator: Emulator, image: Image, folder: Path
) -> None:
    async def watch(_: DownloadProgress) -> None: ...

    images: Any = client.images
    for call, error in (
        (lambda: images.download(image, folder / "a", overwrite=1), TypeError),
        (lambda: images.download(image, folder / "a", on_progress=watch), TypeError),
        (lambda: images.download(image, folder / "a", on_progress=3), TypeError),
        (lambda: images.download("../x", folder / "a"), ValueError),
        (lambda: images.download(None, folder / "a"), TypeError),
        (lambda: images.download_archive("a/b", folder / "a"), ValueError),
        (lambda: images.read(image, max_bytes=-1), ValueError),
        (lambda: images.read(image, max_bytes="1"), TypeError),
        (lambda: images.read(b"id"), TypeError),
    ):
        with pytest.raises(error):
            await call()
    with pytest.raises(ValueError, match="image"):
        images.stream("..")
    assert len(emulator.requests) == 0
    assert list(folder.iterdir()) == []


# The file


async def test_overwrite_replaces_an_existing_file_in_one_step(
    client: AsyncImgwireClient, image: Image, folder: Path
) -> None:
    target = folder / "a.png"
    target.write_bytes(b"old")
    contents: set[bytes] = set()
    path = await client.images.download(
        image, target, overwrite=True, on_progress=lambda _: contents.add(target.read_bytes())
    )
    assert (path, contents, path.read_bytes()) == (target, {b"old"}, BIG)
    assert list(folder.iterdir()) == [target]


async def test_a_file_created_during_the_download_is_not_overwritten(
    client: AsyncImgwireClient, image: Image, folder: Path
) -> None:
    target = folder / "a.png"
    with pytest.raises(FileExistsError) as caught:
        await client.images.download(image, target, on_progress=lambda _: target.write_bytes(b"mine"))
    assert caught.value.filename == str(target)
    assert target.read_bytes() == b"mine"
    assert list(folder.iterdir()) == [target]


async def test_one_of_many_downloads_to_one_path_succeeds(
    client: AsyncImgwireClient, image: Image, folder: Path
) -> None:
    calls = [client.images.download(image, folder / "a.png") for _ in range(8)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(result, Path) for result in results) == 1
    assert all(isinstance(result, Path | FileExistsError) for result in results)
    assert [path.read_bytes() for path in folder.iterdir()] == [BIG]


async def test_many_downloads_to_one_path_succeed_with_overwrite(
    client: AsyncImgwireClient, image: Image, folder: Path
) -> None:
    calls = [client.images.download(image, folder / "a.png", overwrite=True) for _ in range(8)]
    assert set(await asyncio.gather(*calls)) == {folder / "a.png"}
    assert [path.read_bytes() for path in folder.iterdir()] == [BIG]


async def test_progress_grows_and_ends_at_the_total(
    client: AsyncImgwireClient, emulator: Emulator, image: Image, folder: Path
) -> None:
    steps: list[DownloadProgress] = []
    emulator.faults.add("GET", "*", host="cdn", slow=2_000_000)
    await client.images.download(image, folder / "a.png", on_progress=steps.append)
    received = [step.received for step in steps]
    assert received == sorted(set(received))
    assert len(received) > 1
    assert {(step.total, step.path) for step in steps} == {(len(BIG), folder / "a.png")}
    assert received[-1] == len(BIG)


async def test_an_exception_in_on_progress_is_raised_and_leaves_no_file(
    client: AsyncImgwireClient, emulator: Emulator, image: Image, folder: Path
) -> None:
    def fail(_: DownloadProgress) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await client.images.download(image, folder / "a.png", on_progress=fail)
    assert list(folder.iterdir()) == []
    assert len(emulator.requests) == 1


async def test_a_directory_without_write_access_is_named_in_the_error(
    client: AsyncImgwireClient, image: Image
) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("needs a directory that not even root can write to")
    with pytest.raises(OSError, match="proc"):
        await client.images.download(image, "/proc/a.png")


# Failures and retries


@pytest.mark.world
async def test_a_response_that_breaks_off_is_retried(
    quick: AsyncImgwireClient, emulator: Emulator, image: Image, folder: Path
) -> None:
    steps: list[int] = []
    emulator.faults.add("GET", "*", host="cdn", cut=200_000, times=2)
    path = await quick.images.download(
        image, folder / "a.png", on_progress=lambda step: steps.append(step.received)
    )
    assert path.read_bytes() == BIG
    assert await quick.images.read(image) == BIG
    assert len(cdn_requests(emulator)) == 4
    assert steps[-1] == len(BIG)


@pytest.mark.world
@pytest.mark.parametrize(
    "fault", [{"cut": 200_000}, {"reset": "before"}, {"status": 503}, {"cut": 0}, {"reset": "after_commit"}]
)
async def test_a_download_that_fails_in_all_attempts_raises_and_leaves_no_file(
    quick: AsyncImgwireClient, emulator: Emulator, image: Image, folder: Path, fault: dict[str, Any], get: Get
) -> None:
    emulator.faults.add("GET", "*", host="cdn", times=None, **fault)
    with pytest.raises(DownloadError, match=f"image {image.id}: GET .*attempt") as caught:
        await get(quick, image)
    assert caught.value.image == image
    assert caught.value.status == {"cut": 200, "status": 503}.get(next(iter(fault)))
    assert list(folder.iterdir()) == []
    # After the reader of a stream has received bytes, there is no retry.
    attempts = 1 if get is streamed and fault == {"cut": 200_000} else 4
    assert len(cdn_requests(emulator)) == attempts


@pytest.mark.parametrize("fault", [{"cut": 1000}, {"reset": "before"}, {"status": 503}, {"status": 429}])
async def test_without_retries_exactly_one_request_is_sent(
    client: AsyncImgwireClient, emulator: Emulator, image: Image, fault: dict[str, Any]
) -> None:
    emulator.faults.add("GET", "*", host="cdn", times=None, **fault)
    with pytest.raises(DownloadError):
        await client.with_options(retries=0).images.read(image)
    assert len(emulator.requests) == 1


@pytest.mark.world
@pytest.mark.parametrize("fault", [{"stall": float("inf")}, {"stall": float("inf"), "cut": 200_000}])
async def test_a_stalled_response_raises_after_the_stall_timeout(
    client: AsyncImgwireClient,
    emulator: Emulator,
    image: Image,
    folder: Path,
    fault: dict[str, Any],
    get: Get,
) -> None:
    emulator.faults.add("GET", "*", host="cdn", times=None, **fault)
    started_at = time.monotonic()
    with pytest.raises(DownloadError, match=r"sent no byte for 0\.3 s"):
        await get(client.with_options(timeout=Timeouts(stall=0.3)), image)
    assert 0.25 < time.monotonic() - started_at < 5
    assert list(folder.iterdir()) == []
    assert len(emulator.requests) == 1


@pytest.mark.slow
@pytest.mark.world
async def test_a_slow_response_that_makes_progress_is_no_error(
    client: AsyncImgwireClient, emulator: Emulator, image: Image, get: Get
) -> None:
    emulator.faults.add("GET", "*", host="cdn", slow=900_000)
    started_at = time.monotonic()
    assert await get(client.with_options(timeout=Timeouts(stall=0.5, attempt=0.3)), image) == BIG
    assert time.monotonic() - started_at > 0.5


@pytest.mark.world
async def test_a_consumer_may_be_slower_than_the_stall_timeout(
    client: AsyncImgwireClient, image: Image
) -> None:
    slow = client.with_options(timeout=Timeouts(stall=0.2))
    got = b""
    async with slow.images.stream(image) as chunks:
        async for chunk in chunks:
            if got == b"":
                await asyncio.sleep(0.5)
            got += chunk
    assert got == BIG


async def test_a_timeout_of_none_sets_no_timeout(client: AsyncImgwireClient, image: Image) -> None:
    assert await client.with_options(timeout=Timeouts(stall=None, connect=None)).images.read(image) == BIG


@pytest.mark.parametrize(
    ("status", "attempts", "advice"),
    [(404, 1, "wait_until_ready"), (410, 1, "wait_until_ready"), (403, 1, "preset and rules"), (400, 1, "preset and rules"),
     (501, 1, "preset and rules"), (500, 4, "later"), (429, 4, "later"), (408, 4, "later")],
)  # fmt: skip
async def test_an_error_response_is_reported_with_advice(
    quick: AsyncImgwireClient,
    emulator: Emulator,
    image: Image,
    get: Get,
    status: int,
    attempts: int,
    advice: str,
) -> None:
    emulator.faults.add(
        "GET", "*", host="cdn", times=None, status=status, body="Not this way, sk_abcdef0123456789"
    )
    with pytest.raises(
        DownloadError, match=rf"HTTP {status}: Not this way, sk_\*\*\*\. .*{advice}"
    ) as caught:
        await quick.images.read(image)
    assert caught.value.status == status
    assert caught.value.exchange is not None
    assert (caught.value.exchange.kind, caught.value.exchange.attempts) == ("cdn", attempts)
    assert len(emulator.requests) == attempts


async def test_an_image_that_is_not_ready_cannot_be_downloaded(
    client: AsyncImgwireClient, folder: Path
) -> None:
    upload = await client.images.create(file_name="a.png", content_length=10)
    with pytest.raises(DownloadError, match="READY images only") as caught:
        await client.images.download(upload.image, folder / "a.png")
    assert (caught.value.status, list(folder.iterdir())) == (404, [])


@pytest.mark.long
async def test_retry_after_of_the_cdn_is_obeyed_and_does_not_delay_api_calls(
    client: AsyncImgwireClient, emulator: Emulator, image: Image
) -> None:
    emulator.faults.add("GET", "*", host="cdn", status=429, headers={"Retry-After": "1"})
    reading = asyncio.ensure_future(client.images.read(image))
    while not cdn_requests(emulator):
        await asyncio.sleep(0.01)
    started_at = time.monotonic()
    await client.images.retrieve(image.id)
    assert not reading.done()
    assert await reading == BIG
    assert 0.9 < time.monotonic() - started_at < 6
    emulator.faults.add("GET", "*", host="cdn", status=503, headers={"Retry-After": "9999"})
    with pytest.raises(DownloadError, match="HTTP 503"):
        await client.images.read(image)


async def test_an_unreachable_cdn_is_named_in_the_error(quick: AsyncImgwireClient, image: Image) -> None:
    nowhere = attrs.evolve(image, cdn_url="http://127.0.0.1:9/o/e/i")
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:9 cannot be reached.* network") as caught:
        await quick.images.read(nowhere)
    assert caught.value.status is None


@pytest.mark.world
async def test_the_deadline_limits_all_attempts_together(
    client: AsyncImgwireClient, emulator: Emulator, image: Image, get: Get, folder: Path
) -> None:
    emulator.faults.add("GET", "*", host="cdn", times=None, status=503)
    impatient = client.with_options(
        timeout=Timeouts(deadline=0.3), retries=RetryPolicy(50, backoff=0.1, max_backoff=0.1)
    )
    with pytest.raises(APITimeoutError, match=r"deadline of 0\.3 s.*HTTP 503") as caught:
        await get(impatient, image)
    assert caught.value.which == "deadline"
    emulator.faults.clear()
    emulator.faults.add("GET", "*", host="cdn", times=None, stall=float("inf"))
    with pytest.raises(APITimeoutError):
        await get(impatient, image)
    assert list(folder.iterdir()) == []


# Responses that no real CDN sends


MALFORMED = {
    "too short": (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", "of 10 bytes"),
    "empty": (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", "of 10 bytes"),
    "cut chunks": (chunked(b"1234", end=False), r"\(after \d bytes\)"),
    "not http": (b"SSH-2.0-OpenSSH\r\n\r\n", "not HTTP"),
    "no response": (b"", "without a response"),
    "empty success": (b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", "HTTP 204, which is not the complete content"),
    "partial content": (http("206 Partial Content", b"123", "Content-Range: bytes 0-2/9"), "HTTP 206, which is not the complete content"),
    "compressed": (http("200 OK", gzip.compress(b"123"), "Content-Encoding: gzip"), r"compressed \(gzip\)"),
    "redirect without Location": (http("302 Found"), "redirect without a Location"),
    "not modified": (http("304 Not Modified"), "HTTP 304"),
}  # fmt: skip


@pytest.mark.world
@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_response_raises_and_leaves_no_file(
    quick: AsyncImgwireClient, image: Image, folder: Path, get: Get, name: str
) -> None:
    raw, match = MALFORMED[name]
    async with site({"/i": raw}) as served:
        with pytest.raises(DownloadError, match=match):
            await get(quick, at(image, f"{served.origin}/i"))
    assert list(folder.iterdir()) == []


UNUSUAL = {
    "too long": http("200 OK", TINY) + b"456",
    "chunks": chunked(TINY[:2], TINY[2:]),
    "identity encoding": http("200 OK", TINY, "Content-Encoding: identity"),
    "another successful status": http("203 Non-Authoritative Information", TINY),
}  # fmt: skip


@pytest.mark.world
@pytest.mark.parametrize("name", UNUSUAL)
async def test_an_unusual_response_is_returned_completely_or_raises(
    quick: AsyncImgwireClient, image: Image, folder: Path, get: Get, name: str
) -> None:
    async with site({"/i": UNUSUAL[name]}) as served:
        try:
            assert await get(quick, at(image, f"{served.origin}/i")) == TINY
        except DownloadError:
            assert name == "too long"
    assert list(folder.iterdir()) == []


async def test_progress_without_a_content_length_has_no_total(
    client: AsyncImgwireClient, image: Image, folder: Path
) -> None:
    steps: list[tuple[int, int | None]] = []
    async with site({"/i": chunked(TINY[:2], TINY[2:])}) as served:
        await client.images.download(
            at(image, f"{served.origin}/i"), folder / "i",
            on_progress=lambda step: steps.append((step.received, step.total)),
        )  # fmt: skip
    assert steps[-1] == (len(TINY), None)


@pytest.mark.world
async def test_a_picture_larger_than_max_bytes_raises(
    quick: AsyncImgwireClient, emulator: Emulator, image: Image
) -> None:
    assert await quick.images.read(image, max_bytes=len(BIG)) == BIG
    with pytest.raises(DownloadError, match=f"{len(BIG)} bytes, more than max_bytes=1000") as caught:
        await quick.images.read(image, max_bytes=1000)
    assert caught.value.status == 200
    endless = chunked(*[bytes(1000)] * 50, end=False)
    async with site({"/i": endless}) as served:
        with pytest.raises(DownloadError, match=r"at least .* more than max_bytes=20000"):
            await quick.images.read(at(image, f"{served.origin}/i"), max_bytes=20_000)
        assert len(served.heads) == 1
    assert len(emulator.requests) == 2


# Redirects


def redirect(to: str, status: int = 302) -> bytes:
    return http(f"{status} Moved", b"<html>elsewhere</html>", f"Location: {to}")


@pytest.mark.world
async def test_five_redirects_are_followed_and_a_sixth_is_not(
    client: AsyncImgwireClient, image: Image, get: Get
) -> None:
    statuses = itertools.cycle([301, 302, 303, 307, 308])
    redirects = {f"/{n}": redirect(f"/{n + 1}", next(statuses)) for n in range(6)}
    async with site({**redirects, "/6": http("200 OK", TINY)}) as served:
        assert await get(client, at(image, f"{served.origin}/1")) == TINY
        assert len(served.heads) == 6
        served.heads.clear()
        with pytest.raises(DownloadError, match="HTTP 301, more than 5 redirects") as caught:
            await get(client, at(image, f"{served.origin}/0"))
        assert (len(served.heads), caught.value.status) == (6, 301)


async def test_a_redirect_url_is_requested_unchanged_and_without_credentials(
    client: AsyncImgwireClient, image: Image, get: Get
) -> None:
    exact = "/a%2Fb/%7E?x=%2F%7E+%20&y=%3d%C3%A9&"
    async with site({exact: http("200 OK", TINY)}) as other:
        async with site(
            {"/i": redirect(f"{other.origin}{exact}"), "/j": redirect("//" + other.origin[7:] + exact)}
        ) as served:
            assert await get(client, at(image, f"{served.origin}/i")) == TINY
            assert await get(client, at(image, f"{served.origin}/j")) == TINY
    for head in other.heads:
        names = {line.partition(":")[0].lower() for line in head.splitlines()[1:] if line}
        assert names == {"host", "user-agent", "accept", "accept-encoding"}
        assert f"Host: {other.origin[7:]}" in head


@pytest.mark.parametrize(
    ("to", "match"),
    [
        ("ftp://host/x", r"not an http\(s\) URL"),
        ("http://user:pw@host/x", "user info"),
        ("javascript:alert(1)", r"not an http\(s\) URL"),
        ("http://[::1/x", r"not an http\(s\) URL"),
        ("http:///x", r"not an http\(s\) URL"),
        ("/a b", r"not an http\(s\) URL"),
        ("/caf\u00e9", r"not an http\(s\) URL"),
    ],
)
async def test_an_unsafe_redirect_is_not_followed(
    client: AsyncImgwireClient, image: Image, folder: Path, to: str, match: str
) -> None:
    async with site({"/i": redirect(to)}) as served:
        with pytest.raises(UnsafeURLError, match=f"redirect .*{match}") as caught:
            await client.images.download(at(image, f"{served.origin}/i"), folder / "a.png")
        assert len(served.heads) == 1
    assert "pw" not in str(caught.value)
    assert caught.value.image is not None
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("url", ["ftp://host/x", "http://user:pw@host/x", "file:///etc/passwd"])
async def test_an_unsafe_url_is_not_requested(client: AsyncImgwireClient, image: Image, url: str) -> None:
    with pytest.raises(UnsafeURLError, match="cdn_url"):
        await client.images.read(at(image, url))


@asynccontextmanager
async def over_tls(responses: dict[str, bytes]) -> AsyncIterator[Site]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(LOOPBACK)
    served = Site(responses)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served(reader, writer)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context)
    served.origin = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield served
    finally:
        server.close()


async def test_a_redirect_from_https_to_http_is_not_followed(
    emulator: Emulator, image: Image, get: Get
) -> None:
    settings: dict[str, Any] = {"base_url": emulator.base_url, "ssl": LOOPBACK}
    async with (
        site({"/plain": http("200 OK", TINY)}) as plain,
        over_tls(
            {"/i": redirect(f"{plain.origin}/plain"), "/j": redirect("/k"), "/k": http("200 OK", TINY)}
        ) as served,
        AsyncImgwireClient(emulator.api_key, **settings) as client,
    ):
        for origin in (served.origin, served.origin.replace("https", "HTTPS")):
            with pytest.raises(UnsafeURLError, match=r"redirect .* it comes from https"):
                await get(client, at(image, f"{origin}/i"))
        assert plain.heads == []
        assert await get(client, at(image, f"{served.origin}/j")) == TINY


async def test_an_http_cdn_url_is_rejected_when_the_api_uses_https(image: Image) -> None:
    async with AsyncImgwireClient("sk_x", base_url="https://127.0.0.1:9") as client:
        with pytest.raises(UnsafeURLError, match=r"cdn_url .*although the API is reached over https"):
            await client.images.read(image)


async def test_requests_to_the_cdn_use_the_proxy(emulator: Emulator, image: Image) -> None:
    async with site({"http://cdn.example/o/e/i?width=3": http("200 OK", TINY)}) as proxy:
        async with AsyncImgwireClient(
            emulator.api_key, base_url=emulator.base_url, proxy=proxy.origin
        ) as client:
            assert await client.images.read(at(image, "http://cdn.example/o/e/i"), width=3) == TINY


# Cancelling and leaving early


@pytest.fixture
async def one_slot_client(emulator: Emulator) -> AsyncIterator[AsyncImgwireClient]:
    """A client with one put slot and one get slot, so that a leaked slot blocks the next transfer."""
    async with worlds.current().client_of(emulator, max_connections=1) as client:
        yield client


async def arrived(emulator: Emulator, count: int) -> None:
    while len(cdn_requests(emulator)) < count:
        await asyncio.sleep(0.01)


@pytest.mark.world
@pytest.mark.parametrize(
    "fault", [{"stall": float("inf")}, {"stall": float("inf"), "cut": 200_000}, {"slow": 500_000}]
)
async def test_a_cancelled_download_leaves_no_file_and_releases_its_slot(
    one_slot_client: AsyncImgwireClient,
    emulator: Emulator,
    image: Image,
    folder: Path,
    fault: dict[str, Any],
    get: Get,
) -> None:
    emulator.faults.add("GET", "*", host="cdn", **fault)
    call = asyncio.ensure_future(get(one_slot_client, image))
    await arrived(emulator, 1)
    await asyncio.sleep(0.1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert list(folder.iterdir()) == []
    async with asyncio.timeout(10):
        assert await one_slot_client.images.read(image) == BIG


@pytest.mark.parametrize("scope", [asyncio.timeout, anyio.fail_after])
async def test_a_timeout_around_a_download_leaves_no_file(
    one_slot_client: AsyncImgwireClient, emulator: Emulator, image: Image, folder: Path, scope: Any
) -> None:
    emulator.faults.add("GET", "*", host="cdn", stall=float("inf"), cut=200_000)

    async def limited() -> None:
        with pytest.raises(TimeoutError):
            if scope is anyio.fail_after:
                with anyio.fail_after(0.2):
                    await one_slot_client.images.download(image, folder / "a.png")
            else:
                async with asyncio.timeout(0.2):
                    await one_slot_client.images.download(image, folder / "a.png")

    await limited()
    assert list(folder.iterdir()) == []
    async with asyncio.timeout(10):
        assert await one_slot_client.images.read(image) == BIG


async def test_a_cancelled_download_leaves_the_complete_file_or_none(
    one_slot_client: AsyncImgwireClient, image: Image, folder: Path
) -> None:
    for moment in range(40):
        call = asyncio.ensure_future(one_slot_client.images.download(image, folder / "a.png"))
        for _ in range(moment):
            await asyncio.sleep(0)
        await asyncio.sleep(moment / 8000)
        call.cancel()
        try:
            await call
        except asyncio.CancelledError:
            assert [path.read_bytes() for path in folder.iterdir()] in ([], [BIG])
        (folder / "a.png").unlink(missing_ok=True)
        assert list(folder.iterdir()) == []
    async with asyncio.timeout(10):
        assert await one_slot_client.images.read(image) == BIG


@pytest.mark.world
async def test_leaving_a_stream_early_releases_its_slot_and_connection(
    one_slot_client: AsyncImgwireClient, emulator: Emulator, image: Image
) -> None:
    emulator.faults.add("GET", "*", host="cdn", slow=500_000, times=None)
    for _ in range(3):
        async with one_slot_client.images.stream(image) as chunks:
            assert await anext(chunks)
    with pytest.raises(LookupError):
        async with one_slot_client.images.stream(image) as chunks:
            async for _ in chunks:
                raise LookupError
    async with one_slot_client.images.stream(image):
        pass
    emulator.faults.clear()
    async with asyncio.timeout(10):
        assert await one_slot_client.images.read(image) == BIG


async def test_a_finished_stream_releases_its_connection_inside_the_with_block(
    one_slot_client: AsyncImgwireClient, image: Image
) -> None:
    async with one_slot_client.images.stream(image) as chunks, asyncio.timeout(10):
        async for _ in chunks:
            pass
        assert await one_slot_client.images.read(image) == BIG
        assert await anext(chunks, None) is None


async def test_a_stream_cannot_be_read_after_its_with_block(client: AsyncImgwireClient, image: Image) -> None:
    stream = client.images.stream(image)
    async with stream as chunks:
        await anext(chunks)
    async with client.images.stream(image) as unread:
        pass
    for closed in (chunks, unread):
        with pytest.raises(RuntimeError, match="inside its `async with`"):
            await anext(closed)
    with pytest.raises(RuntimeError, match="entered only once"):
        async with stream:
            pass


async def test_an_upload_rejects_a_stream_that_was_read_in_part(
    client: AsyncImgwireClient, image: Image
) -> None:
    async with client.images.stream(image) as chunks:
        await anext(chunks)
        with pytest.raises(UploadError, match="read in part before"):
            await client.images.upload(chunks, file_name="rest.png")


async def test_a_stream_may_be_entered_read_and_left_in_different_tasks(
    client: AsyncImgwireClient, image: Image
) -> None:
    impatient = client.with_options(timeout=Timeouts(deadline=20, stall=20))
    stream = impatient.images.stream(image)
    chunks = await asyncio.create_task(stream.__aenter__())  # type: ignore[arg-type]
    got = b""
    while chunk := await asyncio.create_task(anext(chunks, b"")):  # type: ignore[arg-type]
        got += chunk
    await asyncio.create_task(stream.__aexit__(None, None, None))  # type: ignore[arg-type]
    assert got == BIG


@pytest.mark.world
async def test_closing_the_client_ends_a_stream(emulator: Emulator, image: Image, world: World) -> None:
    emulator.faults.add("GET", "*", host="cdn", stall=float("inf"), cut=200_000)
    client = world.client_of(emulator)
    with pytest.raises(RuntimeError, match="client is closed"):
        async with client.images.stream(image) as chunks:
            asyncio.get_running_loop().call_later(0.1, lambda: asyncio.ensure_future(client.aclose()))
            async for _ in chunks:
                pass
    with pytest.raises(RuntimeError, match="client is closed"):
        await client.images.read(image)


@pytest.mark.world
async def test_a_stream_can_be_the_source_of_an_upload(client: AsyncImgwireClient, image: Image) -> None:
    async with client.images.stream(image) as chunks:
        copy = await client.images.upload(chunks, file_name="copy.png", content_length=len(BIG), wait=True)
    assert await client.images.read(copy) == BIG


# Archives


@pytest.fixture
async def job(client: AsyncImgwireClient, emulator: Emulator, image: Image) -> ImageDownloadJob:
    """A finished job for two pictures."""
    emulator.download_polls = 1
    other = await uploaded(client, png())
    job = await client.images.create_bulk_download_job([image.id, other.id])
    return await client.images.retrieve_bulk_download_job(job.id)


def links(emulator: Emulator) -> list[int | None]:
    return [record.status for record in emulator.requests if record.target.startswith("/archives/")]


async def test_a_downloaded_archive_can_be_extracted(
    client: AsyncImgwireClient, emulator: Emulator, job: ImageDownloadJob, folder: Path
) -> None:
    steps: list[DownloadProgress] = []
    path = await client.images.download_archive(job, folder / "all.zip", on_progress=steps.append)
    assert steps[-1].received == steps[-1].total == path.stat().st_size
    names = extract_archive(path, folder / "all")
    assert sorted(path.read_bytes() for path in names) == sorted([BIG, png()])
    with pytest.raises(FileExistsError):
        await client.images.download_archive(job, path)
    again = await client.images.download_archive(job.id, path, overwrite=True)
    assert again.stat().st_size == steps[-1].total
    assert all(record.header("Authorization") is None for record in cdn_requests(emulator))
    assert links(emulator) == [200, 200]


@pytest.mark.world
@pytest.mark.parametrize("switches", [{"expired_status": 403}, {"expired_status": 400}])
async def test_an_expired_archive_link_is_replaced_once(
    client: AsyncImgwireClient, emulator: Emulator, job: ImageDownloadJob, folder: Path
) -> None:
    emulator.clock.advance(10_000)
    await client.images.download_archive(job, folder / "all.zip")
    assert links(emulator) == [emulator.requests[-3].status, 200]
    assert links(emulator)[0] in {400, 403}
    with pytest.raises(DownloadError, match="retrieve the job again"):
        await client.with_options(retries=0).images.download_archive(job, folder / "none.zip")
    assert len(links(emulator)) == 3
    assert [path.name for path in folder.iterdir()] == ["all.zip"]


@pytest.mark.parametrize(("status", "requests"), [(404, 2), (410, 2), (403, 1), (400, 1)])
async def test_an_archive_link_is_replaced_only_when_it_has_expired(
    quick: AsyncImgwireClient,
    emulator: Emulator,
    job: ImageDownloadJob,
    folder: Path,
    status: int,
    requests: int,
) -> None:
    emulator.faults.add("GET", "/archives/*", times=None, status=status, body="AccessDenied")
    with pytest.raises(
        DownloadError, match=f"archive of bulk download job {job.id}.*HTTP {status}: AccessDenied"
    ) as caught:
        await quick.images.download_archive(job, folder / "all.zip")
    assert links(emulator) == [status] * requests
    assert caught.value.status == status
    text = "".join(traceback.format_exception(caught.value))
    assert "X-Amz" not in text
    assert list(folder.iterdir()) == []


async def test_an_expired_archive_link_is_not_used_twice(
    client: AsyncImgwireClient, emulator: Emulator, job: ImageDownloadJob, folder: Path
) -> None:
    async with site({"/dead": http("410 Gone")}) as served:
        dead = attrs.evolve(job, download_url=f"{served.origin}/dead")
        body = {
            "id": job.id, "environment_id": None, "status": "READY", "image_ids": [], "download_url": dead.download_url,
            "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        }  # fmt: skip
        emulator.faults.add("GET", "/api/v1/images/downloads/*", status=200, body=body)
        with pytest.raises(DownloadError, match="HTTP 410"):
            await client.images.download_archive(dead, folder / "all.zip")
        assert len(served.heads) == 1


async def test_a_job_that_is_not_ready_raises_without_a_request(
    client: AsyncImgwireClient, emulator: Emulator, job: ImageDownloadJob, folder: Path
) -> None:
    emulator.requests.clear()
    for change, error, match in (
        ({"status": ImageDownloadStatus.PROCESSING}, DownloadError, "is PROCESSING.*wait_for_bulk_download"),
        ({"status": ImageDownloadStatus("NEW")}, DownloadError, "is NEW.*wait_for_bulk_download"),
        ({"status": ImageDownloadStatus.FAILED}, DownloadJobFailedError, "FAILED"),
        ({"download_url": None}, DownloadError, "no download_url"),
        ({"download_url": "ftp://x/y"}, UnsafeURLError, "download_url"),
    ):
        with pytest.raises(error, match=match):
            await client.images.download_archive(attrs.evolve(job, **change), folder / "all.zip")
    assert len(emulator.requests) == 0
    assert list(folder.iterdir()) == []


@pytest.mark.world
async def test_an_archive_that_breaks_off_leaves_no_file(
    quick: AsyncImgwireClient, emulator: Emulator, job: ImageDownloadJob, folder: Path
) -> None:
    emulator.faults.add("GET", "/archives/*", times=None, cut=200_000)
    with pytest.raises(DownloadError, match=r"sent an incomplete response \(after \d+ of"):
        await quick.images.download_archive(job, folder / "all.zip")
    assert len(links(emulator)) == 4
    assert list(folder.iterdir()) == []


# Exchanges, hooks and log


async def test_a_download_with_retries_is_one_exchange(
    quick: AsyncImgwireClient, emulator: Emulator, image: Image, get: Get
) -> None:
    emulator.faults.add("GET", "*", host="cdn", status=503)
    with quick.capture() as exchanges:
        await get(quick, image)
    (exchange,) = exchanges
    assert (exchange.kind, exchange.method, exchange.status, exchange.attempts) == ("cdn", "GET", 200, 2)
    assert exchange.path == image.cdn_url.removeprefix("http://")
    assert exchange.elapsed > 0
    emulator.faults.add("GET", "*", host="cdn", times=None, reset="before")
    with quick.capture() as exchanges, pytest.raises(DownloadError) as caught:
        await get(quick, image)
    assert [(exchange.status, exchange.attempts) for exchange in exchanges] == [(None, 4)]
    assert caught.value.exchange is not None
    assert caught.value.exchange.attempts == 4


async def test_hooks_are_called_for_all_requests_and_retries_of_a_download(
    quick: AsyncImgwireClient, image: Image, get: Get
) -> None:
    events: list[Any] = []

    def record(event: Any) -> None:
        events.append(event)
        raise LookupError("a hook that fails changes nothing")

    hooked = quick.with_options(hooks=Hooks(on_request=record, on_response=record, on_retry=record))
    responses = {"/i": redirect("/j?secret=1"), "/j?secret=1": http("200 OK", TINY)}
    async with site(responses, first=http("503 Busy")) as served:
        assert await get(hooked, at(image, f"{served.origin}/i")) == TINY
    kinds = [type(event).__name__.removesuffix("Event") for event in events]
    assert kinds == ["Request", "Response", "Retry", "Request", "Response", "Request", "Response"]
    assert {event.kind for event in events} == {"cdn"}
    assert [event.path.rpartition("/")[2] for event in events] == ["i", "i", "i", "i", "i", "j", "j"]
    assert [event.attempt for event in events] == [1, 1, 1, 2, 2, 2, 2]
    assert [events[index].status for index in (1, 4, 6)] == [503, 302, 200]
    assert (events[2].reason, events[2].delay <= 0.01) == ("HTTP 503", True)


async def test_the_log_has_one_line_per_request_and_no_secret(
    quick: AsyncImgwireClient,
    emulator: Emulator,
    job: ImageDownloadJob,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "imgwire_async")
    emulator.faults.add("GET", "/archives/*", status=503)
    emulator.faults.add("GET", "/archives/*", reset="before")
    await quick.images.download_archive(job, folder / "all.zip")
    lines = [record.message for record in caplog.records if "/archives/" in record.message]
    assert len(lines) == 5
    assert "Signature" not in caplog.text
    assert emulator.api_key not in caplog.text


async def test_a_hook_that_raises_a_cancellation_leaks_no_connection(
    client: AsyncImgwireClient, image: Image
) -> None:
    def interrupt(_: object) -> None:
        raise asyncio.CancelledError

    hooked = client.with_options(hooks=Hooks(on_response=interrupt))
    with pytest.raises(asyncio.CancelledError):
        await hooked.images.read(image)
    assert await client.images.read(image) == BIG
