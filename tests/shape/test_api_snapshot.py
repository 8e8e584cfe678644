"""One text file describes the public API, so that a diff shows every change.

Changes are those of a name, parameter, default or base class.

`python tests/shape/test_api_snapshot.py` writes `tests/data/public_api.txt`. Commit the file with the change,
and say in CHANGELOG.md what users have to do.
"""

from __future__ import annotations

import difflib
import enum
import importlib
import inspect
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imgwire_async.transport.tracing import Tracer

SNAPSHOT = Path(__file__).parents[1] / "data" / "public_api.txt"
NAME = "imgwire_async"
# Every module that users import by name. Integrations for one framework are missing here, because their
# signatures depend on the version of the framework.
MODULES = [
    NAME,
    f"{NAME}.batch",
    f"{NAME}.urls",
    f"{NAME}.emulator",
    f"{NAME}.integrations.http",
    f"{NAME}.otel",
]


def described() -> str:
    """Return the public API, one line per name and member, sorted."""
    lines: list[str] = []
    for name in MODULES:
        module = importlib.import_module(name)
        exported = set() if name == NAME else set(importlib.import_module(NAME).__all__)
        for public in sorted(set(module.__all__) - exported):
            lines += about(f"{name}.{public}", getattr(module, public))
    for name, resource in sorted(resources().items()):
        lines += about(f"client.{name}", resource)
    return "\n".join(lines) + "\n"


def resources() -> dict[str, type[Any]]:
    """Return the asynchronous classes of the resources, such as `client.images`."""
    import imgwire_async

    client = imgwire_async.AsyncImgwireClient("sk_test")
    return {name: type(value) for name, value in vars(client).items() if not name.startswith("_")}


def about(path: str, value: Any) -> Iterator[str]:
    """Yield the lines that describe one public object."""
    if typing.is_typeddict(value):
        yield f"{path}: TypedDict"
        for key, kind in sorted(value.__annotations__.items()):
            yield f"{path}[{key!r}]: {getattr(kind, '__forward_arg__', kind)}"
    elif inspect.isclass(value):
        bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
        yield f"class {path}({bases})"
        yield from sorted(members(path, value))
    elif inspect.isfunction(value):
        yield f"{kind_of(value)}{path}{signature(value)}"
    elif isinstance(value, str) and path.endswith("__version__"):
        yield f"{path}: str"
    else:
        yield f"{path}: {str(value).replace('typing.', '')}"


def members(path: str, owner: type[Any]) -> Iterator[str]:
    """Yield the lines that describe the members of a class and of its base classes in this package."""
    if issubclass(owner, enum.Enum):
        yield from (f"{path}.{member.name} = {member.value!r}" for member in owner)
    elif not getattr(owner, "_is_protocol", False) and "__init__" in found_in(owner):
        yield f"{path}{signature(owner)}"
    # The interface of tracers is internal.
    internal = vars(Tracer) if issubclass(owner, Tracer) else ()
    for name, value in found_in(owner).items():
        if name.startswith("_") or name in internal:
            continue
        if isinstance(value, property):
            yield f"{path}.{name}: property -> {inspect.signature(value.fget or len).return_annotation}"
        elif isinstance(value, classmethod | staticmethod):
            yield f"{type(value).__name__} {path}.{name}{signature(value.__func__)}"
        elif inspect.isfunction(value):
            yield f"{kind_of(value)}{path}.{name}{signature(value)}"
    # The annotations of the class, because the fields of attrs change when a codec resolves them.
    for name, kind in annotations(owner).items():
        if not name.startswith("_"):
            yield f"{path}.{name}: {getattr(kind, '__forward_arg__', kind)}"


def found_in(owner: type[Any]) -> dict[str, Any]:
    """Return the members that classes of this package define. A subclass overrides its base classes."""
    own_classes = [base for base in reversed(owner.__mro__) if base.__module__.startswith(NAME)]
    return {name: value for base in own_classes for name, value in vars(base).items()}


def annotations(owner: type[Any]) -> dict[str, Any]:
    own_classes = [base for base in reversed(owner.__mro__) if base.__module__.startswith(NAME)]
    return {name: kind for base in own_classes for name, kind in inspect.get_annotations(base).items()}


def kind_of(function: Any) -> str:
    return "async " if inspect.iscoroutinefunction(function) else ""


def signature(function: Any) -> str:
    return str(inspect.signature(function))


def test_the_public_api_is_equal_to_the_snapshot() -> None:
    for name in MODULES:
        pytest.importorskip(name, exc_type=ImportError)
    now, before = described().splitlines(), SNAPSHOT.read_text("utf-8").splitlines()
    changes = "\n".join(difflib.unified_diff(before, now, "before", "now", lineterm="", n=0))
    assert not changes, f"the public API changed:\n{changes}\nIf the change is intended: {__doc__}"


def test_the_description_has_parameters_defaults_and_types() -> None:
    class Before:
        __module__ = NAME

        def __init__(self, a: int) -> None:
            self.a = a

        def method(self, *, b: int = 1) -> str:
            return str(b)

    class After(Before):
        __module__ = NAME

        async def method(self, *, b: int = 2) -> str:  # type: ignore[override]
            return str(b)

    assert list(about("x", Before)) == [
        "class x()",
        "x(a: 'int') -> 'None'",
        "x.method(self, *, b: 'int' = 1) -> 'str'",
    ]
    assert "async x.method(self, *, b: 'int' = 2) -> 'str'" in list(about("x", After))


if __name__ == "__main__":
    SNAPSHOT.write_text(described(), "utf-8")
