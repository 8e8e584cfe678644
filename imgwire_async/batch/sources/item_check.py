"""Turn what a user passes as a file into items of a batch run: a path, an `UploadItem` or a `BatchItem`."""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
from collections.abc import Iterable
from typing import Any, cast

import attrs

from imgwire_async import checks
from imgwire_async.batch.fetching import check_remote
from imgwire_async.batch.items import BatchItem, Entry, Identity, RemoteFile, Skip
from imgwire_async.batch.keys import key_bytes, remote_key
from imgwire_async.batch.sources.base import MAX_KEY, TOO_LONG_KEY, Files
from imgwire_async.batch.sources.own_files import OwnFiles
from imgwire_async.batch.sources.special_files import special_kind
from imgwire_async.resources.uploading import checked_item
from imgwire_async.uploads.chunks import flat_view
from imgwire_async.uploads.hints import has_buffer
from imgwire_async.uploads.item import UploadItem
from imgwire_async.uploads.source import File

_PIPE_ADVICE = "; pass an open file as BatchItem(key, file)"

_URL = re.compile("https?://", re.IGNORECASE)
_SHA256 = re.compile("[0-9a-fA-F]{64}")


@attrs.frozen
class Checked:
    """A checked item whose size is not known yet. `path` is None if the file has no path."""

    key: str
    item: UploadItem
    path: str | None

    @property
    def is_stream(self) -> bool:
        """Whether the file is neither a path nor in memory, so that user code knows its size."""
        return self.path is None and not has_buffer(self.item.file)


def check(value: object, position: int) -> Checked | Entry | Skip:
    """Return an item that the iterable of a user has passed. `position` counts them from 0.

    Raises `TypeError` or `ValueError` that names the position.
    """
    where = f"files[{position}]"
    if isinstance(value, Entry):
        return value
    if isinstance(value, Skip):
        return _checked_skip(where, value)
    if isinstance(value, RemoteFile) or isinstance(getattr(value, "file", None), RemoteFile):
        return url_entry(value, position)
    if isinstance(value, str | os.PathLike):
        if isinstance(value, str) and _URL.match(value):
            raise ValueError(f"{where} is a URL; urls([...]) uploads what the service fetches from URLs")
        path = _absolute(where, cast("object", value))
        return Checked(path, UploadItem(path), path)
    if isinstance(value, BatchItem):
        return _check_batch_item(where, value)
    if isinstance(value, UploadItem):
        if not isinstance(value.file, str | os.PathLike):
            raise TypeError(f"{where} has no path, so it needs a key: pass BatchItem(key, file) instead")
        path = _absolute(f"the file of {where}", value.file)
        return Checked(path, _checked(where, attrs.evolve(value, file=path)), path)
    kind = type(value).__name__
    if has_buffer(value) or hasattr(type(value), "read"):
        raise TypeError(f"{where} has no path, so it needs a key: pass BatchItem(key, file), not {kind}")
    if isinstance(value, Files):
        raise TypeError(f"{where} is a source; pass the source itself, not a list with it")
    raise TypeError(f"{where} must be a path, an UploadItem or a BatchItem, not {kind}")


def url_entry(value: object, position: int, *, wait: bool = True, strict: bool = True) -> Entry | Skip:
    """Return an item of the user whose file is a URL. `wait` is that of URLs which are only text.

    Raises `TypeError` or `ValueError` that names the position, and does not contain the URL. Unless `strict`,
    a text that is no http(s) URL is a skip.
    """
    where = f"files[{position}]"
    key: str | None = None
    if isinstance(value, Skip):
        return _checked_skip(where, value)
    if isinstance(value, BatchItem):
        key, item = _checked_key(where, value.key), _item_of(value, value.file)
    else:
        item = value if isinstance(value, UploadItem) else UploadItem(cast("str", value))
    file: object = item.file
    if not isinstance(file, str | RemoteFile):
        raise checks.wrong_type(where, "a URL as text, or an UploadItem or BatchItem with a URL", file)
    try:
        remote = file if isinstance(file, RemoteFile) else RemoteFile(file, wait=wait)
    except ValueError as error:
        if strict:
            raise ValueError(f"{where}: {error}") from None
        # The text may be secret, so it is not the key.
        return Skip(key or where, str(error))
    try:
        item = _checked(where, attrs.evolve(item, file=remote))
        check_remote(item)
    except ValueError as error:
        raise ValueError(f"{where}: {str(error).removeprefix(f'{where}: ')}") from None
    key = key or remote_key(remote)
    # A short text needs no encoding.
    if len(key) > MAX_KEY // 4 and len(key_bytes(key)) > MAX_KEY:
        return Skip(key, TOO_LONG_KEY)
    return Entry(key, item, Identity(None))


def _checked_skip(where: str, skip: Skip) -> Skip:
    return Skip(_checked_key(where, skip.key), checks.text(f"the reason of {where}", skip.reason))


