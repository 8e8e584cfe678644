"""Tests that marks such as `[contract 5]` and `[rules 9 V3]` refer to an existing section of a page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = {
    "contract": ROOT / "docs" / "contract.md",
    "rules": ROOT / "docs" / "transformation-rules.md",
}
PACKAGE_FILES = sorted((ROOT / "imgwire_async").rglob("*.py"))
FILES = sorted([*PACKAGE_FILES, *(ROOT / "tests").rglob("*.py")])

MARK = re.compile(r"\[([a-z_]+) ([0-9][^\]]*)\]")
# A mark may be broken at the end of a line of a docstring or comment.
LINE_BREAK = re.compile(r"\n *(?:# ?)?")
RANGE = re.compile(r"([0-9]+)-([0-9]+)")


def marks(text: str) -> Iterator[tuple[str, str]]:
    """Yield the page and the reference of each mark in a source file."""
    for mark in MARK.finditer(LINE_BREAK.sub(" ", text)):
        yield mark[1], mark[2]


def targets(reference: str) -> Iterator[str]:
    """Yield the sections and cases that a reference names: "3, 9 C1" names 3, 9 and C1.

    A text after a colon is a remark.
    """
    for word in reference.partition(":")[0].replace(",", " ").split():
        interval = RANGE.fullmatch(word)
        if interval:
            yield from map(str, range(int(interval[1]), int(interval[2]) + 1))
        else:
            yield word


def defined(page: str) -> frozenset[str]:
    """Return the numbers of a page's headings and the names of the cases in its tables."""
    text = PAGES[page].read_text("utf-8")
    headings = re.findall(r"^#{2,3} ([0-9]+(?:\.[0-9]+)?)", text, re.MULTILINE)
    cases = re.findall(r"^\| ([A-Z][0-9]+): ", text, re.MULTILINE)
    return frozenset(headings) | frozenset(cases)


@pytest.mark.parametrize("page", PAGES)
def test_every_mark_refers_to_an_existing_section(page: str) -> None:
    known = defined(page)
    wrong = {
        f"{path.relative_to(ROOT)}: [{page} {reference}]"
        for path in FILES
        for name, reference in marks(path.read_text("utf-8"))
        if name == page and not known.issuperset(targets(reference))
    }
    assert wrong == set()


def test_every_mark_of_the_package_names_a_page() -> None:
    names = {name for path in PACKAGE_FILES for name, _ in marks(path.read_text("utf-8"))}
    assert names == PAGES.keys()


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("5", ["5"]),
        ("1-3", ["1", "2", "3"]),
        ("3, 9 C1", ["3", "9", "C1"]),
        ("12: at most 8192", ["12"]),
        ("8.2", ["8.2"]),
    ],
)
def test_a_reference_names_its_sections_and_cases(reference: str, expected: list[str]) -> None:
    assert list(targets(reference)) == expected
