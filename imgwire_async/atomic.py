"""Write files so that other programs see the complete file or no file.

A file is written under a temporary name, and then renamed in one step. All functions here block.
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

# How many seconds `discard` waits for another thread that is writing to the disk. A write takes longer only
# if the disk hangs.
_DISCARD_TIMEOUT = 0.1
_OPEN_FLAGS = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def new_file(path: Path) -> BinaryIO:
    """Create a file, and open it for writing.

    The umask determines the permissions of the file. Raises `FileExistsError` when `path` exists.
    """
    return os.fdopen(os.open(path, _OPEN_FLAGS, 0o666), "wb")


def rename_no_replace(source: Path, target: Path) -> None:
    """Rename the file `source` to `target`, unless `target` exists.

    Raises `FileExistsError` when `target` exists. This is safe even when another process creates `target` at
    the same time.
    """
    try:
        os.link(source, target)
    except FileExistsError:
        raise file_exists_error(target) from None
    except OSError:
        # The file system has no hard links. So an empty file is created first, which reserves the name, and
        # then replaced.
        new_file(target).close()
        try:
            source.replace(target)
        except OSError:
            remove(target)
            raise
    else:
        # Removing the source may fail, for example because a virus scanner has opened it. `remove` ignores
        # such an error, because the target is complete.
        remove(source)


def remove(path: Path) -> None:
    """Remove a file, and ignore errors of the file system.

    Callers clean up with this function after an error, which an error of the cleanup must not hide.
    """
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def file_exists_error(path: Path, *, replaceable: bool = True) -> FileExistsError:
    """Return the `FileExistsError` for `path`, with a hint for the user.

    `replaceable` is False for a pipe, a device or a socket, because these are not replaced even with
    `overwrite=True`.
    """
    hint = (
        " (overwrite=True replaces it)" if replaceable else " (not a regular file, so it is never replaced)"
    )
    return FileExistsError(errno.EEXIST, f"{os.strerror(errno.EEXIST)}{hint}", str(path))


def check_target(target: Path, *, overwrite: bool) -> None:
    """Raise an `OSError` when a file cannot be written to `target`.

    The reasons are: `target` is a directory, it exists and may not be replaced, or its directory does not
    exist.
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
    # Only regular files and links are replaced, because a user would not want to lose a device or a pipe.
    replaceable = stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)
    if not overwrite or not replaceable:
        raise file_exists_error(target, replaceable=replaceable)


def directory_error(path: Path) -> IsADirectoryError:
    """Return the error for a directory that was passed as the path of a file."""
    hint = "pass the path of a file in it"
    return IsADirectoryError(errno.EISDIR, f"{os.strerror(errno.EISDIR)} ({hint})", str(path))


def _require_exists(directory: Path) -> None:
    try:
        directory.stat()
    except FileNotFoundError as error:
        error.strerror = f"{error.strerror} (create this directory first)"
        raise


class PartFile:
    """A temporary file that is renamed to `target` when it is complete.

    The methods may be called in worker threads, and one of them may hang on a slow disk. `abandon` never
    hangs, and may be called while another method runs in another thread. That method then does not create the
    target, unless it is already renaming the file, and removes the temporary file when it ends.
    """

    def __init__(self, target: Path, *, overwrite: bool) -> None:
        self._target = target
        self._overwrite = overwrite
        self._path = part_path(target)
        self._file: BinaryIO | None = None
        self._abandoned = False
        # Held while a method accesses the disk, which may take long.
        self._lock = threading.Lock()
        self.published: bool = False

    def begin(self) -> None:
        """Create the temporary file. If it exists from an earlier attempt, make it empty."""
        with self._accessing_disk():
            if self._abandoned or self.published:
                return
            if self._file is None:
                self._file = new_file(self._path)
            else:
                self._file.seek(0)
                self._file.truncate()

    def write(self, chunks: Iterable[bytes]) -> None:
        """Append the chunks to the temporary file."""
        with self._accessing_disk():
            if self._file is not None:
                self._file.writelines(chunks)

    def publish(self) -> None:
        """Write the temporary file to the disk completely, and rename it to the target.

        Raises `FileExistsError` when the target exists and `overwrite` is False.
        """
        with self._accessing_disk():
            if self._file is None:
                return
            self._file.flush()
            os.fsync(self._file.fileno())
            # Windows cannot rename an open file.
            self._file.close()
            # Another thread may have called `abandon` while this thread wrote to the disk.
            if self._abandoned:
                return
            if self._overwrite:
                self._path.replace(self._target)
            else:
                rename_no_replace(self._path, self._target)
            self._file, self.published = None, True

    def abandon(self) -> bool:
        """Give up the file, so that it is never renamed to the target. This does not access the disk.

        Returns True when a temporary file may exist. The caller then has to call `discard`.
        """
        self._abandoned = True
        return self._file is not None or self._lock.locked()

    def discard(self) -> None:
        """Remove the temporary file, unless it was renamed to the target.

        When a method hangs in another thread, that thread removes the file later. Disk errors are ignored.
        """
        self._abandoned = True
        self._remove_part(_DISCARD_TIMEOUT)

    @contextlib.contextmanager
    def _accessing_disk(self) -> Generator[None, None, None]:
        """Hold the lock while the caller accesses the disk.

        Put the path of the target into an `OSError`. After `abandon`, the temporary file is removed at the
        end.
        """
        try:
            with self._lock:
                yield
        except OSError as error:
            # The error of a full disk has no file name, and other errors have the temporary name, which users
            # do not know.
            if error.filename in {None, str(self._path)} and error.errno is not None:
                error.filename = str(self._target)
            raise
        finally:
            # The lock was released above. If `abandon` was called before, this code removes the file. If
            # `abandon` is called later, the lock is free, and `discard` removes the file.
            if self._abandoned:
                self._remove_part()

    def _remove_part(self, timeout: float = 0.0) -> None:
        if not self._lock.acquire(timeout=timeout):
            return
        try:
            file, self._file = self._file, None
            if file is not None:
                # On a full disk, `close` raises because it cannot write buffered bytes. They are not needed.
                with contextlib.suppress(OSError):
                    file.close()
                remove(self._path)
        finally:
            self._lock.release()


def part_path(target: Path) -> Path:
    """Return a random path in the directory of `target` for a temporary file.

    The name begins with the name of `target`, which is cut if the whole name would be longer than 255 bytes.
    """
    ending = f".{secrets.token_hex(4)}.part"
    name = target.name
    while len(os.fsencode(name)) + len(ending) > 255:
        name = name[:-1]
    return target.with_name(name + ending)
