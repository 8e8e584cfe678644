"""From what the caller gave to a plan: everything that can be known, or be wrong, before the first request."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Generator

import attrs

from imgwire_async import forks, userland
from imgwire_async.errors import UnsupportedImageError, UploadSizeError
from imgwire_async.formatting import path_for_message, shortened
from imgwire_async.mime import HEAD_BYTES, RAW, describe, extension_of, sniff
from imgwire_async.models import Image, SupportedMimeType
from imgwire_async.results import UploadProgress
from imgwire_async.uploads.disk import PathSource
from imgwire_async.uploads.hints import remedy
from imgwire_async.uploads.kinds import base_name, source_of
from imgwire_async.uploads.source import BytesSource, FileSource, Source, StreamSource, examine, peek
from imgwire_async.uploads.spool import room, spooled
from imgwire_async.uploads.tiff import LOOK_BYTES, is_raw


@attrs.frozen(kw_only=True)
class Plan:
    """Everything about an upload that is settled before its first request."""

    source: Source
    size: int
    file_name: str
    label: str  # what messages begin with: the path as given, else the name
    mime_type: str | None
    sha256: str | None  # what the bytes must hash to while they are sent, when asked for
    on_created: Callable[[Image], object] | None = None
    on_progress: Callable[[UploadProgress], object] | None = None


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
    info = _SourceInfo.of(source)
    spool = (source.size is None and content_length is None) or (sha256 is True and not source.replayable)
    if spool:
        name = file_name or base_name(source.name or "")
        await held.enter_async_context(room(name, info.label(name or "the upload"), stall))
    with userland.in_user_code() if spool else contextlib.nullcontext():
        head = await peek(source, HEAD_BYTES)
    sniffed = sniff(head)
    name = file_name or base_name(source.name or "") or f"upload{extension_of(mime_type or sniffed or '')}"
    label = info.label(name)
    # A handle at its end is a mistake, whatever its type is said to be.
    if mime_type is None or (not head and info.position):
        _require_picture(sniffed, head, info, name)
    mime = mime_type or (None if sniffed is None else sniffed.value)
    _require_length(source, content_length, info, name)
    if spool:
        source = await held.enter_async_context(spooled(source))
        _require_length(source, content_length, info, name)
    if mime_type is None and sniffed is SupportedMimeType.TIFF and await examine(source, is_raw, LOOK_BYTES):
        raise _no_picture(RAW, head, info, name)
    size = source.size if source.size is not None else content_length
    assert size is not None  # told, given, or just measured
    digest = await _sha256(source) if sha256 is True else None
    return Plan(
        source=source,
        size=size,
        file_name=name,
        label=label,
        mime_type=mime,
        sha256=digest,
        on_created=on_created,
        on_progress=on_progress,
    )


async def _held_source(file: object, held: contextlib.AsyncExitStack, stage: int) -> Source:
    if isinstance(getattr(type(file), "read", None), property):
        await _open_lazy(file, held)
    if hasattr(file, "read"):
        held.enter_context(_alone(file))
    source = await source_of(file, stage)
    if isinstance(source, BytesSource):
        held.callback(source.release)
    if isinstance(source, StreamSource):
        held.push_async_callback(source.aclose)
    return source


async def _open_lazy(file: object, held: contextlib.AsyncExitStack) -> None:
    """Open a file that opens itself when it is asked for `read`, as Django's fields do: perhaps by calls over the network."""
    was_closed = getattr(file, "closed", None) is True
    await userland.read(getattr, file, "read")
    close = getattr(file, "close", None)
    if was_closed and callable(close):
        held.push_async_callback(userland.read, close)


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


@attrs.frozen
class _SourceInfo:
    """The origin of a source and the place where reading it began, for messages."""

    path: str | None
    position: int  # of a handle, when it was given
    begun: bool  # whether a stream is known to have been read before
    in_memory: bool
    pixels: bool  # whether it is an array of several dimensions
    is_stream: bool

    @classmethod
    def of(cls, source: Source) -> _SourceInfo:
        data = source if isinstance(source, BytesSource) else None
        stream = source if isinstance(source, StreamSource) else None
        return cls(
            path=source.path if isinstance(source, PathSource | StreamSource) else None,
            position=source.start if isinstance(source, FileSource | StreamSource) else 0,
            begun=stream is not None and stream.begun,
            in_memory=data is not None,
            pixels=data is not None and data.dimensions > 1,
            is_stream=stream is not None and stream.size is None,
        )

    def label(self, name: str) -> str:
        """Return what messages about an upload begin with: the path as it was given, else the name."""
        return shortened(name) if self.path is None else path_for_message(self.path)

    @property
    def hint(self) -> str:
        """The reason why the rest of what was read before is no picture, and what to do; empty where it was not read before."""
        if self.position:
            return (
                f" The file stands at position {self.position}, and what comes before that is not uploaded: "
                "file.seek(0) goes back to its start."
            )
        if self.begun:
            return " It was read in part before, and only the rest would be uploaded: begin it anew."
        return ""


def _require_picture(sniffed: SupportedMimeType | None, head: bytes, info: _SourceInfo, name: str) -> None:
    if head:
        if sniffed is None:
            raise _no_picture(describe(head), head, info, name)
        return
    if info.position:
        found = f"nothing is left of this file, which stands at its end (position {info.position})"
        advice = " file.seek(0) goes back to its start."
    elif info.begun or info.is_stream:
        found = "no bytes came: it was read to its end before"
        found += "" if info.begun else ", or is empty"
        advice = " Begin it anew, or give the bytes."
    else:
        found, advice = "this is an empty file", " Was it written, and closed after that?"
        if info.in_memory:
            found, advice = "these are no bytes at all", " Look where they come from."
    raise UnsupportedImageError(f"{info.label(name)}: {found}. Nothing was sent.{advice}", file_name=name)


def _no_picture(found: str, head: bytes, info: _SourceInfo, name: str) -> UnsupportedImageError:
    advice = info.hint or f" {remedy(found, head, pixels=info.pixels, in_memory=info.in_memory)}"
    return UnsupportedImageError(
        f"{info.label(name)}: this is {found}, none of the ten supported picture types (JPEG, JXL, PNG, WebP, AVIF, GIF, "
        f"ICO, HEIC, BMP, TIFF). Nothing was sent.{advice}",
        file_name=name,
    )


def _require_length(source: Source, content_length: int | None, info: _SourceInfo, name: str) -> None:
    if content_length is not None and source.size is not None and source.size != content_length:
        told = (
            f" from position {info.position} on (file.seek(0) goes back to its start)"
            if info.position
            else ""
        )
        raise UploadSizeError(
            f"{info.label(name)}: content_length={content_length} was given, but it has {source.size} bytes{told}. Nothing was "
            "sent. Leave content_length out where the size is known.",
            file_name=name,
        )


async def _sha256(source: Source) -> str:
    digest = hashlib.sha256()
    async with contextlib.aclosing(source.open()) as pieces:
        async for piece in pieces:
            await userland.disk(digest.update, piece)
    return digest.hexdigest()
