"""Validate the entries of a ZIP archive, and rename entries whose names clash.

Two names clash when they are the same name on some file system: they are equal, or they differ only in case,
in Unicode form, or in spaces and dots at the end. A file and a directory with the same name clash, too. The
functions here do not access the file system.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

import attrs

from imgwire_async.errors import ArchiveError
from imgwire_async.formatting import quoted

# The parts of a path in an archive: directories, and perhaps a file.
Parts: TypeAlias = "tuple[str, ...]"

# The maximum length of a file name on common file systems.
MAX_NAME_BYTES = 255
# The length of the longest number that is added to a name to make it distinct. No archive has more than
# 9,999,999,999 entries.
_MAX_NUMBER_LENGTH = len(" (9999999999)")
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,10}")
_RENAME_HINT = 'on_clash="rename" renames such entries'

# An entry with a longer path, or with more directories in its path, is rejected.
_MAX_PATH_BYTES, _MAX_DEPTH = 1024, 32
# The compression methods that are accepted, because their decompression needs little memory.
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_ENCRYPTION_FLAGS = 0x1 | 0x40 | 0x2000
_DEVICE_NAME = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(?:\..*)?", re.IGNORECASE | re.DOTALL
)
_DRIVE = re.compile(r"[A-Za-z]:")
# These characters change the text direction, so a name that contains them can look like a different name.
_DIRECTION_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@attrs.frozen
class Entry:
    """An entry of an archive that is safe to extract. `parts` are the parts of its path in the archive."""

    info: zipfile.ZipInfo
    parts: Parts
    is_directory: bool

    def path_in(self, root: Path) -> Path:
        """Return the path to which this entry is extracted, when `root` is the target directory."""
        return root.joinpath(*self.parts)

    @property
    def directories(self) -> Parts:
        """The parts of the path that are directories: all parts, or all but the last part for a file."""
        return self.parts if self.is_directory else self.parts[:-1]


def validated_entries(
    infos: Sequence[zipfile.ZipInfo], max_files: int, exists: Callable[[Parts], bool] | None = None
) -> list[Entry]:
    """Validate the entries of an archive, and return them.

    Raises `ArchiveError` for an entry that is not safe to extract. Entries whose names clash raise
    `ArchiveError` if `exists` is None, and are renamed otherwise. `exists(parts)` must return whether a new
    name is used already in the target directory.
    """
    if len(infos) > max_files:
        raise ArchiveError(f"the archive has {len(infos)} entries, more than max_files={max_files}")
    entries = [_validate(info) for info in infos]
    if exists is None:
        require_distinct(entries, max_files)
    else:
        entries = with_distinct_names(entries, max_files, exists)
    end = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise entry_error(info, "shares its bytes with another entry")
        # The content of an entry follows its header, which has at least 30 bytes.
        end = info.header_offset + 30 + info.compress_size
    return entries


def _validate(info: zipfile.ZipInfo) -> Entry:
    name = info.filename
    is_directory = name.endswith("/")
    reason = _entry_type_fault(info, is_directory=is_directory) or _characters_fault(
        info.orig_filename + name
    )
    parts = tuple(part for part in name.split("/") if part not in {"", "."})
    if reason is None:
        reason = _path_fault(name, parts)
    for part in parts:
        reason = reason or _part_name_fault(part)
    if reason is not None:
        raise entry_error(info, reason)
    return Entry(info, parts, is_directory)


def _entry_type_fault(info: zipfile.ZipInfo, *, is_directory: bool) -> str | None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        return "is a symbolic link"
    if kind not in {0, stat.S_IFDIR if is_directory else stat.S_IFREG}:
        return "is not a regular file"
    if info.flag_bits & _ENCRYPTION_FLAGS:
        return "is encrypted"
    return None if info.compress_type in _METHODS else f"uses compression method {info.compress_type}"


def _characters_fault(text: str) -> str | None:
    if any(unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in text):
        return "has control characters in its name"
    return (
        "has characters in its name that reverse the text direction"
        if not _DIRECTION_CONTROLS.isdisjoint(text)
        else None
    )


def _path_fault(name: str, parts: Sequence[str]) -> str | None:
    if "\\" in name:
        return "has a backslash in its name"
    if name.startswith("/") or _DRIVE.match(name):
        return "has an absolute path"
    if ".." in parts:
        return "leads out of the target"
    if not parts:
        return "has no name"
    if len(name.encode()) > _MAX_PATH_BYTES or len(parts) > _MAX_DEPTH:
        return "has a name that is too long"
    return None


def _part_name_fault(part: str) -> str | None:
    if _DEVICE_NAME.fullmatch(part):
        return "has the name of a device"
    if not part.strip(" ."):
        return "has a name of spaces and dots only"
    if os.name == "nt" and ":" in part:
        return "has a colon in its name"
    return "has a name that is too long" if len(part.encode()) > MAX_NAME_BYTES else None


def clash_key(part: str) -> str:
    """Return a normalized form of a name. Two names clash when their normalized forms are equal."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", part).casefold()).rstrip(" .")


