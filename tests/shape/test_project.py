"""The settings, the changelog and the workflows of the project agree with each other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import imgwire_async

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def requirements() -> list[str]:
    extras = PROJECT["optional-dependencies"].values()
    return [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]


def test_the_floors_are_those_that_tests_lowest_installs() -> None:
    floors = dict(line.split(">=") for line in PROJECT["dependencies"])
    lines = (ROOT / "tests/lowest.txt").read_text("utf-8").splitlines()
    assert dict(line.split("==") for line in lines if line and not line.startswith("#")) == floors


def test_there_are_four_hard_dependencies() -> None:
    assert {re.split(r"[^\w-]", line)[0] for line in PROJECT["dependencies"]} == {
        "aiohttp",
        "anyio",
        "attrs",
        "cattrs",
    }


@pytest.mark.parametrize("requirement", requirements())
def test_no_requirement_has_an_upper_bound(requirement: str) -> None:
    found = re.search(r"<|==|~=|!=", requirement.partition(";")[0])
    assert not found, f"use >= only, so that this package never blocks an update: {requirement}"


def test_the_changelog_has_a_section_for_this_version() -> None:
    headings = re.findall(r"^## \[?([^\]\s]+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert imgwire_async.__version__ in headings


def test_the_workflow_and_the_classifiers_name_the_same_pythons() -> None:
    named = {c.rpartition(" ")[2] for c in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", c)}
    workflow = (ROOT / ".github/workflows/ci.yml").read_text("utf-8")
    assert set(re.findall(r"\b3\.\d+\b", workflow)) == named


def test_no_page_contains_a_path_of_a_developers_machine() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "noxfile.py", ROOT / ".ci/run"]
    found = [page.name for page in pages if re.search(r"/(home|root|Users)/", page.read_text("utf-8"))]
    assert not found, f"these files contain a path below /home, /root or /Users: {found}"
