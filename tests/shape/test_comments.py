"""Comments of the package stand above the code that they explain, as full sentences."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from module_imports import PACKAGE, modules
from source_words import Comment, comments, paragraphs

# A sentence may begin with the name of a library or tool that is written in lower case.
LIBRARIES = {
    "aiofiles",
    "aiohttp",
    "anyio",
    "attrs",
    "cattrs",
    "epoll",
    "httpx",
    "macOS",
    "multidict",
    "orjson",
}
LIBRARIES |= {"pydantic", "pyfakefs", "rich", "uvloop", "yarl", "asyncio", "os", "zipfile"}
LIBRARIES |= {"azure-core", "botocore", "fsspec", "gcsfs", "requests", "s3fs"}
BEGINNING = re.compile(rf"[A-Z0-9`\"'<\[(/*_]|(?:{'|'.join(LIBRARIES)})\b")
END = re.compile(r"[.?!:)\]]$")


def in_tables(tree: ast.Module) -> set[int]:
    """Return the lines of tables: assignments of modules and classes, and literals of several lines."""
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef):
            tables = [child for child in node.body if isinstance(child, ast.Assign | ast.AnnAssign)]
        elif isinstance(node, ast.Dict | ast.List | ast.Tuple | ast.Set) and node.end_lineno != node.lineno:
            tables = [node]
        else:
            continue
        for table in tables:
            # The closing line of a table is no row.
            last = (table.end_lineno or table.lineno) - (table.end_lineno != table.lineno)
            lines |= set(range(table.lineno, last + 1))
    return lines


def at_line_ends(source: str) -> Iterator[Comment]:
    """Yield comments that stand behind code, except in tables and for tools."""
    tables = in_tables(ast.parse(source))
    for comment in comments(source):
        if comment.code and not comment.is_for_a_tool and comment.line not in tables:
            yield comment


def is_sentence(text: str) -> bool:
    return BEGINNING.match(text) is not None and END.search(text) is not None


files = pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())


@files
def test_no_comment_stands_at_the_end_of_a_line_of_code(path: Path) -> None:
    found = [f"line {comment.line}: {comment.text}" for comment in at_line_ends(path.read_text("utf-8"))]
    assert not found, f"put these comments above their lines, as full sentences: {found}"


@files
def test_a_comment_is_a_sentence_with_a_capital_and_a_full_stop(path: Path) -> None:
    found = [
        f"line {line}: {text}" for line, text in paragraphs(path.read_text("utf-8")) if not is_sentence(text)
    ]
    assert not found, f"begin these comments with a capital letter and end them with a full stop: {found}"


def test_a_comment_behind_code_is_found_and_one_in_a_table_is_not() -> None:
    source = """
SIZES = {
    "small": 1,  # a row of a table
}
NAMES = [
    "a",
]  # at the end of a table
LIMIT = 3  # a constant
class Status:
    DONE = 1  # a member
def f():  # why
    x = g()  # noqa: S101
    return x  # because
"""
    assert [comment.line for comment in at_line_ends(source)] == [7, 11, 13]


def test_adjacent_comment_lines_are_one_sentence() -> None:
    source = (
        "# The first line\n# goes on here.\nx = 1\n\n# no capital.\ny = 2\n# fmt: off\n# --- section ---\n"
    )
    assert [is_sentence(text) for _, text in paragraphs(source)] == [True, False]
    assert is_sentence("aiohttp closes the connection.")
    assert not is_sentence("this is why.")
    assert not is_sentence("Images")
