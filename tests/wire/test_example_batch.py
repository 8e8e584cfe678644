"""The example `examples/batch.py`, run as on the command line."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from imgwire_async.emulator import Emulator

from .pictures import png

EXAMPLE = Path(__file__).parents[2] / "examples" / "batch.py"

pytestmark = pytest.mark.slow


def run(emulator: Emulator, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    # Without coverage, which would take longer than the example itself.
    environment = {name: text for name, text in os.environ.items() if not name.startswith("COVERAGE_")}
    settings = {"IMGWIRE_API_KEY": emulator.api_key, "IMGWIRE_API_BASE_URL": emulator.base_url}
    return subprocess.run(
        [sys.executable, "-W", "error", EXAMPLE, *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        env=environment | settings,
    )


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(png(number + 1))
    return folder


def test_a_second_run_of_the_example_has_nothing_to_do(photos: Path) -> None:
    with Emulator() as emulator:
        first, second = run(emulator, photos), run(emulator, photos)
        assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
        assert "Nothing to do." in second.stdout
        assert len(emulator.images) == 3
    with photos.with_suffix(".csv").open(encoding="utf-8", newline="") as table:
        rows = {row["key"]: row["image_id"] for row in csv.DictReader(table)}
    assert rows.keys() == {"0.png", "1.png", "2.png"}
    assert set(rows.values()) == set(emulator.images)


def test_the_example_prints_failures_and_its_exit_code_is_3(photos: Path) -> None:
    (photos / "notes.jpg").write_text("no picture")
    with Emulator() as emulator:
        process = run(emulator, photos)
    assert process.returncode == 3
    assert f"{photos / 'notes.jpg'}: this is plain text" in process.stderr


def test_the_plan_of_the_example_sends_no_request(photos: Path) -> None:
    with Emulator() as emulator:
        process = run(emulator, photos, "--plan")
        assert len(emulator.requests) == 0
    assert process.returncode == 0
    assert process.stdout.splitlines()[-1] == "3 upload"


def test_an_error_of_the_run_is_printed_without_a_traceback(photos: Path) -> None:
    photos.with_suffix(".journal").write_text("no journal")
    with Emulator() as emulator:
        process = run(emulator, photos)
    assert process.returncode == 1
    assert "photos.journal" in process.stderr
    assert "Traceback" not in process.stderr
