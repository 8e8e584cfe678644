"""One file of 1 GiB: the whole upload against `curl -T`, with memory growth and what the loop's other tasks feel."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from benchmarks import files, ours, raw
from benchmarks.job import Job, Sample, Stopwatch, peak_memory
from benchmarks.record import IMAGE_ID

CHUNK_SIZE = 1 << 19
PROBE = 0.002  # seconds between two looks at the clock


def measure(job: Job) -> Sample:
    if job.kind == "curl -T":
        return _curl(job)
    return asyncio.run(_ours(job) if job.kind == "ours" else _floor(job))


def _curl(job: Job) -> Sample:
    command = [
        "curl",
        "-sS",
        "--fail",
        "-H",
        "Expect:",
        "-T",
        str(files.big(job.place.files)),
        "-w",
        "%{time_total}",
    ]
    trust = ["--cacert", job.place.cafile] if job.work.tls else []
    target = f"{job.origin}/sink/x"
    done = subprocess.run([*command, *trust, target], check=True, capture_output=True, text=True)
    return {"seconds": float(done.stdout)}


async def _ours(job: Job) -> Sample:
    async with ours.client(job.base, job.cafile) as client:
        await ours.retrieve(client, IMAGE_ID)  # the client is warm, the connection to the API is there

        async def upload() -> object:
            return await ours.upload_one(client, files.big(job.place.files))

        return await _watched(upload)


async def _floor(job: Job) -> Sample:
    """The plainest correct loop of raw aiohttp: the PUT alone, pieces read in a thread."""
    path = files.big(job.place.files)
    headers = {"Content-Length": str(path.stat().st_size)}

    async def pieces() -> AsyncIterator[bytes]:
        with path.open("rb", buffering=0) as file:
            while piece := await asyncio.to_thread(file.read, CHUNK_SIZE):
                yield piece

    async with raw.session(job.cafile) as http:
        await raw.get(http, f"{job.base}/api/v1/images/{IMAGE_ID}")

        async def upload() -> None:
            async with http.put(f"{job.origin}/sink/x", data=pieces(), headers=headers) as answer:
                await answer.read()
                answer.raise_for_status()

        return await _watched(upload)


async def _watched(upload: Callable[[], Awaitable[object]]) -> Sample:
    late: list[float] = []
    probe = asyncio.create_task(_look_at_the_clock(late))
    await asyncio.sleep(0.2)
    late.clear()
    memory = peak_memory()
    watch = Stopwatch()
    await upload()
    found = watch.per_unit(1)
    probe.cancel()
    late.sort()
    return found | {
        "grown_mb": peak_memory() - memory,
        "lag_p99_seconds": late[int(len(late) * 0.99)],
        "lag_max_seconds": late[-1],
    }


async def _look_at_the_clock(late: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(PROBE)
        late.append(time.perf_counter() - began - PROBE)
