"""Merged journals: one row per key, and no id is lost."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from hypothesis import given

from imgwire_async.batch.merge import merge_journals, merged
from imgwire_async.batch.records import JournalRow, all_ids
from imgwire_async.batch_errors import JournalError, JournalLockedError

from .journals import begin, opened, row
from .rows import rows

KEY = "a.jpg"


@given(rows(key=KEY), rows(key=KEY))
def test_the_order_of_two_journals_does_not_matter(first: JournalRow, second: JournalRow) -> None:
    assert merged(first, second) == merged(second, first)


@given(rows(key=KEY), rows(key=KEY), rows(key=KEY))
def test_the_order_of_three_journals_does_not_matter(
    first: JournalRow, second: JournalRow, third: JournalRow
) -> None:
    orders = itertools.permutations([first, second, third])
    results = {merged(merged(a, b), c) for a, b, c in orders}
    assert len(results) == 1


@given(rows(key=KEY), rows(key=KEY))
def test_a_merge_may_be_repeated(first: JournalRow, second: JournalRow) -> None:
    once = merged(first, second)
    assert merged(once, second) == merged(once, first) == once


@given(rows(key=KEY), rows(key=KEY))
def test_no_id_is_lost_and_no_image_is_abandoned(first: JournalRow, second: JournalRow) -> None:
    result = merged(first, second)
    assert all_ids(result) == all_ids(first) | all_ids(second)
    if result.has_bytes:
        assert result.image_id not in result.abandoned


@pytest.mark.parametrize(
    ("winner", "loser"), [*itertools.pairwise(["done", "stored", "started", "failed", "skipped"])]
)
def test_the_upload_that_came_furthest_wins(winner: str, loser: str) -> None:
    result = merged(row(loser, finished_at=9.0), row(winner, finished_at=1.0))
    assert result.status == winner


def test_of_two_images_the_newer_wins_and_the_other_is_abandoned() -> None:
    result = merged(row(image_id="new", finished_at=2.0), row(image_id="old", finished_at=1.0))
    assert (result.image_id, result.abandoned) == ("new", ("old",))


def test_the_same_image_in_two_journals_is_not_abandoned() -> None:
    assert merged(row(finished_at=2.0), row(finished_at=1.0)).abandoned == ()


# --- files --------------------------------------------------------------------------------------------------

Write = Callable[..., Path]


@pytest.fixture
def write(folder: Path) -> Write:
    """Return a function that writes a journal with rows of one source."""

    def written(name: str, *items: JournalRow, source: str = "/photos", environment_id: str = "e1") -> Path:
        with opened(folder / name) as journal:
            owner = begin(journal, source, environment_id)
            numbers = {"destination": owner.destination, "source": owner.source, "run": owner.run}
            journal.put_blocking([attrs.evolve(item, **numbers) for item in items])
        return folder / name

    return written


def test_the_journals_of_two_machines_become_one(write: Write, folder: Path) -> None:
    first = write("1", *[row(key=f"{n:05}") for n in range(1_500)], row("failed", key="x", image_id=None))
    second = write("2", *[row(key=f"{n:05}") for n in range(1_400, 2_000)], row("done", key="x"))
    before = first.read_bytes(), second.read_bytes()
    summary = merge_journals([first, second], folder / "all")
    assert (summary.found, summary.done_before, summary.failed) == (2_001, 2_001, 0)
    assert merge_journals([first, second], folder / "all") == summary
    with opened(folder / "all") as journal:
        assert len([*journal.rows(1)]) == 2_001
        assert [*journal.sources().values()] == ["/photos"]
        # The next run of the merged journal goes on.
        assert begin(journal).destination == 1
    assert len(before[0]) == first.stat().st_size


def test_destinations_and_sources_stay_apart(write: Write, folder: Path) -> None:
    one = write("1", row(key="a"))
    two = write("2", row(key="a", image_id="i2"), environment_id="e2")
    three = write("3", row(key="b"), source="/other")
    merge_journals([one, two, three], folder / "all")
    with opened(folder / "all") as journal:
        by_environment = {found.environment_id: found.number for found in journal.destinations()}
        assert [item.key for item in journal.rows(by_environment["e1"])] == ["a", "b"]
        assert [item.image_id for item in journal.rows(by_environment["e2"])] == ["i2"]
        names = journal.sources()
        assert [names[item.source] for item in journal.rows(by_environment["e1"])] == ["/photos", "/other"]


def test_a_missing_source_creates_nothing(write: Write, folder: Path) -> None:
    first = write("1", row())
    with pytest.raises(JournalError, match="there is no journal"):
        merge_journals([first, folder / "missing"], folder / "all")
    assert not (folder / "missing").exists()
    assert not (folder / "all").exists()


def test_a_merge_of_no_journals_is_rejected_and_creates_none(folder: Path) -> None:
    with pytest.raises(ValueError, match="sources is empty"):
        merge_journals([], folder / "all")
    assert not (folder / "all").exists()


def test_the_target_is_no_source(write: Write) -> None:
    first = write("1", row())
    with pytest.raises(ValueError, match="target is one of the sources"):
        merge_journals([first], first)


def test_one_path_is_not_a_list_of_paths(write: Write, folder: Path) -> None:
    with pytest.raises(TypeError, match="a list of paths"):
        merge_journals(write("1", row()), folder / "all")  # type: ignore[arg-type]


def test_a_source_in_use_is_refused(write: Write, folder: Path) -> None:
    with opened(write("1", row())), pytest.raises(JournalLockedError):
        merge_journals([folder / "1"], folder / "all")
