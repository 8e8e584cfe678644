"""The blocking client against raw urllib3, and a page of it against the asynchronous client. `python benchmarks/blocking.py [--json]`.

Calls go to the cheap server, so that the client is what is measured; the page comes from the emulator. Both run in processes of
their own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import orjson
import urllib3
from server import IMAGE_ID, running

from imgwire_async import AsyncImgwireClient, ImgwireClient

KEY = "sk_benchmark"
THREADS = 32
# name -> (what it is measured against, the most that it may take as a multiple of that)
ONE, MANY, PAGE = "retrieve", f"retrieve in {THREADS} threads", "a page of 100"
ROWS = {
    "GET (urllib3)": ("GET (urllib3)", 1.0),
    ONE: ("GET (urllib3)", 1.5),
    f"GET in {THREADS} threads (urllib3)": (f"GET in {THREADS} threads (urllib3)", 1.0),
    MANY: (f"GET in {THREADS} threads (urllib3)", 1 / 1.5),
    "a page of 100 (async)": ("a page of 100 (async)", 1.0),
    PAGE: ("a page of 100 (async)", 1.3),
}

_EMULATOR = """
import sys
from imgwire_async.emulator import Emulator
with Emulator() as emulator:
    print(emulator.base_url, emulator.api_key, flush=True)
    sys.stdin.read()
"""


@contextmanager
def emulator() -> Iterator[list[str]]:
    """An emulator in a process of its own: its origin and key."""
    process = subprocess.Popen(
        [sys.executable, "-c", _EMULATOR], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()
    finally:
        process.communicate()


def median_of(work: Callable[[], object], calls: int) -> float:
    """The median of so many calls, one after the other, in microseconds."""
    times: list[float] = []
    for _ in range(calls):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


async def async_median_of(client: AsyncImgwireClient, calls: int) -> float:
    times: list[float] = []
    for _ in range(calls):
        began = time.perf_counter()
        await client.images.list(limit=100)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


def in_threads(work: Callable[[], object], calls: int) -> float:
    """Microseconds per call when so many threads make so many calls each: the whole time, shared out."""
    begin = threading.Barrier(THREADS + 1)

    def loop() -> None:
        begin.wait()
        for _ in range(calls):
            work()

    threads = [threading.Thread(target=loop) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    begin.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return (time.perf_counter() - began) / (THREADS * calls) * 1e6


def measure(rounds: int, calls: int) -> dict[str, list[float]]:
    """Microseconds per call, one number per round; within each round the kinds take turns in random order."""
    dice = random.Random(1)
    pool = urllib3.PoolManager(maxsize=THREADS)
    headers = {"Authorization": f"Bearer {KEY}", "Accept": "application/json"}
    with (
        running() as origin,
        emulator() as (base_url, key),
        ImgwireClient(KEY, base_url=origin) as client,
        ImgwireClient(key, base_url=base_url) as lister,
        asyncio.Runner() as runner,
    ):
        url = f"{origin}/api/v1/images/{IMAGE_ID}"
        for _ in range(100):
            lister.images.create(file_name="picture.jpg")
        other = AsyncImgwireClient(key, base_url=base_url)

        def raw() -> object:
            return orjson.loads(pool.request("GET", url, headers=headers).data)

        def ours() -> object:
            return client.images.retrieve(IMAGE_ID)

        few = max(1, calls // 10)
        work: dict[str, Callable[[], float]] = {
            "GET (urllib3)": lambda: median_of(raw, calls),
            ONE: lambda: median_of(ours, calls),
            f"GET in {THREADS} threads (urllib3)": lambda: in_threads(raw, few),
            MANY: lambda: in_threads(ours, few),
            "a page of 100 (async)": lambda: runner.run(async_median_of(other, few)),
            PAGE: lambda: median_of(lambda: lister.images.list(limit=100), few),
        }
        for kind in work.values():
            kind()  # connections and code warm
        times: dict[str, list[float]] = {name: [] for name in work}
        for _ in range(rounds):
            for name in dice.sample(sorted(work), len(work)):
                times[name].append(work[name]())
        runner.run(other.aclose())
        return times


def main(arguments: list[str] | None = None) -> int:
    """Print medians, ratios (median of the rounds' ratios) and their spread; 1 when a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    times = measure(given.rounds, given.calls)
    rows: list[dict[str, str | float]] = []
    over = False
    for name, (floor, limit) in ROWS.items():
        ratios = [own / other for own, other in zip(times[name], times[floor], strict=True)]
        ratio = round(statistics.median(ratios), 3)
        over |= ratio > limit
        rows.append(
            {
                "name": name,
                "microseconds": round(statistics.median(times[name]), 1),
                "ratio": ratio,
                "min": round(min(ratios), 3),
                "max": round(max(ratios), 3),
                "limit": round(limit, 3),
            }
        )
    if given.json:
        print(json.dumps({"python": platform.python_version(), "rounds": given.rounds, "rows": rows}))
    else:
        for row in rows:
            print(row)
    return int(over)


if __name__ == "__main__":
    raise SystemExit(main())
