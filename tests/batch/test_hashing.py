"""Hashes of files, and walks that compare files by their hashes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from batch.journals import begin, opened, row
from batch.walks import ListSource, entry_of, walk_all
from imgwire_async.batch import hashing
from imgwire_async.batch.hashing import hash_file
from imgwire_async.batch.items import Entry, Identity, Skip
from imgwire_async.batch.journal import Journal
from imgwire_async.batch.records import RowOwner
from imgwire_async.batch.walk import Planned, Walk
from imgwire_async.errors import SourceChangedError
from imgwire_async.uploads.item import UploadItem

BYTES = b"\xff\xd8picture"
SHA256 = hashlib.sha256(BYTES).hexdigest()


@pytest.fixture
def file(folder: Path) -> Path:
    path = folder / "a.jpg"
    path.write_bytes(BYTES)
    return path


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    with opened(folder / "photos.journal") as journal:
        yield journal


@pytest.fixture
def owner(journal: Journal) -> RowOwner:
    begin(journal)
    return begin(journal)


# --- one file -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 2**20, 5 * 2**20 + 1])
async def test_the_hash_is_that_of_all_bytes(folder: Path, size: int) -> None:
    path = folder / "picture"
    data = os.urandom(size)
    path.write_bytes(data)
    found = await hash_file(str(path))
    assert (found.size, found.sha256) == (size, hashlib.sha256(data).hexdigest())
    assert found.mtime_ns == path.stat().st_mtime_ns


async def test_a_missing_file_and_a_folder_are_errors(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await hash_file(str(folder / "missing"))
    with pytest.raises(OSError, match="regular file"):
        await hash_file(str(folder))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
async def test_a_pipe_is_not_opened(folder: Path) -> None:
    path = folder / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    os.close(reader)
    try:
        with pytest.raises(OSError, match="regular file"):
            await hash_file(str(path))
    finally:
        os.close(writer)


class Appender:
    """A thread that appends to a file all the time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with self._path.open("ab", buffering=0) as file:
            while not self._stop.wait(0.0005):
                file.write(b"x" * 100)


async def test_a_file_that_is_written_to_all_the_time_is_an_error(folder: Path) -> None:
    path = folder / "picture"
    path.write_bytes(bytes(30 * 2**20))
    with Appender(path), pytest.raises(SourceChangedError, match="changed while it was read"):
        await hash_file(str(path))


async def test_a_cancelled_hash_ends_soon_and_closes_its_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "_STEP_SECONDS", 0.0)
    path = folder / "picture"
    with path.open("wb") as file:
        # A sparse file that takes minutes to hash.
        file.truncate(2**37)
    hashed = asyncio.ensure_future(hash_file(str(path)))
    await asyncio.sleep(0.05)
    hashed.cancel()
    async with asyncio.timeout(5):
        await asyncio.wait([hashed])
    assert hashed.cancelled()
    assert not is_open(path)


def is_open(path: Path) -> bool:
    """Return whether this process has a file open. False where that is unknown."""
    links = Path("/proc/self/fd")
    return links.exists() and path in {link.readlink() for link in links.iterdir() if link.is_symlink()}


# --- walks --------------------------------------------------------------------------------------------------


async def walk_one(journal: Journal, owner: RowOwner, item: Entry) -> list[Planned]:
    return await walk_all(Walk(ListSource([item]), journal, owner, checksum=True))


async def test_with_checksum_a_new_file_comes_with_its_hash(
    journal: Journal, owner: RowOwner, file: Path
) -> None:
    (planned,) = await walk_one(journal, owner, entry_of(file))
    assert isinstance(planned.entry, Entry)
    assert planned.decision.action == "upload"
    assert planned.entry.identity == Identity(len(BYTES), file.stat().st_mtime_ns, SHA256)
    assert planned.entry.item.hash_sha256 == SHA256


async def test_the_hash_of_the_user_stays(journal: Journal, owner: RowOwner, file: Path) -> None:
    item = attrs.evolve(entry_of(file), item=UploadItem(file, hash_sha256="ab" * 32))
    (planned,) = await walk_one(journal, owner, item)
    assert isinstance(planned.entry, Entry)
    assert planned.entry.item.hash_sha256 == "ab" * 32


