"""A run uploads each file once, whatever interrupts it, and writes to the journal what became of it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from imgwire_async import (
    AuthenticationError,
    ImageQuarantinedError,
    PaymentRequiredError,
    PermissionDeniedError,
    UnsupportedImageError,
    WaitTimeoutError,
)
from imgwire_async.batch.items import BatchItem
from imgwire_async.batch.options import FailureLimit
from imgwire_async.batch.results import BatchResult
from imgwire_async.batch_errors import BatchStoppedError
from imgwire_async.uploads.upload import Upload

from .runs import Site, picture, rows_of, site

CREATE = "/api/v1/images/standard_upload"


@pytest.fixture
def switches() -> dict[str, Any]:
    return {}


@pytest.fixture
def settings() -> dict[str, Any]:
    return {}


@pytest.fixture
async def here(
    folder: Path, tmp_path: Path, switches: dict[str, Any], settings: dict[str, Any]
) -> AsyncIterator[Site]:
    async with site(folder, tmp_path, switches=switches, **settings) as here:
        yield here


# --- the first and the second run ---------------------------------------------------------------------------


async def test_a_first_run_uploads_each_file_of_a_folder(here: Site) -> None:
    here.add("a.png", "b.png", "below/c.png")
    results = await here.upload()
    assert sorted(results) == ["a.png", "b.png", "below/c.png"]
    assert {result.status for result in results.values()} == {"done"}
    assert here.statuses() == dict.fromkeys(["a.png", "b.png", "below/c.png"], "done")
    summary = here.reporter.summary()
    assert (summary.found, summary.uploaded, summary.left, summary.counted) == (3, 3, 0, True)
    assert summary.bytes_sent == sum(result.bytes_sent for result in results.values())


async def test_a_second_run_sends_no_request(here: Site) -> None:
    here.add_many(20)
    await here.upload()
    before = len(here.emulator.requests)
    assert await here.upload() == {}
    assert len(here.emulator.requests) == before
    summary = here.reporter.summary()
    assert (summary.found, summary.uploaded, summary.done_before, summary.left) == (20, 0, 20, 0)


def uploads_in_memory() -> list[object]:
    """Return all uploads that exist. Their class is checked without a call of their own code."""
    return [thing for thing in gc.get_objects() if issubclass(type(thing), Upload)]


async def test_uploads_that_have_ended_are_released_without_the_garbage_collector(here: Site) -> None:
    here.add_many(40)
    gc.collect()
    # Other tests may have left uploads in threads that hang.
    others = uploads_in_memory()
    gc.disable()
    try:
        results = await here.upload()
        # They hold the first bytes of their files.
        alive = [upload for upload in uploads_in_memory() if not any(upload is other for other in others)]
    finally:
        gc.enable()
    assert len(results) == 40
    holders = [type(holder).__name__ for upload in alive for holder in gc.get_referrers(upload)]
    assert len(alive) <= 4, holders


async def test_a_result_names_the_file_and_its_image(here: Site) -> None:
    here.add("a.png")
    result = (await here.upload())["a.png"]
    image = next(iter(here.emulator.images.values()))
    assert (result.image_id, result.attempts, result.resumed, result.error) == (image.id, 1, False, None)
    assert result.image is not None
    assert result.bytes_sent == (here.folder / "a.png").stat().st_size
    assert str(result.file) == str(here.folder / "a.png")
    row = here.rows()["a.png"]
    assert (row.image_id, row.cdn_url, row.attempts) == (image.id, result.image.cdn_url, 1)


async def test_events_follow_each_other(here: Site) -> None:
    here.add("a.png", ".hidden")
    await here.upload()
    of_file = [event.kind for event in here.events if event.key == "a.png"]
    assert of_file == ["started", "progress", "uploaded", "done"]
    assert {"found", "counted", "skipped"} <= set(here.kinds)


async def test_a_changed_file_is_uploaded_again_and_its_old_image_is_abandoned(here: Site) -> None:
    here.add("a.png")
    first = (await here.upload())["a.png"].image_id
    (here.folder / "a.png").write_bytes(picture(77, size=10))
    second = (await here.upload())["a.png"].image_id
    assert first != second
    row = here.rows()["a.png"]
    assert (row.image_id, row.abandoned) == (second, (first,))


async def test_include_done_yields_files_of_earlier_runs_and_skips(here: Site) -> None:
    here.add("a.png", ".hidden")
    first = (await here.upload())["a.png"].image_id
    here.add("b.png")
    results = await here.upload(include_done=True)
    assert {key: result.status for key, result in results.items()} == {
        "a.png": "done",
        "b.png": "done",
        ".hidden": "skipped",
    }
    assert (results["a.png"].image_id, results["a.png"].image) == (first, None)
    assert results[".hidden"].reason
    summary = here.reporter.summary()
    assert (summary.found, summary.uploaded, summary.done_before, summary.skipped) == (3, 1, 1, 1)


async def test_items_of_an_iterable_keep_their_arguments(here: Site) -> None:
    items = [BatchItem("one", picture(1), file_name="one.png", custom_metadata={"n": 1}, purpose="mine")]
    results = await here.upload(items, purpose="all", custom_metadata={"n": 2})
    image = here.emulator.images[str(results["one"].image_id)]
    assert (image.custom_metadata, image.purpose, image.original_filename) == ({"n": 1}, "mine", "one.png")


async def test_a_key_of_the_user_is_kept(here: Site) -> None:
    await here.upload([BatchItem("one", picture(1), idempotency_key="mine")])
    assert here.rows()["one"].idempotency_key == "mine"
    assert [image.idempotency_key for image in here.emulator.images.values()] == ["mine"]


# --- failures -----------------------------------------------------------------------------------------------


async def test_a_bad_file_fails_and_the_others_do_not(here: Site) -> None:
    here.add_many(5)
    (here.folder / "bad.png").write_bytes(b"no picture")
    results = await here.upload()
    bad = results.pop("bad.png")
    assert bad.status == "failed"
    assert isinstance(bad.error, UnsupportedImageError)
    assert {result.status for result in results.values()} == {"done"}
    row = here.rows()["bad.png"]
    assert (row.status, row.error_type) == ("failed", "UnsupportedImageError")
    assert here.reporter.summary().failed == 1


async def test_a_failed_file_is_retried_by_the_next_run_unless_the_user_forbids_it(here: Site) -> None:
    (here.folder / "bad.png").write_bytes(b"no picture")
    await here.upload()
    assert await here.upload(retry_failed=False) == {}
    assert here.reporter.summary().skipped == 1
    assert (await here.upload())["bad.png"].status == "failed"
    (here.folder / "bad.png").write_bytes(picture(1))
    assert (await here.upload())["bad.png"].status == "done"


async def test_a_transient_failure_is_retried_at_the_end_of_the_run(here: Site) -> None:
    here.client = here.client.with_options(retries=0)
    here.add_many(5)
    here.emulator.faults.add("POST", CREATE, status=503, times=2)
    results = await here.upload(concurrency=1)
    assert {result.status for result in results.values()} == {"done"}
    assert here.reporter.summary().failed == 0
    assert len(here.emulator.images) == 5
    begun = [event.key for event in here.events if event.kind == "started"]
    assert begun[:2] == begun[-2:]


async def test_a_file_that_fails_twice_for_a_transient_reason_has_failed(here: Site) -> None:
    here.client = here.client.with_options(retries=0)
    here.add("a.png")
    here.emulator.faults.add("POST", CREATE, status=503, times=None)
    results = await here.upload()
    assert (results["a.png"].status, here.requests("POST")) == ("failed", 2)
    here.emulator.faults.clear()
    assert (await here.upload())["a.png"].status == "done"


@pytest.mark.slow
async def test_a_429_never_fails_a_file(here: Site) -> None:
    here.client = here.client.with_options(retries=0)
    here.add_many(3)
    here.emulator.faults.add("POST", CREATE, status=429, times=4, headers={"Retry-After": "0"})
    results = await here.upload(concurrency=2)
    assert {result.status for result in results.values()} == {"done"}
    assert here.reporter.summary().failed == 0


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, AuthenticationError), (402, PaymentRequiredError), (403, PermissionDeniedError)],
)
async def test_an_error_of_the_key_or_plan_ends_the_run_and_fails_no_file(
    here: Site, status: int, error: type[Exception]
) -> None:
    here.add_many(10)
    fault = here.emulator.faults.add("POST", CREATE, status=status, times=None, after=4)
    with pytest.raises(error):
        await here.upload(concurrency=2)
    statuses = here.statuses()
    assert sorted(set(statuses.values())) == ["done", "started"]
    assert list(statuses.values()).count("done") == 4
    assert fault.fired <= 3
    here.emulator.faults.clear()
    await here.upload()
    assert set(here.statuses().values()) == {"done"}
    assert len(here.images(None)) == 10


async def test_a_402_says_how_many_records_can_be_deleted(here: Site) -> None:
    here.add("a.png")
    await here.upload()
    (here.folder / "a.png").write_bytes(picture(5, size=1))
    await here.upload()
    here.add("b.png")
    here.emulator.faults.add("POST", CREATE, status=402, times=None)
    with pytest.raises(PaymentRequiredError, match=r"1 record.*bulk_delete"):
        await here.upload()


async def test_a_closed_client_ends_the_run_and_fails_no_file(here: Site) -> None:
    here.add_many(30)
    with pytest.raises(RuntimeError, match="closed"):
        with here.journal() as journal:
            async with here.run(journal, concurrency=2) as run:
                async for _ in run:
                    await here.client.aclose()
    assert set(here.statuses().values()) <= {"done", "started"}


# --- waiting ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("switches", [{"ready_polls": 2}])
async def test_a_run_with_wait_yields_a_file_once_its_image_is_ready(here: Site) -> None:
    here.add_many(10)
    results = await here.upload(wait=20.0)
    assert {result.image.status for result in results.values() if result.image} == {"READY"}
    assert set(here.statuses().values()) == {"done"}
    summary = here.reporter.summary()
    assert (summary.uploaded, summary.left, summary.done_before) == (10, 0, 0)


@pytest.mark.parametrize("switches", [{"ready_polls": 10_000}])
async def test_an_image_that_is_not_ready_in_time_stays_stored(here: Site) -> None:
    here.add("a.png")
    result = (await here.upload(wait=0.3))["a.png"]
    assert result.status == "stored"
    assert isinstance(result.error, WaitTimeoutError)
    row = here.rows()["a.png"]
    assert (row.status, row.error_type) == ("stored", "WaitTimeoutError")
    summary = here.reporter.summary()
    assert (summary.found, summary.uploaded, summary.left) == (1, 0, 1)
    puts = here.requests("PUT")
    assert (await here.upload(wait=0.3))["a.png"].status == "stored"
    assert here.reporter.summary().left == 1
    result = (await here.upload())["a.png"]
    assert (result.status, result.resumed) == ("done", True)
    assert here.requests("PUT") == puts


async def test_an_image_in_quarantine_fails(here: Site) -> None:
    here.add("a.png", "b.png")
    data = bytearray((here.folder / "b.png").read_bytes())
    data[40] ^= 0xFF
    (here.folder / "b.png").write_bytes(data)
    results = await here.upload(wait=10.0)
    assert (results["a.png"].status, results["b.png"].status) == ("done", "failed")
    assert isinstance(results["b.png"].error, ImageQuarantinedError)
    summary = here.reporter.summary()
    assert (summary.uploaded, summary.failed, summary.left) == (1, 1, 0)


@pytest.mark.parametrize("switches", [{"ready_polls": 3}])
async def test_a_run_with_wait_that_stops_at_a_limit_yields_each_file_once(here: Site) -> None:
    here.add_many(40)
    for path in here.folder.iterdir():
        data = bytearray(path.read_bytes())
        data[40] ^= 0xFF
        path.write_bytes(data)
    await here.upload(wait=0.01)
    results: list[BatchResult] = []
    with here.journal() as journal, pytest.raises(BatchStoppedError) as stopped:
        async with here.run(journal, wait=10.0, max_failures=FailureLimit(1)) as run:
            async for result in run:
                results.append(result)  # kept when the run raises
    assert sorted(result.key for result in results) == sorted(here.statuses())
    failed = sum(result.status == "failed" for result in results)
    assert (stopped.value.summary.failed, stopped.value.summary.left) == (failed, 40 - failed)
    assert [*here.statuses().values()].count("failed") == failed


async def test_images_that_the_run_finds_in_quarantine_count_as_failures(here: Site) -> None:
    here.add_many(5)
    for path in here.folder.iterdir():
        data = bytearray(path.read_bytes())
        data[40] ^= 0xFF
        path.write_bytes(data)
    await here.upload()
    for image in [*here.emulator.images]:
        await here.client.images.retrieve(image)
    with here.journal() as journal:
        rows = rows_of(journal).values()
        journal.put_blocking([attrs.evolve(row, status="started", finished_at=None) for row in rows])
    with pytest.raises(BatchStoppedError):
        await here.upload(max_failures=FailureLimit(1))
    assert here.reporter.summary().failed == 5


# --- limits and stop ----------------------------------------------------------------------------------------


async def test_stop_ends_the_run_after_the_files_in_flight(here: Site) -> None:
    here.add_many(400)
    count = 0
    with here.journal() as journal:
        async with here.run(journal, concurrency=4) as run:
            async for result in run:
                assert result.status == "done"
                count += 1
                run.stop()
        statuses = {key: row.status for key, row in rows_of(journal).items()}
    assert 0 < count < 300
    assert statuses == dict.fromkeys(statuses, "done")
    assert len(statuses) == len(here.emulator.images) == count
    assert here.reporter.summary().left > 0


async def test_stop_in_another_thread_ends_the_run(here: Site) -> None:
    here.add_many(400)
    count = 0
    with here.journal() as journal:
        async with here.run(journal, concurrency=4) as run:
            async for _ in run:
                if not count:
                    await asyncio.to_thread(run.stop)
                count += 1
    assert 0 < count < 300


async def test_max_failures_stops_the_run(here: Site) -> None:
    for number in range(300):
        (here.folder / f"{number}.png").write_bytes(b"no picture")
    results = []
    with here.journal() as journal:
        async with here.run(journal, concurrency=2, max_failures=FailureLimit(3)) as run:
            with pytest.raises(BatchStoppedError) as caught:
                async for result in run:
                    results.append(result)
    assert caught.value.reason == "max_failures"
    assert 4 <= len(results) < 100
    assert caught.value.summary.failed == len(results)


@pytest.mark.slow
async def test_max_duration_stops_the_run_and_the_next_one_continues(here: Site) -> None:
    here.add_many(30)
    here.emulator.faults.add("PUT", "*", slow=0.2, times=None)
    with pytest.raises(BatchStoppedError, match=r"max_duration=0\.5") as caught:
        await here.upload(concurrency=1, max_duration=0.5)
    assert caught.value.reason == "max_duration"
    here.emulator.faults.clear()
    await here.upload()
    assert set(here.statuses().values()) == {"done"}
    assert len(here.images(None)) == 30


async def test_max_duration_is_no_error_if_nothing_is_left(here: Site) -> None:
    here.add("a.png")
    here.emulator.faults.add("PUT", "*", stall=0.5, times=1)
    assert (await here.upload(max_duration=0.2))["a.png"].status == "done"


async def test_a_rate_paces_the_files(here: Site) -> None:
    here.add_many(12)
    loop = asyncio.get_running_loop()
    before = loop.time()
    await here.upload(rate=20.0)
    assert loop.time() - before >= 0.5


async def test_a_run_uploads_only_its_shard(here: Site) -> None:
    from imgwire_async.batch.keys import parse_shard

    here.add_many(20)
    first = await here.upload(shard=parse_shard("1/2"))
    second = await here.upload(shard=parse_shard("2/2"))
    assert len(first) + len(second) == 20
    assert not set(first) & set(second)


# --- the source and the consumer ----------------------------------------------------------------------------


async def test_an_exception_of_the_source_is_raised_after_the_results(here: Site) -> None:
    def items() -> Any:
        yield BatchItem("one", picture(1))
        yield BatchItem("two", picture(2))
        raise LookupError("no more")

    results = []
    with here.journal() as journal:
        async with here.run(journal, items()) as run:
            with pytest.raises(LookupError, match="no more"):
                async for result in run:
                    results.append(result.key)
    assert sorted(results) == ["one", "two"]


async def test_stop_ends_a_run_whose_source_blocks_for_ever(here: Site) -> None:
    async def items() -> Any:
        yield BatchItem("one", picture(1))
        await asyncio.Event().wait()

    results = []
    with here.journal() as journal:
        async with asyncio.timeout(20), here.run(journal, items()) as run:
            async for result in run:
                results.append(result.key)
                run.stop()
    assert results == ["one"]


@pytest.mark.slow
async def test_a_slow_consumer_stops_the_uploads(here: Site) -> None:
    here.add_many(600)
    with here.journal() as journal:
        async with here.run(journal, concurrency=8) as run:
            await anext(run)
            seen = -1
            while seen != (seen := len(here.emulator.images)):
                await asyncio.sleep(0.5)
            assert seen < 500
            rest = [result async for result in run]
    assert len(rest) == 599


@pytest.mark.slow
async def test_an_exception_of_on_event_ends_the_run(here: Site) -> None:
    here.add_many(20)

    def on_event(event: Any) -> None:
        if event.kind == "done":
            raise LookupError("my mistake")

    with pytest.raises(LookupError, match="my mistake"):
        await here.upload(on_event=on_event)
    await here.upload()
    assert len(here.images(None)) == 20


@pytest.mark.slow
async def test_leaving_the_loop_leaves_rows_that_the_next_run_settles(here: Site) -> None:
    here.add_many(60)
    with here.journal() as journal:
        async with here.run(journal, concurrency=8) as run:
            async for _ in run:
                break
        statuses = [row.status for row in rows_of(journal).values()]
        assert statuses.count("started") <= 16
    await here.upload()
    assert set(here.statuses().values()) == {"done"}
    assert len(here.images(None)) == 60


@pytest.mark.parametrize("count", [1, 5])
async def test_a_loop_that_is_left_early_counts_the_bytes_that_were_sent(here: Site, count: int) -> None:
    here.add_many(20)
    with here.journal() as journal:
        async with here.run(journal, concurrency=4) as run:
            for _ in range(count):
                await anext(run)
    assert here.reporter.summary().bytes_sent >= count * len(picture(0))
