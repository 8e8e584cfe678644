"""Files have at most 400 lines and functions at most 40, or a reason beside them: what is longer, as a rule, lacks a noun."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from module_imports import PACKAGE, modules

FILE_LIMIT = 400
FUNCTION_LIMIT = 40
# Above a function and its decorators, or behind its `def`: "# long: one row a field".
REASON = re.compile(r"# long: \w")


def functions(source: str) -> Iterator[tuple[str, int, bool]]:
    """Yield each function's name, its lines from `def` to the last without the docstring, and whether it has a reason."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            beside = f"{lines[first - 2] if first > 1 else ''}\n{lines[node.lineno - 1]}"
            yield node.name, _length(node) - _docstring_length(node), REASON.search(beside) is not None


def _length(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def _docstring_length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return 0 if ast.get_docstring(node) is None else _length(node.body[0])


def test_no_file_is_too_long() -> None:
    counted = {path: len(path.read_text("utf-8").splitlines()) for path in modules()}
    assert {short(path): count for path, count in counted.items() if count > FILE_LIMIT} == {}


def test_no_function_is_too_long_without_a_reason() -> None:
    assert [
        found for found, length, reason in all_functions() if length > FUNCTION_LIMIT and not reason
    ] == []


def test_no_function_gives_a_reason_that_it_does_not_need() -> None:
    assert [found for found, length, reason in all_functions() if reason and length <= FUNCTION_LIMIT] == []


@functools.cache
def all_functions() -> list[tuple[str, int, bool]]:
    return [
        (f"{short(path)}: {name} ({length})", length, reason)
        for path in modules()
        for name, length, reason in functions(path.read_text("utf-8"))
    ]


def short(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f():\n    return 1", ("f", 2, False)),
        ('def f():\n    """One.\n\n    Two.\n    """\n    return 1', ("f", 2, False)),
        ("x = 1\n# long: one row a field\ndef f():\n    return 1", ("f", 2, True)),
        ("# long: a table\n@cache\ndef f():\n    return 1", ("f", 2, True)),
        ("async def f(  # long: one argument a line\n    a,\n): ...", ("f", 3, True)),
        ("# long:\ndef f(): ...", ("f", 1, False)),
        ("# long: of another\n\ndef f(): ...", ("f", 1, False)),
    ],
)
def test_lines_are_counted_without_the_docstring(source: str, expected: tuple[str, int, bool]) -> None:
    assert [*functions(source)] == [expected]
