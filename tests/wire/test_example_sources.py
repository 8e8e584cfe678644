"""The examples for sources of batch runs, run as on the command line."""

from __future__ import annotations

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
