"""Walk through the files of a folder, in worker threads. All functions here block."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import attrs

from imgwire_async.batch.items import Entry, Identity, Skip
from imgwire_async.batch.keys import key_bytes
from imgwire_async.batch.sources.base import CHUNK, MAX_KEY, TOO_LONG_KEY
from imgwire_async.batch.sources.globs import Exclusion, Inclusion
from imgwire_async.batch.sources.own_files import OwnFiles
from imgwire_async.batch.sources.special_files import special_kind
from imgwire_async.batch_errors import BatchError
from imgwire_async.formatting import quoted

# The maximum number of names of folders that are kept before the walk goes down into these folders.
_MAX_PENDING = 1_000
# Seconds after which `read` returns. A thread that works longer than `CANCEL_GRACE` counts as stuck.
_READ_TIME = 0.1
# Seconds between two attempts to open a folder while the process has too many open files, and their number.
_PAUSE, _ATTEMPTS = 0.1, 100
# Endings of files that other sources read. Errors name these sources.
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")
_MANIFESTS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".txt")
_IS_WINDOWS = sys.platform == "win32"


@attrs.frozen
class FolderOptions:
    """What a walk through a folder takes and leaves out. `path` is absolute."""

    path: str
    prefix: str
    include: Inclusion
    exclude: Exclusion
    hidden: bool
    follow_links: bool


@attrs.define
class _OpenFolder:
    """A folder whose entries are being read. `below` is its path below the source folder, `""` or with `/`.

    `real` is its path without links. `place` is the device and the number of the folder, None if it is not
    needed. `folders` are the names of folders in it that come next, each with whether it is a link.
    """

    path: str
    below: str
    real: str
    place: tuple[int, int] | None
    entries: Iterator[os.DirEntry[str]] | None
    folders: list[tuple[str, bool]] = attrs.field(factory=list[tuple[str, bool]])


class FolderWalk:
    """A walk through a folder in steps. Any thread may call `read`, one at a time.

    `stop` may be called while a thread hangs in `read`. That thread then closes the folders when it ends.
    """

    def __init__(self, options: FolderOptions, own_paths: frozenset[Path]) -> None:
        self._options = options
        self._own = OwnFiles(own_paths)
        self._takes_all = options.include.is_empty and options.exclude.is_empty
        # The open folders, from the source folder to the deepest one.
        self._open: list[_OpenFolder] = []
        # The device and the number of the source folder, None before the first `read`.
        self._root: tuple[int, int] | None = None
        self._items: list[Entry | Skip] = []
        self._lock = threading.Lock()
        self._is_stopped = False

    def read(self) -> tuple[list[Entry | Skip], bool]:
        """Return the next items, and whether the walk is over. Return soon, also without items.

        Raises `OSError` if the folder itself cannot be read, and `BatchError` if it is moved meanwhile.
        """
        try:
            with self._lock:
                self._begin()
                deadline = time.monotonic() + _READ_TIME
                while self._open and not self._is_stopped and len(self._items) < CHUNK:
                    self._advance(self._open[-1], deadline)
                    if time.monotonic() > deadline:
                        break
                items, self._items = self._items, []
                return items, not self._open
        finally:
            if self._is_stopped:
                self.close()

    def stop(self) -> bool:
        """End the walk. Return whether `close` has to be called. This does not access the disk."""
        self._is_stopped = True
        return bool(self._open) and not self._lock.locked()

    def close(self) -> None:
        """Close all folders, unless another thread is reading. It closes them at its end."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            while self._open:
                self._close(self._open.pop())
        finally:
            self._lock.release()

    @staticmethod
    def _close(opened: _OpenFolder) -> None:
        entries, opened.entries = opened.entries, None
        # The iterator of `os.scandir` has this method, that of a replaced `os.scandir` perhaps not.
        close = getattr(entries, "close", None)
        if close is not None:
            close()

    # --- folders --------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._root is not None:
            return
        path = self._options.path
        try:
            self._root = _place_of(os.stat(path))  # noqa: PTH116  # as a str
            entries = self._scan(path)
        except NotADirectoryError as error:
            error.strerror = f"{error.strerror} (this is a file: {_advice_for_file(path)})"
            raise
        except FileNotFoundError as error:
            hint = " (~ is not expanded: pass os.path.expanduser(path))" if "/~" in path else ""
            error.strerror = f"There is no such folder{hint}"
            raise
        real = os.path.realpath(path)
        self._open.append(_OpenFolder(path, "", real, self._root, entries))

    def _scan(self, path: str) -> Iterator[os.DirEntry[str]]:
        """Open a folder. Wait while the process has too many open files."""
        for attempt in range(_ATTEMPTS):
            try:
                return os.scandir(path)
            except OSError as error:
                if error.errno not in {errno.EMFILE, errno.ENFILE} or attempt == _ATTEMPTS - 1:
                    raise
            if self._is_stopped:
                return iter(())
            time.sleep(_PAUSE)
        raise AssertionError

    def _advance(self, opened: _OpenFolder, deadline: float) -> None:
        """Read entries of a folder, or go down into the next folder, or up."""
        if opened.entries is not None and len(opened.folders) < _MAX_PENDING:
            if self._read_entries(opened, opened.entries, deadline):
                self._close(opened)
        elif opened.folders:
            name, is_link = opened.folders.pop()
            self._enter(opened, name, is_link=is_link)
        else:
            self._open.pop()

    def _read_entries(
        self, opened: _OpenFolder, entries: Iterator[os.DirEntry[str]], deadline: float
    ) -> bool:
        """Read some entries of a folder. Return whether these were the last ones."""
        own_name = self._own.names_in(opened.real)
        count = 0
        try:
            for entry in entries:
                try:
                    if own_name is None or own_name.fullmatch(entry.name) is None:
                        self._visit(opened, entry)
                except OSError as error:
                    self._skip_for(opened.below + entry.name, error)
                count += 1
                if len(self._items) >= CHUNK or len(opened.folders) >= _MAX_PENDING or self._is_stopped:
                    return False
                if not count % 100 and time.monotonic() > deadline:
                    return False
        except OSError as error:
            self._skip_for(opened.below, error)
        return True

    def _enter(self, parent: _OpenFolder, name: str, *, is_link: bool) -> None:
        """Open a folder, unless that would be a loop."""
        path = os.path.join(parent.path, name)  # noqa: PTH118  # as a str
        below = f"{parent.below}{name}/"
        place = None
        try:
            # Links can lead to a folder above. On Windows, a junction is a link that looks like a folder.
            if self._options.follow_links or _IS_WINDOWS:
                place = _place_of(os.stat(path))  # noqa: PTH116  # as a str
                if any(opened.place == place for opened in self._open):
                    key = below[:-1] if is_link else below
                    self._skip(key, "a link to a folder in which it is itself, so it has no end")
                    return
            real = os.path.realpath(path) if is_link else os.path.join(parent.real, name)  # noqa: PTH118
            self._open.append(_OpenFolder(path, below, real, place, self._scan(path)))
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                raise
            self._skip_for(below, error)

    # --- entries --------------------------------------------------------------------------------------------

    def _visit(self, opened: _OpenFolder, entry: os.DirEntry[str]) -> None:
        below = opened.below + entry.name
        options = self._options
        if entry.is_file(follow_symlinks=False):
            if (self._takes_all or self._takes_file(below)) and not self._skips_hidden(entry, below):
                self._add(below, entry.path, entry.stat(follow_symlinks=False))
        elif entry.is_dir(follow_symlinks=False):
            self._visit_folder(opened, entry, below, is_link=False)
        elif not entry.is_symlink():
            if self._takes_file(below) and not self._skips_hidden(entry, below):
                self._skip(below, special_kind(entry.stat(follow_symlinks=False)))
        elif entry.is_dir():
            if options.follow_links:
                self._visit_folder(opened, entry, below, is_link=True)
            elif not options.exclude.has_folder(below) and options.include.may_be_below(below):
                self._skip(below, "a link to a folder; follow_links=True follows it")
        elif self._takes_file(below) and not self._skips_hidden(entry, below):
            self._visit_link(entry, below)

    def _visit_folder(
        self, opened: _OpenFolder, entry: os.DirEntry[str], below: str, *, is_link: bool
    ) -> None:
        options = self._options
        if options.exclude.has_folder(below) or not options.include.may_be_below(below):
            return
        if not self._skips_hidden(entry, below + "/", "folder"):
            opened.folders.append((entry.name, is_link))

    def _visit_link(self, entry: os.DirEntry[str], below: str) -> None:
        """Visit a link to a file, or a link that leads nowhere."""
        try:
            status = entry.stat()
        except FileNotFoundError:
            self._skip(below, "a broken link, its target does not exist")
        else:
            if not self._options.follow_links:
                self._skip(below, "a link; follow_links=True follows it")
            elif not stat.S_ISREG(status.st_mode):
                self._skip(below, f"a link to {special_kind(status)}")
            elif self._own.has_path(os.path.realpath(entry.path)):
                return
            else:
                self._add(below, entry.path, status)

    def _takes_file(self, below: str) -> bool:
        options = self._options
        return options.include.has_file(below) and not options.exclude.has_file(below)

    def _skips_hidden(self, entry: os.DirEntry[str], below: str, kind: str = "file") -> bool:
        """Skip a hidden file or folder, unless hidden ones are uploaded. Return whether it is skipped."""
        if self._options.hidden or not _is_hidden(entry):
            return False
        self._skip(below, f"a hidden {kind}; hidden=True uploads it")
        return True

    def _add(self, below: str, path: str, status: os.stat_result) -> None:
        if not status.st_size:
            self._skip(below, "an empty file")
        elif not _IS_WINDOWS and status.st_mode & 0o444 != 0o444 and not _is_readable(path):
            self._skip(below, "no permission to read it")
        else:
            key = self._options.prefix + below
            if len(key) > MAX_KEY // 4 and len(key_bytes(key)) > MAX_KEY:
                self._skip(below, TOO_LONG_KEY)
                return
            self._items.append(Entry(key, path, Identity(status.st_size, status.st_mtime_ns)))

    def _skip(self, below: str, reason: str) -> None:
        self._items.append(Skip(self._options.prefix + below, reason))

    def _skip_for(self, below: str, error: OSError) -> None:
        """Skip a file or folder that cannot be read. Raises `BatchError` if the source folder is gone."""
        if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ESTALE}:
            self._require_root()
        self._skip(below, _reason(error))

    def _require_root(self) -> None:
        with contextlib.suppress(OSError):
            if _place_of(os.stat(self._options.path)) == self._root:  # noqa: PTH116  # as a str
                return
        raise BatchError(
            f"the folder {quoted(self._options.path)} was moved, deleted or unmounted while it was read. Move it back, or "
            "pass its new path as folder(path, moved=True), and run again."
        )


