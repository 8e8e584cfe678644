"""Extract ZIP archives from untrusted sources.

First, all entries are validated before anything is written. Second, the files are extracted into a temporary
directory, in which their names are numbers, and the number of bytes is limited. Third, the files are moved to
their final paths. When a move fails, the earlier moves are undone. All functions here block.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, BinaryIO, Literal, cast

import attrs

from imgwire_async import checks
from imgwire_async.archive_entries import (
    Entry,
    Parts,
    entry_error,
    validated_entries,
)
from imgwire_async.atomic import file_exists_error, new_file, rename_no_replace
from imgwire_async.errors import ArchiveError
from imgwire_async.formatting import path_for_message, quoted, shorten_file_name_in
from imgwire_async.redaction import escape_unprintable

_CHUNK_SIZE = 256 * 1024
# An archive is rejected as a ZIP bomb when its content is more than this many times larger than the archive.
# Pictures are compressed already, so ZIP can hardly make them smaller.
_MAX_EXPANSION = 250
# An archive with at most this many bytes of content is never rejected as a ZIP bomb.
_ALWAYS_ALLOWED_BYTES = 2**20
# zipfile reads the list of entries (the central directory) into memory, so its size is limited. The limit is
# the larger of two numbers: `_DIRECTORY_BYTES`, and `_DIRECTORY_BYTES_PER_FILE` times `max_files`.
_DIRECTORY_BYTES, _DIRECTORY_BYTES_PER_FILE = 4 * 2**20, 1024

# The exceptions that zipfile raises for a corrupt archive.
_CORRUPT_ERRORS = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, OverflowError, RuntimeError, ValueError,
    LookupError,
)  # fmt: skip


def extract_archive(
    path: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    max_files: int = 10_000,
    max_bytes: int = 10 * 2**30,
    overwrite: bool = False,
    on_clash: Literal["refuse", "rename"] = "refuse",
) -> list[Path]:
    """Extract a ZIP archive into the directory `target`.

    Either all files are extracted or none: after an error the target is unchanged. This function blocks. In a
    coroutine, call `await asyncio.to_thread(extract_archive, ...)`.

    Args:
        path: The path of the archive.
        target: The directory for the files. It is created if it does not exist.
        max_files: The maximum number of entries in the archive.
        max_bytes: The maximum size of all extracted files together, in bytes.
        overwrite: Whether to replace existing files.
        on_clash: What to do when two names in the archive would be the same name on some file system, for
            example `a.jpg` and `A.jpg`. "refuse": raise an error. "rename": keep the first name, and change
            the others to `A (2).jpg`, `A (3).jpg` and so on. A number is skipped when another entry
            has the new name, or when a file with this name exists and `overwrite` is False.

    Returns:
        The paths of the extracted files, in the order of the archive.

    Raises:
        ArchiveError: The archive is corrupt or encrypted, exceeds a limit, or expands like a ZIP bomb. Or it
            contains a link, a name that leads out of the target, a name of a device, or (with "refuse") two
            names that clash.
        FileExistsError: A file exists and `overwrite` is False, or it is not a regular file.
        OSError: Another error of the file system, for example a file in the place of a directory.
    """
    max_files = checks.integer("max_files", max_files, minimum=0, maximum=None)
    max_bytes = checks.integer("max_bytes", max_bytes, minimum=0, maximum=None)
    overwrite = checks.flag("overwrite", overwrite)
    rename = _check_on_clash(on_clash)
    root = Path(checks.path("target", target))
    source = checks.path("path", path)
    with _add_path_to_errors(source), Path(source).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        with _open_zip(file, size, max_files) as archive:

            def exists(parts: Parts) -> bool:
                return not overwrite and os.path.lexists(root.joinpath(*parts))

            entries = validated_entries(archive.infolist(), max_files, exists if rename else None)
            budget = Budget(max_bytes, max(_ALWAYS_ALLOWED_BYTES, size * _MAX_EXPANSION))
            budget.check(sum(entry.info.file_size for entry in entries))
            return _extract(archive, entries, root, budget, overwrite=overwrite)


def _check_on_clash(on_clash: object) -> bool:
    """Check the argument `on_clash`, and return whether it is "rename"."""
    expected = '"refuse" or "rename"'
    mode = checks.text("on_clash", on_clash, expected=expected)
    if mode not in {"refuse", "rename"}:
        raise checks.wrong_text("on_clash", expected, mode)
    return mode == "rename"


def _extract(
    archive: zipfile.ZipFile, entries: Sequence[Entry], root: Path, budget: Budget, *, overwrite: bool
) -> list[Path]:
    for entry in entries:
        _check_path(root, entry, overwrite=overwrite)
    files = [entry for entry in entries if not entry.is_directory]
    with ExitStack() as undo_root:
        _make_root(root, undo_root)
        with tempfile.TemporaryDirectory(prefix=".extracting-", dir=root, ignore_cleanup_errors=True) as name:
            staging = Path(name)
            for number, entry in enumerate(files):
                _extract_file(archive, entry, staging / str(number), budget)
            with ExitStack() as undo:
                for entry in entries:
                    _make_parents(root, entry, undo)
                for number, entry in enumerate(files):
                    # Another process may have created a file since the first check.
                    _check_path(root, entry, overwrite=overwrite)
                    _move_to_target(staging / str(number), entry.path_in(root), undo, overwrite=overwrite)
                undo.pop_all()
        undo_root.pop_all()
    return [entry.path_in(root) for entry in files]


# --- reading --------------------------------------------------------------------------------------------


class _BoundedFile:
    """The open file of an archive, with a limit for the size of one `read`.

    `zipfile` reads the central directory of an archive in one call. So the limit keeps a huge directory from
    filling the memory.
    """

    def __init__(self, file: BinaryIO, size: int, max_read: int) -> None:
        self._file = file
        self._size = size
        self._max_read = max_read
        self.tell = file.tell
        self.seekable = file.seekable

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a position in the file. Raises `BadZipFile` for a negative position."""
        if offset < 0 and whence == 0:
            raise zipfile.BadZipFile("an offset is negative")
        return self._file.seek(offset, whence)

    def read(self, length: int = -1) -> bytes:
        """Read at most `length` bytes. Raises `BadZipFile` when these are more bytes than the limit."""
        remaining = max(0, self._size - self._file.tell())
        wanted = remaining if length < 0 else min(length, remaining)
        if wanted > self._max_read:
            raise zipfile.BadZipFile("its central directory is too large")
        return self._file.read(wanted)


