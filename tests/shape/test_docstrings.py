"""Every public name says what it is: the reference, `help()` and editors show nothing else."""

from __future__ import annotations

import ast
import inspect
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

import imgwire_async
from imgwire_async import emulator
from imgwire_async.emulator.clock import Clock
from imgwire_async.emulator.faults import Faults
from imgwire_async.resources.cors_origins import AsyncCorsOrigins
from imgwire_async.resources.custom_domain import AsyncCustomDomain
from imgwire_async.resources.images import AsyncImages
from imgwire_async.resources.metrics import AsyncMetrics

UNSPOKEN = {"__version__", "File"}  # a text, and a union: neither holds a docstring at run time
BEHIND_CLIENTS = (AsyncImages, AsyncCorsOrigins, AsyncCustomDomain, AsyncMetrics, Clock, Faults)


def things() -> Iterator[tuple[str, Any]]:
    for name in imgwire_async.__all__:
        if name not in UNSPOKEN:
            yield name, getattr(imgwire_async, name)
    for name in emulator.__all__:
        yield f"emulator.{name}", getattr(emulator, name)
    for each in BEHIND_CLIENTS:
        yield each.__name__, each


def members(thing: type) -> Iterator[tuple[str, Any]]:
    """Its public methods and properties, inherited ones included, as they were written."""
    for name in dir(thing):
        value = inspect.getattr_static(thing, name)
        value = getattr(value, "__func__", value)  # of a classmethod
        home = getattr(getattr(value, "fget", value), "__module__", None) or ""
        if (
            not name.startswith("_")
            and home.startswith("imgwire_async")
            and (inspect.isfunction(value) or isinstance(value, property))
        ):
            yield name, value


@pytest.mark.parametrize(("name", "thing"), [pytest.param(*each, id=each[0]) for each in things()])
def test_a_public_name_and_all_its_members_have_docstrings(name: str, thing: Any) -> None:
    spoken = [(name, thing)]
    if inspect.isclass(thing):
        spoken += [(f"{name}.{member}", value) for member, value in members(thing)]
    # What attrs, dataclasses and enums write themselves only repeats the signature.
    assert [each for each, value in spoken if len((value.__doc__ or "").split()) < 3] == []


def test_a_union_is_described_where_it_is_made() -> None:
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
