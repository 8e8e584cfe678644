"""What must hold for every source: nothing is lost or uploaded twice, and each skip has its reason."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import unicodedata
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from imgwire_async import AsyncImgwireClient, ImgwireClient, RetryPolicy, Timeouts
from imgwire_async.batch import AsyncBatch, Batch, BatchResult, BatchSummary
from imgwire_async.emulator import Emulator

from .gifs import gif
from .outcomes import check_exactly_once, records_of
from .run_process import run_process
from .source_cases import CASES, Case

# The same text in two forms, so these are two files.
NAMES = ["a.gif", "b/c d.gif", *(unicodedata.normalize(form, "é.gif") for form in ("NFC", "NFD"))]
PICTURES = {name: gif(number) for number, name in enumerate(NAMES)}
# The formats of a manifest differ only in how a row is read, so the slow tests use one of them.
KINDS = [kind for kind in CASES if kind not in {"jsonl", "parquet", "txt"}]
# Enough files to kill a process among them.
MANY = 120


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(ready_polls=0) as emulator:
        yield emulator


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, folder: Path, emulator: Emulator) -> Case:
    case = CASES[request.param](folder, emulator)
    case.write(PICTURES)
    return case


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[AsyncImgwireClient]:
    settings: Any = {"timeout": Timeouts(stall=1), "retries": RetryPolicy(backoff=0.01)}
    async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url, **settings) as client:
        yield client


async def run(client: AsyncImgwireClient, case: Case, **arguments: Any) -> dict[str, BatchResult]:
    """Upload the files of a source, and return the results by their keys."""
    async with AsyncBatch(client, case.folder / "j") as batch:
        return {result.key: result async for result in batch.upload(case.files(), **arguments)}


async def plan(client: AsyncImgwireClient, case: Case) -> dict[str, str]:
    async with AsyncBatch(client, case.folder / "j") as batch:
        return {file.key: file.action async for file in batch.plan(case.files())}


def statuses(results: dict[str, BatchResult]) -> dict[str, str]:
    return {key: result.status for key, result in results.items()}


def every(status: str, case: Case, names: Any = NAMES) -> dict[str, str]:
    return {case.key(name): status for name in names}


async def test_the_runs_over_a_source_upload_each_version_of_a_picture_once(
    client: AsyncImgwireClient, emulator: Emulator, case: Case
) -> None:
    assert await plan(client, case) == every("upload", case)
    assert not emulator.requests
    first = await run(client, case)
    assert statuses(first) == every("done", case)
    assert await plan(client, case) == every("done", case)
    assert await run(client, case) == {}
    assert len(emulator.images) == len(NAMES)
    # A picture that is no longer there stays done.
    left = {name: data for name, data in PICTURES.items() if name != NAMES[1]}
    case.write({**left, NAMES[0]: gif(99) + b"changed"})
    changed = await run(client, case)
    assert statuses(changed) == every("done", case, changed_names(case, left))
    async with AsyncBatch(client, case.folder / "j") as batch:
        assert {record.key: record.status for record in batch.records()} == every("done", case)
        assert {*batch.abandoned()} == {first[key].image_id for key in changed}


def changed_names(case: Case, left: dict[str, bytes]) -> list[str]:
    if not case.sees_changes:
        return []
    return [NAMES[0]] if case.changes_alone else [*left]


async def test_a_picture_that_cannot_be_read_has_a_reason_and_the_others_are_uploaded(
    client: AsyncImgwireClient, emulator: Emulator, case: Case
) -> None:
    case.spoil(PICTURES, NAMES[-1])
    bad = case.key(NAMES[-1])
    events: list[Any] = []
    async with AsyncBatch(client, case.folder / "j", on_event=events.append) as batch:
        results = {result.key: result async for result in batch.upload(case.files(), include_done=True)}
        status = results.pop(bad).status
        assert status in {"failed", "skipped"}
        assert statuses(results) == every("done", case, NAMES[:-1])
        (record,) = batch.records(status=status)
        assert record.key == bad
        assert record.error
        (event,) = [event for event in events if event.kind == status]
        assert event.key == bad
        assert event.reason == (record.error if status == "skipped" else event.reason)
        batch.export(case.folder / "out.csv")
    with (case.folder / "out.csv").open(encoding="utf-8", newline="") as table:
        rows = {row["key"]: row for row in csv.DictReader(table)}
    assert rows[bad]["error"] == record.error
    case.write(PICTURES)
    assert (await run(client, case))[bad].status == "done"
    assert len(emulator.images) == len(NAMES) + (0 if case.changes_alone else len(NAMES) - 1)


@pytest.mark.slow
@pytest.mark.parametrize("case", KINDS, indirect=True)
async def test_a_source_that_vanishes_during_a_run_loses_nothing(
    client: AsyncImgwireClient, emulator: Emulator, case: Case
) -> None:
    pictures = {f"{number:03}.gif": gif(number) for number in range(30)}
    case.write(pictures)
    found: dict[str, str] = {}
    async with AsyncBatch(client, case.folder / "j", concurrency=1) as batch:
        try:
            async for result in batch.upload(case.files()):
                found[result.key] = result.status
                if len(found) == 1:
                    case.lose()
                assert result.status != "failed" or str(result.error)
        except OSError:
            # The source may read the rest of its list from what was deleted.
            pass
    assert set(found.values()) <= {"done", "failed"}
    case.write(pictures)
    await run(client, case)
    async with AsyncBatch(client, case.folder / "j") as batch:
        assert {record.status for record in batch.records()} == {"done"}
        assert len([*batch.records()]) == len(pictures)


@pytest.mark.slow
@pytest.mark.parametrize("case", KINDS, indirect=True)
async def test_the_blocking_batch_uploads_a_source_once(emulator: Emulator, case: Case) -> None:
    def upload() -> tuple[dict[str, str], BatchSummary]:
        with (
            ImgwireClient(emulator.api_key, base_url=emulator.base_url) as client,
            Batch(client, case.folder / "j") as batch,
        ):
            assert {file.key: file.action for file in batch.plan(case.files())} == every("upload", case)
            first = {result.key: result.status for result in batch.upload(case.files())}
            assert [*batch.upload(case.files())] == []
            return first, batch.summary()

    first, summary = await asyncio.to_thread(upload)
    assert first == every("done", case)
    assert (summary.done_before, summary.uploaded) == (len(NAMES), 0)


def many() -> dict[str, bytes]:
    return {f"{number // 50}/{number:04}.gif": gif(number) for number in range(MANY)}


def kill(emulator: Emulator, case: Case) -> None:
    """Start a run in a process, and kill it after a quarter of the files."""
    with run_process(emulator, case.path, case.folder / "j", source=case.address) as process:
        process.wait_for(lambda: len(process.lines) > MANY // 4)
        process.kill()


def finish(emulator: Emulator, case: Case) -> dict[str, Any]:
    """Run in a process until the end, and return its summary."""
    with run_process(emulator, case.path, case.folder / "j", source=case.address) as process:
        assert process.wait() == 0, process.errors[-20:]
    return process.summary


@pytest.mark.slow
@pytest.mark.parametrize("case", KINDS, indirect=True)
def test_a_run_over_a_source_continues_after_a_kill(emulator: Emulator, case: Case) -> None:
    case.write(many())
    kill(emulator, case)
    summary = finish(emulator, case)
    assert (summary["left"], summary["failed"]) == (0, 0)
    hashes = {case.key(name): sha256(data) for name, data in many().items()}
    check_exactly_once(emulator, hashes, case.folder / "j")


@pytest.mark.slow
@pytest.mark.parametrize("case", KINDS, indirect=True)
def test_after_a_kill_the_next_run_uploads_what_the_source_then_contains(
    emulator: Emulator, case: Case
) -> None:
    case.write(many())
    kill(emulator, case)
    names = [*many()]
    gone, changed, bad = names[::5], names[1::5], names[2]
    now = {name: data + b"changed" * (name in changed) for name, data in many().items() if name not in gone}
    case.spoil(now, bad)
    assert finish(emulator, case)["left"] == 0
    records = records_of(case.folder / "j")
    images = {image.id: image.stored.sha256 for image in emulator.images.values() if image.stored is not None}
    for name, data in now.items():
        record = records[case.key(name)]
        if name == bad:
            # It may have been uploaded before the kill.
            assert record.status == "done" or record.error
        else:
            assert record.status == "done", record
            versions = [data] if case.sees_changes else [data, many()[name]]
            assert images[str(record.image_id)] in [*map(sha256, versions)]
    for name in gone:
        # The file may have no row, because the process was killed first.
        record = records.get(case.key(name), records[case.key(names[-1])])
        assert record.status == "done" or (record.status == "failed" and record.error)
    known = {image for record in records.values() for image in (record.image_id, *record.abandoned)}
    # The former image of the bad file becomes known when a new one replaces it.
    lost = {image for image in images if image not in known and images[image] != sha256(many()[bad])}
    assert not lost, "the journal does not know these images"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
