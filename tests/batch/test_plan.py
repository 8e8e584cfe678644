"""What a run does with a file, by its row in the journal."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgwire_async.batch.items import Identity
from imgwire_async.batch.plan import Comparison, compare, decide
from imgwire_async.batch.records import JournalRow

from .journals import row
from .rows import rows

SAME, CHANGED, UNKNOWN = Comparison.SAME, Comparison.CHANGED, Comparison.UNKNOWN


# long: one case a line
@pytest.mark.parametrize(
    ("before", "now", "expected", "with_checksum"),
    [
        (Identity(3, 4), Identity(3, 4), SAME, SAME),
        (Identity(3, 4), Identity(3, 5), CHANGED, CHANGED),
        (Identity(3, 4), Identity(2, 4), CHANGED, CHANGED),
        (Identity(3, 4, "aa"), Identity(3, 4), SAME, SAME),
        (Identity(3, 4, "aa"), Identity(3, 5), CHANGED, UNKNOWN),
        (Identity(3, 4, "aa"), Identity(2, 5), CHANGED, CHANGED),
        (Identity(3, 4, "aa"), Identity(3, 5, "aa"), SAME, SAME),
        (Identity(3, 4, "aa"), Identity(3, 4, "bb"), CHANGED, CHANGED),
        (Identity(3, None, "aa"), Identity(3, None, "aa"), SAME, SAME),
        (Identity(3, tag="x"), Identity(3, tag="x"), SAME, SAME),
        (Identity(3, tag="x"), Identity(3, tag="y"), CHANGED, CHANGED),
        (Identity(3, 4, tag="x"), Identity(3, 5, tag="x"), CHANGED, CHANGED),
        (Identity(3, 4, tag="x"), Identity(3, 4), SAME, SAME),
        (Identity(3), Identity(3), SAME, SAME),
        (Identity(None), Identity(None), SAME, SAME),
        (Identity(3, 4), Identity(3), CHANGED, CHANGED),
        (Identity(3, 4), Identity(3, None, "aa"), CHANGED, CHANGED),
        (Identity(3), Identity(3, 4), CHANGED, CHANGED),
    ],
)
def test_two_identities_are_compared_by_what_both_know(
    before: Identity, now: Identity, expected: Comparison, with_checksum: Comparison
) -> None:
    assert compare(before, now) is expected
    assert compare(before, now, checksum=True) is with_checksum


@given(rows(), st.booleans())
def test_a_file_equals_itself(before: JournalRow, checksum: bool) -> None:
    assert compare(before.identity, before.identity, checksum=checksum) is SAME


FILE = Identity(3, mtime_ns=4)


@pytest.mark.parametrize(
    ("before", "settings", "expected"),
    [
        (None, {}, ("upload", "new")),
        (row("skipped"), {}, ("upload", "no longer skipped")),
        (row("done"), {}, ("done", "uploaded before")),
        (row("stored"), {}, ("done", "stored before, not yet READY")),
        (row("done"), {"is_gone": True}, ("upload", "its image no longer exists")),
        (row("started"), {}, ("retry", "its upload was interrupted")),
        (row("started"), {"is_gone": True}, ("retry", "its upload was interrupted")),
        (row("failed", error_type="UploadError"), {}, ("retry", "failed before: UploadError")),
        (
            row("failed", error_type="UploadError"),
            {"retry_failed": False},
            ("skip", "failed before and is not retried: UploadError"),
        ),
        (
            row("failed", error_type="ImageQuarantinedError"),
            {},
            ("skip", "failed before and is not retried: ImageQuarantinedError"),
        ),
        (
            row("failed", error_type="ImageQuarantinedError"),
            {"retry_failed": "all"},
            ("retry", "failed before: ImageQuarantinedError"),
        ),
    ],
)
def test_the_row_of_an_unchanged_file_decides(
    before: JournalRow | None, settings: dict[str, Any], expected: tuple[str, str]
) -> None:
    decision = decide(before, FILE, **settings)
    assert (decision.action, decision.reason) == expected
    assert not decision.needs_hash


@pytest.mark.parametrize("status", ["started", "stored", "done", "failed"])
@pytest.mark.parametrize("retry_failed", [True, False, "all"])
def test_a_changed_file_is_uploaded_again(status: str, retry_failed: Any) -> None:
    before = row(status, error_type="ImageQuarantinedError")
    decision = decide(before, Identity(3, mtime_ns=5), retry_failed=retry_failed)
    assert (decision.action, decision.reason) == ("changed", "its modification time has changed")


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (Identity(1_234, 4), "its size was 3 bytes, and is 1,234"),
        (Identity(3, 4, sha256="bb"), "its hash has changed"),
        (Identity(3, 4, tag="y"), "its tag (ETag or CRC) has changed"),
        (Identity(3, 5, tag="x"), "its modification time has changed"),
        (Identity(3), "the journal has nothing to compare it with"),
    ],
)
def test_the_reason_says_what_has_changed(now: Identity, reason: str) -> None:
    assert decide(row(identity=Identity(3, 4, sha256="aa", tag="x")), now).reason == reason


# --- hashes -------------------------------------------------------------------------------------------------


def test_a_hash_is_computed_for_an_old_row_but_nothing_is_uploaded() -> None:
    decision = decide(row(identity=FILE), FILE, checksum=True)
    assert (decision.action, decision.needs_hash) == ("done", True)


def test_a_file_with_the_size_and_time_of_its_row_is_not_read_again() -> None:
    before = row(identity=Identity(3, 4, sha256="aa"))
    decision = decide(before, FILE, checksum=True)
    assert (decision.action, decision.needs_hash, decision.update_identity) == ("done", False, False)


def test_a_copy_with_another_time_is_read_once_and_not_uploaded() -> None:
    before = row(identity=Identity(3, 4, sha256="aa"))
    assert decide(before, Identity(3, 5), checksum=True).needs_hash
    decision = decide(before, Identity(3, 5, sha256="aa"), checksum=True)
    assert (decision.action, decision.update_identity) == ("done", True)


def test_without_checksum_a_file_is_never_read() -> None:
    for before in (FILE, Identity(3, 4, "aa"), Identity(3, 9, "aa")):
        assert not decide(row(identity=before), FILE).needs_hash
