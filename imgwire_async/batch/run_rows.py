"""The rows that a run writes before it uploads a file, and their idempotency keys. Pure functions."""

from __future__ import annotations

import os
from collections.abc import Mapping

import attrs

from imgwire_async.batch import records
from imgwire_async.batch.items import Entry
from imgwire_async.batch.keys import derived_key
from imgwire_async.batch.plan import Comparison, compare
from imgwire_async.batch.records import FINAL_ERRORS, NEVER_FETCHED, JournalRow, RowOwner
from imgwire_async.protocol.request import drop_none
from imgwire_async.uploads.item import UploadItem
from imgwire_async.uploads.source import UploadSource

# Errors that show that the record has no bytes. If the arguments of the file have changed since then, a
# record with the new ones is needed. After other errors the record may have bytes, so its key is kept.
_ERRORS_WITHOUT_BYTES = frozenset(
    {
        "BadRequestError",
        "ConflictError",
        "PayloadTooLargeError",
        "SourceChangedError",
        "UnprocessableEntityError",
        "UnsupportedImageError",
        "UploadSizeError",
    }
)

# Files that can be opened again from their start. Other sources, such as an open file or a stream, continue
# where the first upload stopped.
_REPEATABLE = (str, os.PathLike, bytes, bytearray, memoryview)


@attrs.frozen(kw_only=True)
class KeySource:
    """The parts of derived keys that are the same for all files of a run.

    `prefix` stands for the source of the files.
    """

    prefix: str

    def derive(self, entry: Entry, item: UploadItem, generation: int) -> str:
        """Return the idempotency key of a file. `item` has the arguments with which it is uploaded."""
        return derived_key(self.prefix, entry.key, entry.identity, body_of(item), generation)


def body_of(item: UploadItem) -> Mapping[str, object]:
    """Return the fields of the create request that do not depend on the content of the file.

    The content is represented by the identity of the file. The other fields follow from it.
    """
    digest = item.hash_sha256
    return drop_none(
        file_name=item.file_name,
        mime_type=item.mime_type,
        content_length=item.content_length,
        custom_metadata=item.custom_metadata,
        hash_sha256=digest if isinstance(digest, str) else None,
        purpose=item.purpose,
    )


def is_repeatable(item: UploadItem) -> bool:
    """Return whether another upload of the file reads the same bytes."""
    file = item.file
    return isinstance(file, _REPEATABLE) or (isinstance(file, UploadSource) and bool(file.replayable))


def first_row(
    row: JournalRow | None,
    entry: Entry,
    item: UploadItem,
    owner: RowOwner,
    keys: KeySource,
    *,
    now: float,
    is_gone: bool = False,
) -> JournalRow:
    """Return the row of a file before its record is requested.

    `row` is the row of an earlier run or attempt. With `is_gone` its image no longer exists.
    """
    key, generation = _key(row, entry, item, keys, is_gone=is_gone)
    return records.started(
        row,
        owner,
        entry.key,
        entry.identity,
        idempotency_key=key,
        generation=generation,
        now=now,
        is_gone=is_gone,
    )


def row_of_next_generation(row: JournalRow, entry: Entry, item: UploadItem, keys: KeySource) -> JournalRow:
    """Return the row with another key, after the service did not accept the key of `row`."""
    return records.next_generation(row, keys.derive(entry, item, row.generation + 1))


def record_with_possible_bytes(row: JournalRow | None, entry: Entry) -> str | None:
    """Return the id of the record of a failed file that may have got the bytes, although that was not seen.

    The service may not return this record for its key again, so the record has to be retrieved before the
    file is sent once more.
    """
    if row is None or row.status != "failed" or row.error_type in FINAL_ERRORS | _ERRORS_WITHOUT_BYTES:
        return None
    return row.image_id if compare(row.identity, entry.identity) is Comparison.SAME else None


def _key(
    row: JournalRow | None, entry: Entry, item: UploadItem, keys: KeySource, *, is_gone: bool
) -> tuple[str, int]:
    """Return the idempotency key with which a file is uploaded, and its generation."""
    if isinstance(item.idempotency_key, str):
        return item.idempotency_key, 0
    generation = _generation(row, entry, is_gone=is_gone)
    derived = keys.derive(entry, item, generation)
    if row is None or row.idempotency_key is None or row.generation != generation or row.has_bytes:
        return derived, generation
    if compare(row.identity, entry.identity) is not Comparison.SAME:
        return derived, generation
    if row.status == "failed" and row.error_type in _ERRORS_WITHOUT_BYTES:
        return derived, generation
    return row.idempotency_key, generation


def _generation(row: JournalRow | None, entry: Entry, *, is_gone: bool) -> int:
    if row is None:
        return 0
    # The key of the row would return a record that cannot be used: deleted, in quarantine, or never fetched.
    errors = FINAL_ERRORS | {NEVER_FETCHED}
    is_used_up = (is_gone and row.has_bytes) or (row.status == "failed" and row.error_type in errors)
    is_same = compare(row.identity, entry.identity) is Comparison.SAME
    return row.generation + (is_used_up and is_same)
