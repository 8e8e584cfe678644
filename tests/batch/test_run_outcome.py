"""What follows the end of an upload or of a wait is decided by pure functions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from imgwire_async import errors
from imgwire_async.batch import records
from imgwire_async.batch.items import Entry, Identity
from imgwire_async.batch.records import JournalRow, RowOwner
from imgwire_async.batch.run_outcome import Next, release_frames, verdict_of, verdict_of_wait
from imgwire_async.batch.run_rows import KeySource, first_row, is_repeatable, row_of_next_generation
from imgwire_async.models import Image, ImageStatus
from imgwire_async.results import UploadResult
from imgwire_async.uploads.item import UploadItem

OWNER = RowOwner(1, 1, 2)
KEYS = KeySource(prefix="/photos")
ENTRY = Entry("a.png", UploadItem("/photos/a.png"), Identity(3, mtime_ns=4))


def image(status: str = "PENDING", image_id: str = "i1") -> Image:
    return Image(
        id=image_id,
        original_filename="a.png",
        status=ImageStatus(status),
        cdn_url="https://cdn/i1",
        mime_type="image/png",  # type: ignore[arg-type]  # the enum is a str
        can_upload=True,
        is_directly_deliverable=True,
        extension="png",
        custom_metadata={},
        exif_data={},
        created_at=NOW,
        updated_at=NOW,
    )


NOW = datetime(2026, 1, 1, tzinfo=UTC)


def row(status: Any = "started", **changes: Any) -> JournalRow:
    new = records.started(None, OWNER, "a.png", ENTRY.identity, idempotency_key="k0", generation=0, now=1.0)
    return attrs.evolve(new, status=status, **changes)


def verdict(error: Exception | None = None, found: Image | None = None, **options: Any) -> Any:
    result = UploadResult(index=0, file=None, image=found, error=error, attempts=1)
    return verdict_of(options.pop("row", row()), result, now=9.0, **options)


# --- outcomes -----------------------------------------------------------------------------------------------


def test_a_stored_file_is_done_unless_the_run_waits() -> None:
    done = verdict(found=image())
    assert (done.next, done.row.status, done.row.image_id, done.row.attempts) == (
        Next.FINISHED,
        "done",
        "i1",
        1,
    )
    stored = verdict(found=image(), waits=True)
    assert (stored.next, stored.row.status) == (Next.WAIT, "stored")
    ready = verdict(found=image("READY"), waits=True)
    assert (ready.next, ready.row.status) == (Next.FINISHED, "done")


def test_an_image_in_quarantine_has_failed() -> None:
    found = verdict(found=image("QUARANTINE"))
    assert (found.next, found.row.status, found.row.error_type) == (
        Next.FINISHED,
        "failed",
        "ImageQuarantinedError",
    )


@pytest.mark.parametrize(
    ("error", "options", "expected", "status"),
    [
        (errors.AuthenticationError("key", status=401), {"is_fatal": True}, Next.END_RUN, None),
        (errors.RateLimitError("slow", status=429), {}, Next.AGAIN_SOON, None),
        (errors.UploadRejectedError("slow", status=429), {}, Next.AGAIN_SOON, None),
        (errors.RateLimitError("slow", status=429), {"may_repeat": False}, Next.FINISHED, "failed"),
        (errors.ServerError("down", status=503), {}, Next.AGAIN_LATER, "failed"),
        (errors.ServerError("down", status=503), {"may_repeat": False}, Next.FINISHED, "failed"),
        (errors.UploadStalledError("stalled"), {}, Next.AGAIN_LATER, "failed"),
        (errors.ConflictError("conflict", status=409), {}, Next.FINISHED, "failed"),
        (OSError("gone"), {}, Next.FINISHED, "failed"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_the_error_of_an_upload_decides_what_follows(
    error: Exception, options: Any, expected: Next, status: str | None
) -> None:
    found = verdict(error, **options)
    assert found.next is expected
    assert (found.row and found.row.status) == status


def test_a_failed_row_keeps_its_record() -> None:
    found = verdict(errors.UploadStalledError("stalled"), image())
    assert (found.row.image_id, found.row.abandoned) == ("i1", ("i1",))


def test_the_result_of_a_wait_decides_what_follows() -> None:
    stored = row("stored", image_id="i1")
    assert verdict_of_wait(stored, image("READY"), now=9.0).row == attrs.evolve(
        stored, status="done", cdn_url="https://cdn/i1", finished_at=9.0
    )
    late = verdict_of_wait(stored, errors.WaitTimeoutError("late"), now=9.0).row
    assert late is not None
    assert (late.status, late.error_type) == ("stored", "WaitTimeoutError")
    bad = verdict_of_wait(stored, errors.ImageQuarantinedError("bad"), now=9.0).row
    assert bad is not None
    assert bad.status == "failed"


def test_a_picture_that_the_service_never_fetched_has_failed() -> None:
    stored = row("stored", image_id="i1")
    late = verdict_of_wait(stored, errors.WaitTimeoutError("late"), now=9.0, has_no_bytes=True).row
    assert late is not None
    assert (late.status, late.image_id, late.abandoned) == ("failed", "i1", ("i1",))


def test_frames_are_released_from_an_error_and_its_causes() -> None:
    with pytest.raises(LookupError) as caught:
        try:
            raise ValueError("first")
        except ValueError as first:
            raise LookupError("second") from first
    error = caught.value
    release_frames(error)
    assert error.__traceback__ is None
    assert error.__cause__ is not None
    assert error.__cause__.__traceback__ is None


# --- rows and keys ------------------------------------------------------------------------------------------


def begin(before: JournalRow | None, entry: Entry = ENTRY, **options: Any) -> JournalRow:
    return first_row(before, entry, options.pop("item", entry.item), OWNER, KEYS, now=5.0, **options)


def test_a_new_file_gets_a_derived_key() -> None:
    new = begin(None)
    assert new.idempotency_key == KEYS.derive(ENTRY, ENTRY.item, 0)
    assert (new.generation, new.status) == (0, "started")


def test_an_interrupted_file_keeps_its_key() -> None:
    again = begin(row(generation=1, image_id="i1"))
    assert (again.idempotency_key, again.generation, again.image_id) == ("k0", 1, "i1")


@pytest.mark.parametrize(
    ("before", "options", "generation"),
    [
        (row("done", image_id="i1"), {"is_gone": True}, 1),
        (row("failed", error_type="ImageQuarantinedError", image_id="i1"), {}, 1),
        (row("failed", error_type="WaitTimeoutError", image_id="i1"), {}, 1),
        (row("failed", error_type="BadRequestError"), {}, 0),
        (row("started", identity=Identity(9)), {}, 0),
        (row("done", identity=Identity(9), image_id="i1"), {}, 0),
    ],
)
def test_a_key_that_cannot_be_used_again_is_replaced(
    before: JournalRow, options: Any, generation: int
) -> None:
    new = begin(before, **options)
    assert new.idempotency_key == KEYS.derive(ENTRY, ENTRY.item, generation)
    assert new.generation == generation


def test_a_key_of_the_user_is_never_replaced() -> None:
    item = UploadItem("/photos/a.png", idempotency_key="mine")
    assert begin(row("done", image_id="i1"), item=item, is_gone=True).idempotency_key == "mine"


def test_the_next_generation_has_another_key() -> None:
    first = begin(None)
    second = row_of_next_generation(attrs.evolve(first, image_id="i1"), ENTRY, ENTRY.item, KEYS)
    assert (second.generation, second.image_id, second.abandoned) == (1, None, ("i1",))
    assert second.idempotency_key != first.idempotency_key


@pytest.mark.parametrize(("file", "expected"), [("/a.png", True), (b"x", True), (iter([b"x"]), False)])
def test_only_files_that_can_be_opened_again_are_repeatable(file: Any, expected: bool) -> None:
    assert is_repeatable(UploadItem(file)) is expected
