"""Runs over sources with equal keys, over moved folders, with repeated keys, and with hashes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from imgwire_async.batch import AsyncBatch
from imgwire_async.batch.items import BatchItem
from imgwire_async.batch.sources import folder as folder_of
from imgwire_async.batch_errors import BatchError

from .runs import Site, picture, rows_of, site


@pytest.fixture
def switches() -> dict[str, Any]:
    return {}


@pytest.fixture
async def here(folder: Path, tmp_path: Path, switches: dict[str, Any]) -> AsyncIterator[Site]:
    async with site(folder, tmp_path, switches=switches) as here:
        yield here


def other_folder(here: Site, *names: str) -> Path:
    """Return a second folder with other pictures."""
    path = here.folder.parent / "other"
    path.mkdir()
    for number, name in enumerate(names):
        (path / name).write_bytes(picture(number))
    return path


async def test_two_folders_with_equal_names_conflict_before_the_first_upload(here: Site) -> None:
    here.add("a.png", "z.png")
    await here.upload()
    before = here.requests("POST")
    other = other_folder(here, *[f"{number:04}.png" for number in range(40)], "z.png")
    with pytest.raises(BatchError, match=r"'z\.png'.*prefix=.*another journal.*moved=True"):
        await here.upload(other)
    assert here.requests("POST") == before
    assert len(here.images(None)) == 2


async def test_a_prefix_keeps_two_folders_apart(here: Site) -> None:
    here.add("a.png")
    await here.upload()
    results = await here.upload(folder_of(other_folder(here, "a.png"), prefix="other/"))
    assert [*results] == ["other/a.png"]
    assert [*here.statuses()] == ["a.png", "other/a.png"]
    assert len(here.images(None)) == 2


@pytest.mark.parametrize("switches", [{"idempotency": "conflict"}])
async def test_rows_in_doubt_of_a_folder_that_was_moved_are_settled(here: Site) -> None:
    here.add("a.png", "b.png")
    await here.upload()
    with here.journal() as journal:
        # As if the process had been killed after the response to the PUT.
        row = rows_of(journal)["a.png"]
        journal.put_blocking([attrs.evolve(row, status="started", image_id=None, finished_at=None)])
    moved = here.folder.rename(here.folder.parent / "moved")
    results = await here.upload(folder_of(moved, moved=True))
    assert [(result.key, result.resumed) for result in results.values()] == [("a.png", True)]
    assert set(here.statuses().values()) == {"done"}
    assert len(here.images(None)) == 2


async def test_of_two_files_with_one_key_the_first_is_uploaded(here: Site) -> None:
    items = [BatchItem("a", picture(1)), BatchItem("b", picture(2)), BatchItem("a", picture(3))]
    with here.journal() as journal:
        async with here.run(journal, items, include_done=True) as run:
            results = [result async for result in run]
        assert {key: row.status for key, row in rows_of(journal).items()} == {"a": "done", "b": "done"}
    assert sorted((result.key, result.status) for result in results) == [
        ("a", "done"),
        ("a", "skipped"),
        ("b", "done"),
    ]
    (skipped,) = [result for result in results if result.status == "skipped"]
    assert skipped.reason == "the same key came before in this run"
    assert here.reporter.summary().skipped == 1


async def test_with_checksum_copies_with_other_times_are_not_uploaded_again(here: Site) -> None:
    here.add("a.png", "b.png")
    await here.upload(checksum=True)
    before = here.requests("POST")
    os.utime(here.folder / "a.png", ns=(1, 1))
    for _ in range(2):
        assert await here.upload(checksum=True) == {}
        assert here.reporter.summary().done_before == 2
    assert here.requests("POST") == before
    here.add("a.png")
    results = await here.upload(checksum=True)
    assert [*results] == ["a.png"]
    assert len(here.images(None)) == 3


async def test_a_plan_sends_no_request_and_writes_nothing(here: Site) -> None:
    here.add("a.png", "b.png")
    await here.upload()
    here.add("a.png", "c.png")
    async with AsyncBatch(here.client, here.journal_path) as batch:
        before, requests = state(here), len(here.emulator.requests)
        files = {file.key: file.action async for file in batch.plan(here.folder)}
        assert files == {"a.png": "changed", "b.png": "done", "c.png": "upload"}
        assert (state(here), len(here.emulator.requests)) == (before, requests)


def state(here: Site) -> list[bytes]:
    """Return the bytes of the journal and of its log."""
    log = here.journal_path.with_name(here.journal_path.name + "-wal")
    return [path.read_bytes() for path in (here.journal_path, log)]
