# pyright: reportUnnecessaryTypeIgnoreComment=error
"""Programs with batches that need no ignores or casts, and mistakes that the type checkers must report.

`nox -s typing` checks this file.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal, assert_type

from imgwire_async import AsyncImgwireClient, Image, ImgwireClient, UploadItem
from imgwire_async.batch import (
    AsyncBatch,
    Batch,
    BatchError,
    BatchEvent,
    BatchItem,
    BatchRecord,
    BatchResult,
    BatchSource,
    BatchStoppedError,
    BatchSummary,
    JournalError,
    JournalLockedError,
    PlannedFile,
    RemoteFile,
    Skip,
    archive,
    folder,
    manifest,
    merge_journals,
    urls,
)


def show(event: BatchEvent) -> None:
    if event.kind == "progress":
        assert_type((event.key, event.sent, event.total), tuple[str | None, int | None, int | None])
    assert_type((event.error, event.attempts, event.found), tuple[Exception | None, int, int | None])


async def paths() -> AsyncIterator[Path]:
    yield Path("a.jpg")


class Table:
    """A source of the user."""

    name = "table"

    async def __aiter__(self) -> AsyncIterator[BatchItem | Skip]:
        yield BatchItem("a", b"")
        yield Skip("b", "no picture")

    async def aclose(self) -> None: ...


class Counted:
    """A source of the user whose name is computed."""

    @property
    def name(self) -> str:
        return "counted"

    def __aiter__(self) -> AsyncIterator[Path | RemoteFile]:
        return self.files()

    async def files(self) -> AsyncIterator[Path | RemoteFile]:
        yield Path("a.jpg")
        yield RemoteFile("https://example.com/a.jpg", wait=False)

    async def aclose(self) -> None: ...


def sources() -> list[BatchSource]:
    return [Table(), Counted()]


async def upload(client: AsyncImgwireClient) -> BatchSummary:
    async with AsyncBatch(
        client,
        Path("photos.journal"),
        concurrency=8,
        rate=10.5,
        wait=True,
        checksum=True,
        verify=True,
        reconcile="all",
        max_failures="5%",
        max_duration=3600,
        purpose="gallery",
        custom_metadata={"year": 2026},
        on_event=show,
    ) as batch:
        assert_type(batch, AsyncBatch)
        results = batch.upload("photos", retry_failed="all", include_done=True, progress=True, shard="1/4")
        assert_type(results, AsyncGenerator[BatchResult, None])
        async for result in results:
            assert_type((result.key, result.image, result.image_id), tuple[str, Image | None, str | None])
            assert_type(result.status, Literal["started", "stored", "done", "failed", "skipped"])
            assert_type((result.error, result.reason), tuple[Exception | None, str | None])
            assert_type((result.attempts, result.bytes_sent, result.resumed), tuple[int, int, bool])
        async for result in batch.upload(urls(["https://example.com/a.jpg"], wait=False)):
            if isinstance(result.file, RemoteFile):
                assert_type((result.file.label, result.file.name), tuple[str, str | None])
        async for _ in batch.upload(urls([BatchItem("a", "https://example.com/a.jpg")])):
            pass
        async for _ in batch.upload(manifest("shop.csv", root="photos", strict=False, format="csv")):
            pass
        async for _ in batch.upload(archive("photos.zip", prefix="a/", moved=True)):
            pass
        async for _ in batch.upload(manifest("photos", root="in", strict=False, format="csv", moved=True)):
            pass
        for source in sources():
            async for _ in batch.upload(source):
                pass
        async for _ in batch.upload(folder("photos", prefix="a/", include=["*.jpg"], hidden=True)):
            batch.stop()
        async for _ in batch.upload(paths()):
            pass
        async for _ in batch.upload(Table()):
            pass
        async for planned in batch.plan([UploadItem("a.jpg"), BatchItem("b", b"")], shard="1/2"):
            assert_type(planned, PlannedFile)
            assert_type(planned.action, Literal["upload", "done", "changed", "retry", "skip"])
        assert_type(batch.records(status="failed"), Iterator[BatchRecord])
        for record in batch.records():
            assert_type((record.size, record.finished_at), tuple[int | None, datetime | None])
        assert_type(batch.export("photos.data", format="csv"), Path)
        await client.images.bulk_delete([*batch.abandoned()])
        return batch.summary()


def upload_blocking(client: ImgwireClient) -> int:
    errors: tuple[type[BatchError], ...] = (JournalError, JournalLockedError)
    try:
        with Batch(client, "photos.journal", on_event=show) as batch:
            assert_type(batch, Batch)
            assert_type(batch.upload(["a.jpg"]), Generator[BatchResult, None, None])
            for result in batch.upload(folder("photos"), include_done=True):
                print(result.key, result.error or result.image_id)
            for _ in batch.upload(Table()):
                pass
            for planned in batch.plan("photos"):
                print(planned.key, planned.action, planned.reason)
            assert_type([record.error for record in batch.records()], list[str | None])
            assert_type(batch.export("photos.csv"), Path)
            print(batch.summary(), *batch.abandoned())
            batch.stop()
    except errors:
        return 1
    except BatchStoppedError as error:
        print(error.reason, error.summary)
    return merge_journals(["a.journal", Path("b.journal")], "all.journal").found


def mistakes(client: ImgwireClient, other: AsyncImgwireClient) -> None:
    AsyncBatch(client, "journal")  # type: ignore[arg-type]
    Batch(other, "journal")  # type: ignore[arg-type]
    Batch(client, "journal", concurrency="4")  # type: ignore[arg-type]
    Batch(client, "journal", reconcile="some")  # type: ignore[arg-type]
    with Batch(client, "journal") as batch:
        batch.upload(5)  # type: ignore[arg-type]
        batch.upload("photos", shards="1/2")  # type: ignore[call-arg]
        batch.records(status="open")  # type: ignore[arg-type]
        batch.export("a", format="xlsx")  # type: ignore[arg-type]
        batch.no_such_method()  # type: ignore[attr-defined]
