"""The lock of a journal: a file of its own beside the journal, and a registry of this process.

The lock belongs to the open file, so it ends with its process, also after SIGKILL and in a container. The
content of the file is only for messages.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import threading
from datetime import UTC, datetime
from pathlib import Path

from imgwire_async import forks
from imgwire_async.batch_errors import JournalError, JournalLockedError
from imgwire_async.formatting import quoted

_FLAGS = os.O_CREAT | os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
# Windows does not let other processes read locked bytes, so a byte behind the content is locked.
_LOCKED_BYTE = 1 << 30
_MAX_CONTENT = 4_096

# The journals that this process has open. A lock of the file system may not keep two objects of one process
# apart, and closing the second file would drop the lock of the first.
_open_here: dict[str, JournalLock] = {}
_registry_lock = threading.Lock()


def _after_fork() -> None:
    """Forget the journals of the parent in a forked child, and close the child's copies of the lock files.

    Otherwise the child would hold the lock after its parent has ended. Closing a copy does not unlock.
    """
    global _registry_lock  # noqa: PLW0603  # a thread of the parent may hold the old one
    _registry_lock = threading.Lock()
    for lock in _open_here.values():
        lock.close_copy()
    _open_here.clear()


forks.run_in_child(_after_fork)


class JournalLock:
    """The lock of one journal. Created by `lock_journal`, released once."""

    def __init__(self, journal: Path, descriptor: int, since: datetime) -> None:
        self.since: datetime = since
        self._journal = journal
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Release the lock. The file remains, because another process may be about to lock it."""
        forks.check()
        with _registry_lock:
            descriptor, self._descriptor = self._descriptor, None
            if descriptor is None:
                return
            _open_here.pop(str(self._journal), None)
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)
            os.close(descriptor)

    def close_copy(self) -> None:
        """Close the copy of the file in a forked child."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)


def lock_path(journal: Path) -> Path:
    """Return the path of the lock file of a journal."""
    return journal.with_name(journal.name + ".lock")


def lock_journal(journal: Path) -> JournalLock:
    """Lock a journal, whose path has no links.

    Raises `JournalLockedError` at once if another process or another batch run of this process uses it.
    """
    forks.check()
    with _registry_lock:
        other = _open_here.get(str(journal))
        if other is not None:
            raise JournalLockedError(
                f"the journal {quoted(str(journal))} is open in this process already. Use one batch run for each "
                "journal, or close the first one.",
                path=journal,
                pid=os.getpid(),
                host=socket.gethostname(),
                since=other.since,
            )
        since = datetime.now(UTC).replace(microsecond=0)
        lock = JournalLock(journal, _open_locked(journal, since), since)
        _open_here[str(journal)] = lock
        return lock


def _open_locked(journal: Path, since: datetime) -> int:
    """Return the descriptor of the locked file."""
    path = lock_path(journal)
    try:
        descriptor = os.open(path, _FLAGS, 0o666)
    except OSError as error:
        raise JournalError(
            f"the lock file {quoted(str(path))} of the journal cannot be opened ({os.strerror(error.errno or 0)}). Put "
            "the journal into a folder that exists and where this process may write.",
            path=journal,
        ) from error
    try:
        _require_lock(descriptor, journal)
        _write_holder(descriptor, since)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _require_lock(descriptor: int, journal: Path) -> None:
    """Lock a file without waiting, or raise the error that says why it cannot be locked."""
    try:
        _lock_by_system(descriptor)
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EAGAIN, errno.EDEADLK}:
            raise _locked_error(journal, descriptor) from None
        raise JournalError(
            f"the file system of the journal {quoted(str(journal))} does not support locks "
            f"({os.strerror(error.errno or 0)}). Put the journal on a local disk.",
            path=journal,
        ) from error


def _lock_by_system(descriptor: int) -> None:
    # Type checkers read only the branch of their own platform.
    try:
        import fcntl
    except ImportError:
        import msvcrt

        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]  # Windows only
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _write_holder(descriptor: int, since: datetime) -> None:
    """Write which process holds the lock, for messages of other processes. A full disk is ignored."""
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since.isoformat()}
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, json.dumps(holder).encode("utf-8"))


def _read_holder(descriptor: int) -> tuple[int | None, str | None, datetime | None]:
    """Return the process id, the host and the time from a lock file. Unknown values are None."""
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        holder = json.loads(os.read(descriptor, _MAX_CONTENT))
        return int(holder["pid"]), str(holder["host"]), datetime.fromisoformat(holder["since"])
    except (OSError, ValueError, KeyError, TypeError):
        # The other process has not written it yet, or the file is not ours.
        return None, None, None


def _locked_error(journal: Path, descriptor: int) -> JournalLockedError:
    pid, host, since = _read_holder(descriptor)
    process = "another process" if pid is None else f"process {pid} on {host}, since {since}"
    return JournalLockedError(
        f"the journal {quoted(str(journal))} is in use by {process}. Wait until that run ends, or stop it; or use another "
        "journal. The lock ends with its process, so no file has to be deleted.",
        path=journal,
        pid=pid,
        host=host,
        since=since,
    )
