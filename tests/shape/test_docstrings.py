"""Every public name has a docstring: the reference, `help()` and editors show it."""

from __future__ import annotations

import ast
import inspect
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

import imgwire_async
from imgwire_async import batch, emulator
from imgwire_async.emulator.clock import Clock
from imgwire_async.emulator.faults import Faults
from imgwire_async.resources.cors_origins import AsyncCorsOrigins
from imgwire_async.resources.custom_domain import AsyncCustomDomain
from imgwire_async.resources.images import AsyncImages
from imgwire_async.resources.metrics import AsyncMetrics

# A string and a union have no docstring at run time.
WITHOUT_DOCSTRING = {"__version__", "File"}
REACHED_FROM_CLIENTS = (AsyncImages, AsyncCorsOrigins, AsyncCustomDomain, AsyncMetrics, Clock, Faults)


def public_objects() -> Iterator[tuple[str, Any]]:
    for name in imgwire_async.__all__:
        if name not in WITHOUT_DOCSTRING:
            yield name, getattr(imgwire_async, name)
    for module in (batch, emulator):
        for name in module.__all__:
            yield f"{module.__name__.rpartition('.')[2]}.{name}", getattr(module, name)
    for owner in REACHED_FROM_CLIENTS:
        yield owner.__name__, owner


def members(thing: type) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties of a class, with the inherited ones."""
    for name in dir(thing):
        value = inspect.getattr_static(thing, name)
        # A class method wraps its function.
        value = getattr(value, "__func__", value)
        home = getattr(getattr(value, "fget", value), "__module__", None) or ""
        if (
            not name.startswith("_")
            and home.startswith("imgwire_async")
            and (inspect.isfunction(value) or isinstance(value, property))
        ):
            yield name, value


@pytest.mark.parametrize(("name", "thing"), [pytest.param(*item, id=item[0]) for item in public_objects()])
def test_a_public_name_and_all_its_members_have_docstrings(name: str, thing: Any) -> None:
    checked = [(name, thing)]
    if inspect.isclass(thing):
        checked += [(f"{name}.{member}", value) for member, value in members(thing)]
    # The docstrings that attrs, dataclasses and enums generate only repeat the signature.
    missing = [path for path, value in checked if len((value.__doc__ or "").split()) < 3]
    assert not missing, f"write a docstring of at least three words for {missing}"


def test_the_union_of_sources_has_a_docstring_at_its_definition() -> None:
    from imgwire_async.uploads import source

    body = ast.parse(inspect.getsource(source)).body
    (text,) = [
        after.value.value
        for before, after in itertools.pairwise(body)
        if isinstance(before, ast.AnnAssign)
        and ast.unparse(before.target) == "File"
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
    ]
    assert "path" in str(text)
