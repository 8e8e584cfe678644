"""The file of a journal: files that are no journal, damaged files, full disks, locks, forks and processes."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import socket
import sqlite3
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from imgwire_async.batch import journal_file, journal_schema
from imgwire_async.batch.journal import open_journal
from imgwire_async.batch.journal_file import file_system
from imgwire_async.batch.journal_lock import lock_path
from imgwire_async.batch_errors import JournalError, JournalLockedError

from .journals import Child, opened, row

DATA = Path(__file__).parents[1] / "data"

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="mounts a file system of Linux")


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "photos.journal"


def filled(path: Path, count: int = 1) -> Path:
    """Write a journal and close it."""
    with opened(path) as journal:
        journal.put_blocking([row(key=f"{number:05}") for number in range(count)])
    return path


def refused(path: Path, text: str) -> JournalError:
    """Check that a journal is refused with its path and a text, and that no file changes."""
    before = contents(path.parent)
    with pytest.raises(JournalError, match=text) as caught:
        open_journal(path)
    after = contents(path.parent)
    after.pop(lock_path(path).name, None)
    before.pop(lock_path(path).name, None)
    assert after == before, "a file was changed"
    assert caught.value.path == str(path)
    assert path.name in str(caught.value)
    return caught.value


def contents(folder: Path) -> dict[str, bytes | None]:
    return {item.name: item.read_bytes() if item.is_file() else None for item in folder.iterdir()}


# --- files that are no journal ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"\xff\xd8\xff\xe0 a picture", b"x", b"SQLite format 3\x00" + b"\0" * 600]
)
def test_a_file_of_another_kind_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    refused(path, "is not a journal")
    assert not lock_path(path).exists()


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_the_database_of_another_program_is_refused(path: Path, mode: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA journal_mode={mode}")
    connection.execute("CREATE TABLE files (x)")
    connection.commit()
    connection.execute("INSERT INTO files VALUES (1)")
    connection.commit()
    # While it is open, and its newest rows are in its log.
    refused(path, "is not a journal")
    connection.close()
    refused(path, "is not a journal")


def test_a_folder_is_refused(path: Path) -> None:
    path.mkdir()
    refused(path, "is a folder")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_is_refused_at_once(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(JournalError, match="not a regular file"):
        open_journal(path)


def test_a_newer_version_is_refused(path: Path) -> None:
    filled(path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    refused(path, r"newer version of imgwire-async .* \(format 99; .* Upgrade")


@pytest.mark.parametrize("version", [0, -3])
def test_a_version_that_never_existed_is_refused(path: Path, version: int) -> None:
    filled(path)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version={version}")
    connection.close()
    refused(path, rf"format {version}, which does not exist. The file is damaged")


def test_an_empty_file_becomes_a_journal(path: Path) -> None:
    path.touch()
    filled(path)
    with opened(path) as journal:
        assert journal.counts(1) == {"done": 1}


def test_a_missing_folder_is_named(path: Path) -> None:
    with pytest.raises(JournalError, match=r"missing.*into a folder that exists"):
        open_journal(path.parent / "missing" / "photos.journal")


def test_a_journal_that_must_exist_is_not_created(path: Path) -> None:
    with pytest.raises(JournalError, match="there is no journal"):
        open_journal(path, must_exist=True)
    assert contents(path.parent) == {}


def test_a_link_to_a_journal_is_the_same_journal(path: Path) -> None:
    filled(path)
    link = path.with_name("link")
    link.symlink_to(path)
    with opened(path), pytest.raises(JournalLockedError):
        open_journal(link)


def test_names_with_special_characters_work(folder: Path) -> None:
    name = "50% of #1?mode=ro&x .journal"
    filled(folder / name)
    assert {item.name for item in folder.iterdir()} == {name, f"{name}.lock"}


@needs_linux
def test_a_name_that_is_not_utf_8_works(folder: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(folder) + b"/a\xff.journal"))
    filled(path)
    with opened(path) as journal:
        assert journal.counts(1) == {"done": 1}


def test_a_new_journal_has_the_permissions_of_the_umask_and_an_id_for_other_programs(path: Path) -> None:
    filled(path)
    if os.name == "posix":
        umask = os.umask(0)
        os.umask(umask)
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask & ~0o022 or umask != 0o022
    assert int.from_bytes(path.read_bytes()[68:72], "big") == journal_file.APPLICATION_ID


def test_a_journal_of_the_first_version_is_read(path: Path) -> None:
    shutil.copy(DATA / "journal_1.sqlite", path)
    with opened(path) as journal:
        (found,) = journal.destinations()
        assert [(item.key, item.status) for item in journal.rows(found.number)] == [
            ("a.jpg", "done"),
            ("b.jpg", "failed"),
            ("c.jpg", "started"),
            ("d.jpg", "skipped"),
        ]
        assert [*journal.abandoned(found.number)] == ["old"]


# --- damaged files ------------------------------------------------------------------------------------------


def test_a_journal_that_was_cut_is_refused(path: Path) -> None:
    filled(path, 2_000)
    os.truncate(path, path.stat().st_size // 2)
    error = refused(path, "damaged|is not a journal")
    assert "backup" in str(error)


@pytest.mark.parametrize("size", [1, 99, 511, 4_096, 5_000])
def test_a_journal_of_which_little_is_left_is_refused(path: Path, size: int) -> None:
    filled(path, 2_000)
    os.truncate(path, size)
    refused(path, "backup")


def test_damage_inside_a_journal_is_an_error_when_it_is_read(path: Path) -> None:
    filled(path, 2_000)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2 // 4096 * 4096)
        file.write(b"\xff" * (size // 4))
    with pytest.raises(JournalError, match="backup"):
        with opened(path) as journal:
            list(journal.rows(1))


@pytest.fixture(scope="module")
def killed_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a journal whose process was killed, so that its rows are only in the log."""
    path = tmp_path_factory.mktemp("killed") / "photos.journal"

    def write(_: object) -> None:
        journal = open_journal(path)
        journal.put_blocking([row(key=f"{number:05}") for number in range(300)])
        os.kill(os.getpid(), 9)

    assert Child(write).wait() == -9
    assert journal_file.wal_path(path).stat().st_size > 4_096
    return path.parent


