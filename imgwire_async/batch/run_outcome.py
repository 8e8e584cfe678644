"""Decide what follows the end of an upload. Pure functions."""

from __future__ import annotations

import enum

import attrs

from imgwire_async.batch import records
from imgwire_async.batch.hold import outcome_of
from imgwire_async.batch.records import JournalRow
from imgwire_async.errors import ImageQuarantinedError, RateLimitError, UploadRejectedError
from imgwire_async.models import Image, ImageStatus
from imgwire_async.results import UploadResult


class Next(enum.Enum):
    """What follows the end of an upload."""

    # The file is finished.
    FINISHED = enum.auto()
    # The bytes are stored, and the run waits until the image is READY.
    WAIT = enum.auto()
    # The service asked for fewer requests. The file is uploaded again soon.
    AGAIN_SOON = enum.auto()
    # The service or the network failed. The file is uploaded again at the end of the run.
    AGAIN_LATER = enum.auto()
    # The error concerns all files, so the run ends. The row stays as it is, and the next run continues.
    END_RUN = enum.auto()


@attrs.frozen
class Verdict:
    """What follows the end of an upload, the row to write (None if it does not change), and the error."""

    next: Next
    row: JournalRow | None = None
    error: Exception | None = None


def verdict_of(
    row: JournalRow,
    result: UploadResult,
    *,
    now: float,
    waits: bool = False,
    is_fatal: bool = False,
    may_repeat: bool = True,
) -> Verdict:
    """Return what follows the result of an upload.

    Args:
        row: The row of the file.
        result: The result of its upload.
        now: The time in seconds since the epoch.
        waits: Whether the run waits until images are READY.
        is_fatal: Whether the error of the result would occur for every file.
        may_repeat: Whether the file may be uploaded again after a transient error.
    """
    if is_fatal:
        return Verdict(Next.END_RUN, None, result.error)
    attempts = row.attempts + result.attempts
    if result.error is None:
        assert result.image is not None
        return verdict_of_image(row, result.image, now=now, waits=waits, attempts=attempts)
    error = result.error
    if may_repeat and is_rate_limit(error):
        return Verdict(Next.AGAIN_SOON, None, error)
    failed = records.failed(_with_record(row, result.image), *error_texts(error), now=now, attempts=attempts)
    again = may_repeat and outcome_of(error).is_transient
    return Verdict(Next.AGAIN_LATER if again else Next.FINISHED, failed, error)


def verdict_of_image(
    row: JournalRow, image: Image, *, now: float, waits: bool, attempts: int | None = None
) -> Verdict:
    """Return what follows when the service has the bytes of a file. `image` is its record."""
    if image.status is ImageStatus.QUARANTINE:
        error = quarantine_error(row.key, image)
        row = _with_record(row, image)
        return Verdict(
            Next.FINISHED, records.failed(row, *error_texts(error), now=now, attempts=attempts), error
        )
    if waits and image.status is not ImageStatus.READY:
        stored = records.stored(row, image.id, image.cdn_url)
        stored = stored if attempts is None else attrs.evolve(stored, attempts=attempts)
        return Verdict(Next.WAIT, stored)
    return Verdict(Next.FINISHED, records.done(row, image.id, image.cdn_url, now=now, attempts=attempts))


def verdict_of_wait(
    row: JournalRow, outcome: Image | Exception, *, now: float, has_no_bytes: bool = False
) -> Verdict:
    """Return what follows the wait for an image that is stored: it is READY, or the wait failed.

    An image that was not READY in time stays stored, and the next run retrieves it again. With `has_no_bytes`
    the service has not fetched the picture, so the file failed.
    """
    if isinstance(outcome, ImageQuarantinedError) or (isinstance(outcome, Exception) and has_no_bytes):
        return Verdict(Next.FINISHED, records.failed(row, *error_texts(outcome), now=now), outcome)
    if isinstance(outcome, Exception):
        assert row.image_id is not None
        stored = records.stored(row, row.image_id, row.cdn_url, error=error_texts(outcome))
        return Verdict(Next.FINISHED, stored, outcome)
    return verdict_of_image(row, outcome, now=now, waits=False)


def is_rate_limit(error: BaseException) -> bool:
    """Return whether the API or the storage asked for fewer requests."""
    return isinstance(error, RateLimitError) or (
        isinstance(error, UploadRejectedError) and error.status == 429
    )


def quarantine_error(key: str, image: Image) -> ImageQuarantinedError:
    """Return the error of a file whose picture the service does not deliver."""
    return ImageQuarantinedError(
        f"{key}: the service has put image {image.id} into quarantine and will not deliver it. "
        "Check the picture, and upload another one.",
        record=image,
    )


def error_texts(error: Exception) -> tuple[str, str]:
    """Return the type and the text of an error for the journal."""
    return type(error).__name__, str(error)


def release_frames(error: BaseException | None) -> None:
    """Remove the stack frames from an error and its causes, because they keep the content of files alive."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _with_record(row: JournalRow, image: Image | None) -> JournalRow:
    """Return the row with the record of a failed upload. Its hook has usually written it already."""
    return row if image is None else records.with_record(row, image.id, image.cdn_url)
