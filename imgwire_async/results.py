"""The result classes of the SDK: pages, progress, and the results of operations on many files or images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import attrs

from imgwire_async.errors import BulkDeleteError, ImgwireError
from imgwire_async.formatting import short_repr
from imgwire_async.models import Image

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Pagination:
    """The page numbers and counts from the headers of a list response.

    A number is None when the service did not send it. [contract 4]
    """

    total_count: int | None = None
    page: int | None = None
    limit: int | None = None
    prev_page: int | None = None
    next_page: int | None = None


@attrs.frozen
class Page(Generic[T]):
    """One page of a list, with the records in `data` and the page numbers in `pagination`.

    A page is not iterable on purpose, because a loop over a page is easily mistaken for a loop over all
    records. Loop over `page.data`, or use `list_all()`.
    """

    data: Sequence[T]
    pagination: Pagination


@attrs.frozen(kw_only=True)
class UploadProgress:
    """The progress of one upload: `sent` of `total` bytes.

    `sent` equals `total` only after the storage has accepted the file.
    """

    sent: int
    total: int
    file_name: str


@attrs.frozen(kw_only=True)
class DownloadProgress:
    """The progress of one download: `received` of `total` bytes.

    `total` is None when the server did not send the length.
    """

    received: int
    total: int | None
    path: Path


@attrs.frozen(kw_only=True, eq=False)
class UploadResult:
    """The result for one file of `upload_many`.

    `index` is the position of the file in `files`, and `file` is the item at this position. `error` is None
    if the upload succeeded. `image` is the record of the file. It is None if the upload failed before the
    service created a record. `attempts` is the number of PUT requests, `bytes_sent` the number of bytes that
    they sent, and `elapsed` the duration in seconds. `abandoned` contains the ids of earlier records of the
    file, which a new record has replaced.
    """

    index: int
    file: object = attrs.field(repr=short_repr)
    image: Image | None = None
    error: Exception | None = None
    attempts: int = 0
    bytes_sent: int = 0
    elapsed: float = 0.0
    abandoned: tuple[str, ...] = ()

    def unwrap(self) -> Image:
        """Return `image`, or raise `error` if the upload failed."""
        if self.error is not None:
            raise self.error
        assert self.image is not None
        return self.image


@attrs.frozen(kw_only=True)
class BulkDeleteResult:
    """The result of `bulk_delete`, which sends the ids in batches.

    `deleted` contains the ids of all batches that succeeded. `failed` contains pairs of an id and the error
    of its batch. `unknown` contains the ids of all batches without a response: the service may have deleted
    these images, or not. `replies` contains the JSON bodies of the responses.
    """

    deleted: tuple[str, ...] = ()
    failed: tuple[tuple[str, ImgwireError], ...] = ()
    unknown: tuple[str, ...] = ()
    replies: tuple[Mapping[str, object], ...] = attrs.field(default=(), hash=False)

    def raise_if_failed(self) -> None:
        """Raise `BulkDeleteError` if `failed` or `unknown` contains an id."""
        if not self.failed and not self.unknown:
            return
        first = next((str(error) for _, error in self.failed), "no response came")
        msg = (
            f"{len(self.failed)} image(s) were not deleted, {len(self.unknown)} may be deleted or not, {len(self.deleted)} were "
            f"deleted; the first reason: {first}. Pass the ids in .result.failed and .result.unknown to bulk_delete again."
        )
        raise BulkDeleteError(msg, result=self)


@attrs.frozen(kw_only=True)
class BatchSummary:
    """The counts of a run, or of a journal.

    `found` counts the files of the source, and is final once `counted` is true. `unsure` counts the files
    whose outcome is not known, and `left` those that are not finished. `elapsed` is in seconds.
    """

    found: int = 0
    skipped: int = 0
    uploaded: int = 0
    done_before: int = 0
    failed: int = 0
    unsure: int = 0
    left: int = 0
    bytes_sent: int = 0
    elapsed: float = 0.0
    files_per_second: float = 0.0
    counted: bool = False
    concurrency: int = 0

    def __str__(self) -> str:
        counts = {
            "found": self.found,
            "uploaded": self.uploaded,
            "done before": self.done_before,
            "skipped": self.skipped,
            "failed": self.failed,
            "unsure": self.unsure,
            "left": self.left,
        }
        lines = [f"{name:<12}{count:>14,}" for name, count in counts.items()]
        if not self.counted:
            lines[0] += "  (still counting)"
        if self.elapsed:
            lines.append(f"{'bytes sent':<12}{self.bytes_sent:>14,}")
            lines.append(f"{'elapsed':<12}{self.elapsed:>12.1f} s  ({self.files_per_second:.1f} files/s)")
        return "\n".join(lines)