async def test_a_copy_with_another_time_is_done_and_gets_its_new_time(
    journal: Journal, owner: RowOwner, file: Path
) -> None:
    journal.put_blocking([row("done", identity=Identity(len(BYTES), mtime_ns=4, sha256=SHA256))])
    walk = Walk(ListSource([entry_of(file)]), journal, owner, checksum=True)
    assert await walk_all(walk) == []
    assert walk.done_before == 1
    written = journal.lookup(1, ["a.jpg"])["a.jpg"]
    assert written.identity == Identity(len(BYTES), file.stat().st_mtime_ns, SHA256)


async def test_a_file_with_other_bytes_is_changed(journal: Journal, owner: RowOwner, file: Path) -> None:
    journal.put_blocking([row("done", identity=Identity(len(BYTES), mtime_ns=4, sha256="ab" * 32))])
    (planned,) = await walk_one(journal, owner, entry_of(file))
    assert (planned.decision.action, planned.decision.reason) == ("changed", "its hash has changed")


async def test_an_old_journal_gets_the_hashes_of_files_that_are_done(
    journal: Journal, owner: RowOwner, file: Path
) -> None:
    identity = entry_of(file).identity
    journal.put_blocking([row("done", identity=identity)])
    walk = Walk(ListSource([entry_of(file)]), journal, owner, checksum=True)
    assert await walk_all(walk) == []
    assert journal.lookup(1, ["a.jpg"])["a.jpg"].identity == attrs.evolve(identity, sha256=SHA256)
    file.chmod(0)
    # The next run does not read the file.
    walk = Walk(ListSource([entry_of(file)]), journal, begin(journal), checksum=True)
    assert await walk_all(walk) == []
    assert walk.done_before == 1


async def test_a_file_that_has_changed_since_the_source_listed_it_has_its_new_identity(
    journal: Journal, owner: RowOwner, file: Path
) -> None:
    item = entry_of(file)
    file.write_bytes(BYTES * 2)
    (planned,) = await walk_one(journal, owner, item)
    assert isinstance(planned.entry, Entry)
    assert planned.entry.identity.size == 2 * len(BYTES)
    assert planned.entry.identity.mtime_ns == file.stat().st_mtime_ns


async def test_a_file_that_may_be_unchanged_but_cannot_be_read_is_skipped(
    journal: Journal, owner: RowOwner, file: Path
) -> None:
    before = row("done", identity=Identity(len(BYTES), mtime_ns=4, sha256=SHA256))
    journal.put_blocking([before])
    item = entry_of(file)
    file.unlink()
    (planned,) = await walk_one(journal, owner, item)
    assert planned.entry == Skip("a.jpg", "it cannot be read: No such file or directory")
    assert planned.row == before


async def test_a_new_file_that_cannot_be_read_is_left_to_the_upload(
    journal: Journal, owner: RowOwner, file: Path
) -> None:
    item = entry_of(file)
    file.unlink()
    (planned,) = await walk_one(journal, owner, item)
    assert (planned.entry, planned.decision.action) == (item, "upload")


async def test_a_file_that_changes_while_it_is_read_is_skipped_with_the_reason(
    journal: Journal, owner: RowOwner, file: Path
) -> None:
    file.write_bytes(bytes(30 * 2**20))
    item = entry_of(file)
    with Appender(file):
        (planned,) = await walk_one(journal, owner, item)
    assert isinstance(planned.entry, Skip)
    assert planned.decision.reason == "it changed while it was read: run again once nothing writes to it"


async def test_what_has_no_path_is_not_read(journal: Journal, owner: RowOwner) -> None:
    journal.put_blocking([row("done", identity=Identity(3, tag="crc"))])
    item = Entry("a.jpg", UploadItem(iter([b"abc"])), Identity(3, tag="crc"))
    walk = Walk(ListSource([item]), journal, owner, checksum=True)
    assert await walk_all(walk) == []
    assert walk.done_before == 1
