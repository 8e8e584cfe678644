"""List 10,000 images in order: the seconds for the whole list."""

from __future__ import annotations

import asyncio

from benchmarks import ours, raw
from benchmarks.job import Job, Sample, Stopwatch, peak_memory
from benchmarks.record import IMAGE_ID, PAGE_SIZE, PAGES

IN_FLIGHT = {"1 page in flight": 1, "8 pages in flight": 8}


def measure(job: Job) -> Sample:
    return asyncio.run(_ours(job) if job.kind == "ours" else _floor(job))


async def _ours(job: Job) -> Sample:
    async with ours.client(job.base, job.cafile) as client:
        await ours.retrieve(client, IMAGE_ID)
        watch = Stopwatch()
        count = await ours.list_all(client)
        found = watch.per_unit(1)
    assert count == PAGES * PAGE_SIZE
    return found | {"peak_mb": peak_memory()}


async def _floor(job: Job) -> Sample:
    async with raw.session(job.cafile) as http:
        await raw.get(http, f"{job.base}/api/v1/images/{IMAGE_ID}")
        watch = Stopwatch()
        count = await raw.list_all(http, job.base, PAGES, IN_FLIGHT[job.kind])
        found = watch.per_unit(1)
    assert count == PAGES * PAGE_SIZE
    return found | {"peak_mb": peak_memory()}
