"""Upload a tiny file many times, with growing numbers of files and of simultaneous uploads."""

from __future__ import annotations

import asyncio
from itertools import repeat

from benchmarks import files, ours
from benchmarks.job import Job, Sample, Stopwatch, peak_memory


def measure(job: Job) -> Sample:
    return asyncio.run(_ours(job))


async def _ours(job: Job) -> Sample:
    path = files.many(job.endpoints.files, job.work.size)[0]
    async with ours.client(job.base, job.cafile) as client:
        await ours.upload_many(client, repeat(path, job.work.at_once), job.work.at_once, mime_type=None)
        watch = Stopwatch()
        await ours.upload_many(client, repeat(path, job.work.count), job.work.at_once, mime_type=None)
        return watch.per_unit(job.work.count) | {"peak_mb": peak_memory()}
