"""The example notebook runs completely and is saved without outputs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook.ipynb"
# Run in a process of its own, because warnings of Jupyter are no errors of these tests.
RUN = """
import sys
import nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
print(nbformat.writes(notebook))
"""


def cells(text: str) -> dict[str, Any]:
    return {cell["id"]: cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"}


def test_the_notebook_is_saved_without_outputs() -> None:
    for name, cell in cells(NOTEBOOK.read_text("utf-8")).items():
        assert (cell["outputs"], cell["execution_count"], cell["metadata"]) == ([], None, {}), name


@pytest.mark.slow
def test_the_notebook_runs_and_shows_its_pictures(tmp_path: Path) -> None:
    pytest.importorskip("nbclient", reason="needs nbclient")
    pytest.importorskip("ipykernel", reason="needs ipykernel")
    plain = {
        name: text for name, text in os.environ.items() if not name.startswith(("COVERAGE_", "IMGWIRE_"))
    }
    finished = subprocess.run(
        [sys.executable, "-c", RUN, NOTEBOOK],
        cwd=tmp_path,
        env=plain,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    done = cells(finished.stdout)
    (shown,) = done["upload"]["outputs"]
    page = "".join(shown["data"]["text/html"])
    assert '<img src="http://127.0.0.1' in page
    assert "gradient.png" in page
    (listed,) = done["list"]["outputs"]
    assert "".join(listed["data"]["text/plain"]) == "9"
