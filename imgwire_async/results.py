"""What the SDK itself hands out: pages, progress, and the results of many uploads or deletions."""

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
    """The numbers of a page, from the answer's headers; None where the service gave none. [contract 4]"""

    total_count: int | None = None
    page: int | None = None
    limit: int | None = None
    prev_page: int | None = None
    next_page: int | None = None


@attrs.frozen
class Page(Generic[T]):
    """One page of a list: the records in `data`, the numbers in `pagination`.

    Not iterable on purpose: a loop over one page looks like a loop over everything. Loop over `page.data`, or use
    `list_all()`.
    """

    data: Sequence[T]
    pagination: Pagination


@attrs.frozen(kw_only=True)
class UploadProgress:
    """How far one upload is: `sent` of `total` bytes. They are equal only after the storage accepted the file."""

    sent: int
    total: int
    file_name: str


@attrs.frozen(kw_only=True)
class DownloadProgress:
    """How far one download is: `received` of `total` bytes (None when the server did not say)."""

    received: int
    total: int | None
    path: Path


@attrs.frozen(kw_only=True, eq=False)
class UploadResult:
    """What became of one file of `upload_many`.

    `index` is its position in `files`, `file` the thing as given. `image` is set on success, and beside `error` when a
    record exists. `attempts` counts PUTs, `bytes_sent` the bytes of all of them, `elapsed` is in seconds. `abandoned` are
    ids of records that were made for this file and then replaced.
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
        """Return the image, or raise what went wrong."""
        if self.error is not None:
            raise self.error
        assert self.image is not None
        return self.image


@attrs.frozen(kw_only=True)
class BulkDeleteResult:
    """What became of the ids given to `bulk_delete`.

    `deleted` were in chunks that the service answered with success; `failed` pairs each id of a refused chunk with the
    error; `unknown` are the ids of chunks whose answer was lost (they may be gone); `replies` are the answers as they came.
    """

    deleted: tuple[str, ...] = ()
    failed: tuple[tuple[str, ImgwireError], ...] = ()
    unknown: tuple[str, ...] = ()
    replies: tuple[Mapping[str, object], ...] = attrs.field(default=(), hash=False)

    def raise_if_failed(self) -> None:
        """Raise `BulkDeleteError` unless every id is known to be deleted."""
        if not self.failed and not self.unknown:
            return
        first = next((str(error) for _, error in self.failed), "the answer was lost")
        msg = (
            f"{len(self.failed)} image(s) were not deleted and {len(self.unknown)} are in doubt, {len(self.deleted)} are "
            f"deleted; the first reason: {first}. Look at .result and give those ids to bulk_delete again."
        )
        raise BulkDeleteError(msg, result=self)
