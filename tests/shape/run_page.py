"""Run the Python blocks of one page, in order: `python run_page.py PAGE`. They may use `await`.

The blocks of a page share one namespace, as the cells of a notebook do. Blocks in a tab `=== "Blocking"`
share a second namespace, because they use the same names for the blocking client. A block whose title begins
with "Not run" does not run, and its title gives the reason. A block whose title is a file of `examples/`
repeats a part of that file, and the tests of the examples run it.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import sys
import textwrap
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(
    r"^(?P<indent> *)```(?P<info>[^\n]*)\n(?P<body>.*?)^(?P=indent)``` *$", re.MULTILINE | re.DOTALL
)
TAB = re.compile(r'^ *=== "([^"\n]+)"$', re.MULTILINE)
EXCERPT = re.compile(r'title="(examples/[\w./]+)"')
NOT_RUN = re.compile(r'title="Not run: [^"]{10,}"')


@dataclass(frozen=True)
class Block:
    """One fenced block: the first line of its text, the text after the fence, its tab, and its text."""

    line: int
    info: str
    tab: str | None
    text: str

    @property
    def language(self) -> str:
        return self.info.partition(" ")[0]

    @property
    def excerpt_of(self) -> str | None:
        found = EXCERPT.search(self.info)
        return None if found is None else found[1]

    @property
    def runs(self) -> bool:
        return self.language == "python" and self.excerpt_of is None and NOT_RUN.search(self.info) is None


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text("utf-8")
    for fence in FENCE.finditer(text):
        tabs = TAB.findall(text, 0, fence.start()) if fence["indent"] else []
        yield Block(
            text.count("\n", 0, fence.start("body")) + 1,
            fence["info"],
            tabs[-1] if tabs else None,
            textwrap.dedent(fence["body"]),
        )


def run(page: Path) -> None:
    """Run the blocks of a page. A traceback names the page and the line in it."""
    main = types.ModuleType("__main__")
    blocking = types.ModuleType("__main__")
    with asyncio.Runner() as runner:
        for block in blocks(page):
            if not block.runs:
                continue
            source = "\n" * (block.line - 1) + block.text
            code = compile(source, str(page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
            module = blocking if block.tab == "Blocking" else main
            function = types.FunctionType(code, module.__dict__)
            if code.co_flags & inspect.CO_COROUTINE:
                runner.run(function())
            else:
                # The block may start an event loop of its own.
                function()


if __name__ == "__main__":
    run(Path(sys.argv[1]))
