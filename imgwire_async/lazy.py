"""Import a module when one of its attributes is first read.

The package uses `LazyModule` for modules that are slow to import and that only annotations need (`aiohttp`).
Such a module is imported only when `typing.get_type_hints`, an editor or a framework evaluates an annotation.
"""

from __future__ import annotations

from typing import Any


class LazyModule:
    """A proxy of a module, which imports the module when the first attribute is read."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        # Tools such as `inspect` read special attributes (`__wrapped__`) of every object. Reading
        # them must not import the module.
        if name.startswith("__"):
            raise AttributeError(name)
        from importlib import import_module

        return getattr(import_module(self._name), name)

    def __repr__(self) -> str:
        return f"<lazy module {self._name}>"
