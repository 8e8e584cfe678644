"""The files of the journal itself, which no run uploads."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Iterable
from pathlib import Path


class OwnFiles:
    """The journal, the files beside it, its exports, and files of these names that are not complete yet."""

    def __init__(self, paths: Iterable[Path]) -> None:
        names: dict[str, set[str]] = {}
        for path in paths:
            names.setdefault(_folded(os.path.realpath(path.parent)), set()).add(path.name)
        self._by_folder = {folder: _regex_of(found) for folder, found in names.items()}
        self._all = _regex_of({name for found in names.values() for name in found})

    def names_in(self, folder: str) -> re.Pattern[str] | None:
        """Return what matches the names of own files in a folder, whose path has no links."""
        return self._by_folder.get(_folded(folder)) if self._by_folder else None

    def has_path(self, path: str) -> bool:
        """Return whether a path leads to an own file. Blocks, but accesses the disk only for equal names."""
        parent, name = os.path.split(path)
        if self._all.fullmatch(name) is None:
            return False
        names = self.names_in(os.path.realpath(parent))
        return names is not None and names.fullmatch(name) is not None


def _regex_of(names: Iterable[str]) -> re.Pattern[str]:
    # Some systems do not distinguish upper and lower case.
    flags = re.DOTALL | (re.IGNORECASE if _folded("A") == "a" else 0)
    # `atomic.part_path` appends the ending while a file is written.
    alternatives = "|".join(map(re.escape, names)) or "(?!)"
    return re.compile(f"(?:{alternatives})(?:\\.[0-9a-f]{{8}}\\.part)?", flags)


def _folded(text: str) -> str:
    """Return a path in the form in which the system compares paths."""
    if sys.platform == "darwin":
        return unicodedata.normalize("NFC", text).casefold()
    return os.path.normcase(text)
