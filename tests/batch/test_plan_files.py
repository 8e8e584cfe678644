"""A plan says what a run would do, without a request and without a write."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from batch.journals import begin, opened, row
from batch.walks import FolderSource, ListSource, entry, entry_of
from imgwire_async.batch.items import Identity, Skip, Source
from imgwire_async.batch.journal import Journal
from imgwire_async.batch.journal_destinations import Destination
from imgwire_async.batch.keys import Shard, shard_of
from imgwire_async.batch.planning import plan
from imgwire_async.batch.results import PlannedFile
from imgwire_async.batch_errors import BatchError


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    with opened(folder / "photos.journal") as journal:
        begin(journal)
        yield journal


async def planned(
    source: Source, journal: Journal, *, checksum: bool = False, shard: Shard | None = None
) -> list[PlannedFile]:
    (destination,) = journal.destinations()
    return await plan_all(source, journal, destination, checksum=checksum, shard=shard)


async def plan_all(
    source: Source,
    journal: Journal,
    destination: Destination | None,
    *,
    checksum: bool = False,
    shard: Shard | None = None,
) -> list[PlannedFile]:
    async with contextlib.aclosing(
        plan(source, journal, destination, checksum=checksum, shard=shard)
    ) as files:
        return [file async for file in files]


def state(journal: Journal) -> dict[str, bytes]:
    """Return the bytes of all files of a journal, except those of the lock and the shared memory."""
    paths = sorted(journal.path.parent.iterdir())
    return {
        path.name: path.read_bytes() for path in paths if path.suffix not in {".lock", "", ".journal-shm"}
    }


async def test_a_plan_names_each_file_with_its_action_and_the_reason(journal: Journal) -> None:
    journal.put_blocking(
        [
            row("done", "done"),
            row("done", "changed", identity=Identity(5)),
            row("failed", "failed", error_type="UploadError"),
            row("failed", "bad", error_type="ImageQuarantinedError"),
            row("started", "interrupted"),
        ]
    )
    keys = ["done", "changed", "failed", "bad", "interrupted", "new"]
    files = await planned(ListSource([*map(entry, keys), Skip("empty", "an empty file")]), journal)
    assert {file.key: (file.size, file.action, file.reason) for file in files} == {
        "done": (3, "done", "uploaded before"),
        "changed": (3, "changed", "its size was 5 bytes, and is 3"),
        "failed": (3, "retry", "failed before: UploadError"),
        "bad": (3, "skip", "failed before and is not retried: ImageQuarantinedError"),
        "interrupted": (3, "retry", "its upload was interrupted"),
        "new": (3, "upload", "new"),
        "empty": (None, "skip", "an empty file"),
    }


async def test_a_plan_writes_nothing(journal: Journal, tmp_path: Path) -> None:
    # A file whose hash a run would write.
    path = tmp_path / "copy.jpg"
    path.write_bytes(b"abc")
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    journal.put_blocking([row("done", "copy.jpg", identity=Identity(3, mtime_ns=1, sha256=sha256))])
    begin(journal, "/other")
    before = state(journal)
    assert before
    source = FolderSource([entry_of(path), entry("new"), Skip("x", "empty")])
    files = await planned(source, journal, checksum=True)
    assert [file.action for file in files] == ["upload", "skip", "done"]
    assert state(journal) == before
    assert source.again_count == 0


async def test_a_plan_for_an_unknown_destination_uploads_everything(journal: Journal) -> None:
    journal.put_blocking([row("done")])
    (file,) = await plan_all(ListSource([entry()]), journal, None)
    assert file.action == "upload"


async def test_a_plan_finds_the_conflict_that_a_run_would_find(journal: Journal) -> None:
    journal.put_blocking([row("done")])
    with pytest.raises(BatchError, match="moved=True"):
        await planned(ListSource([entry()], name="/other"), journal)


async def test_a_plan_of_a_moved_folder_renames_nothing(journal: Journal) -> None:
    journal.put_blocking([row("done")])
    (file,) = await planned(ListSource([entry()], name="/moved", is_moved=True), journal)
    assert file.action == "done"
    assert [*journal.sources().values()] == ["/photos"]


async def test_a_plan_contains_only_the_files_of_its_shard(journal: Journal) -> None:
    keys = [f"{number:03}" for number in range(50)]
    files = await planned(ListSource(map(entry, keys)), journal, shard=Shard(1, 4))
    assert [file.key for file in files] == [key for key in keys if shard_of(key, 4) == 1]


async def test_a_plan_that_is_left_early_closes_its_source(journal: Journal) -> None:
    source = ListSource(entry(f"{number:06}") for number in range(100_000))
    async with contextlib.aclosing(plan(source, journal, None)) as files:
        async for _ in files:
            break
    assert source.closed == 1
