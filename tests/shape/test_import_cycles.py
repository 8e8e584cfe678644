"""No module needs itself: imports inside functions are followed, too. What only type checkers see may go round."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter

from module_imports import import_graph, imports, module_of


def test_no_module_imports_itself_through_others() -> None:
    cycle = find_cycle(import_graph())
    assert not cycle, f"each imports the next: {' -> '.join(cycle)}"


def find_cycle(graph: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter({name: graph[name] - {name} for name in sorted(graph)}).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))  # graphlib begins with the one that is imported
    return []


def test_a_cycle_is_shown_in_the_order_of_its_imports() -> None:
    cycle = find_cycle({"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": set()})
    assert cycle[0] == cycle[-1]
    assert "a b c a" in " ".join([*cycle, *cycle[1:]])


def test_an_imported_name_is_followed_to_its_module() -> None:
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
