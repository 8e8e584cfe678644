"""Open the file of a manifest, or copy a pipe to a temporary file. All functions here block."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import tempfile
import threading
import weakref
from typing import Any, BinaryIO

from imgwire_async.batch.sources.special_files import special_kind
from imgwire_async.batch_errors import BatchError
from imgwire_async.formatting import path_for_message

_COPY_CHUNK = 2**16


class PipeCopy:
    """The bytes of a pipe, which can be read only once, in a temporary file for all passes and runs.

    Several threads may use it. The temporary file has no name, so the system removes it at the latest when
    the process ends.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pipe: io.FileIO | None = None
        self._copy: BinaryIO | None = None
        self._is_complete = False
        self._error: BatchError | None = None

    @property
    def has_begun(self) -> bool:
        """Whether bytes of the pipe may have been read, so that the pipe does not have them any more."""
        return self._copy is not None

    def fill(self, path: str) -> bool:
        """Copy the next bytes of the pipe. Return whether it has ended."""
        with self._lock:
            if self._error is not None:
                raise self._error
            if not self._is_complete:
                self._copy_some(path)
            return self._is_complete

    def _copy_some(self, path: str) -> None:
        if self._copy is None:
            copy = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # closed with this object
            try:
                # Opening it waits until another program opens it for writing.
                self._pipe = io.FileIO(path)
            except OSError:
                copy.close()
                raise
            self._copy = copy
            weakref.finalize(self, _close_all, self._pipe, copy)
        assert self._pipe is not None
        data = self._pipe.read(_COPY_CHUNK)
        try:
            left = memoryview(data or b"")
            while left:
                left = left[self._copy.write(left) :]
        except OSError as error:
            self._error = BatchError(
                f"the temporary copy of the manifest {shown_path(path)} failed ({error.strerror}). Free some space in the temporary "
                "directory, or set TMPDIR to another directory, then run again."
            )
            raise self._error from error
        if not data:
            self._is_complete = True
            self._pipe.close()

    def reader(self) -> io.BufferedReader:
        """Return a new reader from the first byte of the complete copy."""
        assert self._copy is not None
        return io.BufferedReader(_SharedReader(self._copy, self._lock), _COPY_CHUNK)


def _close_all(*files: BinaryIO | io.FileIO) -> None:
    for file in files:
        with contextlib.suppress(OSError):
            file.close()


class _SharedReader(io.RawIOBase):
    """A reader with a position of its own in a file that several readers share."""

    def __init__(self, file: BinaryIO, lock: threading.Lock) -> None:
        super().__init__()
        self._file = file
        self._lock = lock
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        with self._lock:
            self._file.seek(self._position)
            data = self._file.read(memoryview(buffer).nbytes)
        memoryview(buffer)[: len(data)] = data
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        with self._lock:
            if whence == os.SEEK_CUR:
                offset += self._position
            elif whence == os.SEEK_END:
                offset += self._file.seek(0, os.SEEK_END)
        self._position = max(0, offset)
        return self._position


class ManifestFile:
    """The file of a manifest during one run. One thread at a time uses it.

    The file stays open from the first pass to the last one. So all passes read the same file.
    """

    def __init__(self, path: str, pipe: PipeCopy) -> None:
        self.path: str = path
        self.is_pipe: bool = False
        self._pipe = pipe
        self._file: io.FileIO | None = None
        self._version: tuple[int, ...] = ()

    def begin(self) -> bool:
        """Open the file, or copy the next bytes of a pipe. Return whether it can be read now.

        Raises `OSError` if there is no such file, and `BatchError` if it is neither a file nor a pipe.
        """
        if self._file is not None:
            return True
        self.is_pipe = self._pipe.has_begun or self._check_kind()
        if self.is_pipe:
            return self._pipe.fill(self.path)
        self._file = io.FileIO(self.path)
        self._version = _version(os.fstat(self._file.fileno()))
        return True

    def _check_kind(self) -> bool:
        """Return whether the path leads to a pipe."""
        try:
            status = os.stat(self.path)  # noqa: PTH116  # as a str
        except FileNotFoundError as error:
            hint = " (~ is not expanded: pass os.path.expanduser(path))" if "/~" in self.path else ""
            error.strerror = f"There is no such manifest{hint}"
            raise
        if stat.S_ISDIR(status.st_mode):
            text = "A manifest is a file, and this is a folder: pass folder(path)"
            raise IsADirectoryError(errno.EISDIR, text, self.path)
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISFIFO(status.st_mode):
            kind = special_kind(status)
            raise BatchError(
                f"the manifest {shown_path(self.path)} is {kind}; pass the path of a file or a pipe"
            )
        return stat.S_ISFIFO(status.st_mode)

    def reader(self) -> io.BufferedReader:
        """Return a new reader from the first byte. Only the newest reader may be used."""
        if self.is_pipe:
            return self._pipe.reader()
        assert self._file is not None
        self._file.seek(0)
        return io.BufferedReader(io.FileIO(self._file.fileno(), closefd=False), _COPY_CHUNK)

    def check_unchanged(self, *, by_path: bool = False) -> None:
        """Raise `BatchError` if the file has changed since it was opened.

        With `by_path` a new file at the same path counts as a change, too.
        """
        if self._file is None or self._file.closed:
            return
        try:
            versions = [_version(os.fstat(self._file.fileno()))]
            versions += [_version(os.stat(self.path))] if by_path else []  # noqa: PTH116  # as a str
        except OSError:
            versions = []
        if {*versions} != {self._version}:
            raise changed_error(self.path)

    def close(self) -> None:
        """Close the file. Idempotent. The copy of a pipe stays for the next run."""
        if self._file is not None:
            self._file.close()


def changed_error(path: str) -> BatchError:
    """Return the error for a manifest that another program writes during the run."""
    return BatchError(
        f"the manifest {shown_path(path)} changed while it was read, so the run has ended. Run again once nothing writes to "
        "it: what is done is not uploaded again."
    )


def _version(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def shown_path(path: str) -> str:
    """Return a path in quotes for messages."""
    return repr(path_for_message(path))
