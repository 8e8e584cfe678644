"""The code, commands and links of the README and CONTRIBUTING work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from imgwire_async.emulator import Emulator

ROOT = Path(__file__).parents[2]
RUNNER = Path(__file__).with_name("run_page.py")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
# A GIF of 1 x 1 pixels for all file names of a page: the service checks the bytes, not the name.
PICTURE = bytes.fromhex(
    "47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b"
)
COMMAND = re.compile(r"^python3 -m venv .*$", re.MULTILINE)


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def test_the_python_blocks_of_the_readme_run(tmp_path: Path) -> None:
    page = ROOT / "README.md"
    for name in set(re.findall(r"[\w-]+\.(?:jpe?g|png|gif)\b", page.read_text("utf-8"))):
        (tmp_path / name).write_bytes(PICTURE)
    # The page uploads this folder.
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/beach.JPG").write_bytes(PICTURE)
    # The page runs in a process of its own, so that output at its exit is noticed, too. The process
    # measures no coverage, because that would take longer than the page itself.
    plain = {name: text for name, text in os.environ.items() if not name.startswith("COVERAGE_")}
    with Emulator() as emulator:
        settings = {"IMGWIRE_API_KEY": emulator.api_key, "IMGWIRE_API_BASE_URL": emulator.base_url}
        process = subprocess.run(
            [sys.executable, "-W", "error", RUNNER, page],
            cwd=tmp_path,
            env=plain | settings,
            capture_output=True,
            text=True,
            timeout=50,
        )
    assert (process.returncode, process.stderr) == (0, ""), (
        "the code of README.md failed or printed a warning"
    )


def test_the_readme_has_a_complete_command_for_the_demo_and_for_the_tests() -> None:
    commands = COMMAND.findall(read("README.md"))
    assert [command.rpartition(" ")[2] for command in commands] == ["demo", "tests"]
    assert all("pip install" in command for command in commands)


def test_the_ci_runs_the_test_command_of_the_readme() -> None:
    _, tests = COMMAND.findall(read("README.md"))
    assert tests in read(".ci/run")


def test_contributing_begins_with_the_test_command_of_the_readme() -> None:
    _, tests = COMMAND.findall(read("README.md"))
    assert COMMAND.findall(read("CONTRIBUTING.md"))[0] == tests


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_every_session_that_a_page_names_exists(name: str) -> None:
    sessions = set(re.findall(r"^def (\w+)\(session: nox\.Session", read("noxfile.py"), re.MULTILINE))
    named = set(re.findall(r"nox -s (\w+)", read(name)))
    assert named
    assert named <= sessions, f"noxfile.py has no session {named - sessions}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_file_that_a_page_links_exists(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", page.read_text("utf-8"))
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing, f"correct these links of {page.name}: {missing}"
