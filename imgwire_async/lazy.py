"""Modules that are imported on first use.

Annotations name types of modules that are slow to import. `typing.get_type_hints`, editors and frameworks
resolve these names, and only then the module is imported.
"""

from __future__ import annotations

from typing import Any


class LazyModule:
    """A proxy of a module, which imports the module when the first attribute is read."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        # Tools that inspect a namespace read names such as `__wrapped__`. They must not cause the import.
        if name.startswith("__"):
            raise AttributeError(name)
        from importlib import import_module

        return getattr(import_module(self._name), name)

    def __repr__(self) -> str:
        return f"<lazy module {self._name}>"
