"""`extract_archive`: a ZIP that nobody vouches for, unpacked so that nothing lands outside its target, or half way.

First every entry is judged, and nothing is written. Then all is unpacked into a directory of its own, under numbers instead
of names, and real bytes are counted. Only then the files get their names; when one cannot, the others lose theirs again.
Plain, blocking code.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import struct
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, BinaryIO, Literal, cast

import attrs

from imgwire_async import checks
from imgwire_async.archive_names import (
    LONGEST_PART,
    Entry,
    Parts,
    refused,
    require_distinct,
    with_distinct_names,
)
from imgwire_async.atomic import file_exists_error, new_file, rename_no_replace
from imgwire_async.errors import ArchiveError
from imgwire_async.formatting import path_for_message, quoted, shorten_file_name
from imgwire_async.redaction import escape_unprintable

_PIECE = 256 * 1024
_GROWTH = 250  # an archive that grows more than this many times is a bomb; pictures hardly shrink in one
_HARMLESS = 2**20  # bytes that may come out of any archive, however small it is
_LONGEST_NAME, _DEEPEST = 1024, 32  # bytes, directories
_TABLE, _TABLE_PER_ENTRY = 4 * 2**20, 1024  # bytes of an archive's table of contents, which is held in memory

_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})  # these two unpack in bounded memory
_ENCRYPTED = 0x1 | 0x40 | 0x2000
# What zipfile raises when it reads nonsense, besides its own error.
_BROKEN = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, OverflowError, RuntimeError, ValueError,
    LookupError,
)  # fmt: skip

_DEVICE = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(?:\..*)?", re.IGNORECASE | re.DOTALL
)
_DRIVE = re.compile(r"[A-Za-z]:")
# They turn the reading direction around, so that a name looks like another one.
_MISLEADING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def extract_archive(
    path: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    max_files: int = 10_000,
    max_bytes: int = 10 * 2**30,
    overwrite: bool = False,
    on_clash: Literal["refuse", "rename"] = "refuse",
) -> list[Path]:
    """Unpack a ZIP archive into the directory `target`, made if it is missing; return the paths of its files, in order.

    All of it or nothing: after an error the target is as it was. Raises `ArchiveError` for an archive that is broken, has
    more than `max_files` entries or `max_bytes` bytes of content, or could do harm: names that lead out of the target, mean
    a device, or clash by case or Unicode form on some systems; links; encryption; contents that grow beyond measure. For a
    file that exists already: `FileExistsError`, unless `overwrite`. In a coroutine: `await asyncio.to_thread(extract_archive,
    ...)`.

    With `on_clash="rename"` names that clash are no error: the first one stays, the next ones become `photo (2).jpg`, `photo
    (3).jpg`, also where the very same name is there twice. Of a number nothing else in the archive has the name, and, unless
    `overwrite`, nothing in the target. The paths returned are the real ones.
    """
    max_files = checks.integer("max_files", max_files, minimum=0, maximum=None)
    max_bytes = checks.integer("max_bytes", max_bytes, minimum=0, maximum=None)
    overwrite = checks.flag("overwrite", overwrite)
    rename = _renames(on_clash)
    root = Path(checks.path("target", target))
    source = checks.path("path", path)
    with _naming(source), Path(source).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        with _opened(file, size, max_files) as archive:

            def exists(parts: Parts) -> bool:
                return not overwrite and os.path.lexists(root.joinpath(*parts))

            entries = judged(archive.infolist(), max_files, exists if rename else None)
            budget = Budget(max_bytes, max(_HARMLESS, size * _GROWTH))
            budget.check(sum(entry.info.file_size for entry in entries))
            return _extract(archive, entries, root, budget, overwrite=overwrite)


def _renames(on_clash: object) -> bool:
    wanted = '"refuse" or "rename"'
    word = checks.text("on_clash", on_clash, expected=wanted)
    if word not in {"refuse", "rename"}:
        raise checks.wrong_text("on_clash", wanted, word)
    return word == "rename"


def _extract(
    archive: zipfile.ZipFile, entries: Sequence[Entry], root: Path, budget: Budget, *, overwrite: bool
) -> list[Path]:
    for entry in entries:
        _check_free(root, entry, overwrite=overwrite)
    files = [entry for entry in entries if not entry.is_directory]
    with ExitStack() as undo_root:
        _make_root(root, undo_root)
        with tempfile.TemporaryDirectory(prefix=".extracting-", dir=root, ignore_cleanup_errors=True) as name:
            workshop = Path(name)
            for number, entry in enumerate(files):
                _unpack(archive, entry, workshop / str(number), budget)
            with ExitStack() as undo:
                for entry in entries:
                    _make_parents(root, entry, undo)
                for number, entry in enumerate(files):
                    _check_free(root, entry, overwrite=overwrite)  # who knows what happened meanwhile
                    _put_in_place(workshop / str(number), entry.under(root), undo, overwrite=overwrite)
                undo.pop_all()
        undo_root.pop_all()
    return [entry.under(root) for entry in files]


# --- judging: nothing is written -----------------------------------------------------------------------------------------


class _Careful:
    """A file as zipfile reads it. A table of contents beyond measure is not read: it would be held in memory, several times."""

    def __init__(self, file: BinaryIO, size: int, most: int) -> None:
        self._file = file
        self._size = size
        self._most = most
        self.tell = file.tell
        self.seekable = file.seekable

    def seek(self, offset: int, whence: int = 0) -> int:
        if offset < 0 and whence == 0:
            raise zipfile.BadZipFile("it points before its own beginning")
        return self._file.seek(offset, whence)

    def read(self, length: int = -1) -> bytes:
        left = max(0, self._size - self._file.tell())
        wanted = left if length < 0 else min(length, left)
        if wanted > self._most:
            raise zipfile.BadZipFile("its table of contents is too large")
        return self._file.read(wanted)


def _opened(file: BinaryIO, size: int, max_files: int) -> zipfile.ZipFile:
    careful = _Careful(file, size, max(_TABLE, max_files * _TABLE_PER_ENTRY))
    try:
        return zipfile.ZipFile(cast("IO[bytes]", careful))
    except _BROKEN as error:
        raise _broken(error) from error


def judged(
    infos: Sequence[zipfile.ZipInfo], max_files: int, exists: Callable[[Parts], bool] | None = None
) -> list[Entry]:
    """The entries of an archive. Raises `ArchiveError` for any that could do harm, alone or together.

    With `exists`, which tells what is in the target already, entries whose names clash get other names instead.
    """
    if len(infos) > max_files:
        raise ArchiveError(f"the archive has {len(infos)} entries, more than max_files={max_files}")
    entries = [_judge(info) for info in infos]
    if exists is None:
        require_distinct(entries, max_files)
    else:
        entries = with_distinct_names(entries, max_files, exists)
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise refused(info, "shares its bytes with another entry")
        end = info.header_offset + 30 + info.compress_size  # the shortest head, and the content
    return entries


def _judge(info: zipfile.ZipInfo) -> Entry:
    name = info.filename
    is_directory = name.endswith("/")
    reason = _fault_of_kind(info, is_directory=is_directory) or _fault_of_text(info.orig_filename + name)
    parts = tuple(part for part in name.split("/") if part not in {"", "."})
    if reason is None:
        reason = _fault_of_path(name, parts)
    for part in parts:
        reason = reason or _fault_of_part(part)
    if reason is not None:
        raise refused(info, reason)
    return Entry(info, parts, is_directory)


def _fault_of_kind(info: zipfile.ZipInfo, *, is_directory: bool) -> str | None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "is a link"
    if kind not in {0, stat.S_IFDIR if is_directory else stat.S_IFREG}:
        return "is no plain file"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted"
    return None if info.compress_type in _METHODS else f"is packed by method {info.compress_type}"


def _fault_of_text(text: str) -> str | None:
    if any(unicodedata.category(each) in {"Cc", "Cs", "Zl", "Zp"} for each in text):
        return "has control characters in its name"
    return "has a name that reads backwards" if not _MISLEADING.isdisjoint(text) else None


def _fault_of_path(name: str, parts: Sequence[str]) -> str | None:
    if "\\" in name:
        return "has a backslash in its name"
    if name.startswith("/") or _DRIVE.match(name):
        return "has an absolute path"
    if ".." in parts:
        return "leads out of the target"
    if not parts:
        return "has no name"
    if len(name.encode()) > _LONGEST_NAME or len(parts) > _DEEPEST:
        return "has too long a name"
    return None


def _fault_of_part(part: str) -> str | None:
    if _DEVICE.fullmatch(part):
        return "is named like a device"
    if not part.strip(" ."):
        return "has a name of blanks and dots"
    if os.name == "nt" and ":" in part:
        return "has a colon in its name"
    return "has too long a name" if len(part.encode()) > LONGEST_PART else None


@attrs.define
class Budget:
    """How many bytes may still come out."""

    max_bytes: int
    growth: int
    used: int = 0

    def check(self, size: int) -> None:
        """Raise `ArchiveError` when `size` bytes in all are too many."""
        if size > self.max_bytes:
            raise ArchiveError(f"the archive unpacks to more than max_bytes={self.max_bytes}")
        if size > self.growth:
            raise ArchiveError(f"the archive unpacks to more than {_GROWTH} times its size: a bomb")

    def spend(self, size: int) -> None:
        """Count bytes that did come out: what an archive says of itself proves nothing."""
        self.used += size
        self.check(self.used)


# --- writing -------------------------------------------------------------------------------------------------------------


def _check_free(root: Path, entry: Entry, *, overwrite: bool) -> None:
    """Raise what stands in the way of an entry: links inside the target, other things than directories, existing files."""
    place = root
    for part in entry.directories:
        place /= part
        there = _there(place)
        if there is None:
            return
        if not stat.S_ISDIR(there):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(place))
    place = entry.under(root)
    there = None if entry.is_directory else _there(place)
    if there is None:
        return
    if stat.S_ISDIR(there):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(place))
    if not overwrite or not stat.S_ISREG(there):
        raise file_exists_error(place, replaceable=stat.S_ISREG(there))


def _there(place: Path) -> int | None:
    """The mode of what is there, None when nothing is. Raises for a link, which would lead the file somewhere else."""
    try:
        mode = place.lstat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(mode):
        raise ArchiveError(f"{quoted(str(place))} in the target is a link; nothing is written through links")
    return mode


def _make_root(root: Path, undo: ExitStack) -> None:
    missing: list[Path] = []
    place = root
    while not os.path.lexists(place):
        missing.append(place)
        place = place.parent
    if not place.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(place))
    for each in reversed(missing):
        _make_directory(each, undo)


def _make_parents(root: Path, entry: Entry, undo: ExitStack) -> None:
    place = root
    for part in entry.directories:
        place /= part
        if _there(place) is None:
            _make_directory(place, undo)


def _make_directory(place: Path, undo: ExitStack) -> None:
    place.mkdir()
    undo.callback(_quietly, place.rmdir)


def _unpack(archive: zipfile.ZipFile, entry: Entry, place: Path, budget: Budget) -> None:
    written = 0
    with new_file(place) as file:
        for piece in _pieces(archive, entry.info):
            budget.spend(len(piece))
            written += file.write(piece)
    if written != entry.info.file_size:
        raise refused(entry.info, f"has {written} bytes instead of the {entry.info.file_size} it declares")


def _pieces(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    try:
        with archive.open(info) as source:
            while piece := source.read(_PIECE):
                yield piece
    except _BROKEN as error:
        raise _broken(error, info) from error


def _put_in_place(source: Path, place: Path, undo: ExitStack, *, overwrite: bool) -> None:
    if not overwrite or _there(place) is None:
        rename_no_replace(source, place)
        undo.callback(_quietly, place.unlink)
        return
    saved = source.with_name(f"{source.name}.before")
    try:
        saved.hardlink_to(place)
    except OSError:  # a file system without hard links
        shutil.copy2(place, saved)
    source.replace(place)
    undo.callback(_quietly, lambda: saved.replace(place))


def _quietly(step: Callable[[], object]) -> None:
    # Somebody else took it, or put something there: no reason to stop tidying up.
    with contextlib.suppress(OSError):
        step()


# --- telling -------------------------------------------------------------------------------------------------------------


@contextmanager
def _naming(path: str) -> Generator[None, None, None]:
    """Let the errors about an archive begin with its path."""
    try:
        yield
    except ArchiveError as error:
        error.args = (escape_unprintable(f"{path_for_message(path)}: {error}"),)
        raise
    except OSError as error:
        shorten_file_name(error)
        raise


def _broken(error: BaseException, info: zipfile.ZipInfo | None = None) -> ArchiveError:
    where = "" if info is None else f" at {quoted(info.orig_filename)}"
    told = " ".join(ascii(str(error))[1:-1].split())[:200]
    return ArchiveError(
        f"the archive is broken{where}, or no ZIP at all ({told}). The target is as it was. Download it again."
    )
