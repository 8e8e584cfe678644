"""Read the comments, docstrings and identifiers of Python files. Data strings and messages are left out."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator

import attrs

# A comment for a tool has to stand on the line that it is about.
TOOL_COMMENT = re.compile(r"#(?: (?:noqa|type: |pyright: |fmt: |mypy: |ruff: |pragma: |long: )|!)")
# "# --- uploads ---" divides a file into sections.
SECTION = "# ---"
WORD = re.compile(r"[a-z]+|[A-Z]+(?![a-z])|[A-Z][a-z]*")


@attrs.frozen
class Comment:
    """One comment line: its line number, its text with the `#`, and the code before it on the same line."""

    line: int
    text: str
    code: str

    @property
    def is_for_a_tool(self) -> bool:
        return TOOL_COMMENT.match(self.text) is not None


def comments(source: str) -> Iterator[Comment]:
    for token in tokens(source):
        if token.type == tokenize.COMMENT:
            line, column = token.start
            yield Comment(line, token.string, token.line[:column].strip())


def paragraphs(source: str) -> Iterator[tuple[int, str]]:
    """Yield comments that have lines of their own, adjacent lines joined."""
    paragraph: list[Comment] = []
    for comment in comments(source):
        if comment.code or comment.is_for_a_tool or comment.text.startswith(SECTION):
            continue
        if paragraph and comment.line != paragraph[-1].line + 1:
            yield join(paragraph)
            paragraph = []
        paragraph.append(comment)
    if paragraph:
        yield join(paragraph)


def join(paragraph: list[Comment]) -> tuple[int, str]:
    return paragraph[0].line, " ".join(comment.text.removeprefix("#").strip() for comment in paragraph)


def tokens(source: str) -> Iterator[tokenize.TokenInfo]:
    return tokenize.generate_tokens(io.StringIO(source).readline)


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of every docstring of modules, classes and functions."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False)
            if text is not None:
                yield node.body[0].lineno, text


def identifiers(source: str) -> Iterator[tuple[int, str]]:
    for token in tokens(source):
        if token.type == tokenize.NAME:
            yield token.start[0], token.string


def words_of_name(name: str) -> list[str]:
    """Split an identifier at its underscores and capitals: `_askAgain_now` has ask, again and now."""
    return [word.lower() for word in WORD.findall(name)]
