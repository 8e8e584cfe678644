"""Files that appear complete or not at all.

A file is written under a temporary name and then renamed in one step. All code here blocks.
"""

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

# How many seconds `discard` waits for a call that is writing to the disk. A disk that works needs less.
_DISCARD_TIMEOUT = 0.1
_FLAGS = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def new_file(path: Path) -> BinaryIO:
    """Create a file and open it for writing.

    The umask sets its permissions. Raises `FileExistsError` when the name exists.
    """
    return os.fdopen(os.open(path, _FLAGS, 0o666), "wb")


def rename_no_replace(source: Path, target: Path) -> None:
    """Rename the file `source` to `target` without replacing a file.

    Raises `FileExistsError` when `target` exists, even when another process has created it at the last
    moment.
    """
    try:
        os.link(source, target)
    except FileExistsError:
        raise file_exists_error(target) from None
    except OSError:
        # The file system has no hard links. An empty file reserves the name.
        new_file(target).close()
        try:
            source.replace(target)
        except OSError:
            remove(target)
            raise
    else:
        # A virus scanner may hold the old name open: `remove` ignores that, since the target is complete.
        remove(source)


def remove(path: Path) -> None:
    """Remove a file, and ignore errors of the file system.

    Callers use it for cleanup, where the first error matters more than a second one.
    """
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def file_exists_error(path: Path, *, replaceable: bool = True) -> FileExistsError:
    """Return the `FileExistsError` for `path`, with a hint for the user.

    `replaceable` is False for a pipe, a device or a socket, which is never replaced.
    """
    hint = (
        " (overwrite=True replaces it)" if replaceable else " (not a regular file, so it is never replaced)"
    )
    return FileExistsError(errno.EEXIST, f"{os.strerror(errno.EEXIST)}{hint}", str(path))


def check_target(target: Path, *, overwrite: bool) -> None:
    """Raise an `OSError` unless a file can be written to `target`.

    The error is raised for a directory, for a file that exists (unless `overwrite`), and for a missing
    parent.
    """
    try:
        status = target.lstat()
    except FileNotFoundError:
        if not target.parent.is_dir():
            _require_exists(target.parent)
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(target.parent)) from None
        return
    if target.is_dir():
        raise directory_error(target)
    # A device or a pipe would be lost, so only regular files and links are replaced.
    replaceable = stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)
    if not overwrite or not replaceable:
        raise file_exists_error(target, replaceable=replaceable)


def directory_error(path: Path) -> IsADirectoryError:
    """Return the error for a directory that was passed as the path of a file."""
    hint = "give the path of a file in it"
    return IsADirectoryError(errno.EISDIR, f"{os.strerror(errno.EISDIR)} ({hint})", str(path))


def _require_exists(directory: Path) -> None:
    try:
        directory.stat()
    except FileNotFoundError as error:
        error.strerror = f"{error.strerror} (create this directory first)"
        raise


class PartFile:
    """A temporary file in the directory of its target, which it replaces once it is complete.

    Its methods may run in worker threads. A thread may hang on a slow disk, and nothing waits for that
    thread. `abandon` may be called at any time. After it, a call that still runs publishes nothing and
    removes the temporary file.
    """

    def __init__(self, target: Path, *, overwrite: bool) -> None:
        self._target = target
        self._overwrite = overwrite
        self._path = part_path(target)
        self._file: BinaryIO | None = None
        self._abandoned = False
        # Held during disk work, which may hang.
        self._lock = threading.Lock()
        self.published: bool = False

    def begin(self) -> None:
        """Create the temporary file, or truncate it for another attempt."""
        with self._working():
            if self._abandoned or self.published:
                return
            if self._file is None:
                self._file = new_file(self._path)
            else:
                self._file.seek(0)
                self._file.truncate()

    def write(self, chunks: Iterable[bytes]) -> None:
        """Append chunks to the temporary file."""
        with self._working():
            if self._file is not None:
                self._file.writelines(chunks)

    def publish(self) -> None:
        """Flush the temporary file to the disk and rename it to its target.

        Raises `FileExistsError` when the target exists and `overwrite` is False.
        """
        with self._working():
            if self._file is None:
                return
            self._file.flush()
            os.fsync(self._file.fileno())
            # Windows renames closed files only.
            self._file.close()
            # `abandon` may have been called while the disk was slow.
            if self._abandoned:
                return
            if self._overwrite:
                self._path.replace(self._target)
            else:
                rename_no_replace(self._path, self._target)
            self._file, self.published = None, True

    def abandon(self) -> bool:
        """Make all later calls do nothing, without disk work.

        Returns whether a temporary file may exist, so that the caller has to call `discard`.
        """
        self._abandoned = True
        return self._file is not None or self._lock.locked()

    def discard(self) -> None:
        """Remove the temporary file, unless it was published.

        When another call hangs on the disk, that call removes the file. Disk errors are ignored.
        """
        self._abandoned = True
        self._remove_part(_DISCARD_TIMEOUT)

    @contextlib.contextmanager
    def _working(self) -> Generator[None, None, None]:
        """Hold the lock during disk work, name the target in errors, and clean up after `abandon`."""
        try:
            with self._lock:
                yield
        except OSError as error:
            # A full disk names no file, and users do not know the temporary name.
            if error.filename in {None, str(self._path)} and error.errno is not None:
                error.filename = str(self._target)
            raise
        finally:
            # The check comes after the release of the lock. A later `abandon` finds the lock free and
            # `discard` removes the file; an earlier `abandon` is seen here.
            if self._abandoned:
                self._remove_part()

    def _remove_part(self, timeout: float = 0.0) -> None:
        if not self._lock.acquire(timeout=timeout):
            return
        try:
            file, self._file = self._file, None
            if file is not None:
                # On a full disk `close` fails because of buffered bytes, which are discarded anyway.
                with contextlib.suppress(OSError):
                    file.close()
                remove(self._path)
        finally:
            self._lock.release()


def part_path(target: Path) -> Path:
    """Return a random temporary path in the directory of `target`, with a name of at most 255 bytes."""
    ending = f".{secrets.token_hex(4)}.part"
    name = target.name
    while len(os.fsencode(name)) + len(ending) > 255:
        name = name[:-1]
    return target.with_name(name + ending)
