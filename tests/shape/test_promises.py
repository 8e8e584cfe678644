"""docs/promises.md names a test for every guarantee, and every test that it names exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/promises.md").read_text("utf-8")
ROWS = re.findall(r"^\| (?!-|guarantee )(.+?) \| (.+) \|$", PAGE, re.MULTILINE)
NAMED = re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)


@cache
def names_in(path: Path) -> frozenset[str]:
    """Return the tests of a file: its functions, and the names that it assigns."""
    tree = ast.parse(path.read_text("utf-8"))
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assigned = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return frozenset(name for name in functions | assigned if name.lower().startswith("test"))


@pytest.mark.parametrize(("file", "name"), NAMED, ids=str)
def test_the_test_of_a_guarantee_exists(file: str, name: str) -> None:
    assert name in names_in(ROOT / "tests" / file), (
        f"tests/{file} has no {name}: correct the name in docs/promises.md"
    )


@pytest.mark.parametrize(("promise", "shown"), ROWS, ids=[row[0][:60] for row in ROWS])
def test_every_guarantee_names_a_test(promise: str, shown: str) -> None:
    assert re.fullmatch(r"`[\w/]+\.py::\w+`(, `[\w/]+\.py::\w+`)*", shown), (
        f"name a test in the second column, as `folder/file.py::test_name`: {promise}"
    )


def test_the_page_has_rows_and_no_guarantee_twice() -> None:
    assert len(ROWS) > 60
    assert len(NAMED) >= len(ROWS)
    assert len({promise for promise, _ in ROWS}) == len(ROWS)
