"""The examples for sources of batch runs, run as on the command line."""

from __future__ import annotations

import csv
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from imgwire_async.emulator import Emulator

from .pictures import png

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.slow


def run(emulator: Emulator, example: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    # Without coverage, which would take longer than the example itself.
    environment = {name: text for name, text in os.environ.items() if not name.startswith("COVERAGE_")}
    settings = {"IMGWIRE_API_KEY": emulator.api_key, "IMGWIRE_API_BASE_URL": emulator.base_url}
    return subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / example, *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        env=environment | settings,
    )


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for number in (1, 2):
        (tmp_path / f"pictures/{number}.png").write_bytes(png(number))
    path = tmp_path / "shop.csv"
    path.write_text(
        "path;key;metadata.title\npictures/1.png;SKU-1;A red chair\npictures/2.png;SKU-2;A blue chair\n"
    )
    return path


def test_the_example_of_a_manifest_uploads_each_row_once(table: Path) -> None:
    with Emulator() as emulator:
        first, second = run(emulator, "batch_manifest.py", table), run(emulator, "batch_manifest.py", table)
        assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
        titles = {image.id: image.custom_metadata for image in emulator.images.values()}
    with table.with_suffix(".images.csv").open(encoding="utf-8", newline="") as images:
        rows = {row["key"]: titles[row["image_id"]] for row in csv.DictReader(images)}
    assert rows == {"SKU-1": {"title": "A red chair"}, "SKU-2": {"title": "A blue chair"}}


def test_the_example_of_a_manifest_checks_a_table_without_a_request(table: Path) -> None:
    with Emulator() as emulator:
        process = run(emulator, "batch_manifest.py", table, "--check")
        assert (process.returncode, process.stdout) == (0, "2 upload\n"), process.stderr
        table.write_text("file;key\n1.png;SKU-1\n")
        process = run(emulator, "batch_manifest.py", table, "--check")
        assert process.returncode == 1
        assert "shop.csv" in process.stderr
        assert "Traceback" not in process.stderr
        assert len(emulator.requests) == 0


def test_the_example_of_a_table_uploads_the_pictures_of_a_database(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, picture BLOB)")
        rows = [(number, f"{number}.png", png(number)) for number in range(1, 50)]
        database.executemany("INSERT INTO products VALUES (?, ?, ?)", [*rows, (50, "none", None)])
    with Emulator() as emulator:
        first, second = run(emulator, "batch_table.py", path), run(emulator, "batch_table.py", path)
        assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
        assert len(emulator.images) == 49
    assert "products/50 skipped the product has no picture" in second.stdout.splitlines()