def _place_of(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _is_hidden(entry: os.DirEntry[str]) -> bool:
    if entry.name[0] == ".":
        return True
    if not _IS_WINDOWS:
        return False
    attributes = getattr(entry.stat(follow_symlinks=False), "st_file_attributes", 0)
    return bool(attributes & stat.FILE_ATTRIBUTE_HIDDEN)


_EFFECTIVE_IDS = os.access in os.supports_effective_ids


def _is_readable(path: str) -> bool:
    """Return whether a file can be read. Called for files that not all users can read."""
    return os.access(path, os.R_OK, effective_ids=_EFFECTIVE_IDS)


def _reason(error: OSError) -> str:
    """Return why something cannot be read, as the reason of a skip."""
    match error.errno:
        case errno.EACCES | errno.EPERM:
            return "no permission to read it"
        case errno.ENOENT | errno.ENOTDIR | errno.ESTALE:
            return "it was moved or deleted while the folder was read"
        case errno.ELOOP:
            return "a link that leads back to itself"
        case errno.ENAMETOOLONG:
            return "its path is too long for the system"
        case _:
            return f"it cannot be read: {error.strerror or error}"


def _advice_for_file(path: str) -> str:
    """Return what to pass instead of the path of a file."""
    if path.lower().endswith(_ARCHIVES):
        return "archive(path) uploads the files in it"
    if path.lower().endswith(_MANIFESTS):
        return "manifest(path) uploads the files that it lists"
    return "pass a list of paths, or the path of its folder"
