# pyright: reportUnnecessaryTypeIgnoreComment=error
"""Type checks of every public name. `nox -s typing` checks this file; it is never run.

Both checkers report an unused ignore as an error, so each ignore shows that they report the mistake.
"""

from __future__ import annotations

import contextlib
import io
import ssl
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, assert_type

import aiohttp

import imgwire_async
from imgwire_async import (
    Adjust,
    APIConnectionError,
    APIResponse,
    APIStatusError,
    APITimeoutError,
    ArchiveError,
    AsyncImgwireClient,
    AuthenticationError,
    BadRequestError,
    BatchError,
    BatchStoppedError,
    Breakpoint,
    BulkDeleteError,
    BulkDeleteResult,
    CacheHitRatioPoint,
    Color,
    ConfigurationError,
    ConflictError,
    Contrast,
    CorsOrigin,
    Crop,
    CustomDomain,
    CustomDomainCertificateStatus,
    CustomDomainFailedError,
    CustomDomainStatus,
    DecodeError,
    DownloadError,
    DownloadJobFailedError,
    DownloadProgress,
    Duotone,
    Exchange,
    Extend,
    Fault,
    File,
    Gradient,
    Hooks,
    HTTPValidationError,
    Image,
    ImageDownloadJob,
    ImageDownloadStatus,
    ImageQuarantinedError,
    ImageStatus,
    ImgwireClient,
    ImgwireError,
    JournalError,
    JournalLockedError,
    MetricsDatasetInterval,
    MetricsDatasets,
    MetricsStats,
    MetricsStatValue,
    Normalize,
    NotFoundError,
    Padding,
    Page,
    Pagination,
    PaginationError,
    ParsedUrl,
    PayloadTooLargeError,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitError,
    RequestEvent,
    RequestsPoint,
    ResponseEvent,
    ResponsiveImage,
    RetryEvent,
    RetryPolicy,
    Rotate,
    Rules,
    ServerError,
    Sharpen,
    SourceChangedError,
    StandardUpload,
    StorageBytesPoint,
    SupportedMimeType,
    Timeouts,
    TransferBytesPoint,
    Transformation,
    TransformationError,
    TransformationsPoint,
    UnprocessableEntityError,
    UnsafeURLError,
    UnsupportedImageError,
    UploadConnectionError,
    UploadError,
    UploadItem,
    UploadNotReplayableError,
    UploadProgress,
    UploadRejectedError,
    UploadResult,
    UploadSizeError,
    UploadSource,
    UploadsPoint,
    UploadStalledError,
    UploadToken,
    UploadUrlExpiredError,
    ValidationError,
    WaitTimeoutError,
    Watermark,
    WatermarkPosition,
    WatermarkShadow,
    WatermarkSize,
    WatermarkText,
    Zoom,
    build_url,
    extract_archive,
    from_dict,
    parse_url,
    to_dict,
)


async def key() -> str:
    return "sk_..."


def watch(event: RequestEvent | ResponseEvent | RetryEvent) -> None:
    assert_type(event.kind, Literal["api", "storage", "cdn"])
    assert_type((event.method, event.path, event.attempt), tuple[str, str, int])
    if isinstance(event, ResponseEvent):
        assert_type((event.status, event.elapsed, event.request_id), tuple[int, float, str | None])
    if isinstance(event, RetryEvent):
        assert_type((event.reason, event.delay), tuple[str, float])


