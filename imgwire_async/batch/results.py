"""The results of a batch run that users read one by one."""

from __future__ import annotations

import attrs

from imgwire_async.batch.plan import Action
from imgwire_async.batch.records import RowStatus
from imgwire_async.formatting import short_repr
from imgwire_async.models import Image


@attrs.frozen(kw_only=True, eq=False)
class BatchResult:
    """The result for one file that a batch run has finished. Its row in the journal is on the disk.

    `key` is the name of the file in the journal, and `file` is the file as its source gave it. `status` is
    "done", "stored" (the image was not READY in time), "failed" or "skipped". `image` is the record of the
    image, and None for a file that an earlier run has finished, for which `image_id` is known. `error` is
    the error of a file that failed, and `reason` is the reason of a skip. `attempts` is the number of PUT
    requests, or of requests to fetch a URL. `bytes_sent` is the number of bytes that they sent, and `elapsed`
    the duration in seconds.
    `resumed` says that an earlier run had sent the bytes, and this run only found that out.
    """

    key: str = attrs.field(repr=short_repr)
    file: object = attrs.field(default=None, repr=short_repr)
    status: RowStatus
    image: Image | None = None
    image_id: str | None = None
    error: Exception | None = None
    reason: str | None = None
    attempts: int = 0
    bytes_sent: int = 0
    elapsed: float = 0.0
    resumed: bool = False


@attrs.frozen(kw_only=True)
class PlannedFile:
    """What a run would do with one file.

    `action` is "upload", "changed", "retry", "done" or "skip". The first three are uploads: of a new file,
    of a file that has changed, and of a file that failed or was interrupted before. `reason` says why.
    """

    key: str = attrs.field(repr=short_repr)
    size: int | None
    action: Action
    reason: str
