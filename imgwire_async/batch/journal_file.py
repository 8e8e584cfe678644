"""The file of a journal: create it, recognize it, open connections to it, and translate errors of SQLite.

No function here opens the journal itself, except through SQLite: on POSIX, closing any other handle of the
file would drop the locks of SQLite in this process.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import sqlite3
import stat
from pathlib import Path

from imgwire_async import atomic
from imgwire_async.batch import journal_schema
from imgwire_async.batch.journal_lock import lock_path
from imgwire_async.batch_errors import JournalError
from imgwire_async.formatting import quoted

# "IWBJ", so that the command `file` and other programs can tell a journal from other databases.
APPLICATION_ID = 0x4957424A

# Milliseconds that SQLite waits for a lock of another program that reads the journal.
BUSY_TIMEOUT = 10_000
# The same for a checkpoint, which may be repeated later.
CHECKPOINT_BUSY_TIMEOUT = 100

# File systems whose memory maps are not shared between machines, or not at all.
_REMOTE = re.compile(
    r"(nfs\d?|cifs|smb\d?|smbfs|9p|afs|ceph|davfs\d?|vboxsf|prl_fs|drvfs|lustre|beegfs\w*|gpfs|fuse(\..*)?)"
)
_OCTAL = re.compile(rb"\\([0-7]{3})")

# The state in the journal; `journal_writer` describes it.
CLEAN, CHECKPOINTED, AHEAD = "clean", "checkpointed", "ahead"


def real_path(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a journal without links, so that each journal has one name."""
    return Path(os.path.realpath(path))


def journal_paths(path: Path) -> frozenset[Path]:
    """Return the paths of a journal and of the files beside it, which no walk may upload."""
    endings = ("", "-wal", "-shm", "-journal")
    return frozenset({*(path.with_name(path.name + ending) for ending in endings), lock_path(path)})


def wal_path(path: Path) -> Path:
    """Return the path of the write-ahead log of a journal."""
    return path.with_name(path.name + "-wal")


# --- recognize ----------------------------------------------------------------------------------------------


def exists(path: Path) -> bool:
    """Return whether a journal exists, or a file of another kind in its place.

    An empty file counts as missing. Raises `JournalError` for a folder, a device or another program's file.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _os_error(path, error) from error
    if stat.S_ISDIR(status.st_mode):
        raise JournalError(
            f"{quoted(str(path))} is a folder. Give the path of a file in it as the journal.", path=path
        )
    if not stat.S_ISREG(status.st_mode):
        raise JournalError(
            f"{quoted(str(path))} is not a regular file. Give another path as the journal.", path=path
        )
    if status.st_size == 0:
        return False
    _check_program(path)
    return True


def _check_program(path: Path) -> None:
    """Raise `JournalError` if a file was certainly written by another program.

    `immutable` reads only the file itself, without locks, and changes nothing. The application id is in the
    file from its first moment, so the write-ahead log does not matter.
    """
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)
        ) as connection:
            (found,) = connection.execute("PRAGMA application_id").fetchone()
    except sqlite3.Error as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_NOTADB:
            raise _foreign_error(path) from error
        # The connection that follows sees the whole state of the file and raises the error, if it is one.
        return
    if found != APPLICATION_ID:
        raise _foreign_error(path)


def _foreign_error(path: Path) -> JournalError:
    return JournalError(
        f"{quoted(str(path))} is not a journal of a batch run, so it is left as it is. Give another path as the journal. If "
        "it was a journal, it is damaged: restore it from a backup, together with its -wal file.",
        path=path,
    )


def check_version(path: Path, version: int) -> None:
    """Raise `JournalError` if a newer version of the package has written a journal, or if none has."""
    if version > journal_schema.VERSION:
        raise JournalError(
            f"a newer version of imgwire-async has written the journal {quoted(str(path))} (format {version}; this "
            f"version reads up to {journal_schema.VERSION}). Upgrade imgwire-async, or use another journal.",
            path=path,
        )
    if version < 1:
        raise JournalError(
            f"the journal {quoted(str(path))} has format {version}, which does not exist. {_DAMAGED}",
            path=path,
        )


def check_wal(path: Path, state: str, *, had_wal: bool) -> None:
    """Raise `JournalError` if the write-ahead log of a journal that was not closed is missing.

    `state` is what the journal contains, and `had_wal` whether the log existed before the journal was opened.
    """
    if state == CHECKPOINTED and not had_wal:
        raise JournalError(
            f"the journal {quoted(str(path))} was not closed by its last run, and the file {quoted(wal_path(path).name)} "
            "beside it is missing. It contains the newest rows. Move it here from where the journal was. If it is lost, "
            'start a new journal under another name with reconcile="all", which looks for the images of this one.',
            path=path,
        )


# --- open ---------------------------------------------------------------------------------------------------


def create(path: Path) -> None:
    """Create an empty journal, which appears complete or not at all."""
    part = atomic.part_path(path)
    try:
        _write_schema(part)
        # An empty file may exist. The lock of the journal keeps other runs away.
        part.replace(path)
        _sync_folder(path.parent)
    except sqlite3.Error as error:
        raise journal_error(path, error) from error
    except OSError as error:
        raise _os_error(path, error) from error
    finally:
        for leftover in (part, part.with_name(part.name + "-journal")):
            atomic.remove(leftover)


def _write_schema(path: Path) -> None:
    with contextlib.closing(
        sqlite3.connect(f"{path.as_uri()}?mode=rwc", uri=True, isolation_level=None)
    ) as connection:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("BEGIN")
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={journal_schema.VERSION}")
        for statement in journal_schema.STATEMENTS:
            connection.execute(statement)
        connection.execute("INSERT INTO meta VALUES ('state', ?)", (CLEAN,))
        connection.execute("COMMIT")


def _sync_folder(folder: Path) -> None:
    """Write the names of a folder to the disk. Windows has no such call."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def connect_writer(path: Path, *, exclusive: bool) -> sqlite3.Connection:
    """Open the connection that writes.

    With `exclusive`, SQLite uses no shared memory, and no other connection can read.
    """
    connection = _connect(path)
    try:
        if exclusive:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        # Before the first change, so that a file of a newer version stays as it is.
        check_version(path, connection.execute("PRAGMA user_version").fetchone()[0])
        _use_log(connection)
        connection.execute("PRAGMA synchronous=FULL")
        # `journal_writer` decides when.
        connection.execute("PRAGMA wal_autocheckpoint=0")
    except BaseException:
        connection.close()
        raise
    return connection


