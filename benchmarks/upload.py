"""Upload many files from disk: the time and processor time per file."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks import files, ours, peers, raw
from benchmarks.job import Job, Sample, Stopwatch, peak_memory
from benchmarks.loops import runner

Upload = Callable[[list[Path]], Awaitable[None]]


def measure(job: Job) -> Sample:
    kind, _, loop = job.kind.partition(" on ")
    paths = files.many(job.endpoints.files, job.work.size)[: job.work.count]
    if kind in peers.UPLOADS:
        return peers.UPLOADS[kind](job, paths)
    with runner(loop) as running:
        return running.run(_ours(job, paths) if kind == "ours" else _floor(job, paths, kind))


async def _ours(job: Job, paths: list[Path]) -> Sample:
    async with ours.client(job.base, job.cafile) as client:

        async def upload(some: list[Path]) -> None:
            done = await ours.upload_many(client, some, job.work.at_once, mime_type=None)
            assert done == len(some)

        return await _timed(upload, job, paths)


async def _floor(job: Job, paths: list[Path], kind: str) -> Sample:
    held = {path: path.read_bytes() for path in paths} if kind == "memory" else {}
    read = held.__getitem__ if held else Path.read_bytes
    async with raw.session(job.cafile, job.work.at_once) as http:

        async def upload(some: list[Path]) -> None:
            await raw.upload_all(http, job.base, some, job.work.at_once, read)

        return await _timed(upload, job, paths)


async def _timed(upload: Upload, job: Job, paths: list[Path]) -> Sample:
    # Opens the connections and imports all modules.
    await upload(paths[: job.work.at_once])
    await asyncio.sleep(0)
    watch = Stopwatch()
    await upload(paths)
    return watch.per_unit(len(paths)) | {"peak_mb": peak_memory()}