async def clients(context: ssl.SSLContext) -> None:
    assert_type(imgwire_async.__version__, str)
    AsyncImgwireClient()
    AsyncImgwireClient("sk_...", environment_id="x", base_url="https://x", timeout=5, retries=0)
    AsyncImgwireClient(api_key=key, timeout=None, retries=None, hooks=None, default_headers=None)
    AsyncImgwireClient(lambda: "sk_...", proxy="http://x", ssl=context, trust_env=False, user_agent="x")
    AsyncImgwireClient("ck_...", upload_token=key)
    AsyncImgwireClient(
        timeout=Timeouts(connect=1, attempt=None, deadline=2.5, stall=None),
        retries=RetryPolicy(
            max_retries=3, backoff=0.25, max_backoff=8, max_retry_after=60, max_rate_wait=300
        ),
        max_connections=10,
        default_headers={"X-Team": "x"},
        ssl=Path("ca.pem"),
        connector=lambda: aiohttp.TCPConnector(limit=5),
        hooks=Hooks(on_request=watch, on_response=watch, on_retry=watch),
    )
    async with AsyncImgwireClient() as client:
        assert_type(client, AsyncImgwireClient)
        assert_type(client.closed, bool)
        assert_type(client.with_options(timeout=5, retries=0, environment_id=None), AsyncImgwireClient)
        response = await client.request("GET", "/images/", params={"page": 1}, idempotent=True)
        assert_type(response, APIResponse)
        assert_type((response.status, response.text, response.body), tuple[int, str, bytes])
        assert_type(response.headers.get("X-Page"), str | None)
        with client.capture() as exchanges:
            assert_type(exchanges, list[Exchange])
    await client.aclose()


async def images(client: AsyncImgwireClient) -> None:
    assert_type(await client.images.list(), Page[Image])
    page = await client.images.list(page=2, limit=5)
    assert_type(page.data, Sequence[Image])
    assert_type(page.pagination, Pagination)
    assert_type(page.pagination.next_page, int | None)
    assert_type(client.images.list_pages(limit=50, prefetch=4), AsyncGenerator[Page[Image], None])
    async with contextlib.aclosing(client.images.list_all()) as images:
        async for image in images:
            assert_type(image, Image)
    image = await client.images.retrieve(uuid.uuid4())
    assert_type(image.status, ImageStatus)
    assert_type(image.mime_type, SupportedMimeType)
    assert_type(image.created_at, datetime)
    assert_type(image.width, int)
    assert_type(image.custom_metadata, dict[str, str | int | float | bool])
    assert_type(image.extra, dict[str, Any])
    assert_type(image.url(preset="thumbnail"), str)
    assert_type(to_dict(image), dict[str, Any])
    assert_type(from_dict(Image, to_dict(image)), Image)
    assert_type(from_dict(UploadToken, {}), UploadToken)
    made = await client.images.create(file_name="a.jpg", custom_metadata={"a": 1}, idempotency_key=False)
    assert_type(made, StandardUpload)
    assert_type((made.image, made.upload_url), tuple[Image, str])
    assert_type(await client.images.create_upload_token(), UploadToken)
    assert_type(await client.images.delete(image.id), Mapping[str, object])
    assert_type(
        await client.images.upload_via_url("https://x", mime_type=SupportedMimeType.PNG, wait=5), Image
    )
    assert_type(await client.images.wait_until_ready(image, metadata=True, on_update=print), Image)
    assert_type(await client.images.wait_until_ready("id", timeout=5), Image)
    result = await client.images.bulk_delete(["id", uuid.uuid4()], chunk_size=50)
    assert_type(result, BulkDeleteResult)
    assert_type(result.failed, tuple[tuple[str, ImgwireError], ...])
    job = await client.images.create_bulk_download_job(iter(["id"]))
    assert_type(job, ImageDownloadJob)
    assert_type((job.status, job.download_url), tuple[ImageDownloadStatus, str | None])
    assert_type(await client.images.retrieve_bulk_download_job("id"), ImageDownloadJob)
    assert_type(await client.images.wait_for_bulk_download(job, timeout=5), ImageDownloadJob)


async def downloads(client: AsyncImgwireClient, image: Image, job: ImageDownloadJob) -> None:
    assert_type(await client.images.download(image, "a.webp", format="webp", on_progress=received), Path)
    assert_type(await client.images.download("id", Path("a.jpg"), overwrite=True, preset="small"), Path)
    assert_type(await client.images.read(image, max_bytes=5, width=300), bytes)
    async with client.images.stream(image, width=300) as chunks:
        async for chunk in chunks:
            assert_type(chunk, bytes)
    archive = await client.images.download_archive(job, "a.zip", on_progress=received)
    assert_type(archive, Path)
    assert_type(extract_archive(archive, "a", max_files=5, max_bytes=5, overwrite=True), list[Path])


