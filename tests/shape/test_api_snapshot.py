"""The public API as one text file: whoever changes a name, a parameter, a default or a base class sees it in the diff.

`tests/data/public_api.txt` is written by `python tests/shape/test_api_snapshot.py`; commit it with the change, and say in
CHANGELOG.md what users have to do.
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
# Every module that users import by name. Those for one framework are left out: they look as that framework's version does.
MODULES = [NAME, f"{NAME}.urls", f"{NAME}.emulator", f"{NAME}.integrations.http", f"{NAME}.otel"]


def described() -> str:
    """The public API, a line per name and member, sorted."""
    lines: list[str] = []
    for name in MODULES:
        module = importlib.import_module(name)
        twice = set() if name == NAME else set(importlib.import_module(NAME).__all__)
        for public in sorted(set(module.__all__) - twice):
            lines += about(f"{name}.{public}", getattr(module, public))
    for name, resource in sorted(resources().items()):
        lines += about(f"client.{name}", resource)
    return "\n".join(lines) + "\n"


def resources() -> dict[str, type[Any]]:
    """The classes behind `client.images` and its like; the blocking ones are held to them by the test of the twin."""
    import imgwire_async

    client = imgwire_async.AsyncImgwireClient("sk_test")
    return {name: type(value) for name, value in vars(client).items() if not name.startswith("_")}


def about(path: str, value: Any) -> Iterator[str]:
    """What there is to say about one public thing."""
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
    """What the class and its bases in this package offer."""
    if issubclass(owner, enum.Enum):
        yield from (f"{path}.{member.name} = {member.value!r}" for member in owner)
    elif not getattr(owner, "_is_protocol", False) and "__init__" in found_in(owner):
        yield f"{path}{signature(owner)}"
    seam = vars(Tracer) if issubclass(owner, Tracer) else ()  # between rooms of the house, not for users
    for name, value in found_in(owner).items():
        if name.startswith("_") or name in seam:
            continue
        if isinstance(value, property):
            yield f"{path}.{name}: property -> {inspect.signature(value.fget or len).return_annotation}"
        elif isinstance(value, classmethod | staticmethod):
            yield f"{type(value).__name__} {path}.{name}{signature(value.__func__)}"
        elif inspect.isfunction(value):
            yield f"{kind_of(value)}{path}.{name}{signature(value)}"
    for name, kind in annotations(owner).items():  # attrs' own fields change once a codec has resolved them
        if not name.startswith("_"):
            yield f"{path}.{name}: {getattr(kind, '__forward_arg__', kind)}"


def found_in(owner: type[Any]) -> dict[str, Any]:
    """The members that classes of this package define, the nearest first."""
    ours = [base for base in reversed(owner.__mro__) if base.__module__.startswith(NAME)]
    return {name: value for base in ours for name, value in vars(base).items()}


def annotations(owner: type[Any]) -> dict[str, Any]:
    ours = [base for base in reversed(owner.__mro__) if base.__module__.startswith(NAME)]
    return {name: kind for base in ours for name, kind in inspect.get_annotations(base).items()}


def kind_of(function: Any) -> str:
    return "async " if inspect.iscoroutinefunction(function) else ""


def signature(function: Any) -> str:
    return str(inspect.signature(function))


def test_the_public_api_is_the_one_in_the_snapshot() -> None:
    for name in MODULES:
        pytest.importorskip(name, exc_type=ImportError)
    now, before = described().splitlines(), SNAPSHOT.read_text("utf-8").splitlines()
    changes = "\n".join(difflib.unified_diff(before, now, "before", "now", lineterm="", n=0))
    assert not changes, f"the public API changed:\n{changes}\nIf that is meant: {__doc__}"


def test_the_description_shows_what_callers_depend_on() -> None:
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
