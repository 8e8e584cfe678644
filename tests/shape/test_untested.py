"""A test calls every public method, and the tests of types use every public name."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
from recording import Api

import imgwire_async
from imgwire_async.resources.base import Resource

TESTS = Path(__file__).parents[1]
RESOURCES = {name: type(value) for name, value in vars(Api()).items() if isinstance(value, Resource)}
METHODS = [
    (resource, name)
    for resource, cls in RESOURCES.items()
    for name, _ in inspect.getmembers(cls, inspect.isfunction)
    if not name.startswith("_")
]


def calls(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield resource and method of all calls `client.resource.method(...)` and `resource.method(...)`."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        owner = node.func.value
        if isinstance(owner, ast.Attribute):
            yield owner.attr, node.func.attr
        elif isinstance(owner, ast.Name):
            yield owner.id, node.func.attr


CALLED = {
    call
    for path in TESTS.rglob("*.py")
    if not {"shape", "typing"} & set(path.relative_to(TESTS).parts)
    for call in calls(ast.parse(path.read_text("utf-8")))
}

NAMED = {
    node.id if isinstance(node, ast.Name) else node.attr
    for path in (TESTS / "typing").glob("*.py")
    for node in ast.walk(ast.parse(path.read_text("utf-8")))
    if isinstance(node, ast.Name | ast.Attribute)
}


@pytest.mark.parametrize(("resource", "method"), METHODS)
def test_a_public_method_is_called_by_a_test(resource: str, method: str) -> None:
    assert (resource, method) in CALLED, f"add a test that calls {resource}.{method}()"


def test_calls_are_found_inside_other_expressions() -> None:
    source = (
        "await client.images.list()\nx = [images.read(i) for i in y]\nclient.images.stream\nlist()\nf().g()"
    )
    assert set(calls(ast.parse(source))) == {("images", "list"), ("images", "read")}


@pytest.mark.parametrize("name", imgwire_async.__all__)
def test_the_tests_of_types_use_every_public_name(name: str) -> None:
    assert name in NAMED, f"add {name} to a file of tests/typing"
