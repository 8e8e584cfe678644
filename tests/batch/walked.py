"""Walk through many files of a finished run, or plan them, in a process of its own.

It prints the seconds of the processor and the bytes of memory. Call it with these arguments:

* `folder FOLDER COUNT` creates a folder `photos` with files that need little memory
* `write JOURNAL COUNT [FOLDER/photos]` creates the journal of a finished run
* `walk JOURNAL COUNT [FOLDER/photos]` and `plan` measure, without a folder with files that do not exist
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sys
import time
from pathlib import Path
from typing import Any

from batch.journals import begin, row
from imgwire_async.batch.items import Entry, Identity, Skip
from imgwire_async.batch.journal import Journal, open_journal
from imgwire_async.batch.journal_schema import PUT, values_of
from imgwire_async.batch.planning import plan
from imgwire_async.batch.sources import as_source
from imgwire_async.batch.sources.base import CHUNK, ChunkedSource
from imgwire_async.batch.walk import Walk
from imgwire_async.uploads.item import UploadItem

SIZE = 100_000
MTIME_NS = 1_700_000_000_000_000_000


def memory() -> int:
    """Return the maximum memory of this process in bytes."""
    status = Path("/proc/self/status").read_text("ascii")
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def key_of(number: int) -> str:
    return f"2024/{number // 1_000:06}/IMG_{number:08}.jpg"


class FilesOfNumbers(ChunkedSource):
    """A source of files that need not exist."""

    def __init__(self, count: int) -> None:
        super().__init__("/photos")
        self._numbers = iter(range(count))

    async def read(self) -> list[Entry | Skip]:
        return [self._entry(number) for number in itertools.islice(self._numbers, CHUNK)]

    def _entry(self, number: int) -> Entry:
        key = key_of(number)
        return Entry(key, UploadItem(f"/photos/{key}"), Identity(SIZE, mtime_ns=MTIME_NS))

    async def aclose(self) -> None:
        pass


def create_folder(path: Path, count: int) -> None:
    """Create a folder with files that use no memory: all are names of one empty page."""
    first = path / "first"
    path.mkdir()
    with first.open("wb") as file:
        file.truncate(SIZE)
    os.utime(first, ns=(MTIME_NS, MTIME_NS))
    for number in range(count):
        target = path / "photos" / key_of(number)
        if number % 1_000 == 0:
            target.parent.mkdir(parents=True)
        target.hardlink_to(first)


def write(path: Path, count: int, source: str) -> None:
    """Write the journal of a finished run."""
    journal = open_journal(path)
    begin(journal, source)
    for start in range(0, count, 10_000):
        values = [
            values_of(
                row(
                    key=key_of(number),
                    identity=Identity(SIZE, mtime_ns=MTIME_NS),
                    image_id=f"0f8fad5b-d9cb-469f-a165-{number:012}",
                    cdn_url=f"https://cdn.example.com/0f8fad5b-d9cb-469f-a165-{number:012}.jpg",
                    idempotency_key="imgwire-batch-1-" + "0" * 64,
                    finished_at=1.7e9,
                    attempts=1,
                )
            )
            for number in range(start, min(start + 10_000, count))
        ]
        journal.run(lambda connection, values=values: connection.executemany(PUT, values) and None)
    journal.close()


def source_of(folder: str, count: int) -> Any:
    return as_source(folder) if folder else FilesOfNumbers(count)


async def walk(journal: Journal, source: Any, count: int) -> None:
    """Walk through all files, which must be done."""
    walk = Walk(source, journal, begin(journal, source.name))
    async with contextlib.aclosing(walk):
        left = [file async for files in walk for file in files]
    assert (left, walk.done_before, walk.found) == ([], count, count), (left[:3], walk.done_before)


async def plan_all(journal: Journal, source: Any, count: int) -> None:
    """Plan all files, which must be done."""
    found = 0
    (destination,) = journal.destinations()
    async with contextlib.aclosing(plan(source, journal, destination)) as files:
        async for file in files:
            assert file.action == "done"
            found += 1
    assert found == count


def measure(command: str, path: Path, count: int, folder: str) -> None:
    """Print the seconds and the bytes of a walk or a plan."""
    before = memory()
    started_at = time.process_time()
    journal = open_journal(path)
    function = {"walk": walk, "plan": plan_all}[command]
    asyncio.run(function(journal, source_of(folder, count), count))
    journal.close()
    print(time.process_time() - started_at, memory() - before)


if __name__ == "__main__":
    command, path, count, folder = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), "".join(sys.argv[4:])
    if command == "folder":
        create_folder(path, count)
    elif command == "write":
        write(path, count, folder or "/photos")
    else:
        measure(command, path, count, folder)
