"""A script with the blocking client that needs no ignores or casts. `nox -s typing` checks this file."""

from __future__ import annotations

import io
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import assert_type

from imgwire_async import (
    APIStatusError,
    BulkDeleteResult,
    CorsOrigin,
    Hooks,
    Image,
    ImageDownloadJob,
    ImgwireClient,
    MetricsDatasets,
    NotFoundError,
    Page,
    RetryPolicy,
    StandardUpload,
    Timeouts,
    UploadItem,
    UploadProgress,
    UploadResult,
)


def show(progress: UploadProgress) -> None:
    print(f"{progress.file_name}: {progress.sent} of {progress.total}", file=sys.stderr)


def chunks_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(65536):
            yield chunk


def main(folder: Path) -> int:
    hooks = Hooks(on_retry=lambda event: print(event.reason, event.delay))
    with ImgwireClient(
        lambda: "sk_live", timeout=Timeouts(attempt=5), retries=RetryPolicy(max_retries=5), hooks=hooks
    ) as client:
        assert_type(client, ImgwireClient)
        image = client.images.upload(folder / "hero.jpg", wait=True, on_progress=show)
        assert_type(image, Image)
        client.images.upload(chunks_of(folder / "big.tif"), file_name="big.tif", hash_sha256=True)
        client.images.upload(io.BytesIO(b""), mime_type="image/png", idempotency_key=False)
        files = (UploadItem(path, purpose="gallery") for path in folder.glob("*.png"))
        for result in client.images.upload_many(
            files, concurrency=8, on_created=lambda image: print(image.id)
        ):
            assert_type(result, UploadResult)
            print(result.file, result.error or result.unwrap().url(preset="thumbnail"))
        for page in client.images.list_pages(limit=50):
            assert_type(page, Page[Image])
        ids = [image.id for image in client.images.list_all() if image.width > 4000]
        assert_type(client.images.list(page=2), Page[Image])
        with client.images.stream(image, width=800) as chunks:
            assert_type(chunks, Iterator[bytes])
            assert_type(sum(len(chunk) for chunk in chunks), int)
        assert_type(client.images.read(image.id, format="webp"), bytes)
        assert_type(client.images.download(image, folder / "copy.jpg", overwrite=True), Path)
        try:
            client.images.retrieve(uuid.uuid4())
        except NotFoundError as error:
            print(error.request_id)
        except APIStatusError as error:
            print(error.status)
        job = client.images.wait_for_bulk_download(client.images.create_bulk_download_job(ids), timeout=60.0)
        assert_type(job, ImageDownloadJob)
        assert_type(client.images.download_archive(job, "all.zip"), Path)
        assert_type(client.images.create(file_name="later.jpg"), StandardUpload)
        assert_type(client.images.bulk_delete(ids), BulkDeleteResult)
        client.images.bulk_delete(ids).raise_if_failed()
        assert_type(client.cors_origins.create("app.example.com"), CorsOrigin)
        assert_type([origin.pattern for origin in client.cors_origins.list_all()], list[str])
        print(client.custom_domain.wait_until_connected(timeout=300.0).hostname)
        datasets = client.metrics.get_datasets(
            tz="Europe/Berlin", date_start=datetime(2026, 1, 1, tzinfo=UTC)
        )
        assert_type(datasets, MetricsDatasets)
        quick = client.with_options(timeout=2, retries=0)
        assert_type(quick, ImgwireClient)
        with quick.capture() as exchanges:
            print(quick.request("GET", "/images/", params={"limit": 1}).json())
        print([exchange.elapsed for exchange in exchanges])
    return 0 if client.closed else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
