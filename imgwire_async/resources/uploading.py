"""Check the arguments of `upload` and `upload_many`, and create the object that runs `upload_many`."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import cast

import attrs

from imgwire_async import checks, user_code
from imgwire_async.coercion import as_bool
from imgwire_async.models import Image, UploadToken
from imgwire_async.protocol.request import Transport
from imgwire_async.redaction import as_secret
from imgwire_async.resources import arguments
from imgwire_async.resources.arguments import Metadata
from imgwire_async.uploads.disk import CHUNK_SIZE
from imgwire_async.uploads.item import UploadItem
from imgwire_async.uploads.source import File
from imgwire_async.uploads.tokens import USE_TEXT_OF_MODEL, TokenSource
from imgwire_async.uploads.upload import Upload
from imgwire_async.uploads.upload_run import OnCreated, OnProgress, UploadRun, require_many_files

# How many bytes of files `upload_many` may hold in memory. It reads the start of each file when it opens the
# file, and small files completely.
_MAX_HELD_BYTES = 64 * 2**20


def head_bytes_of(limit: int) -> int:
    """Return how many bytes of the start of each file are read, with at most `limit` files in work."""
    return min(CHUNK_SIZE, _MAX_HELD_BYTES // limit)


def checked_item(item: UploadItem) -> UploadItem:
    """Check and convert the arguments of one upload. The file is not opened.

    Raises `TypeError` or `ValueError` for an argument that cannot be sent.
    """
    length, digest, key = item.content_length, item.hash_sha256, item.idempotency_key
    digest_flag = None if digest is None else as_bool(digest)
    return UploadItem(
        item.file,
        file_name=checks.optional_text("file_name", item.file_name, max_length=None),
        mime_type=checks.printable_ascii("mime_type", item.mime_type),
        content_length=checks.optional_integer("content_length", length, minimum=0),
        custom_metadata=arguments.metadata(item.custom_metadata),
        hash_sha256=checks.optional_text("hash_sha256", digest) if digest_flag is None else digest_flag,
        idempotency_key=None if key is None else arguments.idempotency_key(key) or False,
        purpose=checks.optional_text("purpose", item.purpose),
        upload_token=checked_token_source(item.upload_token),
    )


def checked_token_source(value: object) -> TokenSource | None:
    """Check the argument `upload_token` of a call, and return it.

    Raises `TypeError` for a value that is neither text, a callable nor None. In the blocking client, a
    coroutine function raises `TypeError`, too.
    """
    if isinstance(value, UploadToken):
        raise checks.wrong_type(
            "upload_token", "text or a callable that returns it", value, USE_TEXT_OF_MODEL
        )
    if not callable(value):
        return cast("str | None", as_secret(checks.printable_ascii("upload_token", value)))
    # `current_caller` is set in calls of the blocking client only, which accepts no coroutine functions.
    if user_code.current_caller.get() is not None:
        checks.no_coroutine_function("upload_token", value)
    return cast("TokenSource", value)


def wait_function(
    wait_for: Callable[[Image, float], Awaitable[Image]], wait: object
) -> Callable[[Image], Awaitable[Image]] | None:
    """Return a function that waits until an uploaded image is READY, or None when `wait` is False.

    `wait` is the argument of `upload`. `wait_for` is called with the image and the number of seconds.
    """
    seconds = arguments.wait_timeout(wait)
    return None if seconds is None else lambda image: wait_for(image, seconds)


def upload_run(
    transport: Transport,
    files: Iterable[File | UploadItem] | AsyncIterable[File | UploadItem],
    wait_for: Callable[[Image, float], Awaitable[Image]],
    *,
    concurrency: int,
    wait: bool | float,
    purpose: str | None,
    custom_metadata: Metadata | None,
    on_created: OnCreated,
    on_progress: OnProgress,
) -> UploadRun:
    """Check the arguments of `upload_many`, and return the `UploadRun` that uploads the files."""
    require_many_files(files)
    limit = checks.integer("concurrency", concurrency, minimum=1, maximum=10_000)
    until_ready = wait_function(wait_for, wait)
    defaults = UploadItem(
        b"",
        purpose=checks.optional_text("purpose", purpose),
        custom_metadata=arguments.metadata(custom_metadata),
    )
    checks.plain_callable("on_created", on_created)
    checks.plain_callable("on_progress", on_progress)
    head_bytes = head_bytes_of(limit)

    def start(file: File | UploadItem, created: OnCreated, progress: OnProgress) -> Upload:
        return Upload(
            transport,
            checked_item(with_defaults(file, defaults)),
            on_created=created,
            on_progress=progress,
            until_ready=until_ready,
            head_bytes=head_bytes,
        )

    return UploadRun(transport, files, start, limit=limit, on_created=on_created, on_progress=on_progress)


def with_defaults(file: File | UploadItem, defaults: UploadItem) -> UploadItem:
    """Return `file` as an `UploadItem`. A missing purpose or metadata is taken from `defaults`."""
    if not isinstance(file, UploadItem):
        return UploadItem(file, purpose=defaults.purpose, custom_metadata=defaults.custom_metadata)
    if defaults.purpose is None and defaults.custom_metadata is None:
        return file
    return attrs.evolve(
        file,
        purpose=defaults.purpose if file.purpose is None else file.purpose,
        custom_metadata=defaults.custom_metadata if file.custom_metadata is None else file.custom_metadata,
    )
