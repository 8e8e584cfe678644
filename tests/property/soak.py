"""Longer than a test may take: `python -m tests.property.soak [MINUTES] [--seed N]`, from the project's folder.

Half of the time goes to random nights (`machine.py`), each with a seed that is printed and repeats it; half to a steady state:
uploads, lists and downloads with one fault in a hundred requests, at the end of which memory and open files are where they
were after warming up. With MINUTES and a seed the nights begin with that seed, with a seed alone they are all that is run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import itertools
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest has it

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from wire.hauling import memory
from wire.pictures import png

from imgwire_async import AsyncImgwireClient, Hooks, ImgwireError, RetryPolicy, UploadItem
from imgwire_async.emulator import Emulator
from property.machine import Night

WORKERS = 16
CONNECTIONS = 12  # of each kind: fewer than the workers want
BATCH = 40  # uploads of a worker between two looks at the list
MAY_GROW = 8 * 2**20  # bytes; what an allocator and the caches of the libraries still take
# A failure is told as it is: hours of shrinking would not say more where time plays along.
NIGHT = settings(
    max_examples=5, stateful_step_count=50, deadline=None, database=None, phases=[Phase.generate],
    report_multiple_bugs=False, suppress_health_check=list(HealthCheck),
)  # fmt: skip


# --- nights -----------------------------------------------------------------------------------------------------------


def nights(seconds: float, first: int, *, once: bool) -> None:
    """Random nights until the time is over, or the one of a seed."""
    end = time.monotonic() + seconds
    for number in itertools.count(first):
        print(f"nights of seed {number} (again: --seed {number})", flush=True)
        seed(number)(Night)
        run_state_machine_as_test(Night, settings=NIGHT)
        if once or time.monotonic() >= end:
            return


# --- steady state -----------------------------------------------------------------------------------------------------


async def serve() -> None:
    """The emulator, in a process of its own: its memory of what it was asked is not ours. One fault in a hundred requests."""
    faults: list[dict[str, Any]] = [
        {"status": 503}, {"status": 500}, {"reset": "before"}, {"reset": "after_commit"}, {"reset": 20_000}, {"cut": 100}, {"stall": 0.3},
    ]  # fmt: skip
    dice = random.Random(7)
    async with Emulator(ready_polls=0) as emulator:
        print(json.dumps({"base_url": emulator.base_url, "api_key": emulator.api_key}), flush=True)
        seen = planned = 0
        while True:
            await asyncio.sleep(0.02)
            seen += len(emulator.requests)
            emulator.requests.clear()
            while planned < seen // 100:
                planned += 1
                if planned % 50 == 0:
                    emulator.faults.clear()  # those that fired
                emulator.faults.add("*", "*", after=dice.randrange(100), **dice.choice(faults))


@contextlib.contextmanager
def emulator() -> Iterator[dict[str, str]]:
    with subprocess.Popen([sys.executable, __file__, "serve"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()


async def day(client: AsyncImgwireClient, tally: Counter[str], end: float) -> None:
    """Upload, look, read back, delete, over and over. A failure is one of ours, and counted; a wrong byte ends all."""
    for number in itertools.count():
        if time.monotonic() >= end:
            return
        data = png(1 + number % 50, 1, padding=(number * 7919) % 200_000)
        items = [UploadItem(data) for _ in range(4)]
        ids: list[str] = []
        try:
            async for result in client.images.upload_many(items, concurrency=4):
                tally["failed uploads" if result.error else "uploads"] += 1
                if result.error is None and result.image is not None:
                    ids.append(result.image.id)
                elif not isinstance(result.error, ImgwireError):
                    result.unwrap()
            if number % BATCH == 0:
                tally["listed"] += len([image async for image in client.images.list_all(limit=10)])
            for image_id in ids:
                if await client.images.read(image_id) != data:
                    raise AssertionError(f"image {image_id} came back with other bytes")
                tally["downloads"] += 1
        except ImgwireError as error:
            tally[type(error).__name__] += 1
        finally:
            with contextlib.suppress(ImgwireError):
                await client.images.bulk_delete(ids)


def held() -> tuple[int, int]:
    """Resident bytes and open files of this process."""
    gc.collect()
    return memory("VmRSS"), sum(1 for _ in Path("/proc/self/fd").iterdir())


async def steady(seconds: float) -> None:
    """The steady state, measured after a third of the time and at the end."""
    tally: Counter[str] = Counter()

    async def run(client: AsyncImgwireClient, length: float) -> tuple[int, int]:
        end = time.monotonic() + length
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(day(client, tally, end))
        return held()

    with emulator() as where:
        settings: dict[str, Any] = {
            "base_url": where["base_url"],
            "timeout": 10,
            "max_connections": CONNECTIONS,
        }
        retries = RetryPolicy(backoff=0.02, max_backoff=0.2)
        _, before = held()
        async with AsyncImgwireClient(where["api_key"], retries=retries, **settings) as client:
            told = client.with_options(hooks=Hooks(on_retry=lambda event: tally.update(["retries"])))
            warm = await run(told, seconds / 3)
            done = await run(told, seconds * 2 / 3)
        _, after = held()
    print(f"steady state: {dict(tally)}", flush=True)
    print(f"memory {warm[0] / 2**20:.1f} -> {done[0] / 2**20:.1f} MiB", flush=True)
    print(f"open files {before}, warm {warm[1]}, at the end {done[1]}, closed {after}", flush=True)
    assert tally["retries"], "nothing went wrong, so nothing was shown"
    assert tally["uploads"] > 20 * tally["failed uploads"], (
        "more fails than one fault in a hundred can explain"
    )
    assert done[0] - warm[0] < MAY_GROW, "memory grows"
    # To three hosts; the one that storage and CDN share keeps idle connections to both, for a while.
    assert done[1] <= before + 3 * CONNECTIONS + 4, "more is open than connections are allowed"
    assert after <= before, "something stays open"


def main() -> None:
    parser = argparse.ArgumentParser(prog="nox -s soak --", description=__doc__)
    parser.add_argument("minutes", nargs="?", type=float, help="2 unless told")
    parser.add_argument("--seed", type=int, help="the first nights' seed; without MINUTES only these nights")
    given = parser.parse_args()
    if given.minutes is None and given.seed is not None:
        nights(0, given.seed, once=True)
        return
    seconds = 60 * (2.0 if given.minutes is None else given.minutes)
    asyncio.run(steady(seconds / 2))
    nights(seconds / 2, random.randrange(10**6) if given.seed is None else given.seed, once=False)
    print("all held", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
    else:
        main()
