"""Create a source from the object that a caller uploads: detect the kind, name and size of the object."""

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
from imgwire_async.formatting import quoted, shorten_file_name_in
from imgwire_async.uploads import hints
from imgwire_async.uploads.chunks import flat_view, from_async_iterator, from_iterator, from_reader, split
from imgwire_async.uploads.disk import CHUNK_SIZE, FileStat, Handle, open_path
from imgwire_async.uploads.pipes import from_special_file, from_unseekable
from imgwire_async.uploads.sdk_source import SDKSource
from imgwire_async.uploads.source import (
    BytesSource,
    FileSource,
    Source,
    StreamSource,
    UploadSource,
    UserSource,
)

_ACCEPTED_KINDS = (
    "a path, bytes or a buffer of them, a binary file object, an async file, an object with an async read(n) or read_chunk(n), "
    "an iterator or async iterator of bytes, or an UploadSource"
)

# Python decodes each undecodable byte of a path to a surrogate (PEP 383).
_SURROGATES = re.compile("[\ud800-\udfff]")


async def open_source(file: object, head_bytes: int) -> Source:
    """Open `file` as a source.

    If `file` is a path, its first `head_bytes` bytes are read right away. Raises `TypeError` for an object
    that cannot be uploaded, `ValueError` for a string that cannot be a path, and `OSError` for a path that
    cannot be opened.
    """
    if isinstance(file, str | os.PathLike):
        return await _path_source(cast("str | os.PathLike[str]", file), head_bytes)
    if isinstance(file, SDKSource):
        return file
    if hints.has_buffer(file):
        dimensions = 1 if isinstance(file, bytes | bytearray) else len(getattr(file, "shape", (0,)))
        return BytesSource(flat_view(file, f"file must be {_ACCEPTED_KINDS}"), dimensions=dimensions)
    if not isinstance(file, io.IOBase) and (hint := hints.for_object(file)) is not None:
        if isinstance(file, Coroutine):
            # Close the coroutine, so that Python does not warn that it was never awaited.
            file.close()
        raise TypeError(hint)
    # On Python 3.11 `isinstance` with a protocol reads all attributes of the protocol. Some closed files open
    # themselves when `name` or `size` is read. So check first for an attribute that only an `UploadSource`
    # has.
    if hasattr(file, "replayable") and isinstance(file, UploadSource):
        source = UserSource(file)
        # Type detection reads the first bytes. A source that can be opened only once cannot yield them again,
        # so a `StreamSource` keeps them.
        return source if source.replayable else StreamSource(source.open(), source.name, source.size)
    name = name_of(file)
    if isinstance(file, io.TextIOBase):
        raise TypeError(_text_file_message(file))
    for method in ("read_chunk", "read"):
        reader: Any = getattr(file, method, None)
        if reader is not None and inspect.iscoroutinefunction(reader):
            return await _async_source(file, reader, name)
    if callable(getattr(file, "read", None)):
        return await _file_source(cast("IO[bytes]", file), name)
    # If an object has a plain and an async iterator, the blocking client uses the plain iterator.
    use_plain = hasattr(file, "__iter__") and user_code.current_caller.get() is not None
    if hasattr(file, "__aiter__") and not use_plain:
        _reject_in_blocking_client(file)
        chunks = from_async_iterator(cast("AsyncIterator[bytes]", file))
        return StreamSource(chunks, name, was_started=hints.was_started(file))
    if hasattr(file, "__iter__"):
        chunks = from_iterator(iter(cast("Iterable[bytes]", file)))
        return StreamSource(chunks, name, was_started=hints.was_started(file))
    raise checks.wrong_type("file", _ACCEPTED_KINDS, file)


# The format characters of the buffer protocol that stand for numbers.
_NUMBER_FORMATS = frozenset("cbB?hHiIlLqQnNefd")


def is_number_array(file: object) -> bool:
    """Return whether an object is an array of numbers.

    An array of numbers is the content of one file. An array of strings or objects may be a list of many
    files.
    """
    try:
        view = memoryview(cast("bytes", file))
    except (TypeError, ValueError):
        return False
    with view:
        return view.format.lstrip("@=<>!") in _NUMBER_FORMATS


