"""Common mistakes with files: the error message alone says what to do, and no bytes are sent."""

from __future__ import annotations

import asyncio
import base64
import io
import logging
import os
import warnings
from pathlib import Path
from typing import Any

import aiofiles
import anyio
import pytest

from imgwire_async import (
    APITimeoutError,
    AsyncImgwireClient,
    DownloadError,
    ImgwireClient,
    ImgwireError,
    NotFoundError,
    SourceChangedError,
    Timeouts,
    UnsupportedImageError,
    UploadError,
    UploadItem,
    UploadRejectedError,
    UploadSizeError,
)
from imgwire_async.emulator import Emulator

from .pictures import png


async def refused(client: AsyncImgwireClient, file: Any, **arguments: Any) -> Exception:
    with pytest.raises((ImgwireError, TypeError, ValueError, OSError)) as caught:
        await client.images.upload(file, **arguments)
    return caught.value


# --- open files ---------------------------------------------------------------------------------------------


async def test_the_error_for_a_file_at_its_end_names_position_and_seek(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    file = io.BytesIO()
    file.write(png())
    for arguments in ({}, {"mime_type": "image/png"}):
        error = await refused(client, file, **arguments)
        assert f"position {len(png())}" in str(error)
        assert "seek(0)" in str(error)
    assert not list(emulator.requests)
    file.seek(0)
    await client.images.upload(file)


@pytest.mark.parametrize("mode", ["plain", "async"])
async def test_the_error_for_a_file_not_at_its_start_names_position_and_seek(
    client: AsyncImgwireClient, tmp_path: Path, mode: str
) -> None:
    path = tmp_path / "hero.png"
    path.write_bytes(png())
    if mode == "plain":
        with path.open("rb") as file:
            file.read(5)
            error = await refused(client, file)
            declared_error = await refused(client, file, mime_type="image/png", content_length=len(png()))
    else:
        async with await anyio.open_file(path, "rb") as file:
            await file.read(5)
            error = await refused(client, file)
        declared_error = error
    assert isinstance(error, UnsupportedImageError)
    assert isinstance(declared_error, UploadSizeError | UnsupportedImageError)
    for raised in (error, declared_error):
        assert "position 5" in str(raised)
        assert "seek(0)" in str(raised)


async def test_a_picture_is_uploaded_from_the_position_of_the_file(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    file = io.BytesIO(b"head" + png())
    file.seek(4)
    await client.images.upload(file)
    assert emulator.requests[-1].body_length == len(png())


async def test_the_error_for_a_closed_or_write_only_file_says_how_to_open_it(
    client: AsyncImgwireClient, tmp_path: Path
) -> None:
    with (tmp_path / "out.png").open("wb") as file:
        writing = await refused(client, file)
    closed = await refused(client, file)
    assert "mode 'rb'" in str(writing)
    assert "closed" in str(closed)
    assert all("out.png" in str(error) for error in (writing, closed))


async def test_the_error_for_an_async_file_in_text_mode_does_not_quote_the_text(
    client: AsyncImgwireClient, tmp_path: Path
) -> None:
    path = tmp_path / "hero.png"
    path.write_bytes(png())
    async with await anyio.open_file(path) as file:
        first = await refused(client, file)
    async with aiofiles.open(path) as other:
        second = await refused(client, other)
    for error in (first, second):
        assert "'hero.png' is open in text mode" in str(error)
        assert "'rb'" in str(error)
        assert len(repr(error)) < 200


async def test_the_error_for_an_empty_file_says_so(client: AsyncImgwireClient, tmp_path: Path) -> None:
    path = tmp_path / "hero.png"
    path.touch()
    assert "this file is empty" in str(await refused(client, path))
    assert "a buffer of 0 bytes" in str(await refused(client, b""))


async def test_the_error_for_paths_instead_of_bytes_names_upload_many(
    client: AsyncImgwireClient, tmp_path: Path
) -> None:
    (tmp_path / "hero.png").touch()
    assert "upload_many" in str(await refused(client, tmp_path.iterdir()))


@pytest.mark.world
@pytest.mark.parametrize("answer", [{"status": 403, "body": b"<html>no</html>"}, {"status": 302}])
async def test_a_web_page_is_not_taken_for_the_storage(
    client: AsyncImgwireClient, emulator: Emulator, answer: dict[str, Any]
) -> None:
    emulator.faults.add("PUT", "/uploads/*", times=None, **answer)
    error = await refused(client, png())
    assert isinstance(error, UploadRejectedError)
    assert "captive portal" in str(error)
    assert "mime_type" not in str(error)


async def test_the_error_for_a_token_model_names_its_attribute(client: AsyncImgwireClient) -> None:
    token = await client.images.create_upload_token()
    mistakes: Any = (token, lambda: token)
    for mistake in mistakes:
        error = await refused(client, png(), upload_token=mistake)
        assert ".token" in str(error)
        assert token.token not in str(error)


async def test_the_error_for_a_stream_that_was_read_before_says_so(client: AsyncImgwireClient) -> None:
    image = await client.images.upload(png(padding=300_000), wait=True)
    async with client.images.stream(image) as chunks:
        await anext(chunks)
        error = await refused(client, chunks)
    assert "before" in str(error)
    assert "mime_type" not in str(error)


# --- texts and other objects --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["str", "data URI", "bytes"])
async def test_the_error_for_base64_says_to_decode_it_and_does_not_quote_it(
    client: AsyncImgwireClient, emulator: Emulator, caplog: pytest.LogCaptureFixture, shape: str
) -> None:
    text = base64.b64encode(png(padding=110_000)).decode()
    file = {"str": text, "data URI": f"data:image/png;base64,{text}", "bytes": text.encode()}[shape]
    with caplog.at_level(logging.DEBUG):
        error = await refused(client, file)
    assert "this is base64: decode it" in str(error)
    assert text[:90] not in str(error) + caplog.text + str(getattr(error, "file_name", ""))
    assert not list(emulator.requests)


async def test_the_error_for_a_url_as_file_names_upload_via_url(client: AsyncImgwireClient) -> None:
    for url in ("https://example.com/a.png", Path("https://example.com/a.png")):
        assert "upload_via_url" in str(await refused(client, url))


async def test_the_error_for_a_too_long_file_name_does_not_quote_it(client: AsyncImgwireClient) -> None:
    for path in ("x" * 50_000 + ".png", "x/" * 50_000, "x" * 200):
        error = await refused(client, path)
        assert "x" * 90 not in str(error)
        assert "x/" * 45 not in str(error)


async def test_a_coroutine_as_file_is_closed_and_raises_one_error(client: AsyncImgwireClient) -> None:
    async def fetch() -> bytes:
        return png()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "await it" in str(await refused(client, fetch()))
        with pytest.raises(TypeError, match="await it"):
            async for _ in client.images.upload_many(fetch()):  # type: ignore[arg-type]  # the mistake
                pass


async def test_upload_many_reports_every_mistake_separately(client: AsyncImgwireClient) -> None:
    files: list[Any] = [("a.png", png()), None, UploadItem(png(), file_name="b.png")]
    results = {result.index: result async for result in client.images.upload_many(files)}
    assert "UploadItem" in str(results[0].error)
    assert "NoneType" in str(results[1].error)
    assert results[2].error is None


async def test_the_error_for_one_path_says_how_to_pass_a_folder(client: AsyncImgwireClient) -> None:
    with pytest.raises(TypeError, match="iterdir"):
        async for _ in client.images.upload_many("folder"):  # type: ignore[arg-type]  # the mistake
            pass


# --- names of files in errors -------------------------------------------------------------------------------


@pytest.mark.world
@pytest.mark.parametrize("given", [None, "other.png"])
@pytest.mark.parametrize("failure", ["kind", "size", "changed", "rejected"])
async def test_every_upload_error_has_the_file_name_and_begins_with_the_path(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path, given: str | None, failure: str
) -> None:
    path = tmp_path / "hero.png"
    path.write_bytes(b"no picture" if failure == "kind" else png())
    emulator.faults.add("PUT", "/uploads/*", status=400)
    error = await refused(
        client,
        path,
        file_name=given,
        content_length=5 if failure == "size" else None,
        on_created=lambda _: os.utime(path, (1, 1)) if failure == "changed" else None,
    )
    assert isinstance(error, UploadError)
    assert isinstance(error, SourceChangedError) is (failure == "changed")
    assert ("its modification time changed" in str(error)) is (failure == "changed")
    assert isinstance(error, UploadRejectedError) is (failure == "rejected")
    assert error.file_name == (given or "hero.png")
    assert str(error).startswith(f"{path}: ")


@pytest.mark.world
@pytest.mark.parametrize(
    "fault",
    [{"status": 422}, {"status": 401}, {"status": 200, "body": b"<html>login</html>"}, {"reset": "before"}],
)
async def test_an_error_of_the_api_in_an_upload_begins_with_the_path(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path, fault: dict[str, Any]
) -> None:
    path = tmp_path / "hero.png"
    path.write_bytes(png())
    emulator.faults.add("POST", "*/standard_upload", times=None, **fault)
    assert str(await refused(client.with_options(retries=0), path)).startswith(f"{path}: ")
    emulator.faults.clear()
    emulator.faults.add("GET", "/api/v1/images/*", times=None, status=500)
    with pytest.raises(ImgwireError) as caught:
        await client.with_options(retries=0).images.upload(path, wait=True)
    assert str(caught.value).startswith(f"{path}: ")
    assert "upload itself succeeded" in str(caught.value)


async def test_an_error_begins_with_a_path_that_is_also_a_part_of_the_message(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").write_bytes(png())
    emulator.faults.add("POST", "*/standard_upload", status=422)
    assert str(await refused(client, "a")).startswith("a: POST ")


async def test_a_deadline_error_of_an_upload_names_the_file_once(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("hero.png").write_bytes(png())
    emulator.faults.add("POST", "*/standard_upload", stall=float("inf"))
    with pytest.raises(APITimeoutError, match=r"\Aupload of hero\.png: the deadline"):
        await client.with_options(timeout=Timeouts(deadline=0.2)).images.upload("hero.png")


async def test_an_error_of_the_key_callable_is_raised_unchanged(emulator: Emulator, tmp_path: Path) -> None:
    """All uploads that wait for the key raise the same error, so it names no file."""
    paths = [tmp_path / f"{number}.png" for number in range(8)]
    for path in paths:
        path.write_bytes(png())
    failure = NotFoundError("of the caller's own client", status=404)

    async def key() -> str:
        await asyncio.sleep(0.01)
        raise failure

    async with AsyncImgwireClient(key, base_url=emulator.base_url) as client:
        uploads = [client.images.upload(path) for path in paths]
        assert await asyncio.gather(*uploads, return_exceptions=True) == [failure] * 8
    assert str(tmp_path) not in str(failure)
    async with AsyncImgwireClient(lambda: "sk x", base_url=emulator.base_url) as client:
        uploads = [client.images.upload(path) for path in paths]
        for error in await asyncio.gather(*uploads, return_exceptions=True):
            assert str(tmp_path) not in str(error)


async def test_an_odd_path_is_escaped(client: AsyncImgwireClient, tmp_path: Path) -> None:
    path = tmp_path / "he\x1b[2Jro.png"
    path.write_bytes(b"no picture")
    error = await refused(client, path)
    assert str(error).startswith(str(path).replace("\x1b", "\\u001b"))


# --- downloads and closed clients ---------------------------------------------------------------------------


@pytest.mark.world
@pytest.mark.parametrize("overwrite", [False, True])
async def test_the_error_of_a_failed_download_names_its_target(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path, overwrite: bool
) -> None:
    image = await client.images.upload(png(), wait=True)
    target = tmp_path / "hero.png"
    if overwrite:
        target.write_bytes(b"before")
    emulator.faults.add("GET", "/*", status=404)
    with pytest.raises(DownloadError) as caught:
        await client.images.download(image, target, overwrite=overwrite)
    assert str(target) in str(caught.value)
    assert ("before is untouched" in str(caught.value)) is overwrite


async def test_the_error_for_an_existing_target_names_overwrite(
    client: AsyncImgwireClient, tmp_path: Path
) -> None:
    image = await client.images.upload(png(), wait=True)
    target = tmp_path / "hero.png"
    target.write_bytes(b"before")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        await client.images.download(image, target)
    with pytest.raises(IsADirectoryError, match="a file in it"):
        await client.images.download(image, tmp_path)
    with pytest.raises(FileNotFoundError, match="create this directory first"):
        await client.images.download(image, tmp_path / "none" / "hero.png")


async def test_the_error_of_a_closed_client_names_the_operation(emulator: Emulator, tmp_path: Path) -> None:
    client = AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url)
    image = await client.images.upload(png(), wait=True)
    await client.aclose()
    for call, word in (
        (client.images.upload(tmp_path / "hero.png"), "hero.png"),
        (client.images.download(image, tmp_path / "new.png"), "download"),
        (client.images.retrieve(image.id), "GET /images/"),
        (client.images.list(), "GET /images/"),
        (client.images.create(file_name="hero.png"), "POST /images/standard_upload"),
        (client.images.create(file_name="hero.png", upload_token=lambda: "token"), "images.create"),
        (client.images.wait_until_ready(image.id), "wait_until_ready"),
    ):
        with pytest.raises(RuntimeError, match="the client is closed") as caught:
            await call
        assert word in str(caught.value)


def test_the_errors_of_the_blocking_client_are_the_same() -> None:
    with ImgwireClient("sk_test_key") as client, pytest.raises(ValueError, match="upload_via_url"):
        client.images.upload("https://example.com/a.png")
