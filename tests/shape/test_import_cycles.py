"""No import cycles in the package, not even inside functions. Imports for type checkers may form cycles."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter

from module_imports import import_graph, imports, module_of


def test_the_package_has_no_import_cycle() -> None:
    cycle = find_cycle(import_graph())
    assert not cycle, f"break this cycle; every module imports the next one: {' -> '.join(cycle)}"


def find_cycle(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter({name: graph[name] - {name} for name in sorted(graph)}).prepare()
    except CycleError as error:
        # graphlib lists an imported module before the module that imports it.
        return list(reversed(error.args[1]))
    return []


def test_a_cycle_is_reported_in_the_order_of_its_imports() -> None:
    cycle = find_cycle({"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": set()})
    assert cycle[0] == cycle[-1]
    assert "a b c a" in " ".join([*cycle, *cycle[1:]])


def test_an_imported_name_is_resolved_to_its_module() -> None:
    names = {"a", "a.b"}
    assert [module_of(name, names) for name in ("a.b", "a.b.thing", "a.thing", "os.path")] == [
        "a.b",
        "a.b",
        "a",
        None,
    ]
    assert "imgwire_async.emulator.clock" in import_graph()["imgwire_async.emulator.server"]


def test_imports_inside_functions_count_and_those_for_type_checkers_do_not() -> None:
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