@pytest.fixture
def killed(path: Path, killed_folder: Path) -> Path:
    """Return a journal of a killed process, with its log."""
    shutil.copytree(killed_folder, path.parent, dirs_exist_ok=True)
    return path


@needs_fork
def test_the_rows_of_a_killed_process_are_there(killed: Path) -> None:
    with opened(killed) as journal:
        assert journal.counts(1) == {"done": 300}


@needs_fork
def test_a_journal_that_was_moved_without_its_log_is_refused(killed: Path, folder: Path) -> None:
    moved = folder / "moved" / killed.name
    moved.parent.mkdir()
    killed.rename(moved)
    error = refused(moved, r"photos.journal-wal' beside it is missing")
    assert "Move it here" in str(error)
    killed.with_name(killed.name + "-wal").rename(moved.with_name(moved.name + "-wal"))
    with opened(moved) as journal:
        assert journal.counts(1) == {"done": 300}


@needs_fork
def test_another_program_may_read_a_killed_journal_before_the_next_run(killed: Path) -> None:
    connection = sqlite3.connect(killed)
    assert connection.execute("SELECT count(*) FROM files").fetchone() == (300,)
    # SQLite moves the log to the file and deletes it.
    connection.close()
    assert not killed.with_name(killed.name + "-wal").exists()
    with opened(killed) as journal:
        assert journal.counts(1) == {"done": 300}


@needs_fork
@pytest.mark.parametrize("cut", [1, 100, 5_000])
def test_a_torn_end_of_the_log_is_ignored(killed: Path, cut: int) -> None:
    log = killed.with_name(killed.name + "-wal")
    with log.open("ab") as file:
        file.write(os.urandom(cut))
    with opened(killed) as journal:
        assert journal.counts(1) == {"done": 300}


@needs_fork
@pytest.mark.parametrize("later_rows", [0, 1])
def test_the_file_alone_is_refused_also_after_a_checkpoint(path: Path, later_rows: int) -> None:
    def write(_: object) -> None:
        journal = open_journal(path)
        journal.put_blocking([row(key=f"{number:05}") for number in range(300)])
        journal.checkpoint()
        # The thread makes it before its next command.
        journal.put_blocking([row(key=f"later{number}") for number in range(later_rows)])
        os.kill(os.getpid(), 9)

    assert Child(write).wait() == -9
    log = journal_file.wal_path(path)
    moved = log.rename(path.with_name("moved"))
    path.with_name(path.name + "-shm").unlink()
    refused(path, "is missing")
    moved.rename(log)
    with opened(path) as journal:
        assert journal.counts(1) == {"done": 300 + later_rows}


@needs_fork
def test_a_process_that_is_killed_before_its_first_row_leaves_a_usable_journal(path: Path) -> None:
    def begin_only(_: object) -> None:
        open_journal(path)
        os.kill(os.getpid(), 9)

    for _ in range(2):
        assert Child(begin_only).wait() == -9
    filled(path)


