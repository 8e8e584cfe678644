"""A run through a bad night: every good file becomes one image, and every bad file is named."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from imgwire_async.batch import AsyncBatch, BatchEvent, BatchResult
from imgwire_async.emulator import Emulator

from .outcomes import FILES, ready_images
from .picture_files import make_pictures, picture, write
from .run_process import quick_client

# Of all files. Half of them are no complete pictures, and the storage rejects the other half.
BAD = 0.01
# Seconds.
OUTAGE = 120.0 if FILES >= 20_000 else 3.0
# The faults are planned for so many requests at a time.
WINDOW = 200


class Weather:
    """The faults of the service. They change while the run goes on, in the order of a seed."""

    def __init__(self, emulator: Emulator, seed: int) -> None:
        self._emulator = emulator
        self._drawn = random.Random(seed)
        self.kinds: Counter[str] = Counter()
        # Set by the test when the run holds. An outage ends only some time after that.
        self.is_held = asyncio.Event()

    async def run(self) -> None:
        """Change the faults until the task is cancelled.

        The outage comes after a third of the files. After it, two rate limits are exceeded.
        """
        while len(self._emulator.images) < FILES // 3:
            await self._next_window(self._drawn.choice(["rain", "expiry"]))
        await self._outage()
        for part in (3, 5):
            while len(self._emulator.images) < FILES * part // 6:
                await self._next_window(self._drawn.choice(["rain", "expiry"]))
            await self._next_window("burst")
        while True:
            await self._next_window("rain")

    async def _next_window(self, kind: str) -> None:
        self.kinds[kind] += 1
        faults, drawn = self._emulator.faults, self._drawn
        self.clear()
        if kind == "burst":
            # A rate limit depends on time, not on the number of requests.
            faults.add("*", "/api/*", status=429, headers={"Retry-After": "1"}, times=None)
            await asyncio.sleep(0.3)
            self.clear()
        if kind == "expiry":
            self._emulator.clock.advance(1_000)
        for _ in range(WINDOW // 20):
            faults.add("*", "*", status=503, after=drawn.randrange(WINDOW))
        for reset in ("before", "after_commit", 100, "after_commit"):
            faults.add("*", "*", reset=reset, after=drawn.randrange(WINDOW))  # type: ignore[arg-type]
        end = len(self._emulator.requests) + WINDOW
        while len(self._emulator.requests) < end:
            await asyncio.sleep(0.02)

    async def _outage(self) -> None:
        self.kinds["outage"] += 1
        self.clear()
        self._emulator.faults.add("*", "*", reset="before", times=None)
        async with asyncio.timeout(60):
            await self.is_held.wait()
        await asyncio.sleep(OUTAGE)

    def clear(self) -> None:
        """Remove all faults but those of the files that the storage rejects."""
        self._emulator.faults.clear()
        self._emulator.faults.add("PUT", "/uploads/*refused*", status=400, times=None)


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    # In the event loop of the test, so that faults are replaced between two requests.
    async with Emulator(ready_polls=0, list_order="updated") as emulator:
        emulator.keep_bodies = False
        yield emulator


def make_bad_files(photos: Path) -> tuple[set[str], set[str]]:
    """Create the bad files, and return the keys of the incomplete and of the rejected ones."""
    incomplete, rejected = set(), set()
    for number in range(max(2, int(FILES * BAD / 2))):
        data = picture(f"bad {number}", padding=1_000)
        write(photos / f"bad/incomplete{number:04}.png", data[:-20])
        write(photos / f"bad/refused{number:04}.png", data)
        incomplete.add(f"bad/incomplete{number:04}.png")
        rejected.add(f"bad/refused{number:04}.png")
    write(photos / "bad/empty.png", b"")
    return incomplete, rejected


@pytest.mark.slow
@pytest.mark.timeout(600 * max(1, FILES // 2_000))
async def test_a_bad_night_loses_no_file_and_doubles_none(emulator: Emulator, folder: Path) -> None:
    photos, journal = folder / "photos", folder / "photos.journal"
    hashes = make_pictures(photos, FILES)
    incomplete, rejected = make_bad_files(photos)
    weather = Weather(emulator, seed=5)
    weather.clear()
    events: Counter[str] = Counter()

    def count(event: BatchEvent) -> None:
        events[event.kind] += 1
        if event.kind == "held":
            weather.is_held.set()

    async with quick_client(emulator.api_key, emulator.base_url) as client:
        async with AsyncBatch(client, journal, wait=60, on_event=count) as batch:
            changes = asyncio.create_task(weather.run())
            try:
                results = [result async for result in batch.upload(photos)]
            finally:
                changes.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await changes
            weather.clear()
            summary = batch.summary()
            check_results(results, hashes, incomplete, rejected)
            check_images(emulator, hashes)
            assert (summary.found, summary.skipped) == (FILES + len(incomplete | rejected) + 1, 1)
            assert (summary.uploaded, summary.failed) == (FILES, len(incomplete | rejected))
            assert events["held"] == events["resumed"] > 0
            assert weather.kinds.keys() >= {"rain", "expiry", "burst", "outage"}

            # A new run sends only what may succeed now, and on demand all that has failed.
            for retry_failed, expected in ((True, rejected), ("all", rejected | incomplete)):
                emulator.requests.clear()
                started = time.monotonic()
                again = [result async for result in batch.upload(photos, retry_failed=retry_failed)]
                assert {result.key for result in again} == expected
                names = {
                    Path(request.target.partition("?")[0]).name
                    for request in emulator.requests
                    if request.method == "PUT"
                }
                assert names == {Path(key).name for key in expected}
                assert time.monotonic() - started < 60
    check_images(emulator, hashes)


def check_results(
    results: list[BatchResult], hashes: dict[str, str], incomplete: set[str], rejected: set[str]
) -> None:
    """Check that each good file is done, and each bad file is named with its error."""
    assert Counter(result.key for result in results).most_common(1)[0][1] == 1
    failed = {result.key: result.error for result in results if result.error is not None}
    unexpected = {key: error for key, error in failed.items() if key not in incomplete | rejected}
    assert not unexpected, unexpected
    assert failed.keys() == incomplete | rejected
    kinds = {key: type(error).__name__ for key, error in failed.items()}
    assert {kinds[key] for key in incomplete} == {"ImageQuarantinedError"}
    assert {kinds[key] for key in rejected} == {"UploadRejectedError"}
    assert all(Path(key).name in str(error) for key, error in failed.items())
    done = {result.key for result in results if result.status == "done"}
    assert done == hashes.keys()


def check_images(emulator: Emulator, hashes: dict[str, str]) -> None:
    """Check that each good file is one image with its bytes."""
    images = ready_images(emulator)
    assert images.keys() == set(hashes.values())
    assert {len(ids) for ids in images.values()} == {1}
