"""The memory of plans and runs does not grow with the number of files of a source."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from imgwire_async.emulator import Emulator

from .gifs import gif
from .source_cases import CASES, Case

ROOT = Path(__file__).parents[2]
# More of them by hand: `BATCH_TESTS_MEMBERS=100000`.
PLANNED = int(os.environ.get("BATCH_TESTS_MEMBERS", "50000"))
UPLOADED = PLANNED // 20
# Other tests measure folders and iterables. The formats that are left out are read as those that are there.
KINDS = [kind for kind in CASES if kind not in {"folder", "paths", "bytes", "jsonl", "txt", "tar"}]
MAX_GROWTH = 24 * 2**20

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process from /proc"),
]


def measure(emulator: Emulator, command: str, case: Case) -> tuple[int, int]:
    """Return the number of files, and by how many bytes the memory of the process has grown."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "IMGWIRE_API_KEY": emulator.api_key,
        "IMGWIRE_API_BASE_URL": emulator.base_url,
    }
    arguments = [command, *case.address, str(case.folder / f"{command}.journal")]
    process = subprocess.run(
        [sys.executable, "-m", "batch.source_memory", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2_000:]
    count, growth = map(int, process.stdout.split())
    return count, growth


@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_needs_the_same_memory_for_many_files(kind: str, folder: Path) -> None:
    with Emulator() as emulator:
        case = CASES[kind](folder, emulator)
        case.write({f"{number // 1_000:03}/{number:06}.gif": gif(number) for number in range(PLANNED)})
        count, growth = measure(emulator, "plan", case)
        assert not emulator.requests
    assert count == PLANNED
    assert growth < MAX_GROWTH


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_needs_the_same_memory_for_many_files(kind: str, folder: Path) -> None:
    with Emulator(ready_polls=0) as emulator:
        emulator.keep_bodies = False
        case = CASES[kind](folder, emulator)
        case.write({f"{number // 1_000:03}/{number:06}.gif": gif(number) for number in range(UPLOADED)})
        count, growth = measure(emulator, "upload", case)
    assert count == UPLOADED
    assert growth < MAX_GROWTH
