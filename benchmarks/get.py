"""Small GETs, one after the other: the median time of each kind."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from benchmarks import ours, peers, raw
from benchmarks.job import Job, Sample
from benchmarks.loops import runner
from benchmarks.record import IMAGE_ID

WARM = 100


def measure(job: Job) -> Sample:
    kind, _, loop = job.kind.partition(" on ")
    url = f"{job.base}/api/v1/images/{IMAGE_ID}"
    if kind in peers.GETS:
        with peers.GETS[kind]() as get:
            return of_calls(lambda: get(url), job.work.count)
    with runner(loop) as running:
        return running.run(KINDS[kind](job, url))


async def _ours(job: Job, _: str) -> Sample:
    async with ours.client(job.base, job.cafile) as client:
        return await of_awaited(lambda: ours.retrieve(client, IMAGE_ID), job.work.count)


async def _floor(job: Job, url: str) -> Sample:
    async with raw.session(job.cafile) as http:
        return await of_awaited(lambda: raw.get(http, url), job.work.count)


async def _httpx(job: Job, url: str) -> Sample:
    async with peers.httpx_client(job.cafile) as http:
        return await of_awaited(lambda: peers.httpx_get(http, url), job.work.count)


KINDS: dict[str, Callable[[Job, str], Coroutine[Any, Any, Sample]]] = {
    "aiohttp": _floor,
    "ours": _ours,
    "httpx": _httpx,
}


async def of_awaited(call: Callable[[], Awaitable[object]], count: int) -> Sample:
    """Return the median time of `count` calls, one after the other."""
    times: list[float] = []
    for _ in range(count + WARM):
        started_at = time.perf_counter()
        await call()
        times.append(time.perf_counter() - started_at)
    return _summary(times[WARM:])


def of_calls(call: Callable[[], object], count: int) -> Sample:
    """Return the median time of `count` blocking calls, one after the other."""
    times: list[float] = []
    for _ in range(count + WARM):
        started_at = time.perf_counter()
        call()
        times.append(time.perf_counter() - started_at)
    return _summary(times[WARM:])


def _summary(times: list[float]) -> Sample:
    times.sort()
    return {"seconds": statistics.median(times), "p99_seconds": times[int(len(times) * 0.99)]}
