"""A finished run of many files needs little time and little memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A million takes minutes on a busy machine. `python -m batch.walked` accepts any number.
FILES = 100_000


def run(*arguments: object) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    command = [sys.executable, "-m", "batch.walked", *map(str, arguments)]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("finished") / "photos.journal"
    run("write", path, FILES)
    return path


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process from /proc")
@pytest.mark.parametrize("command", ["walk", "plan"])
def test_a_finished_run_needs_little_time_and_memory(journal: Path, command: str) -> None:
    seconds, memory = map(float, run(command, journal, FILES).split())
    # It is the same for a million files.
    assert memory < 60e6
    # On an idle machine about a second.
    assert seconds < 20
