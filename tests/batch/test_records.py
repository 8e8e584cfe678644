"""The rows of a journal, and which row may follow which."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import attrs
import pytest
from hypothesis import given

from imgwire_async.batch import records
from imgwire_async.batch.items import Identity
from imgwire_async.batch.records import FOLLOWERS, STATUSES, JournalRow, all_ids
from imgwire_async.results import BatchSummary

from .journals import OWNER, row
from .rows import rows

NEW = Identity(9, mtime_ns=10)
STEPS: dict[str, Callable[[JournalRow], JournalRow]] = {
    "started": lambda before: records.started(
        before, OWNER, before.key, NEW, idempotency_key="new", generation=0, now=1.0
    ),
    "stored": lambda before: records.stored(before, "i9", "https://cdn/i9"),
    "done": lambda before: records.done(before, "i9", "https://cdn/i9", now=2.0),
    "failed": lambda before: records.failed(before, "UploadError", "broken", now=2.0),
}


@pytest.mark.parametrize("before", STATUSES)
@pytest.mark.parametrize("after", STEPS)
def test_a_status_follows_only_where_the_table_allows_it(before: str, after: str) -> None:
    if after in FOLLOWERS[before]:  # type: ignore[index]
        assert STEPS[after](row(before)).status == after
    else:
        with pytest.raises(ValueError, match=f"{after} cannot follow {before}"):
            STEPS[after](row(before))


def test_the_table_knows_every_status() -> None:
    assert FOLLOWERS.keys() == {None, *STATUSES}


@given(rows(abandoned=()))
def test_no_id_of_a_record_is_lost(before: JournalRow) -> None:
    for name, step in STEPS.items():
        if name in FOLLOWERS[before.status]:
            assert all_ids(before) - all_ids(step(before)) == set(), name


@given(rows())
def test_the_image_of_a_row_is_never_abandoned_when_it_is_done(before: JournalRow) -> None:
    for name in ("stored", "done"):
        if name in FOLLOWERS[before.status]:
            after = STEPS[name](before)
            assert after.image_id not in after.abandoned


# --- versions of a file -------------------------------------------------------------------------------------


def test_the_old_image_is_abandoned_only_when_the_new_version_is_stored() -> None:
    before = STEPS["started"](row("done", image_id="old"))
    assert (before.image_id, before.replaces, before.abandoned) == (None, "old", ())
    assert STEPS["failed"](before).abandoned == ()
    assert STEPS["done"](before).abandoned == ("old",)


def test_an_image_that_no_longer_exists_is_not_abandoned() -> None:
    before = row("done", image_id="old")
    after = records.started(before, OWNER, "a", NEW, idempotency_key="k", generation=1, now=1.0, is_gone=True)
    assert all_ids(after) == set()


def test_a_record_without_bytes_is_abandoned_by_a_failure_until_a_retry_uses_it_again() -> None:
    before = records.failed(row("started", idempotency_key="k"), "UploadError", "broken", now=1.0)
    assert before.abandoned == ("i1",)
    again = records.started(
        before, OWNER, "a.jpg", before.identity, idempotency_key="k", generation=0, now=2.0
    )
    assert (again.image_id, again.abandoned) == ("i1", ())


def test_a_retry_with_another_key_abandons_the_record() -> None:
    again = STEPS["started"](row("started", idempotency_key="k"))
    assert (again.image_id, again.abandoned) == (None, ("i1",))


def test_a_new_generation_abandons_the_record_before() -> None:
    after = records.next_generation(row("started", idempotency_key="k"), "k2")
    assert (after.generation, after.idempotency_key, after.image_id, after.abandoned) == (
        1,
        "k2",
        None,
        ("i1",),
    )


@pytest.mark.parametrize(
    ("url", "written"),
    [
        ("https://cdn.example/o/i", "https://cdn.example/o/i"),
        ("https://cdn.example/o/i?signature=secret", "https://cdn.example/o/i"),
        ("https://user:secret@cdn.example/o/i", "https://cdn.example/o/i"),
        ("https://[broken?signature=secret", "https://[broken"),
    ],
)
def test_the_journal_holds_no_query_and_no_user_info_of_an_image_url(url: str, written: str) -> None:
    assert records.with_record(row("started"), "i1", url).cdn_url == written


def test_a_picture_in_quarantine_is_not_abandoned() -> None:
    assert records.failed(row("stored"), "ImageQuarantinedError", "no", now=1.0).abandoned == ()


def test_a_second_image_of_a_file_is_abandoned() -> None:
    assert records.with_abandoned(row(), ["i1", "i2", "i2"]).abandoned == ("i2",)


# --- skips and failures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["stored", "done"])
def test_a_skip_does_not_undo_an_upload(status: str) -> None:
    before = row(status)
    assert records.skipped(before, OWNER, "a.jpg", "empty", now=1.0) is before


def test_a_skip_keeps_the_ids_of_records() -> None:
    after = records.skipped(row("started", image_id="i1"), OWNER, "a.jpg", "empty", now=1.0)
    assert (after.status, after.error, after.abandoned) == ("skipped", "empty", ("i1",))


def test_a_file_that_cannot_be_opened_fails_without_a_record() -> None:
    after = records.failed_at_once(None, OWNER, "a", NEW, "PermissionError", "no permission", now=5.0)
    assert (after.status, after.image_id, after.idempotency_key) == ("failed", None, None)


def test_the_text_of_an_error_has_no_secret_and_no_control_character() -> None:
    text = records.error_text("PUT https://s3/x?X-Amz-Signature=abc failed\x1b[0m " + "x" * 5_000)
    assert "abc" not in text
    assert "\x1b" not in text
    assert len(text) <= 1_000


# --- what users see -----------------------------------------------------------------------------------------


def test_a_record_shows_the_values_of_its_row() -> None:
    before = row("done", finished_at=0.0, cdn_url="u", attempts=2, abandoned=("x",))
    record = records.record_of(before)
    assert (record.size, record.mtime_ns, record.finished_at) == (3, 4, datetime(1970, 1, 1, tzinfo=UTC))
    assert (record.cdn_url, record.attempts, record.abandoned) == ("u", 2, ("x",))


def test_the_summary_of_a_journal_counts_its_rows() -> None:
    summary = records.summary_of({"done": 5, "failed": 1, "started": 2, "stored": 3, "skipped": 4})
    assert attrs.asdict(summary) | {"found": 15, "left": 5, "unsure": 2, "done_before": 5} == attrs.asdict(
        summary
    )


def test_the_text_of_a_summary_is_a_short_table() -> None:
    text = str(BatchSummary(found=1_234, failed=5, elapsed=2.0, files_per_second=3.5))
    assert "1,234  (still counting)" in text
    assert "3.5 files/s" in text
    assert len(text.splitlines()) < 12
