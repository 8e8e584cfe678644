"""The journal: what is written can be read, by every connection and every later process."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import tempfile
import threading
from pathlib import Path

import attrs
import pytest
from drawing import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgwire_async.batch import records
from imgwire_async.batch.items import Identity
from imgwire_async.batch.journal_schema import row_of, values_of
from imgwire_async.batch.keys import Shard
from imgwire_async.batch.plan import Decision, decide
from imgwire_async.batch.records import JournalRow
from imgwire_async.batch_errors import JournalError

from .journals import begin, opened, row
from .rows import rows

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(params=[False, True], ids=["shared", "exclusive"])
def exclusive(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "photos.journal"


# --- rows ---------------------------------------------------------------------------------------------------


@settings(max_examples=examples(20), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(rows(), unique_by=lambda row: row.key, max_size=6))
def test_rows_are_read_as_they_were_written(folder: Path, drawn: list[JournalRow]) -> None:
    with opened(Path(tempfile.mkdtemp(dir=folder)) / "a.journal") as journal:
        journal.put_blocking(drawn)
        assert [*journal.rows(1)] == sorted(drawn, key=lambda row: row.key)
        assert journal.lookup(1, [row.key for row in drawn]) == {row.key: row for row in drawn}
        expected = [image_id for row in sorted(drawn, key=lambda row: row.key) for image_id in row.abandoned]
        assert [*journal.abandoned(1)] == expected
        for status in records.STATUSES:
            found = [*journal.rows(1, status)]
            assert found == [row for row in journal.rows(1) if row.status == status]
            assert journal.counts(1).get(status, 0) == len(found)


@given(rows())
def test_the_columns_of_a_row_are_read_back(drawn: JournalRow) -> None:
    assert row_of(values_of(drawn)) == drawn


def test_a_later_run_reads_all_rows(path: Path, exclusive: bool) -> None:
    many = [row("done", key=f"{number:05}") for number in range(1_234)]
    with opened(path, exclusive=exclusive) as journal:
        journal.put_blocking(many)
    with opened(path, exclusive=exclusive) as journal:
        assert [*journal.rows(1)] == many
        assert len(journal.lookup(1, [item.key for item in many])) == 1_234


def test_a_row_replaces_the_row_of_its_key(path: Path) -> None:
    with opened(path) as journal:
        journal.put_blocking([row("started")])
        journal.put_blocking([row("done")])
        assert [*journal.rows(1)] == [row("done")]
        assert journal.counts(1) == {"started": 0, "done": 1}
        journal.remove([row("done")])
        assert journal.counts(1)["done"] == 0


def test_keys_of_names_that_are_not_utf_8_stay_distinct(path: Path) -> None:
    keys = [b"a\xff".decode("utf-8", "surrogateescape"), b"a\xfe".decode("utf-8", "surrogateescape")]
    with opened(path) as journal:
        journal.put_blocking([row(key=key) for key in keys])
        assert journal.lookup(1, keys).keys() == {*keys}


async def test_rows_are_on_the_disk_when_the_future_is_done(path: Path) -> None:
    with opened(path) as journal:
        await asyncio.gather(*[journal.put([row(key=str(number))]) for number in range(500)])
        # Another connection sees only what was committed.
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        assert connection.execute("SELECT count(*) FROM files").fetchone() == (500,)
        connection.close()


def commits(path: Path) -> int:
    """Count the transactions in the log of a journal. The last frame of each contains the file size."""
    log = path.with_name(path.name + "-wal").read_bytes()
    size = 24 + 4_096
    return sum(log[start + 4 : start + 8] != bytes(4) for start in range(32, len(log), size))


async def test_rows_that_wait_at_the_same_time_share_a_transaction(path: Path) -> None:
    with opened(path) as journal:
        before = commits(path)
        await asyncio.gather(*[journal.put([row(key=str(number))]) for number in range(500)])
        assert 1 <= commits(path) - before <= 100


async def test_no_row_waits_for_another(path: Path) -> None:
    with opened(path) as journal:
        before = commits(path)
        for number in range(20):
            await journal.put([row(key=str(number))])
        assert commits(path) - before == 20


async def test_a_command_that_fails_does_not_fail_the_others(path: Path) -> None:
    def fail(_: sqlite3.Connection) -> None:
        raise KeyError("x")

    with opened(path) as journal:
        first = journal.put([row(key="a")])
        with pytest.raises(KeyError):
            await asyncio.to_thread(journal.run, fail)
        await first
        await journal.put([row(key="b")])
        assert journal.counts(1) == {"done": 2}


async def test_an_error_of_the_database_fails_everything_that_follows(path: Path) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO missing VALUES (1)")

    with pytest.raises(JournalError, match="missing"):
        with opened(path) as journal:
            with pytest.raises(JournalError, match="missing"):
                await asyncio.to_thread(journal.run, fail)
            with pytest.raises(JournalError, match="missing"):
                await journal.put([row()])
    # Nothing of it was written, and the lock is free.
    with opened(path) as journal:
        assert journal.counts(1) == {}


def test_a_checkpoint_empties_the_log(path: Path) -> None:
    with opened(path) as journal:
        journal.put_blocking([row(key=f"{number:05}") for number in range(1_000)])
        log = path.with_name(path.name + "-wal")
        size = log.stat().st_size
        journal.checkpoint()
        # The thread makes it before its next command.
        journal.put_blocking([row()])
        assert log.stat().st_size < size / 3


async def test_a_caller_that_does_not_wait_cancels_nothing(path: Path) -> None:
    with opened(path) as journal:
        journal.put([row("started")]).cancel()
        await journal.put([row("done")])
        assert journal.counts(1) == {"started": 0, "done": 1}


async def test_two_event_loops_and_a_thread_write_at_the_same_time(path: Path) -> None:
    with opened(path) as journal:

        async def write(name: str) -> None:
            await asyncio.gather(*[journal.put([row(key=f"{name}{number}")]) for number in range(50)])

        threads = [
            threading.Thread(target=lambda: asyncio.run(write("x"))),
            threading.Thread(target=lambda: [journal.put_blocking([row(key=f"y{n}")]) for n in range(20)]),
        ]
        for thread in threads:
            thread.start()
        await write("z")
        for thread in threads:
            await asyncio.to_thread(thread.join)
        assert journal.counts(1) == {"done": 120}


def test_an_iterator_of_rows_does_not_stop_the_writer(path: Path, exclusive: bool) -> None:
    with opened(path, exclusive=exclusive) as journal:
        journal.put_blocking([row(key=f"{number:05}") for number in range(1_200)])
        iterator = journal.rows(1)
        assert next(iterator).key == "00000"
        journal.put_blocking([row(key="99999")])
        assert [item.key for item in iterator][-1] == "99999"


def test_an_iterator_that_is_left_open_does_not_prevent_closing(path: Path) -> None:
    with opened(path) as journal:
        journal.put_blocking([row(key=f"{number:05}") for number in range(1_200)])
        iterator = journal.rows(1)
        next(iterator)
    with pytest.raises(JournalError, match="is closed"):
        list(iterator)
    with opened(path) as journal:
        assert journal.counts(1) == {"done": 1_200}


def test_a_closed_journal_says_so(path: Path) -> None:
    with opened(path) as journal:
        pass
    journal.close()
    for use in (lambda: journal.put_blocking([row()]), lambda: [*journal.rows(1)], lambda: journal.counts(1)):
        with pytest.raises(JournalError, match="is closed"):
            use()


def test_files_that_are_done_are_found_without_their_rows(path: Path) -> None:
    identity = Identity(3, mtime_ns=4)
    with opened(path) as journal:
        _, other, now = begin(journal), begin(journal, "/other"), begin(journal)
        journal.put_blocking(
            [
                row("done", key="same"),
                row("done", key="changed", identity=Identity(3, mtime_ns=5)),
                row("failed", key="failed"),
                attrs.evolve(row("done", key="of another source"), source=other.source),
                attrs.evolve(row("done", key="of this run"), run=now.run),
                *[row("done", key=f"{number:04}") for number in range(700)],
            ]
        )
        asked = ["same", "changed", "failed", "of another source", "of this run", "new"]
        asked += [f"{number:04}" for number in range(700)]
        found = journal.done_before(now, dict.fromkeys(asked, identity))
    assert found == {"same", *[f"{number:04}" for number in range(700)]}


def all_identities() -> list[Identity]:
    """Return identities with each combination of known and unknown values."""
    values = ([None, 3], [None, 4, 2**70], [None, "aa", "bb"], [None, "t"])
    return [Identity(*combination) for combination in itertools.product(*values)]


@pytest.mark.parametrize("checksum", [False, True])
def test_files_that_are_found_as_done_need_no_closer_check(path: Path, checksum: bool) -> None:
    pairs = {f"{n}": pair for n, pair in enumerate(itertools.product(all_identities(), repeat=2))}
    before = {key: row("done", key, identity=old) for key, (old, _) in pairs.items()}
    now = {key: new for key, (_, new) in pairs.items()}
    with opened(path) as journal:
        begin(journal)
        journal.put_blocking([*before.values()])
        found = journal.done_before(begin(journal), now, checksum=checksum)
    for key in found:
        assert decide(before[key], now[key], checksum=checksum) == Decision("done", "uploaded before")
    # Files of folders are found, and with a checksum those whose hash is known.
    hashes = {None, "aa", "bb"} - ({None} if checksum else set())
    files = {key for key, (old, _) in pairs.items() if old.mtime_ns is not None and old.sha256 in hashes}
    assert found >= {
        key for key in files if now[key] in {pairs[key][0], attrs.evolve(pairs[key][0], sha256=None)}
    }


# --- runs ---------------------------------------------------------------------------------------------------


def test_each_run_has_its_own_number_and_each_source_keeps_its_own(path: Path) -> None:
    with opened(path) as journal:
        owners = [begin(journal), begin(journal, "/other"), begin(journal)]
        assert [owner.run for owner in owners] == [1, 2, 3]
        assert owners[0].source == owners[2].source != owners[1].source
        assert journal.sources() == {owners[0].source: "/photos", owners[1].source: "/other"}


def test_rows_in_doubt_are_those_of_the_own_source_and_shard(path: Path) -> None:
    shard = Shard(1, 2)
    with opened(path) as journal:
        owner, other = begin(journal), begin(journal, "/other")
        mine = [attrs.evolve(row("started", key=f"{n}"), source=owner.source) for n in range(20)]
        journal.put_blocking([*mine, attrs.evolve(row("started", key="x"), source=other.source), row("done")])
        assert {*journal.in_doubt(owner)} == {*mine}
        assert [*journal.in_doubt(owner, shard)] == sorted(
            (item for item in mine if item.key in shard), key=lambda item: item.key
        )


def test_a_skip_is_forgotten_when_a_run_does_not_find_it_again(path: Path) -> None:
    with opened(path) as journal:
        first, second = begin(journal), begin(journal)
        other = begin(journal, "/other")
        rows_of_skips = [
            records.skipped(None, first, "gone", "hidden", now=1.0),
            records.skipped(row("started", image_id="i1"), first, "with id", "hidden", now=1.0),
            records.skipped(None, second, "again", "hidden", now=1.0),
            records.skipped(None, other, "of another source", "hidden", now=1.0),
        ]
        journal.put_blocking(rows_of_skips)
        assert journal.forget_skips(second) == 1
        assert [item.key for item in journal.rows(1)] == ["again", "of another source", "with id"]


def test_a_run_of_one_shard_forgets_only_skips_of_its_shard(path: Path) -> None:
    with opened(path) as journal:
        first, second = begin(journal), begin(journal)
        keys = [str(number) for number in range(1_200)]
        journal.put_blocking([records.skipped(None, first, key, "hidden", now=1.0) for key in keys])
        journal.forget_skips(second, Shard(2, 3))
        assert {item.key for item in journal.rows(1)} == {key for key in keys if key not in Shard(2, 3)}


def test_the_files_of_a_folder_that_was_moved_get_its_new_name(path: Path) -> None:
    with opened(path) as journal:
        owner = begin(journal, "/old")
        journal.put_blocking([attrs.evolve(row(), source=owner.source)])
        journal.rename_source("/old", "/new")
        assert journal.sources() == {owner.source: "/new"}
        other = begin(journal, "/third")
        journal.rename_source("/new", "/third")
        assert journal.sources() == {other.source: "/third"}
        assert [item.source for item in journal.rows(1)] == [other.source]


def test_no_walk_uploads_the_journal_or_its_exports(path: Path) -> None:
    with opened(path) as journal:
        journal.note_export(path.with_name("report.csv"))
        names = {own.name for own in journal.own_paths()}
    assert names == {"report.csv", *(path.name + end for end in ("", "-wal", "-shm", "-journal", ".lock"))}


# --- destinations -------------------------------------------------------------------------------------------


def test_the_rows_of_two_destinations_stay_apart(path: Path) -> None:
    with opened(path) as journal:
        first, second = begin(journal), begin(journal, environment_id="e2")
        assert first.destination != second.destination
        journal.put_blocking([row()])
        assert [*journal.rows(second.destination)] == []
        assert journal.lookup(second.destination, ["a.jpg"]) == {}


def test_the_environment_of_the_first_record_is_kept(path: Path) -> None:
    with opened(path) as journal:
        new = journal.use_destination(None, "https://api", None, "aa")
        known = journal.note_environment(new, "e1")
        assert journal.note_environment(known, "e1") == known
        assert journal.choose_destination("https://api", "e1", "another key").destination == known
        with pytest.raises(JournalError, match=r"environment e1.*environment e2.*environment_id="):
            journal.note_environment(known, "e2")


def test_writing_does_not_change_the_identity_of_a_row(path: Path) -> None:
    # The time of a file may need more than the 64 bits of SQLite.
    identity = Identity(3, mtime_ns=2**64 + 1)
    with opened(path) as journal:
        journal.put_blocking([row(identity=identity)])
        assert journal.lookup(1, ["a.jpg"])["a.jpg"].identity == identity
