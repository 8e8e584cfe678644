"""Find the modules of the package and what they import, without running them."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import imgwire_async

PACKAGE = Path(imgwire_async.__file__).parent
NAME = "imgwire_async"
GUARDS = {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def imports(tree: ast.Module, package: str) -> Iterator[str]:
    """Yield every module that a module imports, inside functions too, but not what only type checkers see."""
    hidden = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) in GUARDS
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = parents[: len(parents) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # In `from package import name`, the name may be a module. The longer path is right in both cases,
            # because `module_of` finds the module that contains a name.
            yield from (f"{module}.{alias.name}" for alias in node.names)


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


@functools.cache
def imported(path: Path) -> frozenset[str]:
    package = ".".join([NAME, *path.relative_to(PACKAGE).parent.parts])
    return frozenset(imports(ast.parse(path.read_text("utf-8")), package))


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join([NAME, *(part for part in parts if part != "__init__")])


def import_graph() -> dict[str, set[str]]:
    """Return for each module of the package the modules of the package that it imports by name."""
    names = {module_name(path) for path in modules()}
    return {
        module_name(path): {own for name in imported(path) if (own := module_of(name, names))}
        for path in modules()
    }


def module_of(name: str, modules: set[str]) -> str | None:
    """Return the module that `name` is or is in: `a.b.thing` is in `a.b`."""
    if name in modules:
        return name
    parent = name.rpartition(".")[0]
    return parent if parent in modules else None
