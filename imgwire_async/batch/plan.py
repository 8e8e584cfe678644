"""Decide what a run does with a file, from its row in the journal. Pure functions."""

from __future__ import annotations

from enum import Enum
from typing import Literal, TypeAlias

import attrs

from imgwire_async.batch.items import Identity
from imgwire_async.batch.records import FINAL_ERRORS, JournalRow

Action: TypeAlias = Literal["upload", "done", "changed", "retry", "skip"]
RetryFailed: TypeAlias = bool | Literal["all"]


class Comparison(Enum):
    """Whether a file is the one of its row. `UNKNOWN` means that only the hash of the file can decide."""

    SAME = "same"
    CHANGED = "changed"
    UNKNOWN = "unknown"


@attrs.frozen
class Decision:
    """What a run does with a file, and the reason for users.

    With `needs_hash` the run computes the SHA-256 of the file. If `action` is "done", it writes the hash to
    the row. Otherwise it decides again with the hash. With `update_identity` it writes the current identity
    to the row.
    """

    action: Action
    reason: str
    needs_hash: bool = False
    update_identity: bool = False


def compare(before: Identity, now: Identity, *, checksum: bool = False) -> Comparison:
    """Return whether two identities of a key are the same version of the file.

    The hashes decide if both are known. Otherwise all values that both know must be equal. With `checksum`,
    another modification time alone does not mean that the file has changed.
    """
    if before.size is not None and now.size is not None and before.size != now.size:
        return Comparison.CHANGED
    if before.sha256 is not None and now.sha256 is not None:
        return Comparison.SAME if before.sha256 == now.sha256 else Comparison.CHANGED
    pairs = [(before.mtime_ns, now.mtime_ns), (before.tag, now.tag)]
    known = [(old, new) for old, new in pairs if old is not None and new is not None]
    if known and all(old == new for old, new in known):
        return Comparison.SAME
    if checksum and before.sha256 is not None:
        return Comparison.UNKNOWN
    # A stream has only its size. Then nothing else is known on either side.
    nothing_known = _has_only_size(before) and _has_only_size(now)
    return Comparison.SAME if nothing_known else Comparison.CHANGED


def decide(
    row: JournalRow | None,
    now: Identity,
    *,
    checksum: bool = False,
    retry_failed: RetryFailed = True,
    is_gone: bool = False,
) -> Decision:
    """Return what to do with a file whose identity is `now`.

    `is_gone` means that the image of the row no longer exists at the service.
    """
    if row is None:
        return Decision("upload", "new")
    if row.status == "skipped":
        return Decision("upload", "no longer skipped")
    comparison = compare(row.identity, now, checksum=checksum)
    if comparison is Comparison.UNKNOWN:
        return Decision("changed", "only its hash can show whether it has changed", needs_hash=True)
    if comparison is Comparison.CHANGED:
        return Decision("changed", _change(row.identity, now))
    if is_gone and row.has_bytes:
        return Decision("upload", "its image no longer exists")
    if row.status == "failed":
        return _decide_failed(row, retry_failed)
    if row.status == "started":
        return Decision("retry", "its upload was interrupted")
    return _decide_uploaded(row, now, checksum=checksum)


def _decide_failed(row: JournalRow, retry_failed: RetryFailed) -> Decision:
    if retry_failed == "all" or (retry_failed and row.error_type not in FINAL_ERRORS):
        return Decision("retry", f"failed before: {row.error_type}")
    return Decision("skip", f"failed before and is not retried: {row.error_type}")


def _decide_uploaded(row: JournalRow, now: Identity, *, checksum: bool) -> Decision:
    reason = "uploaded before" if row.status == "done" else "stored before, not yet READY"
    if checksum and row.identity.sha256 is None and now.sha256 is None:
        return Decision("done", reason, needs_hash=True)
    # After the write, the next run does not read the file again.
    has_news = now.sha256 is not None and (row.identity.sha256, row.identity.mtime_ns) != (
        now.sha256,
        now.mtime_ns,
    )
    return Decision("done", reason, update_identity=has_news)


def _has_only_size(identity: Identity) -> bool:
    return identity.mtime_ns is None and identity.sha256 is None and identity.tag is None


def _change(before: Identity, now: Identity) -> str:
    if before.size is not None and now.size is not None and before.size != now.size:
        return f"its size was {before.size:,} bytes, and is {now.size:,}"
    if before.sha256 is not None and now.sha256 is not None:
        return "its hash has changed"
    if before.tag is not None and now.tag is not None and before.tag != now.tag:
        return "its tag (ETag or CRC) has changed"
    if before.mtime_ns is not None and now.mtime_ns is not None:
        return "its modification time has changed"
    return "the journal has nothing to compare it with"