def test_an_older_format_is_changed_to_the_newest(path: Path) -> None:
    filled(path)
    connection = sqlite3.connect(path, isolation_level=None)
    steps = {1: ["ALTER TABLE files ADD COLUMN two"], 2: ["ALTER TABLE files ADD COLUMN three"]}
    journal_schema.migrate(connection, steps, 3)
    assert connection.execute("SELECT two, three FROM files").fetchall() == [(None, None)]
    assert connection.execute("PRAGMA user_version").fetchone() == (3,)
    connection.close()
    refused(path, "newer version")


def test_a_closed_journal_is_one_file_that_may_be_moved(path: Path, folder: Path) -> None:
    filled(path, 10)
    assert not journal_file.wal_path(path).exists()
    moved = folder / "moved.journal"
    path.rename(moved)
    with opened(moved) as journal:
        assert journal.counts(1) == {"done": 10}


# --- permissions and disks ----------------------------------------------------------------------------------


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """Return a folder that every user may read."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


@needs_fork
@pytest.mark.parametrize(
    ("file_mode", "folder_mode"), [(0o444, 0o777), (0o444, 0o555), (0o666, 0o555), (0, 0o777)]
)
def test_a_journal_without_permission_is_refused(
    public_folder: Path, file_mode: int, folder_mode: int
) -> None:
    path = filled(public_folder / "photos.journal")
    lock_path(path).unlink()
    before = path.read_bytes()
    path.chmod(file_mode)
    public_folder.chmod(folder_mode)

    def use(report: Callable[[bytes], object]) -> None:
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(65_534)
            os.setuid(65_534)
        with pytest.raises(JournalError, match=r"may write|permissions") as caught:
            open_journal(path)
        report(str(caught.value).encode())

    child = Child(use)
    assert path.name in child.read_all().decode()
    assert child.wait() == 0
    assert path.read_bytes() == before


@needs_linux
@pytest.mark.slow
@pytest.mark.parametrize("exclusive", [False, True])
def test_a_full_disk_ends_the_run_and_loses_no_row(folder: Path, exclusive: bool) -> None:
    folder = folder / "small"
    folder.mkdir()
    if os.system(f"mount -t tmpfs -o size=1500k tmpfs {folder} 2>/dev/null") != 0:
        pytest.skip("mounting is not permitted")
    try:
        _fill(folder / "photos.journal", exclusive)
    finally:
        assert os.system(f"umount {folder}") == 0


def _fill(path: Path, exclusive: bool) -> None:
    written = 0
    journal = open_journal(path, exclusive=exclusive)
    with pytest.raises(JournalError, match="disk is full"):
        for written in range(100_000):
            journal.put_blocking([row(key=f"{written:06}", cdn_url="u" * 200)])
    with pytest.raises(JournalError, match="disk is full"):
        journal.put_blocking([row(key="later")])
    with pytest.raises(JournalError):
        journal.close()
    # Nothing is lost, and the journal opens again as soon as there is space.
    assert os.system(f"mount -o remount,size=20m {path.parent}") == 0
    with opened(path) as journal:
        keys = [item.key for item in journal.rows(1)]
    assert keys[:written] == [f"{number:06}" for number in range(written)]
    assert len(keys) <= written + 1


# --- locks --------------------------------------------------------------------------------------------------


def hold(path: Path) -> Child:
    """Open a journal in another process until that process is killed."""

    def use(report: Callable[[bytes], object]) -> None:
        open_journal(path)
        report(b"open")
        time.sleep(600)

    child = Child(use)
    assert child.read() == b"open"
    return child


@needs_fork
def test_a_second_process_is_refused_at_once_and_learns_who_has_the_lock(path: Path) -> None:
    child = hold(path)
    started_at = time.monotonic()
    with pytest.raises(JournalLockedError, match=f"process {child.pid} on ") as caught:
        open_journal(path)
    assert time.monotonic() - started_at < 2
    error = caught.value
    assert (error.pid, error.host) == (child.pid, socket.gethostname())
    assert error.since is not None
    assert abs((datetime.now(UTC) - error.since).total_seconds()) < 60
    # The lock of a dead process is free.
    child.wait(kill=True)
    with opened(path):
        pass


def test_a_second_run_of_the_same_process_is_refused(path: Path) -> None:
    with opened(path) as journal:
        with pytest.raises(JournalLockedError, match="in this process") as caught:
            open_journal(path)
        assert caught.value.pid == os.getpid()
        journal.put_blocking([row()])
    with opened(path) as journal:
        assert journal.counts(1) == {"done": 1}


def test_a_lock_file_with_any_content_does_not_matter(path: Path) -> None:
    lock_path(path).write_bytes(b"\xff not JSON")
    filled(path)


def test_a_refused_journal_is_not_locked_any_more(path: Path) -> None:
    path.write_bytes(b"x" * 5_000)
    refused(path, "is not a journal")
    path.unlink()
    filled(path)


@needs_fork
def test_other_code_that_opens_and_closes_the_file_does_not_free_the_lock(path: Path) -> None:
    def use(report: Callable[[bytes], object]) -> None:
        with pytest.raises(JournalLockedError, match=f"process {os.getppid()} on "):
            open_journal(path)

    with opened(path) as journal:
        path.read_bytes()
        lock_path(path).read_bytes()
        assert Child(use).wait() == 0
        journal.put_blocking([row()])


# --- forks --------------------------------------------------------------------------------------------------


@needs_fork
def test_a_forked_child_never_touches_the_journal(path: Path) -> None:
    with opened(path) as journal:
        journal.put_blocking([row(key="before")])
        rows = journal.rows(1)
        next(rows)

        def use(_: object) -> None:
            for call in (
                lambda: journal.put_blocking([row()]),
                lambda: list(rows),
                lambda: journal.counts(1),
            ):
                with pytest.raises(JournalError, match="from which this one was forked"):
                    call()
            journal.close()

        before = contents(path.parent)
        assert Child(use).wait() == 0
        assert contents(path.parent) == before
        journal.put_blocking([row(key="after")])
    with opened(path) as journal:
        assert journal.counts(1) == {"done": 2}


@needs_fork
def test_a_child_that_outlives_its_parent_does_not_keep_the_lock(path: Path) -> None:
    def use(report: Callable[[bytes], object]) -> None:
        open_journal(path)
        grandchild = Child(lambda _: time.sleep(600))
        report(str(grandchild.pid).encode())
        time.sleep(600)

    child = Child(use)
    grandchild = int(child.read())
    child.wait(kill=True)
    try:
        with opened(path):
            pass
    finally:
        os.kill(grandchild, 9)


# --- killed at random moments -------------------------------------------------------------------------------


def write_until_killed(path: Path, begin: int) -> Child:
    """Write rows in another process, which reports each row that is on the disk."""

    def use(report: Callable[[bytes], object]) -> None:
        journal = open_journal(path)
        for number in itertools.count(begin):
            journal.put_blocking([row("started", key=f"{number:08}")])
            journal.put_blocking([row("done", key=f"{number:08}")])
            report(b"%d\n" % number)
            if number % 10 == 0:
                # The tests may be killed in a checkpoint, too.
                journal.checkpoint()

    return Child(use)


@pytest.mark.slow
@needs_fork
@pytest.mark.timeout(240)
def test_a_process_killed_at_any_moment_loses_nothing_that_it_reported(path: Path) -> None:
    drawn = random.Random(7)
    reported = -1
    for _ in range(30):
        child = write_until_killed(path, reported + 1)
        # Some are killed while they open the journal.
        killer = threading.Timer(drawn.choice([0.05, 0.5]) * drawn.random(), os.kill, (child.pid, 9))
        killer.start()
        lines = child.read_all().split(b"\n")
        killer.join()
        assert child.wait() == -9
        reported = max([reported, *map(int, filter(None, lines))])
        check_reported(path, reported)
    assert reported > 30


def check_reported(path: Path, reported: int) -> None:
    """Check that a journal has all rows that were reported, and at most one more."""
    with opened(path) as journal:
        keys = [item.key for item in journal.rows(1, "done")]
        assert keys[: reported + 1] == [f"{number:08}" for number in range(reported + 1)]
        assert sum(journal.counts(1).values()) <= reported + 2
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


# --- file systems -------------------------------------------------------------------------------------------

MOUNTS = """\
overlay / overlay rw 0 0
server:/x /mnt/my\\040photos nfs4 rw 0 0
tmpfs /mnt/my\\040photos/local tmpfs rw 0 0
rclone /mnt/cloud fuse.rclone rw 0 0
/dev/sdb /mnt/ntfs fuseblk rw 0 0
broken
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/home/x", "overlay"),
        ("/mnt/my photos/a.journal", "nfs4"),
        ("/mnt/my photos2/a.journal", "overlay"),
        ("/mnt/my photos/local/a.journal", "tmpfs"),
        ("/mnt/cloud/a", "fuse.rclone"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(path: str, expected: str) -> None:
    assert file_system(path, MOUNTS) == expected


@pytest.mark.parametrize("name", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse", "fuse.sshfs", "davfs"])
def test_a_remote_file_system_has_no_shared_memory(name: str) -> None:
    assert journal_file.is_remote(name)


@pytest.mark.parametrize("name", ["ext4", "xfs", "btrfs", "overlay", "tmpfs", "fuseblk", "zfs", ""])
def test_a_local_file_system_has_shared_memory(name: str) -> None:
    assert not journal_file.is_remote(name)
