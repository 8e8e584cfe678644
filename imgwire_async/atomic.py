"""Files that appear whole or not at all: written under a name of their own, then put in place in one step. Plain, blocking code."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import threading
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import BinaryIO

_A_MOMENT = 0.1  # seconds in which work on a disk that does not hang is over
_FLAGS = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def new_file(path: Path) -> BinaryIO:
    """A new file, open for writing. Raises `FileExistsError` when anything has that name; the umask decides who may read it."""
    return os.fdopen(os.open(path, _FLAGS, 0o666), "wb")


def place_new(source: Path, target: Path) -> None:
    """Give the file `source` the name `target`. Raises `FileExistsError` when that is taken, also at the last moment."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise taken(target) from None
    except OSError:  # a file system without hard links: take the name first
        new_file(target).close()
        try:
            source.replace(target)
        except OSError:
            remove(target)
            raise
    else:
        remove(source)  # what it was made for is done, also when a virus scanner holds it


def remove(path: Path) -> None:
    """Remove a file that is not wanted any more, if the system lets it go: what happened before counts more."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def taken(path: Path, *, replaceable: bool = True) -> FileExistsError:
    """Return the error of a name that something else has already; `replaceable`: a file, which may be replaced."""
    hint = " (overwrite=True replaces it)" if replaceable else " (no file, so it is not replaced)"
    return FileExistsError(errno.EEXIST, f"{os.strerror(errno.EEXIST)}{hint}", str(path))


def check_place(target: Path, *, overwrite: bool) -> None:
    """Raise what will stand against a new file `target`: a directory, another file (unless `overwrite`), no parent."""
    try:
        there = target.lstat()
    except FileNotFoundError:
        if not target.parent.is_dir():
            _require_there(target.parent)
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(target.parent)) from None
        return
    if target.is_dir():
        raise is_directory(target)
    # Only files are replaced: a device or a pipe would be lost.
    replaceable = stat.S_ISREG(there.st_mode) or stat.S_ISLNK(there.st_mode)
    if not overwrite or not replaceable:
        raise taken(target, replaceable=replaceable)


def is_directory(path: Path) -> IsADirectoryError:
    """Return the error of a directory where a file's path is due."""
    hint = "give the path of a file in it"
    return IsADirectoryError(errno.EISDIR, f"{os.strerror(errno.EISDIR)} ({hint})", str(path))


def _require_there(directory: Path) -> None:
    try:
        directory.stat()
    except FileNotFoundError as error:
        error.strerror = f"{error.strerror} (make this directory first)"
        raise


class PartFile:
    """A file that grows beside its target and takes its place once it is whole.

    Its methods may run in worker threads, and a thread may hang for long: nobody waits for it. After `abandon`, which may come
    at any moment, a call that hangs or comes late brings nothing and removes what it made.
    """

    def __init__(self, target: Path, *, overwrite: bool) -> None:
        self._target = target
        self._overwrite = overwrite
        self._path = beside(target)
        self._file: BinaryIO | None = None
        self._abandoned = False
        self._lock = threading.Lock()  # held over work on the disk, which may hang
        self.published: bool = False

    def begin(self) -> None:
        """Make it, or empty it to begin again."""
        with self._working():
            if self._abandoned or self.published:
                return
            if self._file is None:
                self._file = new_file(self._path)
            else:
                self._file.seek(0)
                self._file.truncate()

    def write(self, pieces: Iterable[bytes]) -> None:
        """Add bytes."""
        with self._working():
            if self._file is not None:
                self._file.writelines(pieces)

    def publish(self) -> None:
        """Bring the bytes to the disk and put the file in its place. Raises `FileExistsError` unless it may overwrite."""
        with self._working():
            if self._file is None:
                return
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()  # before it moves: Windows wants it so
            if self._abandoned:  # while the disk hung
                return
            if self._overwrite:
                self._path.replace(self._target)
            else:
                place_new(self._path, self._target)
            self._file, self.published = None, True

    def abandon(self) -> bool:
        """Let no call bring anything any more, without touching the disk. Return whether there may be something to `discard`."""
        self._abandoned = True
        return self._file is not None or self._lock.locked()

    def discard(self) -> None:
        """Remove it, unless it has taken its place. Where a call hangs, that one removes it. Raises nothing of the disk."""
        self._abandoned = True
        self._sweep(_A_MOMENT)

    @contextlib.contextmanager
    def _working(self) -> Generator[None, None, None]:
        try:
            with self._lock:
                yield
        except OSError as error:
            # A full disk names no file, and this file's own name says nothing to anybody.
            if error.filename in {None, str(self._path)} and error.errno is not None:
                error.filename = str(self._target)
            raise
        finally:
            # Only now: who abandons it from here on finds the lock free, who did so before is seen here.
            if self._abandoned:
                self._sweep()

    def _sweep(self, patience: float = 0.0) -> None:
        if not self._lock.acquire(timeout=patience):
            return
        try:
            file, self._file = self._file, None
            if file is not None:
                with contextlib.suppress(OSError):  # a full disk: what is buffered is not wanted any more
                    file.close()
                remove(self._path)
        finally:
            self._lock.release()


def beside(target: Path) -> Path:
    """A name of its own in the directory of `target`, and no longer than a name may be."""
    ending = f".{secrets.token_hex(4)}.part"
    name = target.name
    while len(os.fsencode(name)) + len(ending) > 255:
        name = name[:-1]
    return target.with_name(name + ending)
