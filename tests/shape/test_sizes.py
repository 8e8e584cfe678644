"""Files have at most 400 lines. Functions have at most 40 lines, or give a reason.

A longer function usually contains a part that has a name of its own: move it into a function with that name.
"""

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
# The comment stands above a function and its decorators, or behind its `def`.
REASON = re.compile(r"# long: \w")


def functions(source: str) -> Iterator[tuple[str, int, bool]]:
    """Yield for each function its name, its number of lines, and whether it has a reason.

    The number is from `def` to the last line, without the docstring.
    """
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            around = f"{lines[first - 2] if first > 1 else ''}\n{lines[node.lineno - 1]}"
            yield node.name, _length(node) - _docstring_length(node), REASON.search(around) is not None


def _length(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def _docstring_length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return 0 if ast.get_docstring(node) is None else _length(node.body[0])


def test_no_file_is_too_long() -> None:
    counted = {path: len(path.read_text("utf-8").splitlines()) for path in modules()}
    found = {short(path): count for path, count in counted.items() if count > FILE_LIMIT}
    assert not found, f"split these files by their tasks; the limit is {FILE_LIMIT} lines: {found}"


def test_no_function_is_too_long_without_a_reason() -> None:
    found = [name for name, length, reason in all_functions() if length > FUNCTION_LIMIT and not reason]
    assert not found, (
        f"split these functions, or give a reason above them with '# long: reason'; the limit is {FUNCTION_LIMIT} "
        f"lines: {found}"
    )


def test_no_function_gives_a_reason_that_it_does_not_need() -> None:
    found = [name for name, length, reason in all_functions() if reason and length <= FUNCTION_LIMIT]
    assert not found, f"these functions are short; remove the '# long:' comment: {found}"


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