def _check_batch_item(where: str, value: BatchItem) -> Checked:
    key = _checked_key(where, value.key)
    is_path = isinstance(value.file, str | os.PathLike)
    path = _absolute(f"the file of {where}", value.file) if is_path else None
    return Checked(key, _checked(where, _item_of(value, value.file if path is None else path)), path)


def _item_of(value: BatchItem, file: File) -> UploadItem:
    return UploadItem(
        file,
        file_name=value.file_name,
        mime_type=value.mime_type,
        content_length=value.content_length,
        custom_metadata=value.custom_metadata,
        hash_sha256=value.hash_sha256,
        idempotency_key=value.idempotency_key,
        purpose=value.purpose,
        upload_token=value.upload_token,
    )


def _checked_key(where: str, value: object) -> str:
    key = checks.text(f"the key of {where}", value)
    if not key:
        raise ValueError(f"the key of {where} is empty; each file needs a key of its own")
    if len(key_bytes(key)) > MAX_KEY:
        raise ValueError(
            f"the key of {where} must have at most {MAX_KEY:,} bytes, not {len(key_bytes(key)):,}"
        )
    return key


def _checked(where: str, item: UploadItem) -> UploadItem:
    """Check the arguments of an item."""
    try:
        checked = checked_item(item)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{where}: {error}") from None
    if checked.idempotency_key is False:
        raise ValueError(
            f"{where}: idempotency_key must be text or None, not False; without a key a repeated upload is not recognized"
        )
    return checked


def _absolute(where: str, value: object) -> str:
    path = checks.path(where, value)
    if not path:
        raise ValueError(f"{where} is an empty path")
    return os.path.abspath(path)  # noqa: PTH100  # as a str


# --- sizes and identities -----------------------------------------------------------------------------------


def stream_size(item: UploadItem) -> int | None:
    """Return the size of a file object or another stream, None if it is unknown. Runs user code."""
    if item.content_length is not None:
        return item.content_length
    file: Any = item.file
    if isinstance(file, io.IOBase):
        return _size_left(cast("io.BufferedIOBase", file))
    size = getattr(file, "size", None)
    return size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None


def _size_left(file: io.BufferedIOBase) -> int | None:
    try:
        if not file.seekable():
            return None
        start = file.tell()
        end = file.seek(0, os.SEEK_END)
        file.seek(start)
    except (OSError, ValueError):
        return None
    return max(0, end - start)


def find_identities(
    checked: Iterable[Checked | Entry | Skip], sizes: dict[int, int | None], own: OwnFiles
) -> list[Entry | Skip]:
    """Return the items with their identities. `sizes` are those of streams, by position in `checked`.

    Blocks, because it accesses the disk and hashes bytes. Files of `own` are left out.
    """
    found: list[Entry | Skip] = []
    for position, item in enumerate(checked):
        if not isinstance(item, Checked):
            found.append(item)
        elif item.path is None:
            found.append(Entry(item.key, item.item, _identity(item.item, sizes.get(position))))
        elif not own.has_path(item.path):
            found.append(entry_of_path(item.key, item.item, item.path, advice=_PIPE_ADVICE))
    return found


def entry_of_path(key: str, item: UploadItem | str, path: str, *, advice: str = "") -> Entry | Skip:
    """Return a file on disk with its identity. `advice` is put at the end of the reason for a pipe.

    `item` is `path` if the file has no other arguments. Blocks.
    """
    if len(key) > MAX_KEY // 4 and len(key_bytes(key)) > MAX_KEY:
        return Skip(key, TOO_LONG_KEY)
    try:
        status = os.stat(path)  # noqa: PTH116  # as a str
    # Its upload fails with the same error, so that the user learns about it.
    except (OSError, ValueError):
        return Entry(key, item, Identity(None), is_missing=not os.path.lexists(path))
    if stat.S_ISDIR(status.st_mode):
        return Skip(key, "a folder, not a file; folder(path) uploads the files in it")
    if not stat.S_ISREG(status.st_mode):
        # A pipe without a writer would hold the run for ever.
        return Skip(key, special_kind(status) + advice)
    digest = None if isinstance(item, str) else _given_hash(item)
    return Entry(key, item, Identity(status.st_size, status.st_mtime_ns, digest))


def _identity(item: UploadItem, size: int | None) -> Identity:
    """Return the identity of bytes or a stream."""
    if not has_buffer(item.file):
        return Identity(size, sha256=_given_hash(item))
    view = flat_view(item.file, "file must be bytes")
    with view:
        return Identity(view.nbytes, sha256=hashlib.sha256(view).hexdigest())


def _given_hash(item: UploadItem) -> str | None:
    digest = item.hash_sha256
    return digest.lower() if isinstance(digest, str) and _SHA256.fullmatch(digest) else None