def _open_zip(file: BinaryIO, size: int, max_files: int) -> zipfile.ZipFile:
    bounded = _BoundedFile(file, size, max(_DIRECTORY_BYTES, max_files * _DIRECTORY_BYTES_PER_FILE))
    try:
        return zipfile.ZipFile(cast("IO[bytes]", bounded))
    except _CORRUPT_ERRORS as error:
        raise _corrupt_error(error) from error


@attrs.define
class Budget:
    """The limits for the size of the extracted files, and the number of bytes extracted so far.

    `max_bytes` is the limit of the caller. `max_expanded` is the limit above which the archive is a ZIP bomb.
    """

    max_bytes: int
    max_expanded: int
    used: int = 0

    def check(self, size: int) -> None:
        """Raise `ArchiveError` when files of `size` bytes together exceed a limit."""
        if size > self.max_bytes:
            raise ArchiveError(f"the archive expands to more than max_bytes={self.max_bytes}")
        if size > self.max_expanded:
            raise ArchiveError(
                f"the archive expands to more than {_MAX_EXPANSION} times its size, like a ZIP bomb"
            )

    def spend(self, size: int) -> None:
        """Add `size` to the extracted bytes. Raises `ArchiveError` when they exceed a limit.

        The bytes are counted because the sizes that an archive declares may be wrong.
        """
        self.used += size
        self.check(self.used)


# --- extraction -----------------------------------------------------------------------------------------


