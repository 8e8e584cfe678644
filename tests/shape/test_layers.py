"""The house holds: a module imports only from lower levels (docs/design.md draws them)."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import imgwire_async

PACKAGE = Path(imgwire_async.__file__).parent
NAME = "imgwire_async"

LEVELS = [
    {"errors", "exchange", "redaction", "forks", "lazy", "values"},
    {
        "urls",
        "hooks",
        "config",
        "policies",
        "logs",
        "retry",
        "threads",
        "hops",
        "userland",
        "limits",
        "atomic",
        "archive_names",
    },
    {"models", "archives"},
    {"protocol", "mime"},
    {"uploads", "transport"},
    {"resources"},
    {"client"},
    {"blocking", "_bridge", "_loop_thread", "batch", "cli", "testing", "otel", "integrations"},
]
APART = {"emulator"}
# On one level two rooms may touch, one way only: an error carries an Exchange and shortens what it quotes, hooks and policies are settings, a pause is
# worked out from a RetryPolicy, the disk is reached by hops, which go through threads, a wait asks whether it is inside user code, what a URL leaves out is logged, the
# blocking client crosses the bridge.
NEIGHBOURS = {
    ("errors", "exchange"),
    ("errors", "redaction"),
    ("exchange", "redaction"),
    ("errors", "values"),
    ("exchange", "values"),
    ("config", "hooks"),
    ("config", "policies"),
    ("retry", "policies"),
    ("hops", "threads"),
    ("userland", "hops"),
    ("userland", "threads"),
    ("limits", "userland"),
    ("urls", "logs"),
    ("blocking", "_bridge"),
    ("_bridge", "_loop_thread"),
}
# They come in by the front door: of the package they know the public names, and nobody knows them.
GUESTS = {"integrations"}
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}

# What a room may import from outside; the standard library is free. Optional ones are imported where they are used.
CORE = {"attrs", "attr"}
FOREIGN = {
    "userland": CORE | {"anyio", "sniffio"},
    "models": CORE,
    "protocol": CORE | {"cattrs", "orjson"},
    "uploads": CORE | {"anyio"},
    "transport": CORE | {"aiohttp", "anyio", "multidict", "yarl"},
    "otel": CORE | {"opentelemetry"},
    "integrations": {"django", "fastapi", "starlette"},
    "emulator": CORE | {"aiohttp", "multidict", "yarl", "PIL", "trustme"},
}


def imports(tree: ast.Module, package: str) -> Iterator[str]:
    """Every module that runs when this one does, those imported inside functions too; not what only type checkers see."""
    hidden = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
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
            # `from package import name` may name a module or a thing in it: the longer path says more, and harms nothing.
            yield from (f"{module}.{alias.name}" for alias in node.names)


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    package = ".".join([NAME, *path.relative_to(PACKAGE).parent.parts])
    return set(imports(ast.parse(path.read_text("utf-8")), package))


def own(names: set[str]) -> set[str]:
    """The rooms of the package among imported names."""
    return {name.split(".")[1] for name in names if name.startswith(f"{NAME}.")}


def foreign(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {NAME, "__future__"}


def path_id(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


rooms = pytest.mark.parametrize("path", [p for p in modules() if room(p) != "__init__"], ids=path_id)


@rooms
def test_a_module_stands_on_a_level_or_apart(path: Path) -> None:
    assert room(path) in LEVEL.keys() | APART, f"{path_id(path)} has no place in the level table"


@rooms
def test_a_module_imports_only_from_lower_levels(path: Path) -> None:
    here = room(path)
    if here in APART:
        assert own(imported(path)) <= {here}, "the emulator must not be able to repeat the client's mistakes"
        return
    others = own(imported(path)) - {here, "__version__"}
    if here in GUESTS:
        assert others <= set(imgwire_async.__all__), "a guest knows the public names only"
        return
    upward = {
        other
        for other in others
        if LEVEL.get(other, len(LEVELS)) >= LEVEL[here] and (here, other) not in NEIGHBOURS
    }
    assert not upward, f"{path_id(path)} (level {LEVEL[here]}) imports {sorted(upward)}"


@pytest.mark.parametrize("path", [p for p in modules() if room(p) in {"resources", "uploads"}], ids=path_id)
def test_who_asks_has_never_heard_of_who_carries(path: Path) -> None:
    assert "transport" not in own(imported(path))


@rooms
def test_a_module_imports_only_the_libraries_of_its_room(path: Path) -> None:
    here = room(path)
    assert foreign(imported(path)) <= FOREIGN.get(here, CORE)


def test_the_reader_of_imports_sees_all_that_runs_and_nothing_else() -> None:
    source = """
import os.path
from imgwire_async import errors
from . import sibling
from .. import transport
from ..protocol.codec import decode
if TYPE_CHECKING:
    import aiohttp
else:
    import anyio
def late():
    from imgwire_async.transport import api
"""
    assert set(imports(ast.parse(source), "imgwire_async.uploads")) == {
        "os.path",
        "imgwire_async.errors",
        "imgwire_async.uploads.sibling",
        "imgwire_async.transport",
        "imgwire_async.protocol.codec.decode",
        "imgwire_async.transport.api",
        "anyio",
    }
