"""A temporary file that worker threads write and read."""

from __future__ import annotations

import tempfile
import threading

import attrs


class TemporaryFile:
    """A temporary file that is deleted when it is closed. The garbage collector closes it, too.

    The lock makes `close` wait for a read or write that hangs.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        try:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # `close` is below
        except OSError as error:
            raise _with_advice(error) from error

    def write(self, data: bytes) -> None:
        """Append bytes."""
        rest = memoryview(data)
        try:
            with self._lock:
                while rest:
                    rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise _with_advice(error) from error

    def read(self, size: int, position: int) -> bytes:
        """Return up to `size` bytes at a position."""
        with self._lock:
            self._file.seek(position)
            return self._file.read(size)

    def reader(self) -> TemporaryFileReader:
        """Return a reader of all bytes."""
        return TemporaryFileReader(self)

    def close(self) -> None:
        """Close and delete the file. Idempotent."""
        with self._lock:
            self._file.close()


@attrs.define
class TemporaryFileReader:
    """A reader of a temporary file from its beginning."""

    file: TemporaryFile
    _position: int = 0

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, no bytes at the end."""
        data = self.file.read(size, self._position)
        self._position += len(data)
        return data

    def close(self) -> None:
        """Leave the file open. Its owner closes it."""


def _with_advice(error: OSError) -> OSError:
    message = (
        f"{error.strerror or error}, while a member of an archive was written to the temporary directory: free space there, "
        "or set TMPDIR to another directory"
    )
    return OSError(error.errno, message, tempfile.gettempdir())