def _check_path(root: Path, entry: Entry, *, overwrite: bool) -> None:
    """Raise an error when an entry cannot be written to the directory `root`.

    The reasons are: a part of the path is a link, a file is in the place of a directory or the reverse, or
    the file exists and may not be replaced.
    """
    path = root
    for part in entry.directories:
        path /= part
        mode = _file_mode(path)
        if mode is None:
            return
        if not stat.S_ISDIR(mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    path = entry.path_in(root)
    mode = None if entry.is_directory else _file_mode(path)
    if mode is None:
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not overwrite or not stat.S_ISREG(mode):
        raise file_exists_error(path, replaceable=stat.S_ISREG(mode))


def _file_mode(path: Path) -> int | None:
    """Return the file mode of `path`, or None when `path` does not exist.

    Raises `ArchiveError` for a link, because it may lead out of the target directory.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(mode):
        raise ArchiveError(f"{quoted(str(path))} in the target is a link; nothing is written through links")
    return mode


def _make_root(root: Path, undo: ExitStack) -> None:
    missing: list[Path] = []
    directory = root
    while not os.path.lexists(directory):
        missing.append(directory)
        directory = directory.parent
    if not directory.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(directory))
    for directory in reversed(missing):
        _make_directory(directory, undo)


def _make_parents(root: Path, entry: Entry, undo: ExitStack) -> None:
    directory = root
    for part in entry.directories:
        directory /= part
        if _file_mode(directory) is None:
            _make_directory(directory, undo)


def _make_directory(directory: Path, undo: ExitStack) -> None:
    directory.mkdir()
    undo.callback(_run_ignoring_os_error, directory.rmdir)


def _extract_file(archive: zipfile.ZipFile, entry: Entry, path: Path, budget: Budget) -> None:
    written = 0
    with new_file(path) as file:
        for chunk in _chunks(archive, entry.info):
            budget.spend(len(chunk))
            written += file.write(chunk)
    if written != entry.info.file_size:
        raise entry_error(entry.info, f"has {written} bytes, but declares {entry.info.file_size}")


def _chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    try:
        with archive.open(info) as source:
            while chunk := source.read(_CHUNK_SIZE):
                yield chunk
    except _CORRUPT_ERRORS as error:
        raise _corrupt_error(error, info) from error


def _move_to_target(source: Path, target: Path, undo: ExitStack, *, overwrite: bool) -> None:
    """Move an extracted file to its final path, and add the reverse step to `undo`."""
    if not overwrite or _file_mode(target) is None:
        rename_no_replace(source, target)
        undo.callback(_run_ignoring_os_error, target.unlink)
        return
    backup = source.with_name(f"{source.name}.before")
    try:
        backup.hardlink_to(target)
    except OSError:
        # The file system has no hard links, so copy the file.
        shutil.copy2(target, backup)
    source.replace(target)
    undo.callback(_run_ignoring_os_error, lambda: backup.replace(target))


def _run_ignoring_os_error(step: Callable[[], object]) -> None:
    # A step of the undo fails if another process has changed the target. The remaining steps must still run.
    with contextlib.suppress(OSError):
        step()


# --- error messages -------------------------------------------------------------------------------------


@contextmanager
def _add_path_to_errors(path: str) -> Generator[None, None, None]:
    """Add the path of the archive to the message of an `ArchiveError`. Shorten the path in an `OSError`."""
    try:
        yield
    except ArchiveError as error:
        error.args = (escape_unprintable(f"{path_for_message(path)}: {error}"),)
        raise
    except OSError as error:
        shorten_file_name_in(error)
        raise


def _corrupt_error(error: BaseException, info: zipfile.ZipInfo | None = None) -> ArchiveError:
    where = "" if info is None else f" at {quoted(info.orig_filename)}"
    detail = " ".join(ascii(str(error))[1:-1].split())[:200]
    return ArchiveError(
        f"the archive is corrupt{where}, or not a ZIP file ({detail}). The target is unchanged. Download it again."
    )
