"""Which kind of source a thing is, what it is called, and how many bytes it holds."""

from __future__ import annotations

import contextlib
import errno
import inspect
import io
import os
import re
import stat
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from typing import IO, Any, cast

from imgwire_async import checks, user_code
from imgwire_async.coercion import as_str
from imgwire_async.formatting import quoted, shorten_file_name
from imgwire_async.uploads import hints
from imgwire_async.uploads.chunks import flat, from_async_iterator, from_iterator, from_reader, slices_of
from imgwire_async.uploads.disk import CHUNK_SIZE, Handle, Stamp, open_path
from imgwire_async.uploads.pipes import from_special_file, from_unseekable
from imgwire_async.uploads.source import (
    BytesSource,
    FileSource,
    Source,
    StreamSource,
    UploadSource,
    UserSource,
)

ACCEPTED = (
    "a path, bytes or a buffer of them, a binary file object, an async file, an object with an async read(n) or read_chunk(n), "
    "an iterator or async iterator of bytes, or an UploadSource"
)

_SURROGATES = re.compile("[\ud800-\udfff]")  # stand for bytes that are no text, or for nothing at all


async def open_source(file: object, stage: int) -> Source:
    """`file`, whatever it is, as a source; the first `stage` bytes of a file on disk are read along. Raises `TypeError` for what cannot be uploaded; errors of the disk pass unchanged."""
    if isinstance(file, str | os.PathLike):
        return await _path_source(cast("str | os.PathLike[str]", file), stage)
    if has_buffer(file):
        dimensions = 1 if isinstance(file, bytes | bytearray) else len(getattr(file, "shape", (0,)))
        return BytesSource(flat(file, f"file must be {ACCEPTED}"), dimensions=dimensions)
    if not isinstance(file, io.IOBase) and (hint := hints.for_object(file)) is not None:
        if isinstance(file, Coroutine):
            file.close()  # or Python warns, too, that nobody awaited it
        raise TypeError(hint)
    # Python 3.11 asks for all of the protocol's names, and for some of a closed file's it would be opened.
    if hasattr(file, "replayable") and isinstance(file, UploadSource):
        source = UserSource(file)
        # One that may be opened once is opened once: what looks at its type keeps what it read.
        return source if source.replayable else StreamSource(source.open(), source.name, source.size)
    name = name_of(file)
    if isinstance(file, io.TextIOBase):
        raise TypeError(_text_file(file))
    for method in ("read_chunk", "read"):
        reader: Any = getattr(file, method, None)
        if reader is not None and inspect.iscoroutinefunction(reader):
            return await _async_source(file, reader, name)
    if callable(getattr(file, "read", None)):
        return await _file_source(cast("IO[bytes]", file), name)
    # A caller of the blocking client can iterate over an object that is iterable in both ways.
    either = hasattr(file, "__iter__") and user_code.current_caller.get() is not None
    if hasattr(file, "__aiter__") and not either:
        _require_loop(file)
        pieces = from_async_iterator(cast("AsyncIterator[bytes]", file))
        return StreamSource(pieces, name, begun=hints.was_started(file))
    if hasattr(file, "__iter__"):
        pieces = from_iterator(iter(cast("Iterable[bytes]", file)))
        return StreamSource(pieces, name, begun=hints.was_started(file))
    raise checks.wrong_type("file", ACCEPTED, file)


_NUMBERS = frozenset("cbB?hHiIlLqQnNefd")  # formats of the buffer protocol


def is_number_array(file: object) -> bool:
    """Whether an object is an array of numbers: one file's bytes, where an array of texts or objects may name many files."""
    try:
        view = memoryview(cast("bytes", file))
    except (TypeError, ValueError):
        return False
    with view:
        return view.format.lstrip("@=<>!") in _NUMBERS


def has_buffer(file: object) -> bool:
    """Whether an object has the buffer protocol, and so is bytes whatever else it can do."""
    if isinstance(file, bytes | bytearray | memoryview):
        return True
    try:
        memoryview(cast("bytes", file)).release()
    except TypeError:
        return False
    return True


async def _path_source(path: str | os.PathLike[str], stage: int) -> Source:
    try:
        where = checks.path("file", path)
    except ValueError:
        if isinstance(path, str) and (hint := hints.for_path(as_str(path))) is not None:
            raise ValueError(hint) from None
        raise
    if not where:
        raise ValueError("file must not be an empty path")
    name = base_name(os.path.basename(where))  # noqa: PTH119  # the text as given, also for foreign PathLikes
    try:
        source = await open_path(where, name, stage)
    except OSError as error:
        _explain(error, where)
        raise
    if isinstance(source, Handle):
        return StreamSource(from_special_file(source), name, path=where)
    return source


_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL})


def _explain(error: OSError, path: str) -> None:
    """Say what to do about a path that the system does not know, or raise `ValueError` for what is no path at all."""
    if error.errno not in _NOT_THERE:
        return shorten_file_name(error)
    if (hint := hints.for_path(path)) is not None:
        raise ValueError(hint) from None  # the system's error repeats all of it
    if hint := hints.for_missing_path(path):
        error.strerror = f"{error.strerror} ({hint})"
    return shorten_file_name(error)


def _text_file(file: io.TextIOBase) -> str:
    if isinstance(file, io.StringIO):
        return "file is an io.StringIO, which holds text: a picture's bytes belong in an io.BytesIO"
    return _text_mode(file)


def _text_mode(file: object) -> str:
    return f"{_called(file)} is open in text mode; open it with mode 'rb'"


# What `seekable`, `seek` and `tell` raise where there are no positions, whatever `seekable` says.
_NO_POSITION = (OSError, ValueError, NotImplementedError, AttributeError)


