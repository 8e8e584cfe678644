"""Show attrs classes in the reference with the defaults of fields and the parameters of constructors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import griffe

_NAME = "attrs"


class AttrsClasses(griffe.Extension):
    """A griffe extension that understands `attrs.field(...)` and the constructors that attrs generates.

    `attrs.field(default=60.0, validator=...)` is shown as `60.0`, a factory as its call, and a field that has
    no default is shown without a value. A class with an `Args:` section gets the `__init__` that attrs
    generates, so that the table of its parameters has types and defaults.
    """

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Replace the value of `attr` by its default. Griffe calls this method for each attribute."""
        value = attr.value
        if not isinstance(value, griffe.ExprCall) or value.canonical_path != "attrs.field":
            return
        given = {
            keyword.name: keyword.value
            for keyword in value.arguments
            if isinstance(keyword, griffe.ExprKeyword)
        }
        attr.extra[_NAME] |= {"kw_only": str(given["kw_only"])} if "kw_only" in given else {}
        attr.value = f"{given['factory']}()" if "factory" in given else given.get("default")

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Add the constructors. Griffe calls this method when a package is loaded."""
        for cls in _classes(pkg):
            documents_args = cls.docstring is not None and "\nArgs:\n" in cls.docstring.value
            if documents_args and "__init__" not in cls.members and _decorator(cls) is not None:
                cls.set_member("__init__", _constructor(cls))


def _classes(module: griffe.Module) -> Iterator[griffe.Class]:
    """Yield the classes of a module and of its submodules."""
    for member in module.members.values():
        if isinstance(member, griffe.Class):
            yield member
        elif isinstance(member, griffe.Module):
            yield from _classes(member)


def _decorator(cls: griffe.Class) -> str | None:
    """Return the text of the attrs decorator of a class, or None for a class without one."""
    names = {"attrs.frozen", "attrs.define"}
    return next((str(found.value) for found in cls.decorators if found.callable_path in names), None)


def _constructor(cls: griffe.Class) -> griffe.Function:
    """Return the constructor that attrs generates for a class and its base classes."""
    parameters: dict[str, griffe.Parameter] = {}
    for base in (*reversed(cls.mro()), cls):
        kw_only = "kw_only=True" in (_decorator(base) or "")
        for name, field in base.members.items():
            if (
                isinstance(field, griffe.Attribute)
                and field.annotation is not None
                and not name.startswith("_")
            ):
                by_name = kw_only or field.extra[_NAME].get("kw_only") == "True"
                kind = (
                    griffe.ParameterKind.keyword_only
                    if by_name
                    else griffe.ParameterKind.positional_or_keyword
                )
                parameters[name] = griffe.Parameter(
                    name, annotation=field.annotation, kind=kind, default=field.value
                )
    ordered = sorted(
        parameters.values(), key=lambda parameter: parameter.kind is griffe.ParameterKind.keyword_only
    )
    first = griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)
    return griffe.Function("__init__", parameters=griffe.Parameters(first, *ordered), returns="None")
