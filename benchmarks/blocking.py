"""The blocking client: one GET, GETs from 32 threads, and a page of 100 images."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from benchmarks import get, ours, peers
from benchmarks.job import Job, Sample
from benchmarks.record import IMAGE_ID
from imgwire_async import ImgwireClient


def measure(job: Job) -> Sample:
    if job.kind == "async, a page":
        return asyncio.run(_async_pages(job))
    if job.kind.startswith("ours"):
        with ImgwireClient("sk_benchmark", base_url=job.endpoints.json_server) as client:
            if job.kind == "ours, a page":
                return _timed(lambda: client.images.list(limit=100), job)
            return _timed(lambda: client.images.retrieve(IMAGE_ID), job)
    url = f"{job.endpoints.json_server}/api/v1/images/{IMAGE_ID}"
    with peers.GETS[job.kind]() as call:
        return _timed(lambda: call(url), job)


async def _async_pages(job: Job) -> Sample:
    async with ours.client(job.endpoints.json_server) as client:
        return await get.of_awaited(lambda: client.images.list(limit=100), job.work.count)


def _timed(call: Callable[[], object], job: Job) -> Sample:
    if job.work.at_once == 1:
        return get.of_calls(call, job.work.count)
    return _in_threads(call, job.work.at_once, job.work.count)


def _in_threads(call: Callable[[], object], threads: int, count: int) -> Sample:
    """Return the total time divided by the number of calls, which several threads make at the same time."""
    ready, begin = threading.Barrier(threads + 1), threading.Barrier(threads + 1)

    def loop() -> None:
        # Opens the connection of this thread before the time is measured.
        call()
        ready.wait()
        begin.wait()
        for _ in range(count):
            call()

    workers = [threading.Thread(target=loop) for _ in range(threads)]
    for worker in workers:
        worker.start()
    ready.wait()
    started_at = time.perf_counter()
    begin.wait()
    for worker in workers:
        worker.join()
    return {"seconds": (time.perf_counter() - started_at) / (threads * count)}