async def _file_source(file: IO[bytes], name: str | None) -> Source:
    measured = await user_code.run_reader(_measure, file)
    if isinstance(measured, bytes):
        return StreamSource(from_unseekable(file, measured), name)
    start, size, stamp = measured
    return FileSource(file, name, start, size, stamp)


def _require_open(file: object) -> None:
    if True in (getattr(each, "closed", None) for each in (file, getattr(file, "file", None))):
        raise ValueError(
            f"{_called(file)} is closed: open it again, and upload it before its `with` block or its request ends"
        )


def _called(file: object) -> str:
    name = name_of(file)
    return f"the file {quoted(name)}" if name else "the file"


def _measure(file: IO[bytes]) -> tuple[int, int, Stamp | None] | bytes:
    """Where a file object stands, how many bytes are left, and its stamp; for one without positions what was read of it."""
    _require_open(file)
    try:
        if not file.seekable():
            return b""
    except _NO_POSITION:
        return b""
    # Asked of files with positions only: to uWSGI's `wsgi.input`, and what stands before it, 0 means everything.
    try:
        nothing: object = file.read(0)
    except io.UnsupportedOperation as error:
        raise ValueError(f"{_called(file)} is open for writing only; open it with mode 'rb'") from error
    if isinstance(nothing, str):
        raise TypeError(_text_mode(file))
    try:
        start: Any = file.tell()
        if not isinstance(start, int):
            return b""
    except _NO_POSITION:
        return b""
    try:
        file.seek(0, io.SEEK_END)
        end = file.tell()
    except _NO_POSITION:
        with contextlib.suppress(*_NO_POSITION):
            file.seek(start)
        return b""
    file.seek(start)  # what fails here passes: the bytes between would be lost
    if end > start:
        return start, end - start, _stamp_of(file)
    # Some files say that they are empty, as the system makes up their content while they are read.
    piece = b"".join(slices_of(file.read(CHUNK_SIZE)))
    return piece or (start, 0, _stamp_of(file))


def _stamp_of(file: IO[bytes]) -> Stamp | None:
    """The stamp of a real file, None for one that only lives in memory or is written to by the same object."""
    real = _real_file(file)
    try:
        status = None if real is None else os.fstat(real.fileno())
    except (OSError, ValueError):
        return None
    return Stamp.of(status) if status is not None and stat.S_ISREG(status.st_mode) else None


def _real_file(file: object) -> io.FileIO | None:
    """The file of the system behind a file object, if there is one. Others are not asked: some move to the disk for `fileno`."""
    real: Any = file
    if issubclass(type(file), tempfile.SpooledTemporaryFile):
        real = getattr(real, "_file", None)
    elif not isinstance(file, io.IOBase):
        real = getattr(real, "file", None)  # a NamedTemporaryFile
    if isinstance(real, io.BufferedReader | io.BufferedRandom):
        real = getattr(cast("object", real), "raw", None)
    return real if isinstance(real, io.FileIO) else None


async def _async_source(file: object, reader: Callable[[int], Awaitable[bytes]], name: str | None) -> Source:
    _require_loop(file)
    _require_open(file)
    # Asked of the file behind it, as anyio and aiofiles have it: a read would fail in words of the encoding.
    if any(isinstance(getattr(file, each, None), io.TextIOBase) for each in ("wrapped", "_file")):
        raise TypeError(_text_mode(file))
    at_eof = getattr(file, "at_eof", None)
    if not callable(at_eof) or inspect.iscoroutinefunction(at_eof):
        at_eof = None
    start, size = await _async_size(file)
    return StreamSource(from_reader(reader, at_eof), name, size, start=start)


def _require_loop(file: object) -> None:
    if user_code.current_caller.get() is not None:
        raise TypeError(
            f"{type(file).__name__} is read asynchronously: use AsyncImgwireClient, or give its bytes"
        )


async def _async_size(file: Any) -> tuple[int, int | None]:
    """Return the position of an async file, and how many bytes are left in it; 0 and None where it cannot tell."""
    seek, tell = getattr(file, "seek", None), getattr(file, "tell", None)
    if inspect.iscoroutinefunction(seek) and inspect.iscoroutinefunction(tell):
        try:
            start = await tell()
            await seek(0, io.SEEK_END)
            end = await tell()
            await seek(start)
        except _NO_POSITION:
            return 0, None
        return (start, end - start) if isinstance(start, int) and isinstance(end, int) else (0, None)
    inner, total = getattr(file, "file", None), getattr(file, "size", None)
    # Starlette's UploadFile counts from 0.
    if isinstance(total, int) and callable(getattr(inner, "tell", None)):
        start = cast("IO[bytes]", inner).tell()
        return start, max(0, total - start)
    return 0, None


def name_of(file: object) -> str | None:
    """The base name that an object carries, or None: `.filename`, else a textual `.name`, cut at both kinds of slash."""
    # Files of the standard library first by their name: GzipFile's `filename` warns.
    standard = isinstance(file, io.IOBase)
    for attribute in ("name", "filename") if standard else ("filename", "name"):
        name = getattr(file, attribute, None)
        # Python's own word for what has no name: "<stdin>", "<fdopen>".
        if isinstance(name, str) and name[:1] == "<":
            return None
        if isinstance(name, str) and ((base := base_name(name)) or standard):
            return base or None
    return None


def base_name(name: str) -> str:
    """The last part of a path of any system, with bytes that are no text replaced."""
    if name.isascii() and "/" not in name and "\\" not in name:  # nearly always
        return name
    return _as_text(name.replace("\\", "/").rstrip("/").rpartition("/")[2])


def _as_text(name: str) -> str:
    return _SURROGATES.sub("\ufffd", name)
