"""The walk through a source: what a run does with each file."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from batch.journals import begin, opened, row
from batch.walks import Counts, FolderSource, ListSource, decisions, entry, forever, walk_all
from imgwire_async.batch.chunk_queue import CHUNK
from imgwire_async.batch.items import MAX_BYTES, Entry, Identity, Skip
from imgwire_async.batch.journal import Journal
from imgwire_async.batch.keys import Shard, shard_of
from imgwire_async.batch.records import RowOwner
from imgwire_async.batch.source_names import compare_sources
from imgwire_async.batch.walk import Walk
from imgwire_async.batch_errors import BatchError, JournalError


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    with opened(folder / "photos.journal") as journal:
        yield journal


@pytest.fixture
def owner(journal: Journal) -> RowOwner:
    """Return the second run of the journal. The rows of `journals.row` belong to the first."""
    begin(journal)
    return begin(journal)


async def test_each_file_comes_with_its_row_and_a_decision(journal: Journal, owner: RowOwner) -> None:
    failed = row("failed", "failed.jpg", error_type="UploadError")
    journal.put_blocking([row("done", "changed.jpg", identity=Identity(5, mtime_ns=4)), failed])
    source = ListSource([entry("changed.jpg"), entry("failed.jpg"), entry("new.jpg"), Skip("x", "empty")])
    files = await walk_all(Walk(source, journal, owner))
    assert [(file.entry.key, file.decision.action) for file in files] == [
        ("changed.jpg", "changed"),
        ("failed.jpg", "retry"),
        ("new.jpg", "upload"),
        ("x", "skip"),
    ]
    assert [file.row for file in files][1:3] == [failed, None]
    assert files[3].decision.reason == "empty"


async def test_files_that_earlier_runs_have_done_are_only_counted(journal: Journal, owner: RowOwner) -> None:
    keys = [f"{number:05}.jpg" for number in range(1_200)]
    journal.put_blocking([row("done", key) for key in keys])
    counts = Counts()
    walk = Walk(ListSource(map(entry, [*keys, "new.jpg"])), journal, owner, listener=counts)
    assert [file.entry.key for file in await walk_all(walk)] == ["new.jpg"]
    assert (walk.found, walk.done_before, walk.is_complete) == (1_201, 1_200, True)
    assert counts == Counts(1_201, 1_200, True)


async def test_with_include_done_their_rows_come_too(journal: Journal, owner: RowOwner) -> None:
    journal.put_blocking([row("done")])
    walk = Walk(ListSource([entry()]), journal, owner, include_done=True)
    (file,) = await walk_all(walk)
    assert (file.decision.action, file.row, walk.done_before) == ("done", row("done"), 1)


async def test_a_file_that_this_run_has_settled_is_not_done_before(journal: Journal, owner: RowOwner) -> None:
    journal.put_blocking([attrs.evolve(row("done"), run=owner.run)])
    walk = Walk(ListSource([entry()]), journal, owner)
    (file,) = await walk_all(walk)
    assert (file.decision.action, file.decision.reason) == ("done", "settled by this run")
    assert (file.is_settled, walk.done_before) == (True, 0)


async def test_a_file_whose_image_is_not_yet_ready_is_passed_on(journal: Journal, owner: RowOwner) -> None:
    journal.put_blocking([row("stored")])
    walk = Walk(ListSource([entry()]), journal, owner)
    (file,) = await walk_all(walk)
    assert (file.decision.action, file.row, walk.done_before) == ("done", row("stored"), 0)


async def test_a_file_whose_image_is_gone_is_uploaded_again(journal: Journal, owner: RowOwner) -> None:
    journal.put_blocking([row("done", "a", image_id="i1"), row("done", "b", image_id="i2")])
    source = ListSource([entry("a"), entry("b")])
    found = await decisions(source, journal, owner, is_gone=lambda row: row.image_id == "i2")
    assert found == {"b": "upload"}


@pytest.mark.parametrize(
    ("retry_failed", "actions"),
    [(True, ["retry", "skip"]), (False, ["skip", "skip"]), ("all", ["retry", "retry"])],
)
async def test_retry_failed_decides_about_failed_files(
    journal: Journal, owner: RowOwner, retry_failed: object, actions: list[str]
) -> None:
    failed = row("failed", "a", error_type="UploadError")
    journal.put_blocking([failed, row("failed", "b", error_type="ImageQuarantinedError")])
    source = ListSource([entry("a"), entry("b")])
    found = await decisions(source, journal, owner, retry_failed=retry_failed)
    assert [*found.values()] == actions


# --- shards and repeated keys -------------------------------------------------------------------------------


async def test_files_outside_the_shard_are_not_found(journal: Journal, owner: RowOwner) -> None:
    keys = [f"{number:05}.jpg" for number in range(100)]
    walk = Walk(ListSource(map(entry, keys)), journal, owner, shard=Shard(2, 3))
    found = [file.entry.key for file in await walk_all(walk)]
    assert found == [key for key in keys if shard_of(key, 3) == 2]
    assert walk.found == len(found)


async def test_a_key_that_came_before_is_a_skip_without_a_row(journal: Journal, owner: RowOwner) -> None:
    keys = ["a", "b", "a", *[f"{number:05}" for number in range(700)], "b", "a"]
    source = ListSource(map(entry, keys), may_repeat=True)
    files = await walk_all(Walk(source, journal, owner))
    repeated = [file for file in files if isinstance(file.entry, Skip)]
    assert sorted(file.entry.key for file in repeated) == ["a", "a", "b"]
    assert {(file.decision.reason, file.keeps_row) for file in repeated} == {
        ("the same key came before in this run", True)
    }
    assert len(files) - len(repeated) == 702


# --- sources with other names -------------------------------------------------------------------------------


async def test_a_key_of_another_source_ends_the_run_with_the_ways_out(
    journal: Journal, owner: RowOwner
) -> None:
    journal.put_blocking([row("done")])
    other = begin(journal, "/other/photos")
    with pytest.raises(BatchError, match=r"'a\.jpg' from the source '/photos'") as caught:
        await walk_all(Walk(ListSource([entry()], name="/other/photos"), journal, other))
    for way_out in ("prefix=", "another journal", "moved=True"):
        assert way_out in str(caught.value)


async def test_a_skip_of_another_source_is_no_conflict(journal: Journal, owner: RowOwner) -> None:
    journal.put_blocking([row("skipped", image_id=None)])
    other = begin(journal, "/other")
    assert await decisions(ListSource([entry()], name="/other"), journal, other) == {"a.jpg": "upload"}


async def test_a_new_folder_is_compared_before_its_first_file_is_passed_on(
    journal: Journal, owner: RowOwner
) -> None:
    journal.put_blocking([row("done")])
    other = begin(journal, "/other")
    items = [*[entry(f"{number:05}") for number in range(3 * CHUNK)], entry()]
    walk = Walk(FolderSource(items, name="/other"), journal, other)
    with pytest.raises(BatchError, match="moved=True"):
        await anext(walk)
    await walk.aclose()


async def test_a_new_folder_is_compared_only_once(journal: Journal, owner: RowOwner) -> None:
    for expected in (1, 0):
        source = FolderSource([entry("b.jpg")], name="/other")
        await walk_all(Walk(source, journal, begin(journal, "/other")))
        assert source.again_count == expected


async def test_each_shard_of_a_new_folder_is_compared(journal: Journal, owner: RowOwner) -> None:
    for shard in (None, Shard(1, 2), Shard(2, 2)):
        source = FolderSource([entry("b.jpg")], name="/other")
        await walk_all(Walk(source, journal, begin(journal, "/other"), shard=shard))
        assert source.again_count == 1


async def test_the_only_folder_of_a_journal_is_not_compared(journal: Journal, owner: RowOwner) -> None:
    source = FolderSource([entry()])
    await walk_all(Walk(source, journal, owner))
    assert source.again_count == 0


async def test_a_folder_that_was_moved_keeps_its_files(journal: Journal, owner: RowOwner) -> None:
    journal.put_blocking([row("done")])
    moved = begin(journal, "/moved")
    source = ListSource([entry(), entry("new.jpg")], name="/moved", is_moved=True)
    walk = Walk(source, journal, moved)
    assert [file.entry.key for file in await walk_all(walk)] == ["new.jpg"]
    assert walk.done_before == 1
    assert [*journal.sources().values()] == ["/moved"]


async def test_an_error_of_a_new_folder_comes_after_the_files_before(
    journal: Journal, owner: RowOwner
) -> None:
    other = begin(journal, "/other")
    error = OSError("the disk is gone")
    source = FolderSource([entry("b.jpg"), error], name="/other")
    walk = Walk(source, journal, other)
    assert [file.entry.key for file in await anext(walk)] == ["b.jpg"]
    with pytest.raises(OSError, match="the disk is gone"):
        await anext(walk)
    await walk.aclose()
    assert not journal.is_compared(other)


async def test_stop_ends_a_comparison_that_hangs(journal: Journal, owner: RowOwner) -> None:
    other = begin(journal, "/other")
    stop = asyncio.Event()
    source = FolderSource([entry("b.jpg"), forever], name="/other")
    comparing = asyncio.ensure_future(compare_sources(source, journal, other, stop=stop))
    done, _ = await asyncio.wait([comparing], timeout=0.05)
    assert not done
    stop.set()
    async with asyncio.timeout(10):
        await comparing
    assert not journal.is_compared(other)


# --- slow sources, and the end ------------------------------------------------------------------------------


async def test_a_slow_source_does_not_hold_back_the_files_before(journal: Journal, owner: RowOwner) -> None:
    source = ListSource([entry("a"), entry("b"), forever])
    walk = Walk(source, journal, owner)
    async with asyncio.timeout(5):
        assert [file.entry.key for file in await anext(walk)] == ["a", "b"]
    await walk.aclose()
    assert source.closed == 1


async def test_the_source_is_read_only_a_little_ahead(journal: Journal, owner: RowOwner) -> None:
    source = ListSource(entry(f"{number:06}") for number in range(100_000))
    walk = Walk(source, journal, owner)
    await anext(walk)
    for _ in range(100):
        await asyncio.sleep(0.001)
    assert source.read_count <= 6 * CHUNK
    await walk.aclose()


async def test_few_files_are_read_ahead_that_are_in_memory(journal: Journal, owner: RowOwner) -> None:
    data = bytes(2**20)
    source = ListSource(entry(f"{number:06}", Identity(2**20, sha256="aa"), data) for number in range(1_000))
    walk = Walk(source, journal, owner)
    await anext(walk)
    for _ in range(100):
        await asyncio.sleep(0.001)
    assert source.read_count <= 4 * MAX_BYTES // len(data)
    await walk.aclose()


async def test_an_error_of_the_source_comes_unchanged_after_the_files_before(
    journal: Journal, owner: RowOwner
) -> None:
    error = OSError("the disk is gone")
    counts = Counts()
    walk = Walk(ListSource([entry("a"), error]), journal, owner, listener=counts)
    assert [file.entry.key for file in await anext(walk)] == ["a"]
    with pytest.raises(OSError, match="the disk is gone") as caught:
        await anext(walk)
    assert caught.value is error
    assert not walk.is_complete
    assert not counts.was_counted
    await walk.aclose()


# --- closing ------------------------------------------------------------------------------------------------


class HangingSource(ListSource):
    """A source that ignores its cancellation, and never closes."""

    def __init__(self) -> None:
        super().__init__([entry()])
        self.released = asyncio.Event()

    async def read(self) -> list[Entry | Skip]:
        while not self.released.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await self.released.wait()
        return []

    async def aclose(self) -> None:
        await self.released.wait()


@pytest.mark.slow
async def test_a_source_that_hangs_does_not_keep_the_walk_from_ending(
    journal: Journal, owner: RowOwner
) -> None:
    source = HangingSource()
    walk = Walk(source, journal, owner)
    taking = asyncio.ensure_future(anext(walk))
    await asyncio.sleep(0.01)
    taking.cancel()
    async with asyncio.timeout(20):
        await walk.aclose()
    source.released.set()


async def test_a_walk_can_be_closed_before_it_begins_and_twice(journal: Journal, owner: RowOwner) -> None:
    source = ListSource([entry()])
    walk = Walk(source, journal, owner)
    await walk.aclose()
    await walk.aclose()
    assert source.closed == 1
    with pytest.raises(StopAsyncIteration):
        await anext(walk)
    assert not walk.is_complete


async def test_a_walk_that_is_closed_early_leaves_no_task(journal: Journal, owner: RowOwner) -> None:
    before = asyncio.all_tasks()
    source = ListSource((entry(f"{number:06}") for number in range(100_000)), may_repeat=True)
    walk = Walk(source, journal, owner)
    await anext(walk)
    await walk.aclose()
    assert asyncio.all_tasks() == before
    assert not walk.is_complete


async def test_a_cancelled_iteration_loses_no_file(journal: Journal, owner: RowOwner) -> None:
    keys = [f"{number:04}" for number in range(2_000)]
    walk = Walk(ListSource(map(entry, keys)), journal, owner)
    found: list[str] = []
    async with contextlib.aclosing(walk):
        while not walk.is_complete:
            taking = asyncio.ensure_future(anext(walk, None))
            await asyncio.sleep(0)
            taking.cancel()
            await asyncio.wait([taking])
            if not taking.cancelled():
                found += [file.entry.key for file in taking.result() or []]
            await asyncio.sleep(0.001)
    assert found == keys


async def test_an_error_of_the_journal_ends_the_walk(journal: Journal, folder: Path) -> None:
    with opened(folder / "closed.journal") as closed:
        owner = begin(closed)
    with pytest.raises(JournalError, match="closed"):
        await walk_all(Walk(ListSource([entry()]), closed, owner))
