"""A module imports only from lower levels. docs/architecture.md describes the levels."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from module_imports import NAME, PACKAGE, imported, modules

import imgwire_async
from imgwire_async import batch

LEVELS = [
    {"coercion", "formatting", "hosts", "shell_syntax", "redaction", "forks", "lazy", "atomic"},
    {"checks", "exchange", "messages", "logs", "threads"},
    {"errors", "hooks", "policies", "thread_batcher", "cancellation"},
    {"settings", "retry", "thread_pools", "urls", "archive_entries"},
    {"config", "models", "archives", "user_code"},
    {"protocol", "results", "mime", "concurrency", "disk_work"},
    {"uploads", "downloads", "transport", "batch_errors"},
    {"resources"},
    {"client"},
    {"batch"},
]
OUTER = {"blocking", "blocking_batch", "_bridge", "_loop_thread", "otel", "integrations"}
SEPARATE = {"emulator"}
# The blocking classes have four files. No other modules of one level may import each other.
SAME_LEVEL = {
    ("blocking", "_bridge"),
    ("_bridge", "_loop_thread"),
    ("blocking_batch", "blocking"),
    ("blocking_batch", "_bridge"),
    ("blocking_batch", "_loop_thread"),
}
# A name that users import from a package of a lower level, and the module that has it. No module may use it.
NAMES_OF_HIGHER_LEVELS = {"imgwire_async.batch.Batch": "imgwire_async.blocking_batch"}
# These import only public names of the package, and no module imports them.
PLUGINS = {"integrations"}
LEVEL = {
    module: level for level, modules_of_level in enumerate([*LEVELS, OUTER]) for module in modules_of_level
}

ARCHITECTURE = Path(__file__).parents[2] / "docs" / "architecture.md"

# The libraries that a module may import, besides the standard library.
CORE = {"attrs", "attr"}
FOREIGN = {
    "cancellation": CORE | {"anyio"},
    "models": CORE,
    "results": CORE,
    "protocol": CORE | {"cattrs", "orjson"},
    "uploads": CORE | {"anyio"},
    "transport": CORE | {"aiohttp", "anyio", "multidict", "yarl"},
    "otel": CORE | {"opentelemetry"},
    "batch": CORE | {"rich"},
    "integrations": {"django", "fastapi", "starlette"},
    "emulator": CORE | {"aiohttp", "multidict", "yarl", "PIL", "trustme"},
}


def top_module(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def own(names: Iterable[str]) -> set[str]:
    """Return the modules of the package among imported names."""
    return {name.split(".")[1] for name in names if name.startswith(f"{NAME}.")}


def foreign(names: Iterable[str]) -> set[str]:
    return {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {NAME, "__future__"}


def path_id(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


all_modules = pytest.mark.parametrize(
    "path", [path for path in modules() if top_module(path) != "__init__"], ids=path_id
)


def test_the_table_of_the_page_has_the_same_levels() -> None:
    table = ARCHITECTURE.read_text("utf-8").partition("## Layers")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\w+) \|([^|]+)\|", table, re.MULTILINE)
    on_page = {name: level for level, names in rows for name in re.findall(r"`(\w+)`", names)}
    levels = {name: str(level) for level, names in enumerate(LEVELS) for name in names}
    levels |= dict.fromkeys(OUTER, "outer") | dict.fromkeys(SEPARATE, "separate")
    different = sorted(on_page.items() ^ levels.items())
    assert not different, f"docs/architecture.md and LEVELS differ: {different}"


def test_every_module_has_a_level_and_every_level_has_only_existing_modules() -> None:
    existing = {top_module(path) for path in modules()} - {"__init__"}
    different = existing ^ (LEVEL.keys() | SEPARATE)
    assert not different, f"add these modules to LEVELS, or remove them: {different}"


@all_modules
def test_a_module_imports_only_from_lower_levels(path: Path) -> None:
    here = top_module(path)
    if here in SEPARATE:
        others = own(imported(path)) - {here}
        assert not others, (
            f"the emulator must share no code with the client, so that it can find its mistakes: {others}"
        )
        return
    others = own(imported(path)) - {here, "__version__"}
    if here in PLUGINS:
        private = others - set(imgwire_async.__all__)
        assert not private, f"integrations may import only public names, not {private}"
        return
    upward = {
        other
        for other in others
        if LEVEL.get(other, len(LEVELS)) >= LEVEL[here] and (here, other) not in SAME_LEVEL
    }
    assert not upward, f"{path_id(path)} (level {LEVEL[here]}) imports {sorted(upward)}"


def test_a_package_names_only_the_listed_names_of_higher_levels() -> None:
    # The names that `__getattr__` of `batch` imports on first use. Imports of this kind are not seen above.
    found = {
        f"{NAME}.batch.{name}": module
        for name, module in batch._MODULE_BY_NAME.items()
        if LEVEL[module.split(".")[1]] > LEVEL["batch"]
    }
    assert found == NAMES_OF_HIGHER_LEVELS
    users = [path_id(path) for path in modules() if imported(path) & NAMES_OF_HIGHER_LEVELS.keys()]
    assert not users, f"{users} import a name of a higher level"


@pytest.mark.parametrize(
    "path", [p for p in modules() if top_module(p) in {"resources", "uploads", "downloads"}], ids=path_id
)
def test_resources_uploads_and_downloads_do_not_import_transport(path: Path) -> None:
    assert "transport" not in own(imported(path)), "use protocol.request.Transport instead"


@all_modules
def test_a_module_imports_only_its_allowed_libraries(path: Path) -> None:
    here = top_module(path)
    not_allowed = foreign(imported(path)) - FOREIGN.get(here, CORE)
    assert not not_allowed, (
        f"{path_id(path)} may not import {not_allowed}; FOREIGN lists the allowed libraries"
    )


def test_only_logs_creates_the_logger() -> None:
    found = {path_id(path) for path in modules() if f'getLogger("{NAME}")' in path.read_text("utf-8")}
    assert found == {"logs.py"}, "import the logger from logs.py: it escapes control characters in log lines"