async def _path_source(path: str | os.PathLike[str], head_bytes: int) -> Source:
    try:
        path_string = checks.path("file", path)
    except ValueError:
        if isinstance(path, str) and (hint := hints.for_path(as_str(path))) is not None:
            raise ValueError(hint) from None
        raise
    if not path_string:
        raise ValueError("file must not be an empty path")
    name = base_name(os.path.basename(path_string))  # noqa: PTH119  # any os.PathLike
    try:
        opened = await open_path(path_string, name, head_bytes)
    except OSError as error:
        _add_path_hint(error, path_string)
        raise
    if isinstance(opened, Handle):
        return StreamSource(from_special_file(opened), name, path=path_string)
    return opened


# An `OSError` with one of these numbers means that no file exists, or can exist, at the path.
_MISSING_FILE_ERRNOS = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL})


def _add_path_hint(error: OSError, path: str) -> None:
    """Shorten the path in an error of `open`, and add advice to the error if no file exists at the path.

    Raises `ValueError` with the advice if `path` is not a path at all, but for example a URL or base64.
    """
    if error.errno not in _MISSING_FILE_ERRNOS:
        return shorten_file_name_in(error)
    if (hint := hints.for_path(path)) is not None:
        # The `OSError` is not shown as the cause, because its message would contain the whole URL or base64.
        raise ValueError(hint) from None
    if hint := hints.for_missing_path(path):
        error.strerror = f"{error.strerror} ({hint})"
    return shorten_file_name_in(error)


def _text_file_message(file: io.TextIOBase) -> str:
    if isinstance(file, io.StringIO):
        return "file is an io.StringIO, which holds text; put the bytes of a picture into an io.BytesIO"
    return _text_mode_message(file)


def _text_mode_message(file: object) -> str:
    return f"{_describe(file)} is open in text mode; open it with mode 'rb'"


# Exceptions of `seekable`, `seek` and `tell` which mean that a file cannot seek. Some files raise them
# although `seekable()` returns True.
_NOT_SEEKABLE_ERRORS = (OSError, ValueError, NotImplementedError, AttributeError)


async def _file_source(file: IO[bytes], name: str | None) -> Source:
    found = await user_code.run_reader(_measure, file)
    if isinstance(found, bytes):
        return StreamSource(from_unseekable(file, found), name)
    start, size, file_stat = found
    return FileSource(file, name, start, size, file_stat)


def _require_open(file: object) -> None:
    if True in (getattr(candidate, "closed", None) for candidate in (file, getattr(file, "file", None))):
        raise ValueError(
            f"{_describe(file)} is closed: open it again, and upload it before its `with` block or its request ends"
        )


def _describe(file: object) -> str:
    name = name_of(file)
    return f"the file {quoted(name)}" if name else "the file"


def _measure(file: IO[bytes]) -> tuple[int, int, FileStat | None] | bytes:
    """Return the position of a file object, the number of bytes after that position, and its `FileStat`.

    For a file of unknown size, return instead the bytes that this function had to read from the file, or b""
    if it read none.
    """
    _require_open(file)
    try:
        if not file.seekable():
            return b""
    except _NOT_SEEKABLE_ERRORS:
        return b""
    # `read(0)` shows whether the file is readable and binary. It is called for seekable files only, because
    # `read(0)` of uWSGI's `wsgi.input` reads everything.
    try:
        empty: object = file.read(0)
    except io.UnsupportedOperation as error:
        raise ValueError(f"{_describe(file)} is open for writing only; open it with mode 'rb'") from error
    if isinstance(empty, str):
        raise TypeError(_text_mode_message(file))
    try:
        start: Any = file.tell()
        if not isinstance(start, int):
            return b""
    except _NOT_SEEKABLE_ERRORS:
        return b""
    try:
        file.seek(0, io.SEEK_END)
        end = file.tell()
    except _NOT_SEEKABLE_ERRORS:
        with contextlib.suppress(*_NOT_SEEKABLE_ERRORS):
            file.seek(start)
        return b""
    # An exception of this `seek` is not caught, because the file would stay at its end and nothing would be
    # uploaded.
    file.seek(start)
    if end > start:
        return start, end - start, _disk_file_stat(file)
    # Some files report a size of 0 although they have content, such as those in /proc, because the kernel
    # generates their content when they are read.
    data = b"".join(split(file.read(CHUNK_SIZE)))
    return data or (start, 0, _disk_file_stat(file))


