"""Which kind of source a thing is, what it is called, and how many bytes it holds."""

from __future__ import annotations

import inspect
import io
import os
import re
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import IO, Any, cast

from imgwire_async import userland
from imgwire_async.uploads.disk import Stamp, source_at
from imgwire_async.uploads.pipes import from_special_file, from_unseekable
from imgwire_async.uploads.source import (
    BytesSource,
    FileSource,
    ForeignSource,
    Source,
    StreamSource,
    UploadSource,
    from_async_iterator,
    from_iterator,
    from_reader,
    patiently,
)
from imgwire_async.values import path_text

ACCEPTED = (
    "a path, bytes, a binary file object, an async file, an object with an async read(n) or read_chunk(n), "
    "an iterator or async iterator of bytes, or an UploadSource"
)

_SURROGATES = re.compile("[\ud800-\udfff]")  # stand for bytes that are no text, or for nothing at all


async def source_of(file: object, stage: int) -> Source:
    """`file`, whatever it is, as a source; the first `stage` bytes of a file on disk are read along. Raises `TypeError` for what cannot be uploaded; errors of the disk pass unchanged."""
    if isinstance(file, str | os.PathLike):
        return await _path_source(cast("str | os.PathLike[str]", file), stage)
    if isinstance(file, bytes | bytearray | memoryview):
        view = memoryview(cast("bytes", file))
        return BytesSource(view.cast("B") if view.c_contiguous else memoryview(view.tobytes()))
    if isinstance(file, UploadSource):
        source = ForeignSource(file)
        # One that may be opened once is opened once: what looks at its type keeps what it read.
        return source if source.replayable else StreamSource(source.open(), source.name, source.size)
    name = name_of(file)
    if isinstance(file, io.TextIOBase):
        raise TypeError("file is open in text mode; open it with mode 'rb'")
    for method in ("read_chunk", "read"):
        reader: Any = getattr(file, method, None)
        if reader is not None and inspect.iscoroutinefunction(reader):
            return await _async_source(file, reader, name)
    if callable(getattr(file, "read", None)):
        return await _file_source(cast("IO[bytes]", file), name)
    either = hasattr(file, "__iter__") and userland.in_caller.get() is not None  # then the plain way will do
    if hasattr(file, "__aiter__") and not either:
        _require_loop(file)
        return StreamSource(from_async_iterator(cast("AsyncIterator[bytes]", file)), name)
    if hasattr(file, "__iter__") and not issubclass(type(file), Mapping | AbstractSet):
        return StreamSource(from_iterator(iter(cast("Iterable[bytes]", file))), name)
    raise TypeError(f"file must be {ACCEPTED}, not {type(file).__name__}")


async def _path_source(path: str | os.PathLike[str], stage: int) -> Source:
    where = path_text("file", path)
    if not where:
        raise ValueError("file must not be an empty path")
    name = os.path.basename(where)  # noqa: PTH119  # the text as given, also for foreign PathLikes
    source = await source_at(where, base_name(name), stage)
    return StreamSource(from_special_file(where), name) if source is None else source


async def _file_source(file: IO[bytes], name: str | None) -> Source:
    def measure() -> tuple[int, int, Stamp | None] | None:
        if isinstance(file.read(0), str):
            raise TypeError("file is open in text mode; open it with mode 'rb'")
        try:
            if not file.seekable():
                return None
            start = file.tell()
            end = file.seek(0, io.SEEK_END)
            file.seek(start)
        except (AttributeError, io.UnsupportedOperation):
            return None
        return start, end - start, _stamp_of(file)

    measured = await patiently(userland.read, measure)
    if measured is None:
        return StreamSource(from_unseekable(file), name)
    start, size, stamp = measured
    return FileSource(file, name, start, max(0, size), stamp)


def _stamp_of(file: IO[bytes]) -> Stamp | None:
    """The stamp of a real file, None for one that only lives in memory or is written to by the same object."""
    try:
        status = os.fstat(file.fileno())
    except (AttributeError, OSError, ValueError):
        return None
    return Stamp.of(status) if stat.S_ISREG(status.st_mode) else None


async def _async_source(file: object, reader: Callable[[int], Awaitable[bytes]], name: str | None) -> Source:
    _require_loop(file)
    return StreamSource(from_reader(reader), name, await _async_size(file))


def _require_loop(file: object) -> None:
    if userland.in_caller.get() is not None:
        raise TypeError(
            f"{type(file).__name__} is read asynchronously: use AsyncImgwireClient, or give its bytes"
        )


async def _async_size(file: Any) -> int | None:
    """The bytes that are left in an async file, where it can tell; else None."""
    seek, tell = getattr(file, "seek", None), getattr(file, "tell", None)
    if inspect.iscoroutinefunction(seek) and inspect.iscoroutinefunction(tell):
        try:
            start = await tell()
            await seek(0, io.SEEK_END)
            end = await tell()
            await seek(start)
        except (OSError, io.UnsupportedOperation, ValueError):
            return None
        return end - start if isinstance(start, int) and isinstance(end, int) else None
    inner, total = getattr(file, "file", None), getattr(file, "size", None)
    if isinstance(total, int) and callable(
        getattr(inner, "tell", None)
    ):  # Starlette's UploadFile counts from 0
        return max(0, total - cast("IO[bytes]", inner).tell())
    return None


def name_of(file: object) -> str | None:
    """The base name that an object carries, or None: `.filename`, else a textual `.name`, cut at both kinds of slash."""
    # Files of the standard library first by their name: GzipFile's `filename` warns.
    for attribute in ("name", "filename") if isinstance(file, io.IOBase) else ("filename", "name"):
        name = getattr(file, attribute, None)
        if isinstance(name, str) and (base := base_name(name)):
            return base
    return None


def base_name(name: str) -> str:
    """The last part of a path of any system, with bytes that are no text replaced."""
    if name.isascii() and "/" not in name and "\\" not in name:  # nearly always
        return name
    return _as_text(name.replace("\\", "/").rstrip("/").rpartition("/")[2])


def _as_text(name: str) -> str:
    return _SURROGATES.sub("\ufffd", name)
