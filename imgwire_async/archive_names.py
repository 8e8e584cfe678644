"""The names in an archive: which of them clash on some file system, and what their files are called instead.

Pure: entries in, entries out. A clash is the same name once more: exactly, in other case, in another Unicode form, with blanks or
dots at its end, or of a file and a directory.
"""

from __future__ import annotations

import re
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

import attrs

from imgwire_async.errors import ArchiveError
from imgwire_async.formatting import quoted

Parts: TypeAlias = "tuple[str, ...]"

LONGEST_PART = 255  # bytes that file systems take for one name
_LONGEST_NUMBER = len(" (9999999999)")  # no archive has more entries
_ENDING = re.compile(r"\.[A-Za-z0-9]{1,10}")
_WAY_OUT = 'on_clash="rename" gives each a name of its own'


@attrs.frozen
class Entry:
    """One entry of an archive, judged harmless; `parts` are the names of its path, from the outermost directory on."""

    info: zipfile.ZipInfo
    parts: Parts
    is_directory: bool

    def under(self, root: Path) -> Path:
        """Its path in the target."""
        return root.joinpath(*self.parts)

    @property
    def directories(self) -> Parts:
        """The directories that it needs, from the outermost on."""
        return self.parts if self.is_directory else self.parts[:-1]


def folded(part: str) -> str:
    """Return what some file system takes for the same name: other case, other Unicode form, blanks and dots at the end."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", part).casefold()).rstrip(" .")


def require_distinct(entries: Iterable[Entry], max_files: int) -> None:
    """Raise `ArchiveError` for a file that is there twice or where a directory is, and for anything spelt in two ways."""
    spellings: dict[Parts, Parts] = {}
    files: set[Parts] = set()
    directories: set[Parts] = set()
    for entry in entries:
        keys = [tuple(map(folded, entry.parts[:depth])) for depth in range(1, len(entry.parts) + 1)]
        for depth, key in enumerate(keys, 1):
            if spellings.setdefault(key, entry.parts[:depth]) != entry.parts[:depth]:
                raise refused(entry.info, "has, on some systems, the name of another entry", _WAY_OUT)
        directories.update(keys if entry.is_directory else keys[:-1])
        if not entry.is_directory:
            if keys[-1] in files:
                raise refused(entry.info, "is there twice", _WAY_OUT)
            files.add(keys[-1])
    _require_few(len(directories), max_files)
    both = files & directories
    if both:
        name = quoted("/".join(spellings[both.pop()]))
        raise ArchiveError(f"the archive has {name} as a file and as a directory; {_WAY_OUT}")


def with_distinct_names(
    entries: Sequence[Entry], max_files: int, exists: Callable[[Parts], bool]
) -> list[Entry]:
    """Return the entries with paths of which no two clash.

    Of names that clash the first in the archive stays as it is, the others become `name (2).jpg`, `name (3).jpg` and so on.
    A number is skipped when another entry has that name, or when it `exists` already. Everything in a directory follows
    its directory.
    """
    children = _children(entries)
    _require_few(sum(number is None for names in children.values() for _, number in names), max_files)
    directories: dict[Parts, Parts] = {(): ()}
    files: dict[int, Parts] = {}
    for parent, names in children.items():  # a directory stands before what is in it
        place = directories[parent]
        for (name, number), own in zip(names, _distinct(names, place, exists), strict=True):
            if number is None:
                directories[*parent, name] = (*place, own)
            else:
                files[number] = (*place, own)
    return [
        attrs.evolve(entry, parts=directories[entry.parts] if entry.is_directory else files[number])
        for number, entry in enumerate(entries)
    ]


# A name in a directory, and the number of the file's entry; None for a directory, which may be named by many entries.
_Child: TypeAlias = "tuple[str, int | None]"


def _children(entries: Iterable[Entry]) -> dict[Parts, dict[_Child, None]]:
    """Return what is in each directory, as spelt in the archive and in its order."""
    children: dict[Parts, dict[_Child, None]] = {}
    for number, entry in enumerate(entries):
        for depth, name in enumerate(entry.directories):
            children.setdefault(entry.parts[:depth], {})[name, None] = None
        if not entry.is_directory:
            children.setdefault(entry.parts[:-1], {})[entry.parts[-1], number] = None
    return children


def _distinct(names: Iterable[_Child], place: Parts, exists: Callable[[Parts], bool]) -> list[str]:
    """Return the names that the children of the directory `place` get."""
    wanted = {folded(name) for name, _ in names}
    used: set[str] = set()
    last: dict[str, int] = {}  # number given, by what stands around it: names that are cut may share that
    given: list[str] = []
    for name, number in names:
        own = name
        if folded(own) in used:
            stem, ending = _around_number(name, is_directory=number is None)
            key = folded(f"{stem} (){ending}")
            while own is name or folded(own) in used or folded(own) in wanted or exists((*place, own)):
                last[key] = last.get(key, 1) + 1
                own = f"{stem} ({last[key]}){ending}"
        used.add(folded(own))
        given.append(own)
    return given


def _around_number(name: str, *, is_directory: bool) -> tuple[str, str]:
    """Return what stands before and after the number in a new name: `photo` and `.jpg` of `photo.jpg`, all and nothing of a directory's.

    The stem is cut where the whole would be too long with any number, so that it is the same for all of them.
    """
    stem, ending = name.rstrip(" ."), ""
    dot = stem.rfind(".")
    if not is_directory and _ENDING.fullmatch(stem[dot:]) and stem[:dot].strip(" ."):
        stem, ending = stem[:dot], stem[dot:]
    room = LONGEST_PART - _LONGEST_NUMBER - len(ending)  # which is ASCII
    return stem.encode()[:room].decode(errors="ignore"), ending


def _require_few(directories: int, max_files: int) -> None:
    if directories > max_files:
        raise ArchiveError(f"the archive has {directories} directories, more than max_files={max_files}")


def refused(info: zipfile.ZipInfo, reason: str, advice: str = "") -> ArchiveError:
    """Return the error for an entry that keeps the whole archive from being extracted."""
    advice = advice or "if you know where it comes from, look at it with another tool"
    return ArchiveError(
        f"the archive was not extracted: its entry {quoted(info.orig_filename)} {reason}. The target is as it was; {advice}."
    )
