"""Run the python blocks of one page, in order and in one namespace: `python run_page.py PAGE`. They may await."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import sys
import types
from pathlib import Path

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[int, str]]:
    """The line on which each block begins, and its code."""
    text = page.read_text("utf-8")
    return [(text.count("\n", 0, m.start(1)) + 1, m.group(1)) for m in BLOCK.finditer(text)]


def run(page: Path) -> None:
    module = types.ModuleType("__main__")
    with asyncio.Runner() as runner:
        for line, source in blocks(page):
            code = compile("\n" * (line - 1) + source, str(page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            function = types.FunctionType(code, module.__dict__)
            if code.co_flags & inspect.CO_COROUTINE:
                runner.run(function())
            else:
                function()  # it may start a loop of its own


if __name__ == "__main__":
    run(Path(sys.argv[1]))
