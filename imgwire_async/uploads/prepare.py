"""Opens what is uploaded, and settles everything that can be known, or be wrong, before the first request."""

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
from imgwire_async.uploads.source import BytesSource, FileSource, Source, StreamSource
from imgwire_async.uploads.spool import spool_slot, spooled
from imgwire_async.uploads.tiff import TIFF_HEAD_BYTES, is_raw


async def prepare(
    item: UploadItem, held: contextlib.AsyncExitStack, *, stall: float | None, head_bytes: int
) -> PreparedUpload:
    """Return the upload of a checked item, ready to be sent. What is opened for it is closed with `held`.

    A file on disk of at most `head_bytes` is read whole when it is opened first. `stall` bounds a wait inside user code.
    """
    given = source = await _open(item.file, held, head_bytes)
    size = source.size
    spools = (size is None and item.content_length is None) or (
        item.hash_sha256 is True and not source.replayable
    )
    if spools:
        head = await _head_for_spool(source, item, held, stall)
    else:
        head = await source.peek(HEAD_BYTES)
    mime_type = item.mime_type
    sniffed = sniff(head)
    name = (
        item.file_name or base_name(source.name or "") or f"upload{extension_of(mime_type or sniffed or '')}"
    )
    # A handle at its end is a mistake, whatever its type is said to be.
    if sniffed is None and (mime_type is None or (not head and _position(given))):
        raise _no_picture(describe(head), head, given, name) if head else _no_bytes(given, name)
    if item.content_length is not None:
        _require_length(size, item.content_length, given, name)
    if spools:
        source = await held.enter_async_context(spooled(source))
        size = source.size
        if item.content_length is not None:
            _require_length(size, item.content_length, given, name)
    if (
        mime_type is None
        and sniffed is SupportedMimeType.TIFF
        and await source.parse(is_raw, TIFF_HEAD_BYTES)
    ):
        raise _no_picture(CAMERA_RAW, head, given, name)
    if size is None:
        size = item.content_length
    assert size is not None  # told, given, or just measured
    return PreparedUpload(
        source,
        size,
        name,
        _path(given),
        mime_type or (None if sniffed is None else sniffed.value),
        await _sha256(source) if item.hash_sha256 is True else None,
    )


async def _open(file: object, held: contextlib.AsyncExitStack, head_bytes: int) -> Source:
    if isinstance(getattr(type(file), "read", None), property):
        await _open_lazy(file, held)
    if hasattr(file, "read"):
        held.enter_context(_alone(file))
    source = await open_source(file, head_bytes)
    if isinstance(source, BytesSource):
        held.callback(source.release)
    if isinstance(source, StreamSource):
        held.push_async_callback(source.aclose)
    return source


async def _head_for_spool(
    source: Source, item: UploadItem, held: contextlib.AsyncExitStack, stall: float | None
) -> bytes:
    """Take one of the rooms for spools, and return the first bytes of a source that will be spooled."""
    name = item.file_name or base_name(source.name or "")
    await held.enter_async_context(spool_slot(name, _label(source, name or "the upload"), stall))
    with user_code.in_user_code():
        return await source.peek(HEAD_BYTES)


async def _open_lazy(file: object, held: contextlib.AsyncExitStack) -> None:
    """Open a file that opens itself when it is asked for `read`, as Django's fields do: perhaps by calls over the network."""
    was_closed = getattr(file, "closed", None) is True
    await user_code.run_reader(getattr, file, "read")
    close = getattr(file, "close", None)
    if was_closed and callable(close):
        held.push_async_callback(user_code.run_reader, close)


_being_read: set[int] = set()  # ids of the file objects that uploads of this process read right now
forks.run_in_child(_being_read.clear)  # in a forked child nobody goes on with them


@contextlib.contextmanager
def _alone(file: object) -> Generator[None, None, None]:
    """Hold a file object for one upload: two would move its position under each other."""
    if id(file) in _being_read:
        raise ValueError(
            "this file object is being uploaded already; open the file once more, or give its path"
        )
    _being_read.add(id(file))
    try:
        yield
    finally:
        _being_read.discard(id(file))


def _position(source: Source) -> int:
    """Return the position of a file object when it was given; 0 for anything else."""
    return source.start if isinstance(source, FileSource | StreamSource) else 0


def _was_started(source: Source) -> bool:
    """Return whether a stream is known to have been read before."""
    return isinstance(source, StreamSource) and source.was_started


def _path(source: Source) -> str | None:
    """Return the path of a source as it was given; None for one without."""
    return source.path if isinstance(source, PathSource | StreamSource) else None


def _label(source: Source, name: str) -> str:
    return label(_path(source), name)


def _hint(source: Source) -> str:
    """Return why the rest of what was read before is no picture, and what to do; empty where it was not read before."""
    if position := _position(source):
        return (
            f" The file stands at position {position}, and what comes before that is not uploaded: "
            "file.seek(0) goes back to its start."
        )
    if _was_started(source):
        return " It was read in part before, and only the rest would be uploaded: begin it anew."
    return ""


def _no_bytes(source: Source, name: str) -> UnsupportedImageError:
    """Return the error for a source that gives nothing."""
    begun = _was_started(source)
    if position := _position(source):
        found = f"nothing is left of this file, which stands at its end (position {position})"
        advice = " file.seek(0) goes back to its start."
    elif begun or (isinstance(source, StreamSource) and source.size is None):
        found = "no bytes came: it was read to its end before"
        found += "" if begun else ", or is empty"
        advice = " Begin it anew, or give the bytes."
    elif isinstance(source, BytesSource):
        found, advice = "these are no bytes at all", " Look where they come from."
    else:
        found, advice = "this is an empty file", " Was it written, and closed after that?"
    return UnsupportedImageError(
        f"{_label(source, name)}: {found}. Nothing was sent.{advice}", file_name=name
    )


def _no_picture(found: str, head: bytes, source: Source, name: str) -> UnsupportedImageError:
    data = source if isinstance(source, BytesSource) else None
    pixels = data is not None and data.dimensions > 1
    advice = _hint(source) or f" {hints.for_bytes(found, head, pixels=pixels, in_memory=data is not None)}"
    return UnsupportedImageError(
        f"{_label(source, name)}: this is {found}, none of the ten supported picture types (JPEG, JXL, PNG, WebP, AVIF, GIF, "
        f"ICO, HEIC, BMP, TIFF). Nothing was sent.{advice}",
        file_name=name,
    )


def _require_length(size: int | None, content_length: int, source: Source, name: str) -> None:
    if size is not None and size != content_length:
        position = _position(source)
        told = f" from position {position} on (file.seek(0) goes back to its start)" if position else ""
        raise UploadSizeError(
            f"{_label(source, name)}: content_length={content_length} was given, but it has {size} bytes{told}. Nothing was "
            "sent. Leave content_length out where the size is known.",
            file_name=name,
        )


async def _sha256(source: Source) -> str:
    digest = hashlib.sha256()
    async with contextlib.aclosing(source.open()) as pieces:
        async for piece in pieces:
            await disk_work.run(digest.update, piece)
    return digest.hexdigest()
