"""Runs over S3 through s3fs: against nanio, and against a server that fails on demand."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import aiohttp.web
import pytest

from imgwire_async import AsyncImgwireClient, BatchError, ImgwireClient, Timeouts
from imgwire_async.batch import AsyncBatch, Batch, BatchRecord, BatchResult, cloud
from imgwire_async.emulator import Emulator

from .s3_server import KEY, SECRET, S3Server, options_of

_GIF = bytes.fromhex("47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b")


def gif(number: int, size: int = 8) -> bytes:
    """Return a picture whose bytes differ for each number."""
    return _GIF + f"{number:0{size}}".encode()


async def run(
    client: AsyncImgwireClient, journal: Path, files: Any, **arguments: Any
) -> dict[str, BatchResult]:
    """Upload files, and return the results by their keys."""
    async with AsyncBatch(client, journal) as batch:
        return {result.key: result async for result in batch.upload(files, **arguments)}


async def records(client: AsyncImgwireClient, journal: Path) -> dict[str, BatchRecord]:
    async with AsyncBatch(client, journal) as batch:
        return {record.key: record for record in batch.records()}


def statuses(results: dict[str, Any]) -> dict[str, str]:
    return {key: result.status for key, result in results.items()}


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "photos.journal"


@pytest.fixture
def box(s3: S3Server) -> Any:
    """The source over the server that fails on demand."""
    return cloud("s3://box/photos", storage_options=s3.options())


# --- a real server ------------------------------------------------------------------------------------------


class Bucket:
    """A bucket of nanio."""

    def __init__(self, file_system: Any, name: str) -> None:
        self._fs = file_system
        self.name = name

    def put(self, key: str, data: bytes) -> None:
        self._fs.call_s3("put_object", Bucket=self.name, Key=key, Body=data)

    def delete(self, key: str) -> None:
        self._fs.call_s3("delete_object", Bucket=self.name, Key=key)


@pytest.fixture
def bucket(nanio: str, request: pytest.FixtureRequest) -> Bucket:
    import s3fs

    file_system = s3fs.S3FileSystem(**options_of(nanio), use_listings_cache=False)
    name = f"box-{abs(hash(request.node.name)) % 10**9}"
    file_system.call_s3("create_bucket", Bucket=name)
    return Bucket(file_system, name)


ODD_NAMES = [
    "a.gif",
    "x/y/b c.gif",
    "a+b&c=d.gif",
    "what?.gif",
    "#1.gif",
    "-_~!$'()*,;:@.gif",
    *(unicodedata.normalize(form, "é.gif") for form in ("NFC", "NFD")),
    "猫.gif",
]


async def test_objects_of_all_names_are_uploaded_once_and_again_when_they_change(
    nanio: str, bucket: Bucket, client: AsyncImgwireClient, emulator: Emulator, journal: Path
) -> None:
    for number, name in enumerate(ODD_NAMES):
        bucket.put(f"photos/{name}", gif(number))
    bucket.put("photos/empty.gif", b"")
    bucket.put("other/z.gif", gif(99))
    source = cloud(f"s3://{bucket.name}/photos", storage_options=options_of(nanio))
    first = await run(client, journal, source, include_done=True)
    assert statuses(first) == {**dict.fromkeys(ODD_NAMES, "done"), "empty.gif": "skipped"}
    # The same bytes written again are the same version, and other bytes are another one.
    bucket.put("photos/a.gif", gif(0))
    assert await run(client, journal, source) == {}
    bucket.put("photos/a.gif", gif(100))
    bucket.delete("photos/#1.gif")
    assert statuses(await run(client, journal, source)) == {"a.gif": "done"}
    assert len(emulator.images) == len(ODD_NAMES) + 1
    async with AsyncBatch(client, journal) as batch:
        planned = {file.key: file.action async for file in batch.plan(source)}
    assert planned == {name: "done" for name in ODD_NAMES if name != "#1.gif"} | {"empty.gif": "skip"}
    assert (await records(client, journal))["#1.gif"].status == "done"


def test_the_blocking_client_uploads_a_bucket_and_writes_no_secret(
    nanio: str, bucket: Bucket, emulator: Emulator, journal: Path
) -> None:
    for number in range(20):
        bucket.put(f"{number}.gif", gif(number, 300_000))
    source = cloud(f"s3://{bucket.name}", prefix="p/", storage_options=options_of(nanio))
    with ImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
        with Batch(client, journal, concurrency=8) as batch:
            assert {result.key for result in batch.upload(source)} == {
                f"p/{number}.gif" for number in range(20)
            }
            assert batch.summary().bytes_sent == sum(len(gif(number, 300_000)) for number in range(20))
        with Batch(client, journal) as batch:
            assert [*batch.upload(source)] == []
    assert len(emulator.images) == 20
    written = b"".join(path.read_bytes() for path in journal.parent.iterdir())
    assert SECRET.encode() not in written
    assert KEY.encode() not in written


async def test_wrong_credentials_and_missing_buckets_end_the_run_with_what_to_check(
    nanio: str, bucket: Bucket, client: AsyncImgwireClient, journal: Path
) -> None:
    with pytest.raises(PermissionError, match="check storage_options and credentials") as caught:
        source = cloud(f"s3://{bucket.name}", storage_options=options_of(nanio, secret="wrong-wrong-wrong"))
        await run(client, journal, source)
    assert "wrong-wrong" not in str(caught.value)
    for url in ("s3://no-such-bucket", f"s3://{bucket.name}/no-such-folder"):
        with pytest.raises(FileNotFoundError, match=url):
            await run(client, journal, cloud(url, storage_options=options_of(nanio)))


# --- a server that fails ------------------------------------------------------------------------------------


async def test_a_listing_is_read_in_pages_and_goes_on_at_the_page_that_failed(
    s3: S3Server, box: Any, client: AsyncImgwireClient, journal: Path
) -> None:
    s3.objects = {f"photos/{number:04}.gif": gif(number) for number in range(25)}
    s3.page_size = 10
    # s3fs and botocore repeat requests, too.
    s3.list_faults = [None, *[503] * 3, None, 0.3]
    async with AsyncBatch(client, journal) as batch:
        planned = [file.key async for file in batch.plan(box)]
    assert planned == [f"{number:04}.gif" for number in range(25)]
    assert s3.count("continuation-token") == 5


async def test_times_in_responses_are_parsed_as_botocore_does() -> None:
    from botocore.utils import parse_timestamp

    from imgwire_async.batch.sources.cloud_access import parse_time

    for value in ("2026-01-02T03:04:05.000Z", "2026-01-02T03:04:05Z", "Fri, 02 Jan 2026 03:04:05 GMT", 1.5):
        assert parse_time(value) == parse_timestamp(value)


async def test_a_listing_that_hangs_ends_the_run_with_an_error_that_names_the_bucket(
    s3: S3Server, emulator: Emulator, journal: Path
) -> None:
    s3.objects = {"photos/a.gif": gif(1)}
    s3.list_faults = [60.0] * 20
    options: Any = {"base_url": emulator.base_url, "timeout": Timeouts(stall=1)}
    async with AsyncImgwireClient(emulator.api_key, **options) as client:
        with pytest.raises(BatchError, match="listing s3://box/photos made no progress") as caught:
            await run(client, journal, cloud("s3://box/photos", storage_options=s3.options()))
    assert SECRET not in str(caught.value)


async def test_each_object_costs_one_request_and_one_that_breaks_off_is_read_on(
    s3: S3Server, box: Any, client: AsyncImgwireClient, emulator: Emulator, journal: Path
) -> None:
    s3.objects = {"photos/a.gif": gif(1, 3_000_000)}

    async def cut(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        return await s3.send(request, 1_200_000)

    s3.get_faults = [cut]
    assert statuses(await run(client, journal, box)) == {"a.gif": "done"}
    assert s3.count("a.gif") == 2
    [image] = emulator.images.values()
    assert image.size_bytes == len(gif(1, 3_000_000))
    s3.objects["photos/b.gif"] = gif(2, 3_000_000)
    s3.requests.clear()
    assert statuses(await run(client, journal, box)) == {"b.gif": "done"}
    assert s3.count("b.gif") == 1


@pytest.mark.parametrize("checks_conditions", [True, False])
async def test_an_object_that_changes_after_the_listing_is_not_stored_and_the_next_run_uploads_it(
    s3: S3Server,
    box: Any,
    client: AsyncImgwireClient,
    emulator: Emulator,
    journal: Path,
    checks_conditions: bool,
) -> None:
    s3.objects = {"photos/a.gif": gif(1)}
    s3.checks_conditions = checks_conditions

    async def change(request: aiohttp.web.Request) -> None:
        s3.objects["photos/a.gif"] = gif(2)

    s3.get_faults = [change]
    result = (await run(client, journal, box))["a.gif"]
    assert result.status == "failed"
    assert type(result.error).__name__ == "SourceChangedError"
    assert "s3://box/photos/a.gif" in str(result.error)
    assert statuses(await run(client, journal, box)) == {"a.gif": "done"}
    assert [image.status for image in emulator.images.values()].count("READY") == 1


async def test_objects_that_vanish_or_are_forbidden_fail_with_the_reason_and_the_others_go_on(
    s3: S3Server, box: Any, client: AsyncImgwireClient, journal: Path
) -> None:
    s3.objects = {f"photos/{name}.gif": gif(number) for number, name in enumerate("abcd")}

    async def vanish(request: aiohttp.web.Request) -> None:
        s3.objects.pop(request.match_info["key"])

    s3.get_faults = [vanish, 403]
    async with AsyncBatch(client, journal, concurrency=1) as batch:
        results = {result.key: result async for result in batch.upload(box)}
    assert statuses(results) == {"a.gif": "failed", "b.gif": "failed", "c.gif": "done", "d.gif": "done"}
    assert "deleted after it was listed: 's3://box/photos/a.gif'" in str(results["a.gif"].error)
    assert "No permission to read it" in str(results["b.gif"].error)
    errors = [record.error or "" for record in (await records(client, journal)).values()]
    assert not any(SECRET in error for error in errors)


async def test_placeholders_and_odd_keys_of_a_bucket_are_not_lost(
    s3: S3Server, box: Any, client: AsyncImgwireClient, journal: Path
) -> None:
    s3.objects = {
        "photos/": b"",
        "photos/x/": b"",
        "photos/x//a.gif": gif(1),
        "photos//b.gif": gif(2),
        "photos/a\nb\tc.gif": gif(3),
        "photos/.cache/1.gif": gif(4),
        "photos/.cache/2.gif": gif(5),
        "photos/ü?versionId=1.gif": gif(6),
    }
    results = await run(client, journal, box, include_done=True)
    assert {key: result.reason or result.status for key, result in results.items()} == {
        "x/": "the placeholder of a folder",
        "x//a.gif": "done",
        "/b.gif": "done",
        "a\nb\tc.gif": "done",
        ".cache/": "a hidden folder; hidden=True uploads what is in it",
        "ü?versionId=1.gif": "done",
    }


async def test_connections_to_the_bucket_are_closed_when_a_run_is_left(
    s3: S3Server, box: Any, emulator: Emulator, journal: Path
) -> None:
    # The next run waits that long for late bytes of uploads that were interrupted.
    options: Any = {"base_url": emulator.base_url, "timeout": Timeouts(stall=3)}
    async with AsyncImgwireClient(emulator.api_key, **options) as client:
        await leave_and_continue(s3, box, client, journal)


async def leave_and_continue(s3: S3Server, box: Any, client: AsyncImgwireClient, journal: Path) -> None:
    s3.objects = {f"photos/{number:03}.gif": gif(number, 600_000) for number in range(40)}
    async with AsyncBatch(client, journal) as batch:
        async for _ in batch.upload(box):
            break
    # An open connection would be reported as a warning, and warnings are errors.
    async with AsyncBatch(client, journal) as batch:
        found = {result.key async for result in batch.upload(box)}
        assert batch.summary().left == 0
    assert (
        len({key for key, record in (await records(client, journal)).items() if record.status == "done"})
        == 40
    )
    assert found
