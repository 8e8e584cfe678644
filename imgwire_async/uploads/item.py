"""One file to upload, with its arguments."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import PurePath
from typing import Literal

import attrs

from imgwire_async.coercion import as_str
from imgwire_async.formatting import short_repr, shortened
from imgwire_async.models import SupportedMimeType
from imgwire_async.uploads.detect import base_name
from imgwire_async.uploads.source import File


@attrs.frozen
class UploadItem:
    """One file for `upload_many`, with arguments that apply to this file only.

    The arguments mean the same as the arguments of `upload`.

    Args:
        file: The file, of any kind that `upload` takes.
        file_name: Name to store. None takes the name of the path or file object.
        mime_type: Type to declare. None detects it from the first bytes.
        content_length: Length in bytes, for a source whose size is unknown.
        custom_metadata: Metadata without nesting. None takes the argument of `upload_many`.
        hash_sha256: SHA-256 of the file as hexadecimal text, or True to compute it.
        idempotency_key: Key under which the service recognizes a repeated upload. None sends a new key, and
            False sends none.
        purpose: Text of your own, stored with the image. None takes the argument of `upload_many`.
        upload_token: Token for a client key, or a callable that returns it. None takes the client's token.
    """

    file: File = attrs.field(repr=short_repr)
    file_name: str | None = attrs.field(default=None, kw_only=True, repr=short_repr)
    mime_type: SupportedMimeType | str | None = attrs.field(default=None, kw_only=True)
    content_length: int | None = attrs.field(default=None, kw_only=True)
    custom_metadata: Mapping[str, str | int | float | bool] | None = attrs.field(
        default=None, kw_only=True, hash=False, repr=short_repr
    )
    hash_sha256: str | bool | None = attrs.field(default=None, kw_only=True)
    idempotency_key: str | Literal[False] | None = attrs.field(default=None, kw_only=True)
    purpose: str | None = attrs.field(default=None, kw_only=True)
    upload_token: str | Callable[[], str | Awaitable[str]] | None = attrs.field(
        default=None, kw_only=True, repr=False
    )


def path_name(file: object) -> str | None:
    """Return the base name of a path, or None for any other object."""
    if isinstance(file, str):
        return base_name(file)
    return getattr(file, "name", None) if isinstance(file, PurePath) else None


def name_for_messages(item: UploadItem) -> str:
    """Return the name of a file for messages. The file need not be open yet."""
    given = item.file_name if isinstance(item.file_name, str) else ""
    name = given or path_name(item.file)
    return "a file" if name is None else shortened(as_str(name))
