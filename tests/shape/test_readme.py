"""What the README and CONTRIBUTING show is what works; the pages of the site have tests of their own."""

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
# A 1x1 GIF under every name that a page may upload: the service goes by the bytes.
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
    (tmp_path / "photos").mkdir()  # the folder that it uploads
    (tmp_path / "photos/beach.JPG").write_bytes(PICTURE)
    # In a process of its own, as a newcomer would, so that noise at its end shows as well. Without coverage, which would take
    # longer than the page and learns nothing new here.
    plain = {name: text for name, text in os.environ.items() if not name.startswith("COVERAGE_")}
    with Emulator() as emulator:
        settings = {"IMGWIRE_API_KEY": emulator.api_key, "IMGWIRE_API_BASE_URL": emulator.base_url}
        answer = subprocess.run(
            [sys.executable, "-W", "error", RUNNER, page],
            cwd=tmp_path,
            env=plain | settings,
            capture_output=True,
            text=True,
            timeout=50,
        )
    assert (answer.returncode, answer.stderr) == (0, "")


def test_the_readme_gives_two_whole_commands_that_run_demo_and_tests() -> None:
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
    assert named <= sessions


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_file_that_a_page_links_exists(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
