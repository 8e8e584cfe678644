"""From what the caller gave to a plan: everything that can be known, or be wrong, before the first request."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Generator

from imgwire_async import forks, userland
from imgwire_async.errors import UnsupportedImageError, UploadSizeError
from imgwire_async.models import Image, SupportedMimeType, UploadProgress
from imgwire_async.uploads.flow import Plan
from imgwire_async.uploads.kinds import base_name, source_of
from imgwire_async.uploads.sniff import HEAD_BYTES, RAW, describe, extension_of, sniff
from imgwire_async.uploads.source import BytesSource, Source, StreamSource, examine, peek
from imgwire_async.uploads.spool import room, spooled
from imgwire_async.uploads.tiff import LOOK_BYTES, is_raw


async def planned(
    file: object,
    *,
    held: contextlib.AsyncExitStack,
    file_name: str | None,
    mime_type: str | None,
    content_length: int | None,
    sha256: str | bool | None,
    on_created: Callable[[Image], object] | None,
    on_progress: Callable[[UploadProgress], object] | None,
    stall: float | None,
    stage: int = HEAD_BYTES,
) -> Plan:
    """The plan for uploading `file`. What was opened for it is closed with `held`.

    A file on disk of at most `stage` bytes is read whole when it is looked at. `stall` bounds a wait inside user code.
    """
    source = await _held_source(file, held, stage)
    spool = (source.size is None and content_length is None) or (sha256 is True and not source.replayable)
    if spool:
        await held.enter_async_context(room(file_name or base_name(source.name or "") or "the upload", stall))
    with userland.in_user_code() if spool else contextlib.nullcontext():
        head = await peek(source, HEAD_BYTES)
    sniffed = sniff(head)
    name = file_name or base_name(source.name or "") or f"upload{extension_of(mime_type or sniffed or '')}"
    mime = mime_type or _require_picture(sniffed, head, name)
    _require_length(source, content_length, name)
    if spool:
        source = await held.enter_async_context(spooled(source))
        _require_length(source, content_length, name)
    if mime_type is None and sniffed is SupportedMimeType.TIFF:
        await _require_no_raw(source, name)
    size = source.size if source.size is not None else content_length
    assert size is not None  # told, given, or just measured
    digest = await _sha256(source) if sha256 is True else None
    return Plan(
        source=source,
        size=size,
        file_name=name,
        mime_type=mime,
        sha256=digest,
        on_created=on_created,
        on_progress=on_progress,
    )


async def _held_source(file: object, held: contextlib.AsyncExitStack, stage: int) -> Source:
    if hasattr(file, "read"):
        held.enter_context(_alone(file))
    source = await source_of(file, stage)
    if isinstance(source, BytesSource):
        held.callback(source.release)
    if isinstance(source, StreamSource):
        held.push_async_callback(source.aclose)
    return source


_being_read: set[int] = set()  # ids of the file objects that uploads of this process read right now
forks.after_fork(_being_read.clear)  # in a forked child nobody goes on with them


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


def _require_picture(sniffed: SupportedMimeType | None, head: bytes, name: str) -> str:
    if sniffed is not None:
        return sniffed.value
    if not head:
        raise UnsupportedImageError(f"{name}: this is an empty file. Nothing was sent.", file_name=name)
    raise _no_picture(describe(head), name)


async def _require_no_raw(source: Source, name: str) -> None:
    if await examine(source, is_raw, LOOK_BYTES):
        raise _no_picture(RAW, name)


def _no_picture(found: str, name: str) -> UnsupportedImageError:
    return UnsupportedImageError(
        f"{name}: this is {found}, none of the ten supported picture types (JPEG, JXL, PNG, WebP, AVIF, GIF, ICO, "
        "HEIC, BMP, TIFF). Nothing was sent. If you know better, give mime_type=.",
        file_name=name,
    )


def _require_length(source: Source, content_length: int | None, name: str) -> None:
    if content_length is not None and source.size is not None and source.size != content_length:
        raise UploadSizeError(
            f"{name}: content_length={content_length} was given, but it has {source.size} bytes. Nothing was sent. "
            "Leave content_length out where the size is known.",
            file_name=name,
        )


async def _sha256(source: Source) -> str:
    digest = hashlib.sha256()
    async with contextlib.aclosing(source.open()) as pieces:
        async for piece in pieces:
            await userland.disk(digest.update, piece)
    return digest.hexdigest()
