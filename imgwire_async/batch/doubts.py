"""Decide what follows for a row in doubt, from the records that the service has for it. Pure functions."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import attrs

from imgwire_async.batch import records
from imgwire_async.batch.items import Identity
from imgwire_async.batch.keys import KEY_PREFIX
from imgwire_async.batch.records import FINAL_ERRORS, JournalRow, RowOwner
from imgwire_async.models import Image, ImageStatus

# A row with one of these errors has a record without bytes for certain, or is never uploaded again.
_CERTAIN_ERRORS = FINAL_ERRORS | {"SourceChangedError", "UploadSizeError", "UnsupportedImageError"}
# After one of these errors the service may have processed the request.
_LOST_RESPONSES = frozenset(
    {"APIConnectionError", "APITimeoutError", "APIStatusError", "ServerError", "DecodeError"}
)
_WITH_BYTES = frozenset({ImageStatus.PROCESSING, ImageStatus.READY})

# Seconds by which the clocks of this machine and of the service may differ. Storages reject requests with a
# larger difference, too.
CLOCK_TOLERANCE = 15 * 60

# The limits of the list walk: pages for each row in doubt, and pages in any case.
_PAGES_PER_ROW = 100
_MIN_PAGES = 1_000


@attrs.frozen
class Doubt:
    """A row in doubt, and the records that the service has for it.

    With `is_gone`, the service has no record with the id of the row. With `is_unknown`, the service did not
    say whether it has one.
    """

    row: JournalRow
    images: tuple[Image, ...] = ()
    is_gone: bool = False
    is_unknown: bool = False

    @property
    def best(self) -> Image | None:
        """The record that decides: the oldest one with bytes, otherwise one in QUARANTINE."""
        with_bytes = [image for image in self.images if image.status in _WITH_BYTES]
        rejected = [image for image in self.images if image.status == ImageStatus.QUARANTINE]
        return min(with_bytes or rejected, key=_age_order, default=None)

    @property
    def pending(self) -> tuple[Image, ...]:
        """The records whose bytes have not arrived."""
        return tuple(image for image in self.images if not has_arrived(image))

    def with_image(self, image: Image) -> Doubt:
        """Return the doubt with a new state of a record, or with one more record."""
        others = [other for other in self.images if other.id != image.id]
        is_gone = self.is_gone and image.id != self.row.image_id
        return attrs.evolve(self, images=(*others, image), is_gone=is_gone)

    def without_image(self, image_id: str) -> Doubt:
        """Return the doubt without a record that the service no longer has."""
        others = tuple(other for other in self.images if other.id != image_id)
        return attrs.evolve(self, images=others, is_gone=self.is_gone or image_id == self.row.image_id)


def _age_order(image: Image) -> tuple[datetime, str]:
    return image.created_at, image.id


def has_arrived(image: Image) -> bool:
    """Return whether the service has the bytes of a record. A status that is not known counts as PENDING."""
    return image.status in _WITH_BYTES or image.status == ImageStatus.QUARANTINE


def is_in_doubt(row: JournalRow) -> bool:
    """Return whether the service may have a record with bytes for a row that is not done.

    The bytes of a row that failed may have arrived, if its record could not be checked, or if the service
    fetches them.
    """
    if row.status == "started":
        return row.image_id is not None or row.idempotency_key is not None
    if row.status == "failed" and row.image_id is None:
        return _has_lost_response(row)
    return row.status == "failed" and row.image_id is not None and row.error_type not in _CERTAIN_ERRORS


def _has_lost_response(row: JournalRow) -> bool:
    """Return whether the service may fetch the picture of a row, although it sent no response.

    A file that this program sends cannot arrive without a response.
    """
    is_lost = row.error_type in _LOST_RESPONSES and row.idempotency_key is not None
    return is_lost and _may_be_remote(row)


def _may_be_remote(row: JournalRow) -> bool:
    """Return whether a row may be that of a URL. Nothing is known about the content behind it."""
    return row.identity == Identity(None)


def needs_walk(doubt: Doubt) -> bool:
    """Return whether only the list of images can show all records of a row.

    A row with an id needs the walk, too: the id may be that of an earlier record of the same key.
    """
    return _is_found_by_key(doubt.row)


def _is_found_by_key(row: JournalRow) -> bool:
    return row.idempotency_key is not None and (row.status == "started" or row.image_id is None)


def is_record_of(doubt: Doubt, image: Image) -> bool:
    """Return whether a record of the list with the key of a row is that of its file.

    A key that the user has chosen may belong to several files. Then the record must have bytes, and its size
    must be that of the file. If the size of the file is not known, the record must not be older than the row.
    """
    row, size = doubt.row, doubt.row.identity.size
    if image.idempotency_key != row.idempotency_key or image.deleted_at is not None:
        return False
    if (row.idempotency_key or "").startswith(KEY_PREFIX):
        return True
    if size is None:
        return has_arrived(image) and is_recent(image, row.started_at or 0.0)
    return has_arrived(image) and image.size_bytes in {0, size}


def is_recent(image: Image, since: float) -> bool:
    """Return whether a record may have been created after a time in seconds since the epoch."""
    return image.created_at.timestamp() >= since - CLOCK_TOLERANCE


def max_pages(rows: int) -> int:
    """Return the number of pages after which a walk for a number of rows ends."""
    return max(_MIN_PAGES, _PAGES_PER_ROW * rows)


def seconds_until_final(
    image: Image, row: JournalRow, *, stall: float, server_time: datetime | None, now: float
) -> float:
    """Return for how many seconds a PENDING record may still get bytes of a process that was killed.

    The time of the server and `created_at` come from the same clock. `started_at` and `now` are those of this
    machine, which may differ. The shorter of the two ages counts, and the result is at most `stall`.
    """
    age = (now if server_time is None else server_time.timestamp()) - image.created_at.timestamp()
    if row.started_at is not None:
        age = min(age, now - row.started_at)
    return stall - min(stall, max(0.0, age))


def parse_date(text: str | None) -> datetime | None:
    """Return the time of a `Date` header, None if it is missing or invalid."""
    try:
        time_of_server = None if text is None else parsedate_to_datetime(text)
    except ValueError:
        return None
    if time_of_server is not None and time_of_server.tzinfo is None:
        return time_of_server.replace(tzinfo=UTC)
    return time_of_server


# --- rows ---------------------------------------------------------------------------------------------------


def settled_row(doubt: Doubt, owner: RowOwner, *, wait: bool, now: float) -> JournalRow | None:
    """Return the row of a file whose bytes the service has, None if it has no such record."""
    image = doubt.best
    if image is None:
        return None
    row = attrs.evolve(doubt.row, run=owner.run)
    if image.status == ImageStatus.QUARANTINE:
        row = records.with_record(row, image.id, image.cdn_url)
        text = f"image {image.id}: the service put the picture into QUARANTINE"
        row = records.failed(row, "ImageQuarantinedError", text, now=now)
    elif (wait or _may_be_remote(row)) and image.status != ImageStatus.READY:
        # The walk decides whether the run waits for the picture of a URL.
        row = records.stored(row, image.id, image.cdn_url)
    else:
        row = records.done(row, image.id, image.cdn_url, now=now)
    return records.with_abandoned(row, [other.id for other in doubt.images])


def remaining_row(doubt: Doubt) -> JournalRow:
    """Return the row of a file that the run uploads again, with the ids of its records without bytes."""
    row, pending = doubt.row, doubt.pending
    if doubt.is_gone and row.image_id is not None:
        row = records.without_record(row)
    ids = [image.id for image in pending]
    if _is_found_by_key(row) and ids and row.image_id not in ids:
        # The create request may return this record again.
        newest = max(pending, key=_age_order)
        row = records.with_record(row, newest.id, newest.cdn_url)
    return records.with_abandoned(row, ids)


def is_unsure(doubt: Doubt, *, is_complete: bool) -> bool:
    """Return whether the upload of a file may create a second image, because not all records are known.

    `is_complete` says whether the list of images was read to its end. A row with the id of its record needs
    no list, unless the record could not be retrieved.
    """
    if doubt.is_unknown:
        return True
    return needs_walk(doubt) and doubt.row.image_id is None and not is_complete
