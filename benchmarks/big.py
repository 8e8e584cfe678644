"""Upload one file of 1 GiB: its time, the memory growth, and the lag of the event loop."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from benchmarks import files, ours, raw
from benchmarks.job import Job, Sample, Stopwatch, peak_memory
from benchmarks.record import IMAGE_ID

CHUNK_SIZE = 1 << 19
# Seconds between two measurements of the lag.
PROBE_INTERVAL = 0.002


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
        str(files.big(job.endpoints.files)),
        "-w",
        "%{time_total}",
    ]
    trust = ["--cacert", job.endpoints.cafile] if job.work.tls else []
    target = f"{job.origin}/sink/x"
    process = subprocess.run([*command, *trust, target], check=True, capture_output=True, text=True)
    return {"seconds": float(process.stdout)}


async def _ours(job: Job) -> Sample:
    async with ours.client(job.base, job.cafile) as client:
        # Opens the connection to the API and imports all modules.
        await ours.retrieve(client, IMAGE_ID)

        async def upload() -> object:
            return await ours.upload_one(client, files.big(job.endpoints.files))

        return await _watched(upload)


async def _floor(job: Job) -> Sample:
    """Send only the PUT, with aiohttp and chunks that are read in a thread."""
    path = files.big(job.endpoints.files)
    headers = {"Content-Length": str(path.stat().st_size)}

    async def chunks() -> AsyncIterator[bytes]:
        with path.open("rb", buffering=0) as file:
            while chunk := await asyncio.to_thread(file.read, CHUNK_SIZE):
                yield chunk

    async with raw.session(job.cafile) as http:
        await raw.get(http, f"{job.base}/api/v1/images/{IMAGE_ID}")

        async def upload() -> None:
            async with http.put(f"{job.origin}/sink/x", data=chunks(), headers=headers) as response:
                await response.read()
                response.raise_for_status()

        return await _watched(upload)


async def _watched(upload: Callable[[], Awaitable[object]]) -> Sample:
    delays: list[float] = []
    probe = asyncio.create_task(_measure_lag(delays))
    await asyncio.sleep(0.2)
    delays.clear()
    memory = peak_memory()
    watch = Stopwatch()
    await upload()
    found = watch.per_unit(1)
    probe.cancel()
    delays.sort()
    return found | {
        "grown_mb": peak_memory() - memory,
        "lag_p99_seconds": delays[int(len(delays) * 0.99)],
        "lag_max_seconds": delays[-1],
    }


async def _measure_lag(delays: list[float]) -> None:
    while True:
        started_at = time.perf_counter()
        await asyncio.sleep(PROBE_INTERVAL)
        delays.append(time.perf_counter() - started_at - PROBE_INTERVAL)
