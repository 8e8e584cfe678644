"""What follows for a row in doubt, from the records that the service has for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
import samples
from drawing import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from imgwire_async.batch import doubts
from imgwire_async.batch.doubts import Doubt
from imgwire_async.batch.items import Identity
from imgwire_async.batch.keys import KEY_PREFIX
from imgwire_async.batch.records import JournalRow, RowOwner, all_ids
from imgwire_async.models import Image
from imgwire_async.protocol import codec

from .journals import row

START = datetime(2026, 4, 1, tzinfo=UTC)
NOW = START.timestamp()
OWNER = RowOwner(destination=1, source=1, run=7)


# The row of a URL after the response to its only request was lost.
LOST_URL = {"status": "failed", "error_type": "ServerError", "image_id": None, "identity": Identity(None)}


def image(image_id: str = "i1", status: str = "PENDING", age: float = 100, **changes: Any) -> Image:
    created_at = (START - timedelta(seconds=age)).isoformat()
    values = {"id": image_id, "status": status, "created_at": created_at, "deleted_at": None} | changes
    return codec.decode(samples.api_response(samples.image(**values)), Image)


def doubt(*images: Image, is_gone: bool = False, **changes: Any) -> Doubt:
    changes = {"status": "started", "idempotency_key": KEY_PREFIX + "k", "image_id": None} | changes
    return Doubt(row(**changes), images, is_gone)


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([], None),
        ([("a", "PENDING", 9)], None),
        ([("a", "A NEW STATUS", 9)], None),
        ([("a", "PROCESSING", 9)], "a"),
        ([("a", "READY", 1), ("b", "PROCESSING", 9)], "b"),
        ([("a", "READY", 9), ("b", "READY", 1)], "a"),
        ([("a", "QUARANTINE", 9)], "a"),
        ([("a", "QUARANTINE", 9), ("b", "READY", 1)], "b"),
        ([("b", "READY", 5), ("a", "READY", 5), ("c", "PENDING", 9)], "a"),
    ],
)
def test_the_oldest_record_with_bytes_decides(
    records: list[tuple[str, str, float]], expected: str | None
) -> None:
    best = doubt(*[image(image_id, status, age) for image_id, status, age in records]).best
    assert (None if best is None else best.id) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": "started"}, True),
        ({"status": "started", "image_id": None}, True),
        ({"status": "started", "idempotency_key": None}, True),
        ({"status": "started", "idempotency_key": None, "image_id": None}, False),
        ({"status": "failed", "error_type": "UploadConnectionError"}, True),
        ({"status": "failed", "error_type": "UploadConnectionError", "image_id": None}, False),
        # The service may have fetched the picture of a URL, although its response was lost.
        ({**LOST_URL}, True),
        ({**LOST_URL, "error_type": "UnprocessableEntityError"}, False),
        ({**LOST_URL, "idempotency_key": None}, False),
        ({**LOST_URL, "identity": Identity(3)}, False),
        ({"status": "failed", "error_type": "ImageQuarantinedError"}, False),
        ({"status": "failed", "error_type": "SourceChangedError"}, False),
        ({"status": "stored"}, False),
        ({"status": "done"}, False),
        ({"status": "skipped"}, False),
    ],
)
def test_a_row_is_in_doubt_if_its_bytes_may_have_arrived(changes: dict[str, Any], expected: bool) -> None:
    assert doubts.is_in_doubt(row(**({"idempotency_key": "k"} | changes))) is expected


@pytest.mark.parametrize(
    ("age", "server_ahead", "started_before", "expected"),
    [
        # The clocks agree: created 10 s ago, and the row is a little older.
        (10, 0, 11, 50),
        (60, 0, 61, 0),
        (1e6, 0, 1e6, 0),
        # The clock of the server is ahead or behind: the `Date` header comes from the same clock.
        (10, 3600, 11, 50),
        (10, -3600, 11, 50),
        # The clock of this machine was set back or forward. Then the run rather waits too long.
        (10, 0, -3600, 60),
        (10, 0, 3600, 50),
        # The record seems to be created in the future.
        (-5, 0, 5, 60),
        # The age of a record that an earlier run created does not count, if the row is new.
        (1e6, 0, 5, 55),
        # The row does not know when it started.
        (10, 0, None, 50),
    ],
)
def test_a_record_is_final_when_its_sender_has_been_gone_for_the_stall_timeout(
    age: float, server_ahead: float, started_before: float | None, expected: float
) -> None:
    ahead = timedelta(seconds=server_ahead)
    record = attrs.evolve(image(), created_at=START + ahead - timedelta(seconds=age))
    started_at = None if started_before is None else NOW - started_before
    seconds = doubts.seconds_until_final(
        record, row("started", started_at=started_at), stall=60, server_time=START + ahead, now=NOW
    )
    assert seconds == pytest.approx(expected)


def test_without_the_time_of_the_server_the_clock_of_this_machine_counts() -> None:
    seconds = doubts.seconds_until_final(
        image(age=10), row("started", started_at=NOW - 20), stall=60, server_time=None, now=NOW
    )
    assert seconds == 50


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Wed, 01 Apr 2026 00:00:00 GMT", START),
        ("Wed, 01 Apr 2026 02:00:00 +0200", START),
        ("Wed, 01 Apr 2026 00:00:00 -0000", START),
        ("yesterday", None),
        (None, None),
    ],
)
def test_the_time_of_the_server_may_be_missing(text: str | None, expected: datetime | None) -> None:
    assert doubts.parse_date(text) == expected


@pytest.mark.parametrize(
    ("own_key", "changes", "expected"),
    [
        (False, {"status": "PENDING"}, True),
        (False, {"status": "READY", "size_bytes": 9}, True),
        (False, {"status": "READY", "idempotency_key": KEY_PREFIX + "other"}, False),
        (False, {"status": "READY", "deleted_at": "2026-04-01T00:00:00Z"}, False),
        (True, {"status": "READY", "size_bytes": 3}, True),
        (True, {"status": "PROCESSING", "size_bytes": 0}, True),
        # Another file with the same key.
        (True, {"status": "READY", "size_bytes": 9}, False),
        (True, {"status": "PENDING"}, False),
    ],
)
def test_a_record_belongs_to_a_file_by_its_derived_key_or_by_its_own_key_and_size(
    own_key: bool, changes: dict[str, Any], expected: bool
) -> None:
    key = "my own key" if own_key else KEY_PREFIX + "k"
    values: dict[str, Any] = {"idempotency_key": key} | changes
    record = image(**values)
    assert doubts.is_record_of(doubt(idempotency_key=key), record) is expected


@pytest.mark.parametrize(("age", "expected"), [(-60, True), (60, True), (3600, False)])
def test_a_record_of_a_key_of_the_user_is_not_older_than_the_row(age: float, expected: bool) -> None:
    # The clocks of this machine and of the service may differ by some minutes.
    waiting = doubt(idempotency_key="mine", identity=Identity(None), started_at=NOW)
    assert doubts.is_record_of(waiting, image(status="READY", age=age, idempotency_key="mine")) is expected


@pytest.mark.parametrize(("rows", "pages"), [(1, 1_000), (10, 1_000), (11, 1_100), (1_000, 100_000)])
def test_the_walk_is_bounded_by_the_number_of_rows(rows: int, pages: int) -> None:
    assert doubts.max_pages(rows) == pages


# --- rows ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "wait", "expected"),
    [
        ("READY", False, "done"),
        ("READY", True, "done"),
        ("PROCESSING", False, "done"),
        ("PROCESSING", True, "stored"),
        ("QUARANTINE", True, "failed"),
    ],
)
@pytest.mark.parametrize("before", ["started", "failed"])
def test_a_row_with_bytes_is_adopted_by_the_run(before: str, status: str, wait: bool, expected: str) -> None:
    new = doubts.settled_row(doubt(image("i2", status), status=before), OWNER, wait=wait, now=NOW)
    assert new is not None
    assert (new.status, new.image_id, new.run) == (expected, "i2", OWNER.run)
    assert new.error_type == ("ImageQuarantinedError" if status == "QUARANTINE" else None)
    assert new.abandoned == ()


def test_the_image_of_a_url_is_not_done_before_the_walk_decides_whether_to_wait() -> None:
    found = doubt(image(status="PROCESSING"), identity=Identity(None))
    settled = doubts.settled_row(found, OWNER, wait=False, now=NOW)
    assert settled is not None
    assert settled.status == "stored"


def test_the_other_records_of_an_adopted_file_are_abandoned() -> None:
    records = [image("old", "READY", 9), image("new", "READY", 5), image("empty", "PENDING", 1)]
    new = doubts.settled_row(doubt(*records, image_id="empty"), OWNER, wait=False, now=NOW)
    assert new is not None
    assert (new.image_id, {*new.abandoned}) == ("old", {"new", "empty"})


def test_the_version_before_is_abandoned_when_the_new_one_is_adopted() -> None:
    new = doubts.settled_row(doubt(image("i2", "READY"), replaces="i1"), OWNER, wait=False, now=NOW)
    assert new is not None
    assert (new.image_id, new.replaces, new.abandoned) == ("i2", None, ("i1",))


def test_a_row_without_records_stays_as_it_is() -> None:
    assert doubts.settled_row(doubt(), OWNER, wait=False, now=NOW) is None
    assert doubts.remaining_row(doubt()) == doubt().row


def test_the_id_of_a_record_without_bytes_is_noted() -> None:
    new = doubts.remaining_row(doubt(image("i1", age=9), image("i2", age=1)))
    assert (new.status, new.image_id, new.abandoned) == ("started", "i2", ("i1",))
    # The run that meets the file becomes its owner. So a file that no longer exists is still found.
    assert new.run == doubt().row.run


def test_the_record_of_a_url_that_is_still_fetched_is_noted() -> None:
    found = doubt(image("i1"), **LOST_URL)
    assert doubts.needs_walk(found)
    after = doubts.remaining_row(found)
    assert (after.status, after.image_id, after.idempotency_key) == ("failed", "i1", KEY_PREFIX + "k")


def test_a_deleted_record_needs_the_key_of_a_new_generation() -> None:
    new = doubts.remaining_row(doubt(is_gone=True, image_id="i1", generation=2))
    assert (new.image_id, new.idempotency_key, new.generation, new.abandoned) == (None, None, 3, ())
    failed = doubt(is_gone=True, image_id="i1", status="failed", abandoned=("i0", "i1"))
    new = doubts.remaining_row(failed)
    assert (new.status, new.image_id, new.idempotency_key, new.abandoned) == ("failed", None, None, ("i0",))


@settings(max_examples=examples(40))
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["PENDING", "READY"])), max_size=4))
def test_no_record_of_a_file_is_lost(found: list[tuple[str, str]]) -> None:
    before = doubt(image_id="i1", replaces="i0", abandoned=("i9",))
    for image_id, status in found:
        before = before.with_image(image(image_id, status))
    after: JournalRow = doubts.settled_row(before, OWNER, wait=False, now=NOW) or doubts.remaining_row(before)
    assert all_ids(after) == {"i0", "i1", "i9", *(image_id for image_id, _ in found)}


@pytest.mark.parametrize(
    ("changes", "is_complete", "expected"),
    [
        ({"image_id": None}, True, False),
        ({"image_id": None}, False, True),
        ({"image_id": "i1"}, False, False),
        ({"image_id": "i1", "status": "failed"}, False, False),
        ({**LOST_URL}, True, False),
        ({**LOST_URL}, False, True),
    ],
)
def test_a_file_without_a_known_record_is_unsure_if_the_list_was_not_read(
    changes: dict[str, Any], is_complete: bool, expected: bool
) -> None:
    assert doubts.is_unsure(doubt(**changes), is_complete=is_complete) is expected
    assert doubts.is_unsure(attrs.evolve(doubt(**changes), is_unknown=True), is_complete=is_complete)


def test_a_record_that_was_retrieved_again_replaces_its_older_state() -> None:
    known = doubt(image("i1"), image_id="i1", is_gone=True).with_image(image("i1", "READY"))
    assert (len(known.images), known.is_gone) == (1, False)
    assert known.without_image("i1") == doubt(image_id="i1", is_gone=True)