class Rows:
    """A user's source class."""

    name = "rows.png"
    size = None
    replayable = True

    async def open(self) -> AsyncGenerator[bytes, None]:
        yield b""


def created(image: Image) -> None:
    assert_type(image.id, str)


def progress(step: UploadProgress) -> None:
    assert_type((step.sent, step.total, step.file_name), tuple[int, int, str])


def received(step: DownloadProgress) -> None:
    assert_type((step.received, step.total, step.path), tuple[int, int | None, Path])


async def stream() -> AsyncGenerator[bytes, None]:
    yield b""


async def uploads(
    client: AsyncImgwireClient, reader: aiohttp.StreamReader, part: aiohttp.BodyPartReader
) -> None:
    files: list[File] = [
        "a.jpg",
        Path("a.jpg"),
        b"",
        bytearray(),
        memoryview(b""),
        io.BytesIO(),
        stream(),
        [b""],
    ]
    source: UploadSource = Rows()
    files += [reader, part, source, Rows(), iter([b""])]
    for file in files:
        assert_type(await client.images.upload(file), Image)
    with open("a.jpg", "rb") as opened:  # noqa: PTH123  # what users write
        await client.images.upload(
            opened,
            file_name="a.jpg",
            mime_type="image/jpeg",
            content_length=5,
            custom_metadata={"a": "b", "c": 1, "d": 0.5, "e": True},
            hash_sha256=True,
            idempotency_key="k",
            purpose="p",
            upload_token="t",
            wait=True,
            on_created=created,
            on_progress=progress,
        )
    await client.images.upload("a.jpg", upload_token=key)
    await client.images.create(file_name="a.jpg", upload_token=lambda: "t")
    UploadItem("a.jpg", upload_token=key)
    async for result in client.images.upload_many(
        ["a.jpg", UploadItem(b"", file_name="b.jpg")], concurrency=5
    ):
        assert_type(result, UploadResult)
        assert_type(result.unwrap(), Image)
        assert_type((result.index, result.attempts, result.bytes_sent), tuple[int, int, int])
        assert_type((result.image, result.abandoned), tuple[Image | None, tuple[str, ...]])


async def others(client: AsyncImgwireClient) -> None:
    assert_type(await client.cors_origins.list(), Page[CorsOrigin])
    assert_type(client.cors_origins.list_all(), AsyncGenerator[CorsOrigin, None])
    assert_type(client.cors_origins.list_pages(), AsyncGenerator[Page[CorsOrigin], None])
    assert_type(await client.cors_origins.create("*.example.com"), CorsOrigin)
    assert_type(await client.cors_origins.retrieve("id"), CorsOrigin)
    assert_type(await client.cors_origins.update("id", "x"), CorsOrigin)
    assert_type(await client.cors_origins.delete("id"), Mapping[str, object])
    domain = await client.custom_domain.create("img.example.com")
    assert_type(domain, CustomDomain)
    assert_type(domain.status, CustomDomainStatus)
    assert_type(domain.certificate_status, CustomDomainCertificateStatus)
    assert_type(await client.custom_domain.retrieve(), CustomDomain)
    assert_type(await client.custom_domain.test_connection(), CustomDomain)
    assert_type(await client.custom_domain.wait_until_connected(timeout=5), CustomDomain)
    assert_type(await client.custom_domain.delete(), Mapping[str, object])
    now = datetime.now(UTC)
    sets = await client.metrics.get_datasets(
        interval=MetricsDatasetInterval.DAILY, tz="UTC", date_start=now, date_end=now
    )
    assert_type(sets, MetricsDatasets)
    assert_type(sets.uploads, tuple[UploadsPoint, ...])
    assert_type(sets.transformations, tuple[TransformationsPoint, ...])
    assert_type(sets.requests, tuple[RequestsPoint, ...])
    assert_type(sets.transfer_bytes, tuple[TransferBytesPoint, ...])
    assert_type(sets.storage_bytes, tuple[StorageBytesPoint, ...])
    assert_type(sets.cache_hit_ratio, tuple[CacheHitRatioPoint, ...])
    stats = await client.metrics.get_stats(interval="daily")
    assert_type(stats, MetricsStats)
    assert_type(stats.uploads, MetricsStatValue)
    assert_type(stats.uploads.pct_change, float | None)


