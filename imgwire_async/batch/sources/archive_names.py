"""Keys of the members of an archive, and reasons to skip members. Pure functions."""

from __future__ import annotations

import hashlib
import re

from imgwire_async.batch.keys import key_bytes
from imgwire_async.batch.sources.base import MAX_KEY, TOO_LONG_KEY

_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_SEPARATOR = re.compile(r"[\\/]")
# A longer name that is not uploaded is shortened, because it might fill the journal.
_MAX_SHOWN = MAX_KEY // 4


def path_in_archive(name: str) -> str:
    """Return the name of a member without empty parts and `.`, such as `a.jpg` for `./a.jpg`.

    The name of a member that is not safe stays as it is.
    """
    if unsafe_reason(name) is not None:
        return name
    if "./" not in name and "//" not in name:
        return name
    return "/".join(part for part in name.split("/") if part not in {"", "."})


def unsafe_reason(name: str) -> str | None:
    """Return why a name could be used to write outside a folder, None for a safe name."""
    if "\0" in name:
        return "its name contains a NUL character"
    if name[:1] in {"/", "\\"} or _DRIVE.match(name):
        return "its path is absolute"
    if ".." in name and ".." in _SEPARATOR.split(name):
        return "its path leads out of the archive"
    return None if name.strip("./") or name.strip("/").startswith("...") else "it has no name"


def hidden_reason(path: str) -> str | None:
    """Return why a member is hidden, None for others. `path` comes from `path_in_archive`."""
    if path.startswith("__MACOSX/") or "/__MACOSX/" in path:
        return "an extra file of macOS, no picture"
    if path[:1] != "." and "/." not in path:
        return None
    return "a hidden file" if path.rpartition("/")[2].startswith(".") else "in a hidden folder"


def key_of(prefix: str, path: str) -> tuple[str, str | None]:
    """Return the key of a member, and why it cannot be used, or None."""
    key = prefix + path
    if len(key) <= MAX_KEY // 4 or len(key_bytes(key)) <= MAX_KEY:
        return key, None
    digest = hashlib.sha256(key_bytes(key)).hexdigest()
    return f"{key[:_MAX_SHOWN]}...{digest[:12]}", TOO_LONG_KEY
