"""Decide what becomes of the entries of a listing: files, skips, and folders to list next."""

from __future__ import annotations

from collections import OrderedDict

import attrs

from imgwire_async.batch.items import Skip
from imgwire_async.batch.keys import key_bytes
from imgwire_async.batch.sources.base import MAX_KEY, TOO_LONG_KEY
from imgwire_async.batch.sources.cloud_info import Found, below_root
from imgwire_async.batch.sources.globs import Exclusion, Inclusion

# The number of folders whose decisions are kept. A listing has the files of a folder one after the other.
_MAX_FOLDERS = 1_000


@attrs.frozen
class CloudOptions:
    """What a source takes and leaves out."""

    prefix: str
    include: Inclusion
    exclude: Exclusion
    hidden: bool


@attrs.frozen
class Candidate:
    """A file to upload, with its path below the root of the source."""

    found: Found
    below: str


@attrs.frozen
class SubFolder:
    """A folder to list, with its path in the file system."""

    path: str


def is_file_at(found: Found, root: str) -> bool:
    """Return whether an entry is a file at the root of a source, where a folder should be."""
    return found.kind == "file" and found.path.rstrip("/") == root.rstrip("/")


class CloudWalk:
    """The decisions on the entries of one source, in the order of the listings."""

    def __init__(self, options: CloudOptions, root: str, *, is_http: bool) -> None:
        self._options = options
        self._root = root
        self._is_http = is_http
        # For folders: whether their files are taken.
        self._folders: OrderedDict[str, bool] = OrderedDict()

    def decide(self, found: Found, folder: str) -> Candidate | SubFolder | Skip | None:
        """Return what becomes of an entry of the listing of `folder`. None means that it does not count."""
        below = below_root(found, self._root, is_http=self._is_http)
        if below is None or found.path.rstrip("/") == folder.rstrip("/"):
            return None
        is_placeholder = below.endswith("/") and found.kind != "folder"
        path = below.rstrip("/")
        if not path:
            return None
        parent, _, name = path.rpartition("/")
        if (skip := self._enter(parent)) is not None:
            return skip if isinstance(skip, Skip) else None
        if found.kind == "folder":
            skip = self._enter(path)
            if skip is not None:
                return skip if isinstance(skip, Skip) else None
            # A loop of links would have no end.
            too_long = len(key_bytes(self._options.prefix + path)) > MAX_KEY
            return self._skip(below, TOO_LONG_KEY) if too_long else SubFolder(found.path)
        if not self._takes(path):
            return None
        return self._decide_file(found, below, name, is_placeholder=is_placeholder)

    def _decide_file(self, found: Found, below: str, name: str, *, is_placeholder: bool) -> Candidate | Skip:
        if name.startswith(".") and not self._options.hidden:
            return self._skip(below, "a hidden file; hidden=True uploads it")
        if found.kind == "link":
            return self._skip(below, "a link")
        if found.kind == "other":
            return self._skip(below, "neither a file nor a folder")
        if is_placeholder:
            return self._skip(below, "the placeholder of a folder")
        if found.size == 0:
            return self._skip(below, "an empty file")
        key = self._options.prefix + below
        if len(key) > MAX_KEY // 4 and len(key_bytes(key)) > MAX_KEY:
            return self._skip(below, TOO_LONG_KEY)
        return Candidate(found, below)

    def _takes(self, path: str) -> bool:
        return self._options.include.has_file(path) and not self._options.exclude.has_file(path)

    def _enter(self, path: str) -> Skip | bool | None:
        """Return None if the files of a folder are taken, a skip when it is first left out, and then False.

        A folder that a pattern leaves out gets no skip.
        """
        if not path:
            return None
        if (is_taken := self._folders.get(path)) is not None:
            self._folders.move_to_end(path)
            return None if is_taken else False
        parent, _, name = path.rpartition("/")
        outcome = self._enter(parent)
        if outcome is None:
            if self._options.exclude.has_folder(path):
                outcome = False
            elif name.startswith(".") and not self._options.hidden:
                is_wanted = self._options.include.may_be_below(path)
                outcome = is_wanted and self._skip(
                    f"{path}/", "a hidden folder; hidden=True uploads what is in it"
                )
        self._folders[path] = outcome is None
        while len(self._folders) > _MAX_FOLDERS:
            self._folders.popitem(last=False)
        return outcome

    def skip_folder(self, path: str, reason: str) -> Skip:
        """Return the skip for a folder that cannot be listed."""
        below = below_root(Found(path, "folder"), self._root, is_http=self._is_http) or ""
        return self._skip(f"{below.rstrip('/')}/", reason)

    def _skip(self, below: str, reason: str) -> Skip:
        return Skip(self._options.prefix + below, reason)
