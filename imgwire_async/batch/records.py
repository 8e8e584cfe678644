"""The rows of a journal, and which row may follow which. Pure functions.

A row never changes. A function of this module returns the row that follows another row, and the journal
writes that row as a whole. So the task that works on a file is the only one that creates its rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Literal, TypeAlias
from urllib.parse import urlsplit, urlunsplit

import attrs

from imgwire_async.batch.items import Identity
from imgwire_async.formatting import short_repr, shortened
from imgwire_async.redaction import escape_unprintable, redact
from imgwire_async.results import BatchSummary

RowStatus: TypeAlias = Literal["started", "stored", "done", "failed", "skipped"]
STATUSES: tuple[RowStatus, ...] = ("started", "stored", "done", "failed", "skipped")

# The statuses that may follow a status. None stands for a file without a row.
FOLLOWERS: Mapping[RowStatus | None, frozenset[RowStatus]] = MappingProxyType(
    {
        # A file that cannot be opened fails before it starts.
        None: frozenset({"started", "failed", "skipped"}),
        # A new generation starts again. A record with bytes is `done` without `stored` if nothing waits.
        "started": frozenset({"started", "stored", "done", "failed", "skipped"}),
        # The service may put the image into quarantine, or the file has changed.
        "stored": frozenset({"stored", "done", "failed", "started"}),
        # The file has changed, or its image was deleted. A skip does not undo an upload.
        "done": frozenset({"started"}),
        # A record may turn out to have the bytes after all.
        "failed": frozenset({"started", "stored", "done", "failed", "skipped"}),
        "skipped": frozenset({"started", "failed", "skipped"}),
    }
)

# The service has rejected such a picture. Its record has the bytes, and the same bytes would fail again.
FINAL_ERRORS = frozenset({"ImageQuarantinedError"})

# The service has never fetched such a picture from its URL. Only a new record can get its bytes.
NEVER_FETCHED = "WaitTimeoutError"

# The maximum length of the text of an error in the journal.
_MAX_ERROR = 1_000


@attrs.frozen
class JournalRow:
    """What the journal knows about one file.

    `destination` and `source` are numbers of the journal. `run` is the last run that wrote the row.
    `replaces` is the id of an image with an older version of the file. It becomes abandoned once the new
    version is stored. Times are seconds since the epoch.
    """

    destination: int
    key: str
    source: int
    run: int
    status: RowStatus
    identity: Identity
    generation: int = 0
    idempotency_key: str | None = None
    image_id: str | None = None
    cdn_url: str | None = None
    replaces: str | None = None
    abandoned: tuple[str, ...] = ()
    error_type: str | None = None
    error: str | None = None
    attempts: int = 0
    started_at: float | None = None
    finished_at: float | None = None

    @property
    def has_bytes(self) -> bool:
        """Whether the service has the bytes of the image `image_id`."""
        return self.status in {"stored", "done"}


@attrs.frozen
class RowOwner:
    """The run that writes a row: the numbers of its destination and source, and its own number."""

    destination: int
    source: int
    run: int


@attrs.frozen(kw_only=True)
class BatchRecord:
    """One file in the journal.

    `status` is "started", "stored", "done", "failed" or "skipped". `error` is the text of the error, or the
    reason of a skip. `abandoned` contains the ids of records of this file without bytes, and of images that
    a newer version of the file has replaced.
    """

    key: str = attrs.field(repr=short_repr)
    status: RowStatus
    image_id: str | None = None
    cdn_url: str | None = None
    size: int | None = None
    mtime_ns: int | None = None
    sha256: str | None = None
    error_type: str | None = None
    error: str | None = None
    attempts: int = 0
    abandoned: tuple[str, ...] = ()
    finished_at: datetime | None = None


def summary_of(counts: Mapping[RowStatus, int]) -> BatchSummary:
    """Return the summary of a journal from the numbers of its rows."""
    count = {status: counts.get(status, 0) for status in STATUSES}
    return BatchSummary(
        found=sum(count.values()),
        skipped=count["skipped"],
        done_before=count["done"],
        failed=count["failed"],
        unsure=count["started"],
        left=count["started"] + count["stored"],
        counted=True,
    )


def record_of(row: JournalRow) -> BatchRecord:
    """Return a row as users see it."""
    finished_at = None if row.finished_at is None else datetime.fromtimestamp(row.finished_at, UTC)
    return BatchRecord(
        key=row.key,
        status=row.status,
        image_id=row.image_id,
        cdn_url=row.cdn_url,
        size=row.identity.size,
        mtime_ns=row.identity.mtime_ns,
        sha256=row.identity.sha256,
        error_type=row.error_type,
        error=row.error,
        attempts=row.attempts,
        abandoned=row.abandoned,
        finished_at=finished_at,
    )


# --- what follows -------------------------------------------------------------------------------------------


def started(
    row: JournalRow | None,
    owner: RowOwner,
    key: str,
    identity: Identity,
    *,
    idempotency_key: str | None,
    generation: int,
    now: float,
    is_gone: bool = False,
) -> JournalRow:
    """Return the row of a file whose record is requested next.

    An image with an older version of the file is kept in `replaces`. A record without bytes is abandoned,
    unless the same idempotency key returns it again. With `is_gone` the old image no longer exists.
    """
    _check(row, "started")
    new = JournalRow(
        owner.destination,
        key,
        owner.source,
        owner.run,
        "started",
        identity,
        generation,
        idempotency_key,
        started_at=now,
    )
    if row is None:
        return new
    replaces, abandoned, image_id = row.replaces, row.abandoned, row.image_id
    if row.has_bytes:
        replaces, image_id = (None if is_gone else image_id), None
    elif image_id is not None and row.idempotency_key != idempotency_key:
        abandoned, image_id = _with(abandoned, image_id), None
    elif image_id is not None:
        # The same record is used again.
        abandoned = _without(abandoned, image_id)
    cdn_url = None if image_id is None else row.cdn_url
    return attrs.evolve(
        new, replaces=replaces, abandoned=abandoned, image_id=image_id, cdn_url=cdn_url, attempts=row.attempts
    )


def next_generation(row: JournalRow, idempotency_key: str) -> JournalRow:
    """Return the row with its next idempotency key. The record of the key before is abandoned."""
    _check(row, "started")
    abandoned = row.abandoned if row.image_id is None else _with(row.abandoned, row.image_id)
    return attrs.evolve(
        row,
        status="started",
        generation=row.generation + 1,
        idempotency_key=idempotency_key,
        image_id=None,
        cdn_url=None,
        abandoned=abandoned,
    )


def with_record(row: JournalRow, image_id: str, cdn_url: str | None) -> JournalRow:
    """Return the row with the record that the service returned. Another record before it is abandoned."""
    cdn_url = None if cdn_url is None else _without_secrets(cdn_url)
    if row.image_id == image_id and row.cdn_url == cdn_url and not row.abandoned:
        return row
    abandoned = row.abandoned
    if row.image_id not in {None, image_id}:
        assert row.image_id is not None
        abandoned = _with(abandoned, row.image_id)
    return attrs.evolve(row, image_id=image_id, cdn_url=cdn_url, abandoned=_without(abandoned, image_id))


def without_record(row: JournalRow) -> JournalRow:
    """Return the row of a file whose record was deleted.

    Its next record needs the key of a new generation, because the old key may not work again.
    """
    assert row.image_id is not None
    return attrs.evolve(
        row,
        generation=row.generation + 1,
        idempotency_key=None,
        image_id=None,
        cdn_url=None,
        abandoned=_without(row.abandoned, row.image_id),
    )


def with_abandoned(row: JournalRow, image_ids: Iterable[str]) -> JournalRow:
    """Return the row with more ids in `abandoned`, except that of its own image."""
    abandoned = row.abandoned
    for image_id in image_ids:
        if image_id != row.image_id:
            abandoned = _with(abandoned, image_id)
    return attrs.evolve(row, abandoned=abandoned)


def with_identity(row: JournalRow, identity: Identity, run: int) -> JournalRow:
    """Return the row of a file that is still the same, with what is known about the file now."""
    return attrs.evolve(row, identity=identity, run=run)


def stored(
    row: JournalRow, image_id: str, cdn_url: str | None, *, error: tuple[str, str] | None = None
) -> JournalRow:
    """Return the row of a file whose bytes the service has.

    `error` is the type and the text of the error of a wait that took too long.
    """
    _check(row, "stored")
    row = _replaced(with_record(row, image_id, cdn_url))
    error_type, text = (None, None) if error is None else (error[0], error_text(error[1]))
    return attrs.evolve(row, status="stored", error_type=error_type, error=text, finished_at=None)


def done(
    row: JournalRow, image_id: str, cdn_url: str | None, *, now: float, attempts: int | None = None
) -> JournalRow:
    """Return the row of a file that needs no more work."""
    _check(row, "done")
    row = _replaced(with_record(row, image_id, cdn_url))
    return attrs.evolve(
        row,
        status="done",
        error_type=None,
        error=None,
        attempts=row.attempts if attempts is None else attempts,
        finished_at=now,
    )


def failed(
    row: JournalRow, error_type: str, error: str, *, now: float, attempts: int | None = None
) -> JournalRow:
    """Return the row of a file that failed.

    Its record stays in `image_id`, because a retry may get it again. A record without bytes is abandoned
    until then.
    """
    _check(row, "failed")
    abandoned = row.abandoned
    # A stored file fails if its image is in quarantine, or if the service has not fetched it from its URL.
    is_unfinished = row.status in {"started", "stored"}
    if is_unfinished and row.image_id is not None and error_type not in FINAL_ERRORS:
        abandoned = _with(abandoned, row.image_id)
    return attrs.evolve(
        row,
        status="failed",
        abandoned=abandoned,
        error_type=error_type,
        error=error_text(error),
        attempts=row.attempts if attempts is None else attempts,
        finished_at=now,
    )


def failed_at_once(
    row: JournalRow | None,
    owner: RowOwner,
    key: str,
    identity: Identity,
    error_type: str,
    error: str,
    *,
    now: float,
) -> JournalRow:
    """Return the row of a file that failed before a record was requested."""
    new = started(row, owner, key, identity, idempotency_key=None, generation=_generation(row), now=now)
    return failed(new, error_type, error, now=now)


def skipped(row: JournalRow | None, owner: RowOwner, key: str, reason: str, *, now: float) -> JournalRow:
    """Return the row of a file that the source skips.

    A row with an image is returned unchanged, because its image exists.
    """
    if row is not None and row.has_bytes:
        return row
    _check(row, "skipped")
    new = JournalRow(
        owner.destination,
        key,
        owner.source,
        owner.run,
        "skipped",
        Identity(None),
        error=error_text(reason),
        finished_at=now,
    )
    if row is None:
        return new
    new = attrs.evolve(new, generation=row.generation, replaces=row.replaces, abandoned=row.abandoned)
    return new if row.image_id is None else with_abandoned(new, [row.image_id])


def error_text(text: str) -> str:
    """Return a text for the journal: without secrets and control characters, and not too long."""
    return shortened(escape_unprintable(redact(text)), _MAX_ERROR)


def all_ids(row: JournalRow) -> set[str]:
    """Return the ids of all records of a row."""
    return {*row.abandoned, *(image_id for image_id in (row.image_id, row.replaces) if image_id is not None)}


def _without_secrets(url: str) -> str:
    """Return a URL without user info and query, because a journal is kept for long and passed on."""
    if "?" not in url and "@" not in url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.partition("?")[0].rpartition("@")[2]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _generation(row: JournalRow | None) -> int:
    return 0 if row is None else row.generation


def _with(ids: tuple[str, ...], image_id: str) -> tuple[str, ...]:
    return ids if image_id in ids else (*ids, image_id)


def _without(ids: tuple[str, ...], image_id: str) -> tuple[str, ...]:
    return tuple(other for other in ids if other != image_id) if image_id in ids else ids


def _replaced(row: JournalRow) -> JournalRow:
    """Return the row of a stored file, with the image of its older version in `abandoned`."""
    if row.replaces is None:
        return row
    abandoned = row.abandoned if row.replaces == row.image_id else _with(row.abandoned, row.replaces)
    return attrs.evolve(row, replaces=None, abandoned=abandoned)


def _check(row: JournalRow | None, status: RowStatus) -> None:
    """Raise `ValueError` if `status` may not follow the status of a row."""
    before = None if row is None else row.status
    if status not in FOLLOWERS[before]:
        raise ValueError(f"{status} cannot follow {before}")
