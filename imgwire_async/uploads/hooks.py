"""Hooks into an upload, for batch runs that keep a journal of their records."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs

from imgwire_async.models import Image


@attrs.frozen
class UploadHooks:
    """Coroutine functions that an upload calls, so that a batch run can choose keys and keep a journal.

    Internal: `upload` and `upload_many` pass no hooks.

    `next_key` returns an idempotency key. It is called before each create request that needs a new key, with
    the number of keys that it has returned before. `created` is called with the record that a create request
    returns, and `stored` with the record after the storage has received the bytes.

    `next_key` must derive the key from the content of the file. So an earlier run may have used the same key,
    and the record of that run may already have its bytes. In this case the upload uses that record and sends
    no bytes.

    A put slot is held while `created` runs, and may be held while `next_key` runs for a second key.
    """

    next_key: Callable[[int], Awaitable[str]]
    created: Callable[[Image], Awaitable[None]]
    stored: Callable[[Image], Awaitable[None]]
