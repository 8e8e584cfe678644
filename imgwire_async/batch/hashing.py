"""Compute the SHA-256 of files on disk, in worker threads and in short steps."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
import time

import attrs

from imgwire_async import disk_work
from imgwire_async.errors import SourceChangedError
from imgwire_async.uploads.disk import CHUNK_SIZE, FileStat, Handle, require_unchanged

# A file that changes while it is read is read so many times.
_ATTEMPTS = 3
# One step takes about so many seconds. A longer one would count as a thread that hangs.
_STEP_SECONDS = 0.05


@attrs.frozen
class HashedFile:
    """The SHA-256 of a file, with the size and the time of the version that was read."""

    size: int
    mtime_ns: int
    sha256: str


async def hash_file(path: str) -> HashedFile:
    """Return the hash of a file. A cancelled task waits only for the current step.

    Raises `OSError` if the path cannot be read or is no regular file, and `SourceChangedError` if the file
    changes each time while it is read.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return await _hash_once(path)
        except SourceChangedError:
            pass
    return await _hash_once(path)


async def _hash_once(path: str) -> HashedFile:
    reading = _Reading(path)
    found: HashedFile | None = None
    try:
        while found is None:
            found = await disk_work.run(reading.step)
        return found
    finally:
        if found is None:
            await disk_work.run_cleanup(reading.close)


class _Reading:
    """A file that is being hashed. Worker threads use it one after the other."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: Handle | None = None
        self._digest = hashlib.sha256()
        self._position = 0
        # `close` waits for a read that hangs.
        self._lock = threading.Lock()

    def step(self) -> HashedFile | None:
        """Hash the next part. Return the result at the end of the file, which is then closed."""
        end = time.monotonic() + _STEP_SECONDS
        with self._lock:
            if self._file is None:
                # A pipe is not even opened, because its writer would notice the end of its reader.
                if not stat.S_ISREG(os.stat(self._path).st_mode):  # noqa: PTH116  # as a str
                    raise OSError(errno.EINVAL, "Not a regular file", self._path)
                self._file = Handle(self._path)
            before = FileStat.of(self._file.status)
            while True:
                data = self._file.read(CHUNK_SIZE, self._position)
                self._digest.update(data)
                self._position += len(data)
                # A file that grows all the time has no end.
                if not data or self._position > before.size:
                    break
                if time.monotonic() >= end:
                    return None
            require_unchanged(self._file.read_stat(), before, self._path)
            # The path may lead to another file now.
            require_unchanged(FileStat.of(os.stat(self._path)), before, self._path)  # noqa: PTH116  # as a str
            self._file.close()
            return HashedFile(before.size, before.mtime_ns, self._digest.hexdigest())

    def close(self) -> None:
        """Close the file. Idempotent."""
        with self._lock:
            if self._file is not None:
                self._file.close()
