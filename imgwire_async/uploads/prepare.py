"""Open the file of an upload, and detect its type, size, name and hash before the first request."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Generator

from imgwire_async import disk_work, forks, user_code
from imgwire_async.errors import UnsupportedImageError, UploadSizeError
from imgwire_async.mime import CAMERA_RAW, HEAD_BYTES, describe, extension_of, sniff
from imgwire_async.models import SupportedMimeType
from imgwire_async.uploads import hints
from imgwire_async.uploads.detect import base_name, open_source
from imgwire_async.uploads.disk import PathSource
from imgwire_async.uploads.item import UploadItem
from imgwire_async.uploads.prepared import PreparedUpload, label
from imgwire_async.uploads.sdk_source import SDKSource
from imgwire_async.uploads.source import BytesSource, FileSource, Source, StreamSource
from imgwire_async.uploads.spool import spool_slot, spooled
from imgwire_async.uploads.tiff import TIFF_BYTES, is_raw


async def prepare(
    item: UploadItem, stack: contextlib.AsyncExitStack, *, stall: float | None, head_bytes: int
) -> PreparedUpload:
    """Open the file of a checked item, and return it ready to be sent. `stack` closes the file.

    If the file is a path, its first `head_bytes` bytes are read. A source whose size is unknown and not given
    as `content_length`, or a stream that must be hashed, is copied to a temporary file. If this upload was
    started inside user code of another upload, it waits at most `stall` seconds for the slot that the
    temporary file needs.
    """
    original = source = await _open(item.file, stack, head_bytes)
    size = source.size
    must_spool = (size is None and item.content_length is None) or (
        item.hash_sha256 is True and not source.replayable
    )
    if must_spool:
        head = await _head_for_spool(source, item, stack, stall)
    else:
        head = await source.peek(HEAD_BYTES)
    mime_type = item.mime_type
    sniffed = sniff(head)
    name = (
        item.file_name or base_name(source.name or "") or f"upload{extension_of(mime_type or sniffed or '')}"
    )
    # Even with a given type, a file object at its end is rejected as a mistake of the caller.
    if sniffed is None and (mime_type is None or (not head and _position(original))):
        raise _format_error(describe(head), head, original, name) if head else _empty_error(original, name)
    if item.content_length is not None:
        _require_length(size, item.content_length, original, name)
    if must_spool:
        source = await stack.enter_async_context(spooled(source))
        size = source.size
        if item.content_length is not None:
            _require_length(size, item.content_length, original, name)
    if mime_type is None and sniffed is SupportedMimeType.TIFF and await source.parse(is_raw, TIFF_BYTES):
        raise _format_error(CAMERA_RAW, head, original, name)
    if size is None:
        size = item.content_length
    assert size is not None, "the source, the caller or the spool knows the size"
    return PreparedUpload(
        source,
        size,
        name,
        _path(original),
        mime_type or (None if sniffed is None else sniffed.value),
        await _sha256(source) if item.hash_sha256 is True else None,
    )


async def _open(file: object, stack: contextlib.AsyncExitStack, head_bytes: int) -> Source:
    if isinstance(getattr(type(file), "read", None), property):
        await _open_lazy(file, stack)
    if hasattr(file, "read"):
        stack.enter_context(_reserve(file))
    source = await open_source(file, head_bytes)
    if isinstance(source, BytesSource):
        stack.callback(source.release)
    if isinstance(source, StreamSource | SDKSource):
        stack.push_async_callback(source.aclose)
    return source


async def _head_for_spool(
    source: Source, item: UploadItem, stack: contextlib.AsyncExitStack, stall: float | None
) -> bytes:
    """Acquire a slot for the temporary file of a source, and return the first bytes of the source."""
    name = item.file_name or base_name(source.name or "")
    await stack.enter_async_context(spool_slot(name, _label(source, name or "the upload"), stall))
    with user_code.in_user_code():
        return await source.peek(HEAD_BYTES)


async def _open_lazy(file: object, stack: contextlib.AsyncExitStack) -> None:
    """Open a file object whose `read` is a property that opens the file, such as a Django file field.

    The property may send requests to a remote storage, so it runs in a thread in which user code may block.
    If the property had to open the file, `stack` closes it again.
    """
    was_closed = getattr(file, "closed", None) is True
    await user_code.run_reader(getattr, file, "read")
    close = getattr(file, "close", None)
    if was_closed and callable(close):
        stack.push_async_callback(user_code.run_reader, close)


# The ids of the file objects that uploads of this process are reading.
_being_read: set[int] = set()
# A forked child does not continue the uploads of its parent.
forks.run_in_child(_being_read.clear)


@contextlib.contextmanager
def _reserve(file: object) -> Generator[None, None, None]:
    """Reserve a file object for one upload, because two uploads would move its position at the same time.

    Raises `ValueError` while another upload reads from the file object.
    """
    if id(file) in _being_read:
        raise ValueError(
            "this file object is being uploaded already; open the file once more, or pass its path"
        )
    _being_read.add(id(file))
    try:
        yield
    finally:
        _being_read.discard(id(file))


def _position(source: Source) -> int:
    """Return the position of a file object at the start of the upload, or 0 for any other source."""
    return source.start if isinstance(source, FileSource | StreamSource) else 0


def _was_started(source: Source) -> bool:
    """Return whether other code is known to have read from a stream before."""
    return isinstance(source, StreamSource) and source.was_started


def _path(source: Source) -> str | None:
    """Return the path that the caller gave for a source, or None for a source without a path."""
    return source.path if isinstance(source, PathSource | StreamSource | SDKSource) else None


def _label(source: Source, name: str) -> str:
    return label(_path(source), name)


def _hint(source: Source) -> str:
    """Return advice for a source that the caller has partly read, or "" for any other source."""
    if position := _position(source):
        return (
            f" The file is at position {position}, and the bytes before that are not uploaded: "
            "file.seek(0) goes back to its start."
        )
    if _was_started(source):
        return " It was read in part before, and only the rest would be uploaded: start it again from the beginning."
    return ""


def _empty_error(source: Source, name: str) -> UnsupportedImageError:
    """Return the error for a source without bytes."""
    was_started = _was_started(source)
    if position := _position(source):
        found = f"this file is at its end (position {position}), so no bytes are left"
        advice = " file.seek(0) goes back to its start."
    elif was_started or (isinstance(source, StreamSource) and source.size is None):
        found = "the source gave no bytes: it was read to its end before"
        found += "" if was_started else ", or is empty"
        advice = " Start it again from the beginning, or pass the bytes."
    elif isinstance(source, BytesSource):
        found, advice = "this is a buffer of 0 bytes", " Check where the bytes come from."
    else:
        found, advice = "this file is empty", " Was it closed after it was written?"
    return UnsupportedImageError(
        f"{_label(source, name)}: {found}. Nothing was sent.{advice}", file_name=name
    )


def _format_error(found: str, head: bytes, source: Source, name: str) -> UnsupportedImageError:
    buffer = source if isinstance(source, BytesSource) else None
    pixels = buffer is not None and buffer.dimensions > 1
    advice = _hint(source) or f" {hints.for_bytes(found, head, pixels=pixels, in_memory=buffer is not None)}"
    return UnsupportedImageError(
        f"{_label(source, name)}: this is {found}, none of the ten supported picture types (JPEG, JXL, PNG, WebP, AVIF, GIF, "
        f"ICO, HEIC, BMP, TIFF). Nothing was sent.{advice}",
        file_name=name,
    )


def _require_length(size: int | None, content_length: int, source: Source, name: str) -> None:
    if size is not None and size != content_length:
        position = _position(source)
        where = f" from position {position} on (file.seek(0) goes back to its start)" if position else ""
        raise UploadSizeError(
            f"{_label(source, name)}: content_length={content_length} was given, but it has {size} bytes{where}. Nothing was "
            "sent. Leave content_length out if the size is known.",
            file_name=name,
        )


async def _sha256(source: Source) -> str:
    digest = hashlib.sha256()
    async with contextlib.aclosing(source.open()) as chunks:
        async for chunk in chunks:
            await disk_work.run(digest.update, chunk)
    return digest.hexdigest()
