"""A comment that does not fit behind its line stands above it: the formatter would break the code for its sake."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from module_imports import PACKAGE, modules

# `):  # ...` or `) as error:  # ...`, alone on a line. What is meant for tools has to stand there.
BROKEN = re.compile(r"^ *[)\]}][^#\"'\n]*  # (?!fmt: |noqa|type: |pyright: )", re.MULTILINE)


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_code_is_broken_for_a_comment(path: Path) -> None:
    text = path.read_text("utf-8")
    assert [text[: found.start()].count("\n") + 1 for found in BROKEN.finditer(text)] == []


def test_a_comment_behind_a_closing_bracket_is_found() -> None:
    found = "if (\n    x\n):  # why\n    f()\n"
    fine = "# why\nif x:  # so\n    f(\n        y,\n    )\nz = (\n    1,\n)  # fmt: skip\n"
    assert BROKEN.search(found)
    assert not BROKEN.search(fine)