def _use_log(connection: sqlite3.Connection) -> None:
    """Switch to a write-ahead log, or raise `sqlite3.OperationalError` if the file system has none."""
    (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if mode != "wal":
        raise sqlite3.OperationalError(f"the journal mode is {mode}")


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open a connection that only reads."""
    connection = _connect(path)
    connection.execute("PRAGMA query_only=1")
    return connection


def _connect(path: Path) -> sqlite3.Connection:
    # The connection is opened in one thread and used in another; a lock or a queue keeps them apart.
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False
    )
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT}")
    return connection


# --- file systems -------------------------------------------------------------------------------------------


def needs_exclusive(path: Path) -> bool:
    """Return whether the file system of a path has no shared memory for SQLite. Linux only."""
    try:
        mounts = Path("/proc/mounts").read_text("utf-8", "surrogateescape")
    except OSError:
        return False
    return is_remote(file_system(str(path), mounts))


def is_remote(file_system: str) -> bool:
    """Return whether a type of file systems has no shared memory for SQLite."""
    return _REMOTE.fullmatch(file_system) is not None


def file_system(path: str, mounts: str) -> str:
    """Return the type of the file system of an absolute path, from the text of `/proc/mounts`."""
    best, found = "", ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        # The kernel writes spaces and other characters as \ooo, by bytes.
        escaped = os.fsencode(fields[1])
        folder = os.fsdecode(_OCTAL.sub(lambda match: bytes([int(match[1], 8) & 0xFF]), escaped))
        is_above = path == folder or path.startswith(folder.rstrip("/") + "/")
        # A later mount hides an earlier one at the same place.
        if is_above and len(folder) >= len(best):
            best, found = folder, fields[2]
    return found


# --- errors -------------------------------------------------------------------------------------------------


def journal_error(path: Path, error: sqlite3.Error) -> JournalError:
    """Return the error for a failure of SQLite, which says what to do."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _is_full(path.parent)):
        advice = (
            "The disk is full. Free some space, then run again: what was reported before is in the journal."
        )
    else:
        advice = _ADVICE.get(code, "Check the disk, then run again.")
    return JournalError(f"the journal {quoted(str(path))} failed ({error}). {advice}", path=path)


_DAMAGED = "The file is damaged. Restore it and its -wal file from a backup, or start another journal."
_FORBIDDEN = (
    "This process may not write to the file or its folder. Change the permissions, or use another path."
)
_ADVICE = {
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_READONLY: _FORBIDDEN,
    sqlite3.SQLITE_CANTOPEN: _FORBIDDEN,
    sqlite3.SQLITE_PERM: _FORBIDDEN,
    sqlite3.SQLITE_BUSY: "Another program has locked the file. Close that program, then run again.",
    sqlite3.SQLITE_IOERR: "The disk has failed or is not reachable. Check it, then run again.",
}


def _os_error(path: Path, error: OSError) -> JournalError:
    advice = {
        errno.ENOSPC: "Free some space on the disk.",
        errno.ENOENT: "Create its folder first.",
        errno.EROFS: "The file system is read-only, so use another path.",
    }.get(error.errno or 0, "Check the path and its permissions.")
    return JournalError(f"the journal {quoted(str(path))} failed ({error.strerror}). {advice}", path=path)


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < 1_000_000
    except OSError:
        return False
