"""Runs that are killed at random moments: after the last run each file is exactly one image."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imgwire_async.emulator import Emulator
from imgwire_async.emulator.configuration import Idempotency

from .outcomes import FILES, KILLS, check_exactly_once, records_of
from .picture_files import make_pictures
from .run_process import RunProcess, run_process

# The maximum number of runs after the last kill. Usually the second one has nothing to do.
RERUNS = 5


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The folder of the pictures, and the hashes of its files."""
    folder = tmp_path_factory.mktemp("pictures")
    return folder, make_pictures(folder, FILES)


@pytest.fixture
def emulator(mode: Idempotency) -> Iterator[Emulator]:
    with Emulator(ready_polls=0, idempotency=mode, list_order="updated") as emulator:
        emulator.keep_bodies = False
        yield emulator


def add_faults(emulator: Emulator, drawn: random.Random) -> None:
    """Lose responses of creates and PUTs, and delay the bytes of some PUTs."""
    for _ in range(FILES // 50):
        emulator.faults.add(
            "POST", "/api/v1/images/standard_upload", after=drawn.randrange(FILES), reset="after_commit"
        )
        emulator.faults.add("PUT", "/uploads/*", after=drawn.randrange(FILES), reset="after_commit")
        # Bytes of a process that was killed then arrive half a second later.
        emulator.faults.add("PUT", "/uploads/*", after=drawn.randrange(FILES), slow=30_000)
        emulator.faults.add("PUT", "/uploads/*", after=drawn.randrange(FILES), stall=0.4)


def kill_at_random(process: RunProcess, drawn: random.Random) -> None:
    """Kill a process while it starts, settles what the process before has left, or uploads."""
    moment = drawn.choice(["start", "settle", "upload", "upload"])
    results, delay = drawn.randrange(1, FILES // 6), drawn.random()
    if moment == "upload":
        process.wait_for(lambda: len(process.lines) > results)
        delay /= 20
    elif moment == "settle":
        process.wait_for(lambda: bool(process.lines))
    time.sleep(delay)
    process.kill()


@pytest.mark.slow
@pytest.mark.timeout(500 * max(1, KILLS // 10) * max(1, FILES // 2000))
@pytest.mark.parametrize(
    ("mode", "options"),
    [("same", {"wait": 10}), ("conflict", {}), ("same_dead_url", {"checksum": True}), ("ignored", {})],
)
def test_each_file_is_exactly_one_image_after_kills_at_random_moments(
    emulator: Emulator,
    pictures: tuple[Path, dict[str, str]],
    folder: Path,
    mode: str,
    options: dict[str, Any],
) -> None:
    photos, hashes = pictures
    journal = folder / "photos.journal"
    drawn = random.Random(f"kills {mode}")
    add_faults(emulator, drawn)
    yielded: dict[str, str | None] = {}
    for _ in range(KILLS):
        with run_process(emulator, photos, journal, batch=options) as process:
            kill_at_random(process, drawn)
        yielded |= done_images(process)
    # A file whose create requests lose several responses may fail in a run, and the next run uploads it.
    for _ in range(RERUNS):
        with run_process(emulator, photos, journal, batch=options) as process:
            assert process.wait() == 0, process.errors[-20:]
        yielded |= done_images(process)
        last = process.summary
        if last["uploaded"] == last["failed"] == 0:
            break
    assert (last["failed"], last["unsure"], last["left"], last["uploaded"]) == (0, 0, 0, 0), last
    check_exactly_once(emulator, hashes, journal)
    # What a run has yielded stays true, however it ended.
    records = records_of(journal)
    assert {key: records[key].image_id for key in yielded} == yielded


def done_images(process: RunProcess) -> dict[str, str | None]:
    """Return the IDs of the images that a process has yielded, by the keys of their files."""
    return {key: image_id for key, status, image_id, _ in process.results if status == "done"}
