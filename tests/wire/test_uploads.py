"""Uploads over real sockets: they arrive completely, or raise an error that says what to do."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from worlds import World

from imgwire_async import (
    APITimeoutError,
    AsyncImgwireClient,
    ConflictError,
    Hooks,
    Image,
    ImageQuarantinedError,
    ImageStatus,
    ImgwireError,
    RetryPolicy,
    ServerError,
    SourceChangedError,
    Timeouts,
    UnsafeURLError,
    UnsupportedImageError,
    UploadConnectionError,
    UploadError,
    UploadNotReplayableError,
    UploadProgress,
    UploadRejectedError,
    UploadSizeError,
    UploadStalledError,
    UploadUrlExpiredError,
    WaitTimeoutError,
    to_dict,
)
from imgwire_async.emulator import Emulator, RequestRecord

from .conftest import PICTURES, with_pictures
from .pictures import png

FAST = RetryPolicy(backoff=0.01)
BIG = png(padding=1_500_000)


def puts(emulator: Emulator) -> list[RequestRecord]:
    return [record for record in emulator.requests if record.host == "storage"]


def create_requests(emulator: Emulator) -> list[RequestRecord]:
    return [record for record in emulator.requests if record.target.endswith("standard_upload")]


@pytest.fixture
async def quick(client: AsyncImgwireClient) -> AsyncImgwireClient:
    return client.with_options(retries=FAST)


# --- completeness -------------------------------------------------------------------------------------------


@pytest.mark.slow
@with_pictures
@pytest.mark.parametrize("switches", [{"ready_polls": 0}])
async def test_every_real_picture_is_stored_unchanged(client: AsyncImgwireClient, emulator: Emulator) -> None:
    manifest = json.loads((PICTURES / "manifest.json").read_text())
    for entry in manifest:
        if entry["mime_type"] is None:
            with pytest.raises(UnsupportedImageError):
                await client.images.upload(PICTURES / entry["name"])
        elif not entry["decodes"]:
            with pytest.raises(ImageQuarantinedError, match="QUARANTINE"):
                await client.images.upload(PICTURES / entry["name"], wait=True)
        else:
            image = await client.images.upload(PICTURES / entry["name"], wait=True)
            found = (image.mime_type, image.width, image.height, image.size_bytes, image.original_filename)
            assert found == (
                entry["mime_type"], entry["width"], entry["height"], entry["size_bytes"], Path(entry["name"]).name,
            )  # fmt: skip
            assert puts(emulator)[-1].body_sha256 == entry["sha256"]
    assert len(puts(emulator)) == sum(entry["mime_type"] is not None for entry in manifest)


@pytest.mark.world
@pytest.mark.parametrize(
    "padding",
    [pytest.param(0, marks=pytest.mark.slow), pytest.param(524_288 - 400, marks=pytest.mark.slow), 1_500_000],
)
@pytest.mark.parametrize(
    "kind", ["path", "str", "bytes", "bytearray", "memoryview", "bytesio", "open file", "at an offset"]
)
async def test_every_kind_of_file_is_uploaded_completely(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path, kind: str, padding: int
) -> None:
    data = png(padding=padding)
    path = tmp_path / "picture.png"
    path.write_bytes(b"#" * 100 + data if kind == "at an offset" else data)
    with path.open("rb") as file:
        if kind == "at an offset":
            file.seek(100)
        files: dict[str, Any] = {
            "path": path,
            "str": str(path),
            "bytes": data,
            "bytearray": bytearray(data),
            "memoryview": memoryview(data),
            "bytesio": io.BytesIO(data),
        }
        argument = files.get(kind, file)
        image = await client.images.upload(argument, wait=True)
        assert not file.closed
        assert file.tell() == (path.stat().st_size if argument is file else 0), (
            "the position of the caller's file is where reading ended"
        )
    (put,) = puts(emulator)
    assert (put.body_sha256, put.body_length) == (hashlib.sha256(data).hexdigest(), len(data))
    assert (image.status, image.size_bytes) == (ImageStatus.READY, len(data))
    name = "picture.png" if kind in {"path", "str", "open file", "at an offset"} else "upload.png"
    assert image.original_filename == name


async def test_a_put_sends_only_headers_that_the_url_was_signed_for(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    upload = client.images.upload(png(), file_name="Zoë ~ +%2F.png")
    await client.with_options(default_headers={"X-Team": "a", "X-Amz-Meta": "b"}).images.list()
    await upload
    (put,) = puts(emulator)
    names = [name.lower() for name, _ in put.headers]
    assert sorted(names) == [
        "accept",
        "accept-encoding",
        "content-length",
        "content-type",
        "host",
        "user-agent",
    ]
    assert dict(put.headers)["Content-Type"] == "image/png"


async def test_the_api_key_is_never_sent_to_the_storage(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    await client.images.upload(png(), wait=True)
    for record in emulator.requests:
        text = repr(record.headers)
        assert (emulator.api_key in text) == (record.host == "api")
        assert "ookie" not in text


async def test_metadata_purpose_and_hash_are_stored(client: AsyncImgwireClient) -> None:
    data = png()
    image = await client.images.upload(
        data, custom_metadata={"a": "b", "n": 1.5}, purpose="avatar", hash_sha256=True, wait=True
    )
    assert (image.custom_metadata, image.purpose) == ({"a": "b", "n": 1.5}, "avatar")
    assert image.hash_sha256 == hashlib.sha256(data).hexdigest()


async def test_a_declared_type_is_sent_and_the_service_checks_the_bytes(
    client: AsyncImgwireClient,
) -> None:
    with pytest.raises(ImageQuarantinedError, match="upload itself succeeded") as caught:
        await client.images.upload(b"no picture", mime_type="image/png", wait=True)
    assert caught.value.image is not None
    assert caught.value.image.status == ImageStatus.QUARANTINE


@pytest.mark.parametrize("fault", [{"status": 500}, {"reset": "before"}, {"body": b"[]", "status": 200}])
async def test_when_only_the_wait_fails_the_error_says_that_the_upload_succeeded(
    emulator: Emulator, client: AsyncImgwireClient, fault: dict[str, Any]
) -> None:
    emulator.faults.add("GET", "/api/v1/images/*", **fault)
    with pytest.raises(
        ImgwireError, match=r"image .+ \(hero.png\): the upload itself succeeded.+GET"
    ) as caught:
        await client.with_options(retries=0).images.upload(png(), file_name="hero.png", wait=True)
    assert caught.value.image is not None
    assert caught.value.image.id in str(caught.value)


# --- errors before any request ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"<svg xmlns='x'/>", "an SVG drawing"),
        (b"%PDF-1.7", "a PDF"),
        (b"hello", "plain text"),
    ],
)
async def test_a_file_that_is_no_picture_is_not_sent(
    client: AsyncImgwireClient, emulator: Emulator, data: bytes, found: str
) -> None:
    with pytest.raises(UnsupportedImageError, match=f"holiday.jpg: this is {found}") as caught:
        await client.images.upload(data, file_name="holiday.jpg")
    assert (caught.value.file_name, caught.value.image, len(emulator.requests)) == ("holiday.jpg", None, 0)


async def test_a_wrong_content_length_raises_before_any_request(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    with pytest.raises(UploadSizeError, match="content_length=3"):
        await client.images.upload(png(), content_length=3)
    assert len(emulator.requests) == 0


async def test_a_missing_file_and_a_folder_raise_the_usual_exceptions(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        await client.images.upload(tmp_path / "missing.png")
    with pytest.raises(IsADirectoryError, match="upload_many"):
        await client.images.upload(tmp_path)
    assert len(emulator.requests) == 0


@pytest.mark.parametrize("bad", [None, 7, {"a": 1}, object(), io.StringIO("text"), {b"a"}])
async def test_an_unreadable_object_raises_a_type_error(
    client: AsyncImgwireClient, emulator: Emulator, bad: Any
) -> None:
    with pytest.raises(TypeError, match="file"):
        await client.images.upload(bad)
    assert len(emulator.requests) == 0


async def test_a_file_in_text_mode_is_rejected(client: AsyncImgwireClient, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    with (tmp_path / "a.png").open(encoding="latin-1") as file, pytest.raises(TypeError, match="'rb'"):
        await client.images.upload(file)  # type: ignore[arg-type]


# --- failures of requests -----------------------------------------------------------------------------------


@pytest.mark.world
@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503},
        {"status": 500},
        {"status": 429},
        {"status": 408},
        {"reset": "before"},
        {"reset": 1000},
        {"reset": 700_000},
    ],
)
@pytest.mark.parametrize(
    "kind",
    ["path", pytest.param("bytes", marks=pytest.mark.slow), pytest.param("file", marks=pytest.mark.slow)],
)
async def test_a_broken_put_is_retried_from_the_first_byte(
    quick: AsyncImgwireClient, emulator: Emulator, tmp_path: Path, kind: str, fault: dict[str, Any]
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"#" * 7 + BIG if kind == "file" else BIG)
    emulator.faults.add("PUT", "/uploads/*", times=2, **fault)
    with path.open("rb") as file:
        file.seek(7)
        image = await quick.images.upload({"bytes": BIG, "path": path, "file": file}[kind], wait=True)
    assert image.size_bytes == len(BIG)
    last = puts(emulator)[-1]
    assert (last.status, last.body_sha256) == (200, hashlib.sha256(BIG).hexdigest())
    assert len(puts(emulator)) == 3
    assert len(create_requests(emulator)) == 1


@pytest.mark.world
@pytest.mark.parametrize(
    "fault", [{"status": 503}, {"reset": "before"}, {"reset": 1000}, {"reset": "after_commit"}]
)
async def test_without_retries_one_url_is_requested_and_one_put_sent(
    client: AsyncImgwireClient, emulator: Emulator, fault: dict[str, Any]
) -> None:
    emulator.faults.add("PUT", "/uploads/*", times=None, **fault)
    with pytest.raises(UploadError) as caught:
        await client.with_options(retries=0).images.upload(BIG)
    assert len(emulator.requests) == 2
    assert caught.value.image is not None
    assert caught.value.image.id in emulator.images


@pytest.mark.world
async def test_a_response_lost_after_the_bytes_arrived_is_a_success(
    quick: AsyncImgwireClient, emulator: Emulator
) -> None:
    emulator.faults.add("PUT", "/uploads/*", reset="after_commit")
    image = await quick.images.upload(BIG, wait=True)
    assert image.status == ImageStatus.READY
    assert len(puts(emulator)) == 1, "the record was checked, and the bytes were not sent again"


@pytest.mark.world
async def test_a_lost_response_raises_a_connection_error_if_the_record_cannot_be_checked(
    quick: AsyncImgwireClient, emulator: Emulator
) -> None:
    emulator.faults.add("PUT", "/uploads/*", reset="after_commit")
    emulator.faults.add("GET", "/api/v1/images/{image_id}", times=4, status=500)
    with pytest.raises(UploadConnectionError, match=r"broke|closed") as caught:
        await quick.images.upload(BIG)
    assert isinstance(caught.value.__cause__, ServerError)
    await require_no_false_promise(caught.value, quick)


@pytest.mark.world
async def test_a_lost_response_without_retries_raises_an_error_that_says_the_bytes_may_have_arrived(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    emulator.faults.add("PUT", "*", reset="after_commit", host="storage")
    with pytest.raises(UploadConnectionError) as caught:
        await client.with_options(retries=0).images.upload(png())
    await require_no_false_promise(caught.value, client)


async def require_no_false_promise(error: UploadError, client: AsyncImgwireClient) -> None:
    """Assert that the message does not hide that the bytes of the record may have arrived."""
    assert error.image is not None
    image = await client.with_options(retries=FAST).images.retrieve(error.image.id)
    assert image.status != ImageStatus.PENDING
    assert (
        f"The record {error.image.id} may have its bytes: retrieve it before you upload the file again."
        in str(error)
    )
    assert "PENDING" not in str(error)
    assert "Upload the file again" not in str(error)


@pytest.mark.world
@pytest.mark.parametrize(
    ("retries", "fault"),
    [(0, {"reset": "before"}), (1, {"reset": "before"}), (3, {"status": 400}), (3, {"status": 403})],
    ids=str,
)
async def test_the_error_says_that_the_record_stays_pending_only_if_that_is_known(
    client: AsyncImgwireClient, emulator: Emulator, retries: int, fault: dict[str, Any]
) -> None:
    emulator.faults.add("PUT", "*", times=None, host="storage", **fault)
    quick = client.with_options(retries=RetryPolicy(max_retries=retries, backoff=0.01))
    with pytest.raises(UploadError) as caught:
        await quick.images.upload(png())
    assert caught.value.image is not None
    # Without retries the record is not checked, so its state after a lost connection is unknown.
    expected = "stays PENDING at the service." if retries else "may have its bytes: retrieve it"
    assert f"The record {caught.value.image.id} {expected}" in str(caught.value)


async def report_pending(client: AsyncImgwireClient, emulator: Emulator, *, pending_responses: int) -> str:
    """Create a record that the next responses report as PENDING, although its bytes may have arrived."""
    created = await client.images.create(file_name="upload.png", idempotency_key="late")
    body = (await client.request("GET", f"/images/{created.image.id}")).body
    emulator.faults.add("GET", "/api/v1/images/{image_id}", times=pending_responses, status=200, body=body)
    return created.image.id


@pytest.mark.parametrize("switches", [{"second_put": "refused"}])
async def test_an_upload_succeeds_if_the_record_shows_its_bytes_late(
    quick: AsyncImgwireClient, emulator: Emulator
) -> None:
    image_id = await report_pending(quick, emulator, pending_responses=2)
    emulator.faults.add("PUT", "/uploads/*", reset="after_commit")
    image = await quick.images.upload(png(), idempotency_key="late")
    assert (image.id, list(emulator.images)) == (image_id, [image_id])
    assert image.status != ImageStatus.PENDING


@pytest.mark.world
async def test_the_record_is_checked_after_a_rejected_second_put(
    quick: AsyncImgwireClient, emulator: Emulator
) -> None:
    image_id = await report_pending(quick, emulator, pending_responses=1)
    emulator.faults.add("PUT", "/uploads/*", reset="after_commit")
    emulator.faults.add("PUT", "/uploads/*", status=412)
    assert (await quick.images.upload(png(), idempotency_key="late")).id == image_id


@pytest.mark.parametrize(
    ("switches", "statuses"),
    [({"second_put": "accepted"}, [200, 200]), ({"second_put": "refused"}, [200, 403])],
)
async def test_an_upload_that_arrived_before_returns_its_record(
    quick: AsyncImgwireClient, emulator: Emulator, statuses: list[int]
) -> None:
    first = await quick.images.upload(png(), idempotency_key="once", wait=True)
    again = await quick.images.upload(png(), idempotency_key="once", wait=True)
    assert again.id == first.id
    assert [put.status for put in puts(emulator)] == statuses


async def test_a_new_idempotency_key_is_made_once(quick: AsyncImgwireClient, emulator: Emulator) -> None:
    created: list[str] = []
    emulator.faults.add("POST", "*/standard_upload", status=409, body=b'{"detail": "taken"}')
    emulator.faults.add("PUT", "/uploads/*", status=403, body=b"Request has expired")
    await quick.images.upload(png(), on_created=lambda image: created.append(image.id), wait=True)
    assert (len(created), len(create_requests(emulator)), len(emulator.images)) == (1, 3, 1)


@pytest.mark.slow
@pytest.mark.world
async def test_a_rejection_in_two_packets_is_read_completely(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    emulator.faults.add(
        "PUT",
        "/uploads/*",
        times=None,
        status=403,
        body=b"<?xml?>" + b" " * 30 + b"Request has expired",
        slow=100,
    )
    with pytest.raises(UploadUrlExpiredError):
        await client.with_options(retries=FAST).images.upload(png())


async def test_if_the_record_check_fails_the_error_is_that_of_the_put(
    quick: AsyncImgwireClient, emulator: Emulator
) -> None:
    emulator.faults.add("PUT", "/uploads/*", reset="before")
    emulator.faults.add("GET", "/api/v1/images/{image_id}", status=403, body=b"{}")
    with pytest.raises(UploadConnectionError):
        await quick.images.upload(png())


async def test_hooks_receive_the_attempts_of_a_put(quick: AsyncImgwireClient, emulator: Emulator) -> None:
    events: list[Any] = []
    emulator.faults.add("PUT", "/uploads/*", times=2, status=503)
    await quick.with_options(hooks=Hooks(on_request=events.append, on_retry=events.append)).images.upload(
        png()
    )
    storage = [(type(e).__name__, e.attempt) for e in events if e.kind == "storage"]
    assert storage == [
        ("RequestEvent", 1), ("RetryEvent", 1), ("RequestEvent", 2), ("RetryEvent", 2), ("RequestEvent", 3),
    ]  # fmt: skip


async def test_a_source_that_raises_cancelled_error_cancels_the_upload(client: AsyncImgwireClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield BIG[:700_000]
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await client.images.upload(chunks(), content_length=len(BIG))


async def test_one_file_object_cannot_be_uploaded_twice_at_the_same_time(client: AsyncImgwireClient) -> None:
    file = io.BytesIO(BIG)
    first, second = await asyncio.gather(
        client.images.upload(file), client.images.upload(file), return_exceptions=True
    )
    assert isinstance(first, Image)
    assert isinstance(second, ValueError)
    assert "uploaded already" in str(second)
    file.seek(0)
    await client.images.upload(file)


async def test_a_small_file_that_changes_raises_source_changed(
    client: AsyncImgwireClient, tmp_path: Path
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png())
    with pytest.raises(SourceChangedError):
        await client.images.upload(path, on_created=lambda _: path.write_bytes(png(9, 9)) and None)


@pytest.mark.world
async def test_no_byte_is_lost_when_a_reused_connection_breaks_during_the_body(
    quick: AsyncImgwireClient, emulator: Emulator
) -> None:
    await quick.images.upload(png())
    emulator.faults.add("PUT", "/uploads/*", reset=1000)
    await quick.images.upload(BIG, wait=True)
    assert puts(emulator)[-1].body_sha256 == hashlib.sha256(BIG).hexdigest()


@pytest.mark.world
@pytest.mark.parametrize("switches", [{"expired_status": 403}, {"expired_status": 400}])
async def test_an_expired_url_is_replaced_and_never_used_again(
    quick: AsyncImgwireClient, emulator: Emulator
) -> None:
    emulator.faults.add(
        "PUT",
        "/uploads/*",
        status=403,
        body=b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>",
    )
    image = await quick.images.upload(png(), wait=True)
    targets = [put.target for put in puts(emulator)]
    assert (len(targets), len(set(targets)), len(create_requests(emulator))) == (2, 2, 2)
    assert list(emulator.images) == [image.id], "the same key returned the same record"


@pytest.mark.world
@pytest.mark.parametrize(
    "switches", [{"url_lifetime": 0.0, "expired_status": status} for status in (403, 400)]
)
async def test_an_upload_fails_after_three_expired_urls(
    quick: AsyncImgwireClient, emulator: Emulator
) -> None:
    emulator.clock.advance(10)

    def later(_: Image) -> None:
        emulator.clock.advance(5)

    with pytest.raises(UploadUrlExpiredError, match=r"3 requested.*clock") as caught:
        await quick.images.upload(png(), on_created=later)
    assert len(create_requests(emulator)) == 3
    assert len({put.target for put in puts(emulator)}) == len(puts(emulator))
    assert caught.value.image is not None


async def test_the_date_in_the_url_proves_that_it_expired(
    quick: AsyncImgwireClient, emulator: Emulator
) -> None:
    late = {"Date": "Wed, 25 Nov 2099 12:00:00 GMT"}
    emulator.faults.add("PUT", "/uploads/*", times=None, status=403, body=b"no", headers=late)
    with pytest.raises(UploadUrlExpiredError):
        await quick.images.upload(png())
    assert len(create_requests(emulator)) == 3


@pytest.mark.world
async def test_a_403_without_a_sign_of_expiry_gets_one_new_url(
    quick: AsyncImgwireClient, emulator: Emulator
) -> None:
    emulator.faults.add("PUT", "/uploads/*", times=None, status=403, body=b"<Code>AccessDenied</Code>")
    with pytest.raises(UploadRejectedError, match="HTTP 403 after 2 PUTs") as caught:
        await quick.images.upload(png())
    assert (caught.value.status, len(create_requests(emulator)), len(puts(emulator))) == (403, 2, 2)


@pytest.mark.world
async def test_a_413_raises_at_once(quick: AsyncImgwireClient, emulator: Emulator) -> None:
    emulator.faults.add("PUT", "/uploads/*", status=413, body=b"<Code>EntityTooLarge</Code>")
    with pytest.raises(UploadRejectedError, match="EntityTooLarge"):
        await quick.images.upload(BIG)
    assert len(puts(emulator)) == 1


@pytest.mark.parametrize("switches", [{"idempotency": "same_dead_url"}])
async def test_a_rejected_url_that_is_returned_again_leads_to_a_new_key(
    quick: AsyncImgwireClient, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.faults.add("PUT", "/uploads/*", status=403, body=b"Request has expired")
    image = await quick.images.upload(png(), wait=True)
    assert len(emulator.images) == 2
    assert image.status == ImageStatus.READY
    abandoned = next(iter(set(emulator.images) - {image.id}))
    assert f"image {abandoned} never got its bytes" in caplog.text
    assert len(create_requests(emulator)) == 3


@pytest.mark.parametrize("switches", [{"idempotency": "same_dead_url"}])
async def test_the_callers_key_is_never_replaced(quick: AsyncImgwireClient, emulator: Emulator) -> None:
    emulator.faults.add("PUT", "/uploads/*", status=403, body=b"Request has expired")
    with pytest.raises(UploadUrlExpiredError, match="another idempotency_key"):
        await quick.images.upload(png(), idempotency_key="mine")
    assert len(emulator.images) == 1


@pytest.mark.parametrize("switches", [{"idempotency": "conflict"}])
async def test_after_a_conflict_only_a_generated_key_is_replaced(
    quick: AsyncImgwireClient, emulator: Emulator
) -> None:
    emulator.faults.add("POST", "*/standard_upload", reset="after_commit")
    await quick.images.upload(png(), wait=True)
    emulator.faults.add("POST", "*/standard_upload", reset="after_commit")
    with pytest.raises(ConflictError):
        await quick.images.upload(png(), idempotency_key="mine")


@pytest.mark.world
async def test_a_source_that_can_be_read_once_is_not_sent_twice(
    quick: AsyncImgwireClient, emulator: Emulator
) -> None:
    data = BIG

    class Once(io.RawIOBase):
        def __init__(self) -> None:
            self.inner = io.BytesIO(data)

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            return self.inner.read(size)

    emulator.faults.add("PUT", "/uploads/*", status=503)
    with pytest.raises(UploadNotReplayableError, match="read only once") as caught:
        await quick.images.upload(Once(), content_length=len(data))
    assert isinstance(caught.value.__cause__, UploadRejectedError)
    assert len(puts(emulator)) == 1


@pytest.mark.world
@pytest.mark.parametrize("many", [False, True], ids=["alone", "among many"])
@pytest.mark.parametrize("change", ["shorter", "longer", "touched"])
async def test_a_file_that_changes_while_it_is_read_raises_source_changed(
    quick: AsyncImgwireClient, emulator: Emulator, tmp_path: Path, change: str, many: bool
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(BIG)

    def change_file(_: Image) -> None:
        if change == "touched":
            path.write_bytes(b"\0" * len(BIG))
        else:
            path.write_bytes(BIG[:-5] if change == "shorter" else BIG + b"more")

    with pytest.raises(SourceChangedError, match="changed while it was read"):
        # `upload_many` reads the first chunk of a file before it creates the record.
        if many:
            async for result in quick.images.upload_many([path], on_created=change_file):
                result.unwrap()
        else:
            await quick.images.upload(path, on_created=change_file)
    assert next(iter(emulator.images.values())).status == "PENDING", "the record must not have bytes"


@pytest.mark.world
async def test_the_error_for_an_unreachable_storage_has_the_record(
    client: AsyncImgwireClient, emulator: Emulator, world: World
) -> None:
    created = await client.images.create(file_name="a.png")
    body = {"image": json.loads((await client.request("GET", f"/images/{created.image.id}")).text)}
    body["upload_url"] = f"{world.origin(9)}/nobody?X-Amz-Signature=topsecret"
    emulator.faults.add("POST", "*/standard_upload", status=200, body=json.dumps(body).encode())
    quick = client.with_options(retries=RetryPolicy(max_retries=1, backoff=0.01))
    with pytest.raises(
        UploadConnectionError, match=r"127\.0\.0\.1:9 cannot be reached.*after 2 PUTs"
    ) as caught:
        await quick.images.upload(png(), file_name="holiday.png")
    assert (caught.value.file_name, caught.value.image and caught.value.image.id) == (
        "holiday.png",
        created.image.id,
    )
    assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["ftp://x/", "http://user:pw@127.0.0.1/", "file:///etc/passwd", "nonsense", "http://127.0.0.1/a b"]
)
async def test_an_unsafe_upload_url_is_not_used(
    client: AsyncImgwireClient, emulator: Emulator, url: str
) -> None:
    created = await client.images.create(file_name="a.png")
    body = {
        "image": json.loads((await client.request("GET", f"/images/{created.image.id}")).text),
        "upload_url": url,
    }
    emulator.faults.add("POST", "*/standard_upload", status=200, body=json.dumps(body).encode())
    with pytest.raises(UnsafeURLError, match="Nothing was sent") as caught:
        await client.images.upload(png())
    assert "pw" not in str(caught.value)
    assert caught.value.image is not None


async def test_a_record_with_an_unsafe_upload_url_is_reported_and_no_put_is_counted(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    created = await client.images.create(file_name="a.png")
    body = to_dict(created) | {"upload_url": "ftp://x/"}
    emulator.faults.add("POST", "*/standard_upload", status=200, body=body)
    reported: list[Image] = []
    results = [result async for result in client.images.upload_many([png()], on_created=reported.append)]
    assert type(results[0].error) is UnsafeURLError
    assert (results[0].attempts, results[0].bytes_sent) == (0, 0)
    assert [image.id for image in reported] == [created.image.id]


async def test_an_api_error_has_no_image_if_no_record_was_created(
    quick: AsyncImgwireClient, emulator: Emulator
) -> None:
    emulator.faults.add("POST", "*", times=None, status=500)
    with pytest.raises(ServerError, match="4 attempts") as caught:
        await quick.images.upload(png())
    assert caught.value.image is None


# --- timeouts, progress, callbacks --------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.world
async def test_a_slow_transfer_that_makes_progress_never_stalls(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    emulator.faults.add("PUT", "/uploads/*", slow=400_000)
    patient = client.with_options(timeout=Timeouts(attempt=1.0, stall=1.0))
    started_at = time.monotonic()
    await patient.images.upload(BIG)
    assert time.monotonic() - started_at > 2.5


@pytest.mark.world
@pytest.mark.parametrize("size", [3_000, 20_000_000])
async def test_a_transfer_without_progress_fails_after_the_stall_timeout(
    client: AsyncImgwireClient, emulator: Emulator, size: int
) -> None:
    emulator.faults.add("PUT", "/uploads/*", stall=float("inf"))
    started_at = time.monotonic()
    with pytest.raises(UploadStalledError, match=r"for 0\.5 s") as caught:
        await client.with_options(timeout=Timeouts(stall=0.5)).images.upload(png(padding=size))
    assert 0.5 <= time.monotonic() - started_at < 5.0
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.image is not None


@pytest.mark.world
async def test_the_deadline_ends_an_upload_inside_its_put(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    emulator.faults.add("PUT", "/uploads/*", stall=float("inf"))
    started_at = time.monotonic()
    with pytest.raises(APITimeoutError, match=r"deadline of 0.5 s") as caught:
        await client.with_options(timeout=Timeouts(deadline=0.5)).images.upload(png(), wait=True)
    assert 0.5 <= time.monotonic() - started_at < 5.0
    assert caught.value.which == "deadline"
    assert caught.value.image is not None


@pytest.mark.parametrize("switches", [{"ready_after": 1e9}])
async def test_the_error_for_a_wait_that_is_too_long_has_the_record(client: AsyncImgwireClient) -> None:
    with pytest.raises(WaitTimeoutError, match="still PROCESSING") as caught:
        await client.images.upload(png(), wait=0.4)
    assert caught.value.image is not None
    assert caught.value.image.status == ImageStatus.PROCESSING


@pytest.mark.world
async def test_progress_can_go_back_and_reaches_the_total_only_at_the_end(
    quick: AsyncImgwireClient, emulator: Emulator
) -> None:
    reports: list[UploadProgress] = []
    emulator.faults.add("PUT", "/uploads/*", reset=1_000_000)
    await quick.images.upload(BIG, file_name="big.png", on_progress=reports.append)
    assert {(progress.total, progress.file_name) for progress in reports} == {(len(BIG), "big.png")}
    assert [progress.sent for progress in reports].count(len(BIG)) == 1
    assert reports[-1].sent == len(BIG)


@pytest.mark.world
async def test_an_exception_of_a_callback_ends_the_upload_unchanged(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    class CallbackError(Exception):
        pass

    def fail(_: object) -> None:
        raise CallbackError

    with pytest.raises(CallbackError):
        await client.images.upload(BIG, on_created=fail)
    with pytest.raises(CallbackError):
        await client.images.upload(BIG, on_progress=fail)
    await client.images.upload(BIG, wait=True)


async def test_an_exception_of_the_callers_file_is_raised_unchanged(client: AsyncImgwireClient) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 600_000:
                raise KeyError("mine")
            return super().read(size)

    with pytest.raises(KeyError, match="mine"):
        await client.images.upload(Broken(BIG))


async def test_a_coroutine_function_is_rejected_as_callback(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    async def callback(_: object) -> None: ...

    with pytest.raises(TypeError, match="on_progress must be a plain function"):
        await client.images.upload(png(), on_progress=callback)
    assert len(emulator.requests) == 0


@pytest.mark.world
async def test_a_cancelled_upload_releases_everything(
    emulator: Emulator, tmp_path: Path, world: World
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(padding=30_000_000))
    async with world.client_of(emulator, max_connections=2) as client:
        emulator.faults.add("PUT", "/uploads/*", times=8, stall=float("inf"))
        tasks = [asyncio.ensure_future(client.images.upload(path)) for _ in range(8)]
        while len(puts(emulator)) < 2:
            await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        assert all(
            isinstance(outcome, asyncio.CancelledError)
            for outcome in await asyncio.gather(*tasks, return_exceptions=True)
        )
        emulator.faults.clear()
        await asyncio.gather(*(client.images.upload(png()) for _ in range(4)))
    assert str(path) not in {str(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()}


@pytest.mark.world
async def test_more_uploads_than_slots_all_arrive(emulator: Emulator, world: World) -> None:
    async with world.client_of(emulator, max_connections=3) as client:
        images = await asyncio.gather(*(client.images.upload(png(), wait=True) for _ in range(30)))
    assert len({image.id for image in images}) == 30
    assert len({record.connection for record in emulator.requests}) <= 6
