"""All 20 operations of the API, run against the emulator."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from imgwire_async import (
    AsyncImgwireClient,
    CustomDomainCertificateStatus,
    CustomDomainStatus,
    ImageDownloadStatus,
    ImageStatus,
    NotFoundError,
    PermissionDeniedError,
)
from imgwire_async.emulator import Emulator

from .pictures import png


async def test_an_image_is_created_listed_retrieved_and_deleted(client: AsyncImgwireClient) -> None:
    made = await client.images.create(file_name="a.png", custom_metadata={"n": 1, "b": True}, purpose="test")
    assert (made.image.status, made.image.mime_type) == (ImageStatus.PENDING, "image/png")
    assert (await client.images.retrieve(made.image.id)).custom_metadata == {"n": 1, "b": True}
    page = await client.images.list(limit=5)
    assert [image.id for image in page.data] == [made.image.id]
    assert (page.pagination.total_count, page.pagination.page, page.pagination.next_page) == (1, 1, None)
    await client.images.delete(uuid.UUID(made.image.id))
    with pytest.raises(NotFoundError, match=rf"GET /images/\{{image_id\}}.* for image_id {made.image.id}"):
        await client.images.retrieve(made.image.id)


async def test_list_all_returns_every_image_once_and_in_order(client: AsyncImgwireClient) -> None:
    for number in range(23):
        await client.images.create(file_name=f"{number}.png")
    alone = [image.original_filename async for image in client.images.list_all(limit=5, prefetch=1)]
    together = [image.original_filename async for image in client.images.list_all(limit=5)]
    assert alone == together
    assert sorted(alone) == sorted(f"{number}.png" for number in range(23))


async def test_an_image_is_created_from_a_url(emulator: Emulator, client: AsyncImgwireClient) -> None:
    emulator.urls["https://pictures.example.com/a.png"] = png(7, 5)
    image = await client.images.upload_via_url("https://pictures.example.com/a.png", wait=10)
    assert (image.status, image.width, image.height) == (ImageStatus.READY, 7, 5)


async def test_images_are_deleted_in_chunks(client: AsyncImgwireClient) -> None:
    ids = [(await client.images.create(file_name="a.png")).image.id for _ in range(5)]
    result = await client.images.bulk_delete([*ids[:4], str(uuid.uuid4()), ids[4]], chunk_size=2)
    assert result.deleted == tuple(ids[:4])
    assert [failed for failed, _ in result.failed][1:] == [ids[4]]
    assert all(isinstance(error, NotFoundError) for _, error in result.failed)


async def test_a_client_key_uploads_with_a_token_and_nothing_else(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    token = await client.images.create_upload_token()
    async with AsyncImgwireClient(emulator.client_key, base_url=emulator.base_url) as browser:
        image = await browser.images.upload(png(), upload_token=token.token, wait=True)
        assert image.upload_token_id == token.id
        with pytest.raises(PermissionDeniedError, match="server key"):
            await browser.images.list()


async def test_a_bulk_download_job_becomes_ready(client: AsyncImgwireClient) -> None:
    image = await client.images.upload(png(), wait=True)
    job = await client.images.create_bulk_download_job([image.id])
    assert (job.download_url, job.image_ids) == (None, (image.id,))
    statuses: list[str] = []
    done = await client.images.wait_for_bulk_download(job, on_update=lambda job: statuses.append(job.status))
    assert (done.status, statuses[-1]) == (ImageDownloadStatus.READY, "READY")
    assert done.download_url is not None
    assert done.download_url not in repr(done)


async def test_cors_origins_are_created_listed_updated_and_deleted(client: AsyncImgwireClient) -> None:
    made = await client.cors_origins.create("app.example.com")
    assert (await client.cors_origins.update(made.id, "*.example.com")).pattern == "*.example.com"
    assert (await client.cors_origins.retrieve(made.id)).pattern == "*.example.com"
    assert [origin.id async for origin in client.cors_origins.list_all()] == [made.id]
    assert len((await client.cors_origins.list()).data) == 1
    await client.cors_origins.delete(made.id)
    assert (await client.cors_origins.list()).data == []


async def test_the_custom_domain_is_created_connected_and_deleted(client: AsyncImgwireClient) -> None:
    with pytest.raises(NotFoundError):
        await client.custom_domain.retrieve()
    made = await client.custom_domain.create("img.example.com")
    assert made.status == CustomDomainStatus.PENDING
    assert (await client.custom_domain.test_connection()).hostname == "img.example.com"
    await client.custom_domain.test_connection()
    done = await client.custom_domain.wait_until_connected(timeout=20)
    assert done.certificate_status == CustomDomainCertificateStatus.ACTIVE
    assert (await client.custom_domain.retrieve()) == done
    await client.custom_domain.delete()


async def test_metrics_count_what_was_uploaded(client: AsyncImgwireClient) -> None:
    data = png()
    await client.images.upload(data, wait=True)
    now = datetime.now(UTC)
    stats = await client.metrics.get_stats(
        date_start=now - timedelta(hours=1), date_end=now + timedelta(hours=1)
    )
    assert (stats.uploads.value, stats.storage_bytes.value, stats.uploads.pct_change) == (1, len(data), None)
    sets = await client.metrics.get_datasets(interval="hourly", tz="Europe/Berlin")
    assert sum(point.uploads for point in sets.uploads) == 1


async def test_client_request_sends_any_operation(client: AsyncImgwireClient) -> None:
    reply = await client.request("get", "/images/", params={"limit": 1})
    assert (reply.status, reply.json(), reply.text) == (200, [], "[]")
    assert reply.headers["x-total-count"] == "0"
    made = await client.request("POST", "/cors_origins/", json={"pattern": "a.example.com"})
    assert made.json()["pattern"] == "a.example.com"


@pytest.mark.parametrize(
    "path",
    [
        "images/",
        "//evil.example/",
        "/a/../b",
        "/a/%2e%2E/b",
        "/a?b=1",
        "/a#b",
        "/a\\b",
        "/a\nb",
        "https://x/",
        "/./a",
        "",
    ],
)
async def test_client_request_rejects_paths_that_leave_the_api(
    emulator: Emulator, client: AsyncImgwireClient, path: str
) -> None:
    with pytest.raises(ValueError, match="path must"):
        await client.request("GET", path)
    assert len(emulator.requests) == 0