def _disk_file_stat(file: IO[bytes]) -> FileStat | None:
    """Return the `FileStat` of a file object, or None if it is not a regular file on disk."""
    raw = _raw_file(file)
    try:
        status = None if raw is None else os.fstat(raw.fileno())
    except (OSError, ValueError):
        return None
    return FileStat.of(status) if status is not None and stat.S_ISREG(status.st_mode) else None


def _raw_file(file: object) -> io.FileIO | None:
    """Return the `io.FileIO` inside a file object, or None if there is none.

    Only the `fileno` method of an `io.FileIO` is safe to call. For example, `fileno` of a
    `SpooledTemporaryFile` moves the content of the file from memory to the disk.
    """
    raw: Any = file
    if issubclass(type(file), tempfile.SpooledTemporaryFile):
        raw = getattr(raw, "_file", None)
    elif not isinstance(file, io.IOBase):
        # A `NamedTemporaryFile` keeps the wrapped file in the attribute `file`.
        raw = getattr(raw, "file", None)
    if isinstance(raw, io.BufferedReader | io.BufferedRandom):
        raw = getattr(cast("object", raw), "raw", None)
    return raw if isinstance(raw, io.FileIO) else None


async def _async_source(file: object, reader: Callable[[int], Awaitable[bytes]], name: str | None) -> Source:
    _reject_in_blocking_client(file)
    _require_open(file)
    # anyio and aiofiles keep the wrapped file in these attributes. A file in text mode is rejected here,
    # because its first `read` would raise a less clear error about the encoding.
    if any(isinstance(getattr(file, attribute, None), io.TextIOBase) for attribute in ("wrapped", "_file")):
        raise TypeError(_text_mode_message(file))
    at_eof = getattr(file, "at_eof", None)
    if not callable(at_eof) or inspect.iscoroutinefunction(at_eof):
        at_eof = None
    start, size = await _async_size(file)
    return StreamSource(from_reader(reader, at_eof), name, size, start=start)


def _reject_in_blocking_client(file: object) -> None:
    if user_code.current_caller.get() is not None:
        raise TypeError(
            f"{type(file).__name__} can only be read asynchronously: use AsyncImgwireClient, or pass its bytes"
        )


async def _async_size(file: Any) -> tuple[int, int | None]:
    """Return an async file's position and the number of bytes after that; 0 and None if unknown."""
    seek, tell = getattr(file, "seek", None), getattr(file, "tell", None)
    if inspect.iscoroutinefunction(seek) and inspect.iscoroutinefunction(tell):
        try:
            start = await tell()
            await seek(0, io.SEEK_END)
            end = await tell()
            await seek(start)
        except _NOT_SEEKABLE_ERRORS:
            return 0, None
        return (start, end - start) if isinstance(start, int) and isinstance(end, int) else (0, None)
    inner, total = getattr(file, "file", None), getattr(file, "size", None)
    # `size` of Starlette's `UploadFile` counts the whole file, so the bytes before the position are
    # subtracted.
    if isinstance(total, int) and callable(getattr(inner, "tell", None)):
        start = cast("IO[bytes]", inner).tell()
        return start, max(0, total - start)
    return 0, None


def name_of(file: object) -> str | None:
    """Return the base name of a file object's `filename` or `name` attribute, or None without a name.

    Attributes that are not strings are ignored.
    """
    # For files of the standard library `name` is read first, because `filename` of a `GzipFile` emits a
    # DeprecationWarning.
    is_standard = isinstance(file, io.IOBase)
    for attribute in ("name", "filename") if is_standard else ("filename", "name"):
        name = getattr(file, attribute, None)
        # Python gives files without a name the names "<stdin>" and "<fdopen>".
        if isinstance(name, str) and name[:1] == "<":
            return None
        if isinstance(name, str) and ((base := base_name(name)) or is_standard):
            return base or None
    return None


def base_name(name: str) -> str:
    """Return the last part of a path of any operating system. Undecodable bytes in it become U+FFFD."""
    # Most names are plain ASCII without a directory and need no change.
    if name.isascii() and "/" not in name and "\\" not in name:
        return name
    return _without_surrogates(name.replace("\\", "/").rstrip("/").rpartition("/")[2])


def _without_surrogates(name: str) -> str:
    return _SURROGATES.sub("\ufffd", name)
