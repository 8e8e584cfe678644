"""Functions that take part in an upload, for runs that keep a journal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs

from imgwire_async.models import Image


@attrs.frozen
class UploadHooks:
    """Functions that let a batch run create the idempotency keys and keep a journal of the records.

    Internal: `upload` and `upload_many` pass none.

    `next_key` is awaited before each create that needs a new key, with the number of keys requested before.
    `created` is awaited with the record of each create, `stored` with the record that has its bytes.

    A key must be derived from the content of the file. An earlier run may have used it, so a record that
    already has its bytes is taken as it is, and nothing is sent. `created` is awaited while a put slot is
    held, and so is `next_key` for a second key.
    """

    next_key: Callable[[int], Awaitable[str]]
    created: Callable[[Image], Awaitable[None]]
    stored: Callable[[Image], Awaitable[None]]