def require_distinct(entries: Iterable[Entry], max_files: int) -> None:
    """Raise `ArchiveError` when names of entries clash, or when the entries have too many directories.

    `max_files` is the maximum number of directories.
    """
    spellings: dict[Parts, Parts] = {}
    files: set[Parts] = set()
    directories: set[Parts] = set()
    for entry in entries:
        keys = [tuple(map(clash_key, entry.parts[:depth])) for depth in range(1, len(entry.parts) + 1)]
        for depth, key in enumerate(keys, 1):
            if spellings.setdefault(key, entry.parts[:depth]) != entry.parts[:depth]:
                raise entry_error(entry.info, "has the name of another entry on some systems", _RENAME_HINT)
        directories.update(keys if entry.is_directory else keys[:-1])
        if not entry.is_directory:
            if keys[-1] in files:
                raise entry_error(entry.info, "occurs twice", _RENAME_HINT)
            files.add(keys[-1])
    _check_directory_count(len(directories), max_files)
    clashing = files & directories
    if clashing:
        name = quoted("/".join(spellings[clashing.pop()]))
        raise ArchiveError(f"the archive has {name} as a file and as a directory; {_RENAME_HINT}")


def with_distinct_names(
    entries: Sequence[Entry], max_files: int, exists: Callable[[Parts], bool]
) -> list[Entry]:
    """Rename entries whose names clash, and return all entries.

    The first of several clashing names is kept. The others become `name (2).jpg`, `name (3).jpg` and so on. A
    number is skipped when another entry has the new name, or when `exists` returns True for the new path.
    When a directory is renamed, the paths of its entries get its new name.
    """
    children = _children_by_directory(entries)
    _check_directory_count(sum(index is None for names in children.values() for _, index in names), max_files)
    directories: dict[Parts, Parts] = {(): ()}
    files: dict[int, Parts] = {}
    # `children` has each directory before the directories in it, so the new name of the parent is known.
    for parent, names in children.items():
        new_parent = directories[parent]
        for (name, index), new_name in zip(names, _distinct_names(names, new_parent, exists), strict=True):
            if index is None:
                directories[*parent, name] = (*new_parent, new_name)
            else:
                files[index] = (*new_parent, new_name)
    return [
        attrs.evolve(entry, parts=directories[entry.parts] if entry.is_directory else files[index])
        for index, entry in enumerate(entries)
    ]


# The name of a file and the index of its entry, or the name of a directory and None. A directory has no index
# because it may be part of the paths of many entries.
_Child: TypeAlias = "tuple[str, int | None]"


def _children_by_directory(entries: Iterable[Entry]) -> dict[Parts, dict[_Child, None]]:
    """Return a dict that maps each directory to the files and directories in it, in the order of the archive.

    The inner dicts are used as ordered sets, so their values are None.
    """
    children: dict[Parts, dict[_Child, None]] = {}
    for index, entry in enumerate(entries):
        for depth, name in enumerate(entry.directories):
            children.setdefault(entry.parts[:depth], {})[name, None] = None
        if not entry.is_directory:
            children.setdefault(entry.parts[:-1], {})[entry.parts[-1], index] = None
    return children


def _distinct_names(names: Iterable[_Child], directory: Parts, exists: Callable[[Parts], bool]) -> list[str]:
    """Return new names that do not clash for the files and directories in `directory`, in the same order."""
    original = {clash_key(name) for name, _ in names}
    used: set[str] = set()
    # Maps a name without its number to the last number used, so that the search for a new number is short.
    last_number: dict[str, int] = {}
    result: list[str] = []
    for name, index in names:
        new_name = name
        if clash_key(new_name) in used:
            stem, extension = _split_for_number(name, is_directory=index is None)
            key = clash_key(f"{stem} (){extension}")
            while (
                new_name is name
                or clash_key(new_name) in used
                or clash_key(new_name) in original
                or exists((*directory, new_name))
            ):
                last_number[key] = last_number.get(key, 1) + 1
                new_name = f"{stem} ({last_number[key]}){extension}"
        used.add(clash_key(new_name))
        result.append(new_name)
    return result


def _split_for_number(name: str, *, is_directory: bool) -> tuple[str, str]:
    """Split a name at the place where a number is inserted to rename it.

    `photo.jpg` is split into `photo` and `.jpg`. For a directory, the second part is empty. The first part is
    cut if the new name could be too long. The cut leaves space for the longest number, so it does not depend
    on the number.
    """
    stem, extension = name.rstrip(" ."), ""
    dot_index = stem.rfind(".")
    if not is_directory and _EXTENSION.fullmatch(stem[dot_index:]) and stem[:dot_index].strip(" ."):
        stem, extension = stem[:dot_index], stem[dot_index:]
    # The extension is ASCII, so the number of its characters is the number of its bytes.
    available = MAX_NAME_BYTES - _MAX_NUMBER_LENGTH - len(extension)
    return stem.encode()[:available].decode(errors="ignore"), extension


def _check_directory_count(directories: int, max_files: int) -> None:
    if directories > max_files:
        raise ArchiveError(f"the archive has {directories} directories, more than max_files={max_files}")


def entry_error(info: zipfile.ZipInfo, reason: str, advice: str = "") -> ArchiveError:
    """Return the error for an archive that is not extracted because of one entry.

    `reason` completes the sentence "its entry ...". `advice` says what the user can do.
    """
    advice = advice or "if you trust its source, inspect it with another tool"
    return ArchiveError(
        f"the archive was not extracted: its entry {quoted(info.orig_filename)} {reason}. "
        f"The target is unchanged; {advice}."
    )
