"""Draw docstrings, comments and names of the package at random, for a reader who grades how plain they are.

Run `python tests/shape/draw_texts.py SEED > draw.md`. The reader knows nothing of the project and grades each
item: A is clear at once, B is clear at the second reading, C is not clear without other files. Of the 105
items at most 2 may be C and at most 8 B.
"""

from __future__ import annotations

import ast
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from module_imports import PACKAGE
from source_words import docstrings, paragraphs

COUNTS = {"docstring": 45, "comment": 30, "name": 30}
# How many lines of code an item shows after its place.
CONTEXT = {"docstring": 25, "comment": 6, "name": 4}
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)

Item = tuple[int, str]


def names(tree: ast.Module) -> Iterator[Item]:
    """Yield the line and the text of each name, where the module first defines it."""
    known = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, DEFINITIONS):
            name = node.name
        elif isinstance(node, ast.arg):
            name = node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            name = node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            name = node.attr
        else:
            continue
        if name not in known | {"self", "cls", "_"} and not name.startswith("__"):
            known.add(name)
            yield node.lineno, name


def draw(seed: int) -> Iterator[str]:
    """Yield the drawn items as Markdown."""
    found: dict[str, list[tuple[Path, int, str]]] = {kind: [] for kind in COUNTS}
    for path in sorted(PACKAGE.rglob("*.py")):
        source = path.read_text("utf-8")
        for kind, items in (
            ("docstring", docstrings(source)),
            ("comment", paragraphs(source)),
            ("name", names(ast.parse(source))),
        ):
            found[kind] += [(path, number, text) for number, text in items]
    chooser = random.Random(seed)
    chosen = [(kind, *item) for kind, count in COUNTS.items() for item in chooser.sample(found[kind], count)]
    for index, (kind, path, number, text) in enumerate(chosen, 1):
        lines = path.read_text("utf-8").splitlines()
        start = max(number - 3, 0)
        code = "\n".join(lines[start : number - 1 + CONTEXT[kind]])
        yield f"## {index}. {kind}, {path.relative_to(PACKAGE)}:{number}\n\n{text}\n\n```python\n{code}\n```\n"


if __name__ == "__main__":
    sys.stdout.write("\n".join(draw(int(sys.argv[1]))))
