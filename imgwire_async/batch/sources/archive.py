"""An archive as a source of files."""

from __future__ import annotations

import os
from pathlib import Path

import attrs

from imgwire_async import checks
from imgwire_async.batch.items import Source
from imgwire_async.batch.sources.archive_contents import Contents
from imgwire_async.batch.sources.archive_file import absolute
from imgwire_async.batch.sources.archive_walk import ArchiveItems
from imgwire_async.batch.sources.base import Files, ThreadedSource
from imgwire_async.batch.sources.stepped_walk import SteppedWalk


@attrs.frozen
class Archive(Files):
    """The files in an archive. `archive` creates it; each run reads it again."""

    path: str
    prefix: str = ""
    moved: bool = False

    @property
    def name(self) -> str:
        """The absolute path of the archive, by which the journal knows it."""
        return self.path

    def start(self, own_paths: frozenset[Path]) -> Source:
        """Return a source for one run. It leaves out `own_paths`, which are the files of the journal."""
        return ArchiveSource(self)

    def __aiter__(self) -> Source:
        return self.start(frozenset())


def archive(path: str | os.PathLike[str], *, prefix: str = "", moved: bool = False) -> Archive:
    """Return the files in a ZIP or TAR archive as a source for a batch run. Nothing is unpacked to the disk.

    The key of a file is `prefix` and its path in the archive. The content decides which kind of archive it
    is, not the name: ZIP with the methods stored, deflate, bzip2 and LZMA, and TAR, plain or compressed with
    gzip, bzip2, xz or, from Python 3.14 on, zstd.

    What is not uploaded is skipped with a reason: links, devices, sparse files, encrypted files, unknown
    methods, absolute paths and paths with `..`, files that share their bytes, empty files, and hidden files.

    The members of a ZIP or plain TAR archive are read when they are uploaded, several at once. A compressed
    TAR archive is read from its beginning. At most 64 MiB of its members are in memory. What does not fit is
    read a second time, and goes through temporary files if necessary.

    Args:
        path: The path of the archive.
        prefix: Text before each key, for example to keep two archives apart in one journal.
        moved: Whether the archive was at another path before. Its files are then not uploaded again.

    Returns:
        The archive, which several runs may use.

    Raises:
        TypeError: An argument has another type.
        ValueError: The path is empty.
    """
    name = checks.path("path", path)
    if not name:
        raise ValueError("path must not be empty")
    return Archive(absolute(name), checks.text("prefix", prefix), checks.flag("moved", moved))


class ArchiveSource(ThreadedSource):
    """The source of one run over an archive. A worker thread lists the members."""

    def __init__(self, described: Archive, contents: Contents | None = None) -> None:
        self._contents = contents or Contents()
        walk = SteppedWalk(ArchiveItems(described.path, described.prefix, self._contents).read)
        super().__init__(walk, described.name, described.prefix, may_repeat=True, is_moved=described.moved)
        self._described = described

    def again(self) -> Source:
        """Return a new source with the same files."""
        return ArchiveSource(self._described)

    async def aclose(self) -> None:
        """Stop reading, and release what is in memory. A thread that hangs is left alone."""
        try:
            await super().aclose()
        finally:
            await self._contents.aclose()
