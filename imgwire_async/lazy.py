"""Modules that annotations name, loaded when somebody asks what the names mean: `typing.get_type_hints`, an editor, a framework."""

from __future__ import annotations

from typing import Any


class LazyModule:
    """Stands for a module, and gives its names; the module is loaded with the first of them."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        # Asked for by whoever looks through a namespace, not for a name in the module.
        if name.startswith("__"):
            raise AttributeError(name)
        from importlib import import_module

        return getattr(import_module(self._name), name)

    def __repr__(self) -> str:
        return f"<lazy module {self._name}>"
