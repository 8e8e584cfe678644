"""The house holds: a module imports only from lower levels (docs/architecture.md draws them)."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from module_imports import NAME, PACKAGE, imported, modules

import imgwire_async

LEVELS = [
    {"coercion", "formatting", "hosts", "shell_syntax", "redaction", "forks", "lazy", "atomic"},
    {"checks", "exchange", "logs", "threads"},
    {"errors", "hooks", "policies", "thread_batcher", "cancellation"},
    {"settings", "retry", "thread_pools", "urls", "archive_entries"},
    {"config", "models", "archives", "user_code"},
    {"protocol", "results", "mime", "concurrency", "disk_work"},
    {"uploads", "downloads", "transport"},
    {"resources"},
    {"client"},
]
OUTER = {"blocking", "_bridge", "_loop_thread", "otel", "integrations"}
APART = {"emulator"}
# The blocking client is one room in three files; of two rooms on one level none else may touch.
NEIGHBOURS = {("blocking", "_bridge"), ("_bridge", "_loop_thread")}
# They come in by the front door: of the package they know the public names, and nobody knows them.
GUESTS = {"integrations"}
LEVEL = {room: level for level, rooms in enumerate([*LEVELS, OUTER]) for room in rooms}

DESIGN = Path(__file__).parents[2] / "docs" / "architecture.md"

# What a room may import from outside; the standard library is free. Optional ones are imported where they are used.
CORE = {"attrs", "attr"}
FOREIGN = {
    "cancellation": CORE | {"anyio"},
    "models": CORE,
    "results": CORE,
    "protocol": CORE | {"cattrs", "orjson"},
    "uploads": CORE | {"anyio"},
    "transport": CORE | {"aiohttp", "anyio", "multidict", "yarl"},
    "otel": CORE | {"opentelemetry"},
    "integrations": {"django", "fastapi", "starlette"},
    "emulator": CORE | {"aiohttp", "multidict", "yarl", "PIL", "trustme"},
}


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def own(names: Iterable[str]) -> set[str]:
    """The rooms of the package among imported names."""
    return {name.split(".")[1] for name in names if name.startswith(f"{NAME}.")}


def foreign(names: Iterable[str]) -> set[str]:
    return {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {NAME, "__future__"}


def path_id(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


rooms = pytest.mark.parametrize("path", [p for p in modules() if room(p) != "__init__"], ids=path_id)


def test_the_table_of_rooms_says_the_same() -> None:
    table = DESIGN.read_text("utf-8").partition("## Layers")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\w+) \|([^|]+)\|", table, re.MULTILINE)
    on_page = {room: level for level, names in rows for room in re.findall(r"`(\w+)`", names)}
    levels = {room: str(level) for level, rooms in enumerate(LEVELS) for room in rooms}
    assert on_page == levels | dict.fromkeys(OUTER, "outer") | dict.fromkeys(APART, "apart")


def test_every_module_stands_on_a_level_or_apart_and_nothing_else_does() -> None:
    assert {room(path) for path in modules()} - {"__init__"} == LEVEL.keys() | APART


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


@pytest.mark.parametrize(
    "path", [p for p in modules() if room(p) in {"resources", "uploads", "downloads"}], ids=path_id
)
def test_who_asks_has_never_heard_of_who_carries(path: Path) -> None:
    assert "transport" not in own(imported(path))


@rooms
def test_a_module_imports_only_the_libraries_of_its_room(path: Path) -> None:
    here = room(path)
    assert foreign(imported(path)) <= FOREIGN.get(here, CORE)


def test_the_logger_is_made_in_one_module() -> None:
    asking = {path_id(path) for path in modules() if f'getLogger("{NAME}")' in path.read_text("utf-8")}
    assert asking == {"logs.py"}, "import it from there: it escapes what a line quotes"