def describe(error: ImgwireError) -> str:
    assert_type(error.exchange, Exchange | None)
    assert_type(error.image, Image | None)
    match error:
        case UnprocessableEntityError():
            assert_type(error.errors, Sequence[ValidationError])
        case RateLimitError():
            assert_type(error.retry_after, float | None)
        case APIStatusError():
            assert_type((error.status, error.error_type, error.message), tuple[int, str | None, str])
            assert_type((error.request_id, error.body), tuple[str | None, str])
            assert_type(error.headers, Mapping[str, str])
        case APITimeoutError():
            assert_type(error.which, Literal["connect", "attempt", "deadline"])
        case DecodeError():
            assert_type((error.path, error.body), tuple[str, str])
        case UploadRejectedError():
            assert_type((error.status, error.file_name), tuple[int, str | None])
        case BulkDeleteError():
            assert_type(error.result, BulkDeleteResult)
        case TransformationError():
            assert_type(error.faults, tuple[Fault, ...])
        case DownloadError():
            assert_type(error.status, int | None)
        case JournalLockedError():
            assert_type((error.pid, error.host, error.since), tuple[int | None, str | None, datetime | None])
        case JournalError():
            assert_type(error.path, str)
        case BatchStoppedError():
            assert_type((error.reason, error.summary.failed), tuple[str, int])
        case (
            WaitTimeoutError()
            | ImageQuarantinedError()
            | DownloadJobFailedError()
            | CustomDomainFailedError()
        ):
            assert_type(error.record, Image | ImageDownloadJob | CustomDomain | None)
        case _:
            pass
    return str(error)


OTHER_ERRORS: tuple[type[ImgwireError], ...] = (
    APIConnectionError,
    ArchiveError,
    AuthenticationError,
    BadRequestError,
    BatchError,
    ConfigurationError,
    ConflictError,
    NotFoundError,
    PaginationError,
    PayloadTooLargeError,
    PaymentRequiredError,
    PermissionDeniedError,
    ServerError,
    SourceChangedError,
    UnsafeURLError,
    UnsupportedImageError,
    UploadConnectionError,
    UploadError,
    UploadNotReplayableError,
    UploadSizeError,
    UploadStalledError,
    UploadUrlExpiredError,
)
TIMEOUTS: tuple[type[TimeoutError], ...] = (APITimeoutError, UploadStalledError, WaitTimeoutError)
VALUES: tuple[type[ValueError], ...] = (ConfigurationError, UnsupportedImageError, TransformationError)


def statuses(image: Image, body: HTTPValidationError) -> str:
    assert_type(body.detail, tuple[ValidationError, ...])
    assert_type(body.detail[0].loc, tuple[str | int, ...])
    assert_type(ImageStatus("NEW"), ImageStatus)
    match image.status:
        case ImageStatus.READY:
            return "ready"
        case _:
            return image.status.value


