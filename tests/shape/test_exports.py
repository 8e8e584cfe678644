"""`__all__` lists the public names, and every one of them exists."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from types import ModuleType

import pytest

import imgwire_async
from imgwire_async import batch_errors, errors, models

# The base classes of models are not public.
BASES = {"OpenEnum", "Record"}
INIT = ast.parse(Path(imgwire_async.__file__).read_text("utf-8"))


def seen_by_type_checkers() -> list[str]:
    """Return the names that `__init__` imports under TYPE_CHECKING, in order."""
    return [
        alias.asname or alias.name
        for block in INIT.body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    ]


def public_classes(module: object) -> set[str]:
    return {
        name
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and value.__module__ == vars(module)["__name__"]
        and not name.startswith("_")
    }


def test_all_is_sorted_and_unique() -> None:
    assert imgwire_async.__all__ == sorted(set(imgwire_async.__all__))


@pytest.mark.parametrize("name", imgwire_async.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(imgwire_async, name) is not None


def test_type_checkers_see_the_same_names() -> None:
    assert sorted([*seen_by_type_checkers(), "__version__"]) == imgwire_async.__all__


def test_dir_shows_every_public_name() -> None:
    assert set(imgwire_async.__all__) <= set(dir(imgwire_async))


def test_an_unknown_name_raises_an_attribute_error_with_the_name() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        imgwire_async.no_such_name  # type: ignore[attr-defined]  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("module", [errors, batch_errors], ids=lambda module: module.__name__)
def test_every_error_is_public(module: ModuleType) -> None:
    tree = {name for name in public_classes(module) if issubclass(getattr(module, name), BaseException)}
    missing = tree - set(imgwire_async.__all__)
    assert not missing, f"add these errors to __all__ and the other lists of __init__.py: {missing}"


def test_every_model_is_public() -> None:
    missing = public_classes(models) - BASES - set(imgwire_async.__all__)
    assert not missing, f"add these models to __all__ and the other lists of __init__.py: {missing}"
