"""Measure imports: the time of a process that only imports a module."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from tempfile import TemporaryDirectory

from benchmarks.job import Job, Sample

PROGRAMS = {
    "bare Python": "pass",
    "the package": "import imgwire_async",
    "the client class": "from imgwire_async import AsyncImgwireClient",
    "a client, made": "from imgwire_async import AsyncImgwireClient; AsyncImgwireClient('sk_benchmark')",
    "the blocking client class": "from imgwire_async import ImgwireClient",
    "aiohttp": "import aiohttp",
    "httpx": "import httpx",
    "requests": "import requests",
}


def measure(job: Job) -> Sample:
    command = [sys.executable, "-c", PROGRAMS[job.kind]]
    times: list[float] = []
    with TemporaryDirectory() as compiled:
        # If modules are not compiled and Python cannot write to their folder, each import would compile them.
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        env["PYTHONPYCACHEPREFIX"] = compiled
        for _ in range(job.work.count + 1):
            started_at = time.perf_counter()
            subprocess.run(command, check=True, env=env)
            times.append(time.perf_counter() - started_at)
    # The first process compiled the modules.
    return {"seconds": statistics.median(times[1:])}
