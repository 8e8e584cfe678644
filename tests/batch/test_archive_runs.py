"""Runs over archives: memory and files are bounded and released, and no end leaves anything behind."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from imgwire_async import ArchiveError
from imgwire_async.batch.items import Entry, Source
from imgwire_async.batch.sources import Files, archive
from imgwire_async.batch.sources.archive import ArchiveSource
from imgwire_async.batch.sources.archive_contents import Contents, Memory, PackedMember
from imgwire_async.batch.sources.archive_file import open_archive

from .archives import RawZip, header, listed, read, tar_of, write_tar
from .runs import Site, picture, site

SIZE = 20_000
COUNT = 40
PICTURES = {f"{number:03}.png": picture(number, SIZE) for number in range(COUNT)}
# A few members have room at the same time.
SMALL = 5 * SIZE


class CountedMemory(Memory):
    """Memory that notes the maximum number of bytes."""

    def __init__(self, maximum: int) -> None:
        super().__init__(maximum)
        self.limit = maximum
        self.peak = 0

    def reserve(self, size: int) -> bool:
        has_room = super().reserve(size)
        self.peak = max(self.peak, self._used)
        return has_room

    def is_free(self) -> bool:
        """Return whether nothing is reserved."""
        gc.collect()
        has_room = super().reserve(self.limit)
        if has_room:
            self.release(self.limit)
        return has_room


@attrs.frozen
class SmallArchive(Files):
    """An archive of which few members have room in memory."""

    path: Path
    memory: CountedMemory = attrs.field(factory=lambda: CountedMemory(SMALL))
    contents: list[Contents] = attrs.field(factory=list[Contents])

    def start(self, own_paths: frozenset[Path]) -> Source:
        self.contents.append(Contents(self.memory))
        return ArchiveSource(archive(self.path), self.contents[-1])


def open_files(folder: Path) -> set[str]:
    """Return the open files of this process that are in a folder or were deleted."""
    names: set[str] = set()
    for number in Path("/proc/self/fd").iterdir():
        try:
            name = str(number.readlink())
        except OSError:
            continue
        if name.startswith(str(folder)) or name.endswith("(deleted)"):
            names.add(name)
    return names


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="looks at the open files in /proc")


@pytest.fixture
def packed(tmp_path: Path) -> SmallArchive:
    return SmallArchive(write_tar(tmp_path / "album.tgz", PICTURES, "w:gz", compresslevel=1))


@pytest.fixture
def no_file_stays_open(packed: SmallArchive) -> Iterator[None]:
    before = open_files(packed.path.parent)
    yield
    gc.collect()
    assert open_files(packed.path.parent) <= before


def stored(here: Site) -> set[str]:
    return {image.id for image in here.images(None) if image.stored}


def check_all_done(here: Site, results: dict[str, Any]) -> None:
    assert {result.status for result in results.values()} == {"done"}
    assert stored(here) == {result.image_id for result in results.values()}
    assert len(results) == COUNT


@needs_proc
@pytest.mark.usefixtures("no_file_stays_open")
async def test_a_compressed_archive_needs_bounded_memory_and_one_more_pass(
    folder: Path, tmp_path: Path, packed: SmallArchive
) -> None:
    async with site(folder, tmp_path) as here:
        check_all_done(here, await here.upload(packed))
        assert here.requests("PUT") == COUNT
    (contents,) = packed.contents
    assert contents.passes == 1
    assert SIZE < packed.memory.peak <= SMALL
    assert packed.memory.is_free()


async def test_a_compressed_archive_that_fits_into_the_memory_is_read_once(
    folder: Path, tmp_path: Path, packed: SmallArchive
) -> None:
    files = SmallArchive(packed.path, CountedMemory(2 * COUNT * SIZE))
    async with site(folder, tmp_path) as here:
        check_all_done(here, await here.upload(files))
    assert [contents.passes for contents in files.contents] == [0]
    assert files.memory.is_free()


@needs_proc
@pytest.mark.usefixtures("no_file_stays_open")
async def test_files_that_failed_are_read_again_at_the_end_of_the_run(
    folder: Path, tmp_path: Path, packed: SmallArchive
) -> None:
    async with site(folder, tmp_path, retries=0) as here:
        here.emulator.faults.add("PUT", "/uploads/*", status=503, times=6, after=1)
        check_all_done(here, await here.upload(packed))
        assert here.requests("PUT") == COUNT + 6
    (contents,) = packed.contents
    assert 2 <= contents.passes <= 7
    assert packed.memory.peak <= SMALL
    assert packed.memory.is_free()


@needs_proc
@pytest.mark.usefixtures("no_file_stays_open")
@pytest.mark.parametrize(
    "end", ["cancel", *(pytest.param(end, marks=pytest.mark.slow) for end in ("break", "stop", "error"))]
)
async def test_no_end_of_a_run_keeps_memory_or_files(
    folder: Path, tmp_path: Path, packed: SmallArchive, end: str
) -> None:
    async with site(folder, tmp_path) as here:
        if end == "error":
            here.emulator.faults.add(
                "POST", "/api/v1/images/standard_upload", status=401, times=None, after=5
            )
        begun = asyncio.Event()

        async def upload() -> None:
            with here.journal() as journal:
                async with here.run(journal, packed) as run:
                    async for _ in run:
                        begun.set()
                        if end == "break":
                            break
                        if end == "stop":
                            run.stop()

        task = asyncio.ensure_future(upload())
        if end == "cancel":
            await begun.wait()
            task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() == (end == "cancel")
        assert task.cancelled() or (task.exception() is not None) == (end == "error")
        here.emulator.faults.clear()
        await here.upload(packed)
        assert {*here.statuses().values()} == {"done"}
        assert len(stored(here)) == COUNT
    assert packed.memory.is_free()


async def test_results_that_the_user_keeps_do_not_stop_a_run(
    folder: Path, tmp_path: Path, packed: SmallArchive
) -> None:
    async with site(folder, tmp_path) as here:
        check_all_done(here, await here.upload(packed, include_done=True))
        async with asyncio.timeout(30):
            kept = await here.upload(packed, include_done=True)
    assert len(kept) == COUNT
    assert packed.memory.is_free()


async def test_a_member_cannot_be_read_after_its_run(packed: SmallArchive) -> None:
    source = packed.start(frozenset())
    entries = [entry for entry in await source.read() if isinstance(entry, Entry)]
    await source.aclose()
    error = await read(entries[-1])
    assert isinstance(error, ArchiveError)
    assert "the run over this archive has ended: run again" in str(error)


async def test_members_in_any_order_are_read_in_few_passes(packed: SmallArchive) -> None:
    files = SmallArchive(packed.path, CountedMemory(0))
    source = files.start(frozenset())
    entries: dict[str, Entry] = {}
    while items := await source.read():
        entries |= {item.key: item for item in items if isinstance(item, Entry)}
    keys = [*PICTURES][::-1]
    found = await asyncio.gather(*(read(entries[key]) for key in keys))
    assert found == [PICTURES[key] for key in keys]
    assert files.contents[0].passes <= 2
    file = entries["000.png"].item.file
    assert isinstance(file, PackedMember)
    assert file.nbytes == 0
    await source.aclose()


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_member_that_takes_long_to_read_does_not_begin_another_pass(tmp_path: Path) -> None:
    # Reading takes several steps of a pass.
    large = picture(1, 200 * 2**20)
    path = write_tar(tmp_path / "album.tgz", {"large.png": large}, "w:gz", compresslevel=1)
    files = SmallArchive(path, CountedMemory(0))
    source = files.start(frozenset())
    (entry,) = [item for item in await source.read() if isinstance(item, Entry)]
    async with asyncio.timeout(90):
        assert await read(entry) == large
    assert files.contents[0].passes == 1
    await source.aclose()


async def test_an_upload_that_is_cancelled_while_it_waits_for_its_member_leaves_the_others(
    packed: SmallArchive,
) -> None:
    files = SmallArchive(packed.path, CountedMemory(0))
    source = files.start(frozenset())
    entries = [item for item in await source.read() if isinstance(item, Entry)]
    reading = [asyncio.ensure_future(read(entry)) for entry in entries[:5]]
    await asyncio.sleep(0)
    for task in reading[::2]:
        task.cancel()
    found = await asyncio.gather(*reading, return_exceptions=True)
    assert [isinstance(each, bytes) for each in found] == [False, True, False, True, False]
    await source.aclose()


async def test_a_member_behind_the_pass_waits_only_as_long_as_the_pass_took(packed: SmallArchive) -> None:
    contents = Contents()
    file, handle = open_archive(str(packed.path))
    handle.close()
    contents.begin(file, "gzip")
    del file
    await contents._restart()  # a decision that has no other sign
    running: Any = contents._pass  # as above
    now, running.next_index = asyncio.get_running_loop().time(), 10
    decide = contents._must_restart  # as above
    waiting = contents._wanted  # as above
    for wanted, seconds, restarts in [
        ({10: now}, 0, False),
        ({9: now}, 0, True),
        ({9: now, 10: now}, 0, False),
        ({9: now - 5, 10: now}, 2, True),
        ({9: now - 5, 10: now}, 90, False),
    ]:
        waiting.clear()
        waiting.update(wanted)
        running.seconds = seconds
        assert decide(running) is restarts, wanted
    await contents.aclose()


async def test_a_damaged_archive_is_uploaded_until_the_damage_and_the_run_ends_with_the_error(
    folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.tar"
    good = picture(1)
    path.write_bytes(tar_of(header("a.png", len(good)), good, b"\1" * 512))
    async with site(folder, tmp_path) as here:
        with pytest.raises(ArchiveError, match=r"a\.tar: the archive has a broken header\. Copy the archive"):
            await here.upload(archive(path))
        assert here.statuses() == {"a.png": "done"}


async def test_a_member_with_a_wrong_crc_fails_alone_and_no_damaged_picture_is_stored(
    folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.zip"
    raw = RawZip().add("a.png", picture(1), crc=1).add("b.png", picture(2))
    path.write_bytes(raw.add("c.png", picture(3, 2_000_000), crc=1).data())
    async with site(folder, tmp_path) as here:
        results = await here.upload(archive(path, prefix="p/"))
        assert {key: result.status for key, result in results.items()} == {
            "p/a.png": "failed",
            "p/b.png": "done",
            "p/c.png": "failed",
        }
        for key in ("p/a.png", "p/c.png"):
            assert str(results[key].error).startswith(f"{path}/{key[2:]}: the member is damaged: its CRC")
        assert len(stored(here)) == 1


async def test_a_plan_reads_no_content_of_a_zip_or_plain_tar(tmp_path: Path) -> None:
    """The contents are holes of terabytes, which no program could read in time."""
    path = tmp_path / "a.tar"
    size = 2**40
    with path.open("wb") as file:
        for number in range(5):
            block = header(f"{number}.gif", size)
            file.write(block)
            file.seek(size, os.SEEK_CUR)
        file.truncate(file.tell())
    found, error = await listed(path)
    assert error is None
    assert {*found.values()} == {size}
    assert len(found) == 5
