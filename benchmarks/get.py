"""One small GET: `client.images.retrieve` against a raw aiohttp session with orjson. `python benchmarks/get.py [--json]`."""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import statistics
import time
from collections.abc import Awaitable, Callable

import aiohttp
import orjson
from server import IMAGE_ID, running

from imgwire_async import AsyncImgwireClient

FLOOR, OURS = "raw GET (aiohttp, orjson)", "images.retrieve"
LIMITS = {FLOOR: 1.0, OURS: 1.75}  # what it may not fall behind now; the aim is 1.15
KEY = "sk_benchmark"


async def median_of(work: Callable[[], Awaitable[object]], calls: int) -> float:
    """The median of so many calls, one after the other, in microseconds."""
    times: list[float] = []
    for _ in range(calls):
        began = time.perf_counter()
        await work()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


async def measure(rounds: int, calls: int) -> dict[str, list[float]]:
    """Microseconds per call, one number per round; within each round the kinds take turns in random order."""
    dice = random.Random(1)
    with running() as origin:
        session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=60),
            headers={"Authorization": f"Bearer {KEY}"},
        )
        async with session, AsyncImgwireClient(KEY, base_url=origin) as client:

            async def raw() -> object:
                async with session.get(f"{origin}/api/v1/images/{IMAGE_ID}") as answer:
                    return orjson.loads(await answer.read())

            async def ours() -> object:
                return await client.images.retrieve(IMAGE_ID)

            work = {FLOOR: raw, OURS: ours}
            times: dict[str, list[float]] = {name: [] for name in work}
            for kind in work.values():
                await median_of(kind, calls)  # connections and code warm
            for _ in range(rounds):
                for name in dice.sample(sorted(work), len(work)):
                    times[name].append(await median_of(work[name], calls))
            return times


def main(arguments: list[str] | None = None) -> int:
    """Print medians, ratios (median of the rounds' ratios) and their spread; 1 when a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    times = asyncio.run(measure(given.rounds, given.calls))
    rows: list[dict[str, str | float]] = []
    over = False
    for name, limit in LIMITS.items():
        ratios = [own / floor for own, floor in zip(times[name], times[FLOOR], strict=True)]
        ratio = round(statistics.median(ratios), 3)
        over |= ratio > limit
        rows.append(
            {
                "name": name,
                "microseconds": round(statistics.median(times[name]), 1),
                "ratio": ratio,
                "min": round(min(ratios), 3),
                "max": round(max(ratios), 3),
                "limit": limit,
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
