"""Import a module when one of its attributes is first read.

Annotations name types of modules that are slow to import, such as `aiohttp`. Such a module is imported only
when `typing.get_type_hints`, an editor or a framework evaluates the annotation.
"""

from __future__ import annotations

from typing import Any


class LazyModule:
    """A proxy of a module, which imports the module when the first attribute is read."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        # Tools that inspect variables read their attributes such as `__wrapped__`. This must not cause an
        # import.
        if name.startswith("__"):
            raise AttributeError(name)
        from importlib import import_module

        return getattr(import_module(self._name), name)

    def __repr__(self) -> str:
        return f"<lazy module {self._name}>"
