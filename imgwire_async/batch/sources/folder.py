"""A folder as a source of files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

import attrs

from imgwire_async import checks
from imgwire_async.batch.items import Source
from imgwire_async.batch.sources.base import Files, ThreadedSource
from imgwire_async.batch.sources.folder_walk import FolderOptions, FolderWalk
from imgwire_async.batch.sources.globs import Exclusion, Inclusion, parse_patterns

# The protocol of a URL. A single letter is a drive of Windows.
_URL = re.compile("[A-Za-z][A-Za-z0-9+.-]+://")


@attrs.frozen
class Folder(Files):
    """The files of a folder and of all folders in it. `folder` creates it; each run reads it again."""

    options: FolderOptions
    prefix: str = ""
    moved: bool = False

    @property
    def name(self) -> str:
        """The absolute path of the folder, by which the journal knows it."""
        return self.options.path

    def start(self, own_paths: frozenset[Path]) -> Source:
        """Return a source for one run. It leaves out `own_paths`, which are the files of the journal."""
        return FolderSource(self, own_paths)

    def __aiter__(self) -> Source:
        return self.start(frozenset())


def folder(
    path: str | os.PathLike[str],
    *,
    prefix: str = "",
    include: str | Iterable[str] = (),
    exclude: str | Iterable[str] = (),
    hidden: bool = False,
    follow_links: bool = False,
    moved: bool = False,
) -> Folder:
    """Return the files of a folder, and of all folders in it, as a source for a batch run.

    The key of a file is `prefix` and the path below the folder, with `/` between the parts. What is not
    uploaded is skipped with a reason: links, pipes, sockets, devices, empty files, hidden files, and what
    there is no permission to read. Files that `include` or `exclude` leave out do not count.

    Patterns are globs as in gitignore: `*.jpg` matches at any depth, `/*.jpg` only in the folder itself, and
    `raw/**` all that is below `raw`. `*.{jpg,png}` stands for two patterns. Upper and lower case differ.

    Args:
        path: The path of the folder.
        prefix: Text before each key, for example to keep two folders apart in one journal.
        include: A pattern, or patterns, of the files to upload. Without patterns, all files are uploaded.
        exclude: A pattern, or patterns, of files and folders to leave out, also if `include` matches.
        hidden: Whether to upload files and folders whose names begin with a dot.
        follow_links: Whether to upload what symbolic links lead to.
        moved: Whether the folder was at another path before. Its files are then not uploaded again.

    Returns:
        The folder, which several runs may use.

    Raises:
        TypeError: An argument has another type.
        ValueError: A pattern cannot match anything, or the path is empty or a URL.
    """
    name = checks.path("path", path)
    if not name:
        raise ValueError('path must not be empty; "." is the current folder')
    if _URL.match(name):
        # The message does not contain the URL, because a part of it may be secret.
        raise ValueError(
            "path must be that of a folder, not a URL; cloud(url) reads a bucket or another file system, and urls([url]) "
            "lets the service fetch pictures"
        )
    options = FolderOptions(
        os.path.abspath(name),  # noqa: PTH100  # as a str
        checks.text("prefix", prefix),
        Inclusion(parse_patterns("include", include)),
        Exclusion(parse_patterns("exclude", exclude)),
        hidden=checks.flag("hidden", hidden),
        follow_links=checks.flag("follow_links", follow_links),
    )
    return Folder(options, options.prefix, checks.flag("moved", moved))


class FolderSource(ThreadedSource):
    """The source of one run over a folder. A worker thread reads the folder."""

    def __init__(self, described: Folder, own_paths: frozenset[Path]) -> None:
        walk = FolderWalk(described.options, own_paths)
        super().__init__(walk, described.name, described.prefix, is_moved=described.moved)
        self._described = described
        self._own_paths = own_paths

    def again(self) -> Source:
        """Return a new source with the same files."""
        return FolderSource(self._described, self._own_paths)
