"""Batch runs: the cost of the journal, a finished run, and the concurrency that a run finds."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import files, ours
from benchmarks.job import Job, Sample, Stopwatch, peak_memory
from imgwire_async import AsyncImgwireClient
from imgwire_async.batch import AsyncBatch
from imgwire_async.batch.items import Entry, Identity, Skip, Source
from imgwire_async.batch.journal import open_journal
from imgwire_async.batch.records import JournalRow
from imgwire_async.batch.service import service_of
from imgwire_async.batch.sources.base import CHUNK, ChunkedSource, Files
from imgwire_async.uploads.item import UploadItem

SIZE = 100_000
MTIME_NS = 1_700_000_000_000_000_000
# No request is sent to it.
UNUSED = "http://127.0.0.1:9"


def measure(job: Job) -> Sample:
    with TemporaryDirectory(prefix="imgwire-bench-") as folder:
        journal = Path(folder) / "bench.journal"
        if job.kind == "nothing to do":
            # In a process of its own, because its memory would count.
            command = [sys.executable, "-m", "benchmarks.batch", str(journal), str(job.work.count)]
            subprocess.run(command, check=True)
            return asyncio.run(_finished(journal, job.work.count))
        return asyncio.run(_upload(job, journal))


async def _upload(job: Job, journal: Path) -> Sample:
    """Upload the files with `upload_many`, in a batch of a fixed concurrency, or in one that adapts."""
    work = job.work
    paths = files.many(job.endpoints.files, work.size)[: work.count]
    async with ours.client(job.base, job.cafile) as client:
        # Opens the connections and imports all modules.
        await ours.upload_many(client, paths[: work.at_once], work.at_once, mime_type=None)
        await _batch(client, journal.with_name("warm"), paths[: work.at_once], work.at_once)
        watch = Stopwatch()
        if job.kind == "upload_many":
            await ours.upload_many(client, paths, work.at_once, mime_type=None)
        else:
            at_once = None if job.kind == "adaptive" else int(job.kind.partition(" ")[0])
            await _batch(client, journal, paths, at_once)
        return watch.per_unit(len(paths)) | {"peak_mb": peak_memory()}


async def _batch(
    client: AsyncImgwireClient, journal: Path, paths: Sequence[Path], concurrency: int | None
) -> None:
    async with AsyncBatch(client, journal, concurrency=concurrency) as batch:
        async for result in batch.upload(paths):
            assert result.error is None, result.error
        assert batch.summary().uploaded == len(paths)


# --- a finished run -----------------------------------------------------------------------------------------


def _client() -> AsyncImgwireClient:
    return ours.client(UNUSED)


def _key(number: int) -> str:
    return f"2024/{number // 1_000:06}/IMG_{number:08}.jpg"


class Numbers(ChunkedSource):
    """A source of files that need not exist, so that only the walk and the journal are measured."""

    def __init__(self, count: int) -> None:
        super().__init__("/photos")
        self._numbers = iter(range(count))

    async def read(self) -> list[Entry | Skip]:
        return [self._entry(number) for number in itertools.islice(self._numbers, CHUNK)]

    def _entry(self, number: int) -> Entry:
        key = _key(number)
        return Entry(key, UploadItem(f"/photos/{key}"), Identity(SIZE, mtime_ns=MTIME_NS))

    async def aclose(self) -> None:
        pass


class FilesOfNumbers(Files):
    """The files of `Numbers`, for one run."""

    def __init__(self, count: int) -> None:
        self._count = count

    def start(self, own_paths: frozenset[Path]) -> Source:
        return Numbers(self._count)


async def _finished(path: Path, count: int) -> Sample:
    before = peak_memory()
    async with _client() as client, AsyncBatch(client, path) as batch:
        watch = Stopwatch()
        async for result in batch.upload(FilesOfNumbers(count)):
            raise AssertionError(result)
        summary = batch.summary()
    assert (summary.done_before, summary.uploaded) == (count, 0), summary
    # The time of the whole run, and not of one file.
    return watch.per_unit(1) | {"grown_mb": peak_memory() - before}


def write_finished(path: Path, count: int) -> None:
    """Write the journal of a finished run."""
    service = service_of(_client())
    journal = open_journal(path)
    destination = journal.use_destination(None, service.base_url, None, service.known_fingerprint)
    owner = journal.begin_run(destination, "/photos")
    for start in range(0, count, 10_000):
        journal.put_blocking(
            [
                JournalRow(
                    owner.destination,
                    _key(number),
                    owner.source,
                    owner.run,
                    "done",
                    Identity(SIZE, mtime_ns=MTIME_NS),
                    idempotency_key="imgwire-batch-1-" + "0" * 64,
                    image_id=f"0f8fad5b-d9cb-469f-a165-{number:012}",
                    cdn_url=f"https://cdn.example.com/0f8fad5b-d9cb-469f-a165-{number:012}.jpg",
                    attempts=1,
                    finished_at=1.7e9,
                )
                for number in range(start, min(start + 10_000, count))
            ]
        )
    journal.close()


if __name__ == "__main__":
    write_finished(Path(sys.argv[1]), int(sys.argv[2]))
