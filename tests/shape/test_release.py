"""The workflow builds and publishes a release from a tag, without a stored password."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
RELEASE = (ROOT / ".github/workflows/release.yml").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def job(name: str) -> str:
    """Return the text of one job of the release workflow."""
    (text,) = re.findall(rf"^  {name}:\n((?:    .*\n|\n)+)", RELEASE + "\n", re.MULTILINE)
    return str(text)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_to_a_major_version(workflow: Path) -> None:
    used = re.findall(r"^\s*-? ?uses: ([^\s#]+)", workflow.read_text("utf-8"), re.MULTILINE)
    assert used
    unpinned = [action for action in used if not re.search(r"^\./|@v\d+$|@release/v\d+$", action)]
    assert not unpinned, f"pin these actions to a major version (@v4): {unpinned}"


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_only_read_the_repository_unless_a_job_requests_more(workflow: Path) -> None:
    text = workflow.read_text("utf-8")
    assert re.search(r"^permissions:\n  contents: read\n(?!  )", text, re.MULTILINE)
    assert "secrets." not in text


def test_only_what_was_tested_and_built_is_published() -> None:
    assert "needs: ci" in job("build")
    assert "needs: build" in job("publish")
    assert "checkout" not in job("publish"), (
        "the job must publish the files of the build and run no code of the repository"
    )


def test_publishing_needs_an_approved_environment_and_no_password() -> None:
    assert "id-token: write" in job("publish")
    assert "environment: pypi" in job("publish")
    assert "password" not in re.sub(r"#.*", "", RELEASE)


def test_the_release_stops_if_the_tree_is_not_ready_for_the_tag() -> None:
    assert 'nox -s build -- "$GITHUB_REF_NAME"' in job("build")


@pytest.mark.parametrize(
    "field",
    ["name", "description", "readme", "license", "license-files", "requires-python", "authors", "keywords"],
)
def test_the_metadata_is_complete(field: str) -> None:
    assert PROJECT["project"][field]


def test_the_support_page_names_every_supported_python_and_every_dependency() -> None:
    policy = (ROOT / "docs/support.md").read_text("utf-8")
    pythons = {c.rpartition(" ")[2] for c in PROJECT["project"]["classifiers"] if re.search(r":: 3\.\d+$", c)}
    packages = {re.split(r"[^\w-]", line)[0] for line in PROJECT["project"]["dependencies"]}
    missing = [name for name in sorted(pythons | packages) if name not in policy]
    assert not missing, f"docs/support.md does not name {missing}"