def addresses(image: Image, url: str) -> None:
    rules: Rules = {"width": 300, "crop": Crop(4, 3, gravity="ne"), "padding": Padding(all=5)}
    assert_type(image.url(rules, preset="small"), str)
    image.url(adjust=Adjust(brightness=1.5), contrast=Contrast(1.2), rotate=Rotate(45), zoom=Zoom(2))
    image.url(duotone=Duotone("#000", Color(255, 0, 0)), extend=Extend(top=5), normalize=Normalize(1, 99))
    image.url(gradient=Gradient(["#fff", "#000"], 45), sharpen=Sharpen(sigma=1.5))
    image.url(
        watermark=Watermark("id", "se"),
        watermark_position=WatermarkPosition("se", x=5),
        watermark_shadow=WatermarkShadow("#000"),
        watermark_size=WatermarkSize(10),
    )
    image.url(watermark_text=WatermarkText("x"))
    assert_type(image.responsive(breakpoints=[Breakpoint(0, 320)]), ResponsiveImage)
    assert_type(parse_url(url), ParsedUrl)
    assert_type(parse_url(url).transformation, Transformation)
    assert_type(build_url(url, Transformation(width=300)), str)


def in_threads() -> None:
    with ImgwireClient("sk_...", timeout=5) as client:
        assert_type(client, ImgwireClient)
        assert_type(client.images.upload("a.jpg", wait=True), Image)
        assert_type(client.images.list(), Page[Image])
        for image in client.images.list_all():
            assert_type(image, Image)


async def is_refused(client: AsyncImgwireClient, image: Image, page: Page[Image]) -> None:
    AsyncImgwireClient(5)  # type: ignore[arg-type]
    AsyncImgwireClient(upload_token=lambda: 5)  # type: ignore[arg-type, return-value]
    AsyncImgwireClient("sk_...", "env")  # type: ignore[call-arg]
    AsyncImgwireClient(retries=1.5)  # type: ignore[arg-type]
    AsyncImgwireClient(timeouts=5)  # type: ignore[call-arg]
    client.with_options(max_connections=5)  # type: ignore[call-arg]
    Timeouts(attempt="5")  # type: ignore[arg-type]
    Hooks(on_retry=5)  # type: ignore[arg-type]
    image.id = "x"  # type: ignore[misc]
    image.nickname  # type: ignore[attr-defined]  # noqa: B018
    for _ in page:  # type: ignore[attr-defined]
        pass
    await client.images.list(2)  # type: ignore[call-arg]
    await client.images.list(page="2")  # type: ignore[arg-type]
    await client.images.retrieve(5)  # type: ignore[arg-type]
    await client.images.retrieve(image)  # type: ignore[arg-type]
    await client.images.create()  # type: ignore[call-arg]
    await client.images.create({"file_name": "a"})  # type: ignore[call-arg, arg-type]
    await client.images.create(file_name="a", custom_metadata={"a": None})  # type: ignore[dict-item]
    await client.images.create(file_name="a", idempotency_key=True)  # type: ignore[arg-type]
    await client.images.upload(5)  # type: ignore[arg-type]
    await client.images.upload(io.StringIO())  # type: ignore[arg-type]
    await client.images.upload(b"", on_created=progress)  # type: ignore[arg-type]
    await client.images.upload(b"", on_progress=received)  # type: ignore[arg-type]
    await client.images.upload(b"", wait="5")  # type: ignore[arg-type]
    await client.images.bulk_delete({"image_ids": [1]}, chunk_size="5")  # type: ignore[arg-type]
    await client.images.read(image, widht=5)  # type: ignore[call-arg]
    await client.images.download(image, 5)  # type: ignore[arg-type]
    await client.images.bulk_delete([1])  # type: ignore[list-item]
    await client.images.wait_until_ready(image, on_update=5)  # type: ignore[arg-type]
    await client.cors_origins.create({"pattern": "x"})  # type: ignore[arg-type]
    await client.custom_domain.update("x")  # type: ignore[attr-defined]
    await client.metrics.get_stats(date_start="2026-04-01")  # type: ignore[arg-type]
    await client.metrics.get_stats({"interval": "DAILY"})  # type: ignore[call-arg, arg-type]
    to_dict(page)  # type: ignore[arg-type]
    from_dict(Page, {})  # type: ignore[type-var]
    from_dict(Image, "{}")  # type: ignore[arg-type]
    ImgwireError("x").status  # type: ignore[attr-defined]  # noqa: B018
    APITimeoutError("x", which="total")  # type: ignore[arg-type]
