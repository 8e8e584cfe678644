"""A finished run of many files needs little time and little memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A million takes minutes on a busy machine. `python -m batch.planned` accepts any number.
FILES = 300_000


def run(*arguments: object) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    command = [sys.executable, "-m", "batch.planned", *map(str, arguments)]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process from /proc")
def test_files_that_are_done_are_planned_with_little_memory(folder: Path) -> None:
    path = folder / "photos.journal"
    run("write", path, FILES)
    seconds, memory = map(float, run("plan", path, FILES).split())
    path.unlink()
    assert memory < 60e6
    # On an idle machine about 2 seconds.
    assert seconds < 20
