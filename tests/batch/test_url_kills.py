"""Runs over URLs that are killed at random moments: after the last run each URL is exactly one image."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imgwire_async.emulator import Emulator
from imgwire_async.emulator.configuration import Idempotency

from .outcomes import KILLS, check_exactly_once
from .run_process import run_process
from .runs import picture

COUNT = 150
# Usually the second run after the last kill has nothing to do.
RERUNS = 5


@pytest.fixture
def emulator(mode: Idempotency) -> Iterator[Emulator]:
    # The service fetches pictures after it has responded, and images move in its list.
    switches = {"ready_polls": 0, "fetch_after": 0.1, "list_order": "updated"}
    with Emulator(idempotency=mode, **switches) as emulator:  # type: ignore[arg-type]  # a dict of all types
        yield emulator


@pytest.mark.slow
@pytest.mark.timeout(60 * max(5, KILLS))
@pytest.mark.parametrize("mode", ["same", "conflict", "ignored"])
def test_each_url_is_exactly_one_image_after_kills_at_random_moments(
    emulator: Emulator, folder: Path, tmp_path: Path, mode: str
) -> None:
    drawn = random.Random(f"url kills {mode}")
    pictures = {f"https://pictures.example/{number}.png": picture(number) for number in range(COUNT)}
    emulator.urls.update(pictures)
    listing = tmp_path / "urls.txt"
    listing.write_text("".join(f"{url}\n" for url in pictures), encoding="utf-8")
    for _ in range(COUNT // 20):
        for fault in ({"reset": "after_commit"}, {"cut": 20}, {"stall": 0.3}, {"status": 503}):
            emulator.faults.add("POST", "/api/v1/images/*", after=drawn.randrange(COUNT), **fault)  # type: ignore[arg-type]
    journal = folder / "urls.journal"
    settings = {"source": ["urls", str(listing)]}
    for _ in range(KILLS // 2):
        with run_process(emulator, listing, journal, **settings) as process:
            results, delay = drawn.randrange(0, COUNT // 8), drawn.random() / 20
            process.wait_for(lambda results=results: len(process.lines) > results)  # type: ignore[misc]
            time.sleep(delay)
            process.kill()
    for _ in range(RERUNS):
        with run_process(emulator, listing, journal, **settings) as process:
            assert process.wait() == 0, process.errors[-20:]
        last = process.summary
        if last["uploaded"] == last["failed"] == 0:
            break
    assert (last["failed"], last["unsure"], last["left"], last["uploaded"]) == (0, 0, 0, 0), last
    hashes = {url: hashlib.sha256(data).hexdigest() for url, data in pictures.items()}
    check_exactly_once(emulator, hashes, journal)
