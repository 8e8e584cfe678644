"""A folder of another cloud, or of any file system that fsspec knows, as a source of files."""

from __future__ import annotations

import asyncio
import errno
import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import cast

import attrs

from imgwire_async import checks, disk_work
from imgwire_async.batch.items import Entry, Skip, Source
from imgwire_async.batch.sources.base import CHUNK, ChunkedSource, Files
from imgwire_async.batch.sources.cloud_errors import RedirectedError
from imgwire_async.batch.sources.cloud_file import CloudFile
from imgwire_async.batch.sources.cloud_info import found_of
from imgwire_async.batch.sources.cloud_open import require_packages
from imgwire_async.batch.sources.cloud_service import CloudService
from imgwire_async.batch.sources.cloud_url import name_of_url, protocols_of, require_no_query
from imgwire_async.batch.sources.cloud_walk import Candidate, CloudOptions, CloudWalk, SubFolder, is_file_at
from imgwire_async.batch.sources.globs import Exclusion, Inclusion, parse_patterns
from imgwire_async.batch.sources.own_files import OwnFiles
from imgwire_async.batch.walk import run_all
from imgwire_async.uploads.item import UploadItem

# The number of files whose sizes are retrieved at the same time, if the listing does not have them.
_MEASURES = 16
# A read decides on so many entries before other tasks run.
_ENTRIES_PER_STEP = 1_000
# The limit for the time without progress of a source that has no client.
_STALL = 60.0


@attrs.frozen
class Cloud(Files):
    """The files below a URL. `cloud` creates it; each run lists them again."""

    name: str
    options: CloudOptions = attrs.field(repr=False)
    moved: bool = False
    # Both may contain secrets.
    _url: str = attrs.field(default="", repr=False)
    _storage_options: Mapping[str, object] = attrs.field(factory=dict[str, object], repr=False, hash=False)

    @property
    def prefix(self) -> str:
        """The text before each key."""
        return self.options.prefix

    def start(self, own_paths: frozenset[Path]) -> Source:
        """Return a source for one run. It leaves out `own_paths`, which are the files of the journal."""
        return self.start_with_stall(own_paths, _STALL)

    def start_with_stall(self, own_paths: frozenset[Path], stall: float | None) -> Source:
        """Return a source that waits at most `stall` seconds without progress."""
        service = CloudService(self._url, self._storage_options, stall)
        return CloudSource(self, service, own_paths, stall)

    def __aiter__(self) -> Source:
        return self.start(frozenset())


def cloud(
    url: str,
    *,
    include: str | Iterable[str] = (),
    exclude: str | Iterable[str] = (),
    prefix: str = "",
    storage_options: Mapping[str, object] | None = None,
    hidden: bool = False,
    moved: bool = False,
) -> Cloud:
    """Return the files below a URL, such as `s3://bucket/photos`, as a source for a batch run.

    fsspec reads them (`pip install 'imgwire-async[cloud]'`), with the package of the protocol, such as s3fs.
    They are sent on while they are read, and are never written to the disk. The key of a file is `prefix` and
    its path below the URL. A file has changed if its size is another one, or its checksum or ETag. If the
    file system has neither of them, the modification time counts.

    Empty files, hidden files, links and placeholders of folders are skipped with a reason. Patterns are those
    of `folder`.

    Args:
        url: The URL of a bucket or of a folder, such as `s3://bucket/photos`.
        include: A pattern, or patterns, of the files to upload. Without patterns, all files are uploaded.
        exclude: A pattern, or patterns, of files and folders to leave out, also if `include` matches.
        prefix: Text before each key, for example to keep two buckets apart in one journal.
        storage_options: Arguments of the file system of fsspec, such as credentials and `endpoint_url`. No
            message, journal or repr contains them.
        hidden: Whether to upload files and folders whose names begin with a dot.
        moved: Whether the files were at another URL before. They are then not uploaded again.

    Returns:
        The files, which several runs may use.

    Raises:
        TypeError: An argument has another type.
        ValueError: The URL has no protocol, or one that fsspec does not know, or a pattern cannot match.
        ImportError: fsspec or the package of the protocol is not installed.
    """
    text = checks.text("url", url)
    protocols = protocols_of(text)
    require_no_query(text, protocols)
    options = CloudOptions(
        checks.text("prefix", prefix),
        Inclusion(parse_patterns("include", include)),
        Exclusion(parse_patterns("exclude", exclude)),
        hidden=checks.flag("hidden", hidden),
    )
    is_moved = checks.flag("moved", moved)
    arguments = _checked_options(storage_options)
    require_packages(protocols)
    return Cloud(name_of_url(text), options, is_moved, text, arguments)


def _checked_options(value: object) -> dict[str, object]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise checks.wrong_type("storage_options", "a mapping or None", value)
    options = cast("Mapping[object, object]", value)
    return {checks.text("a name in storage_options", key): option for key, option in options.items()}


class CloudSource(ChunkedSource):
    """The source of one run over the files below a URL."""

    def __init__(
        self, described: Cloud, service: CloudService, own_paths: frozenset[Path], stall: float | None
    ) -> None:
        # A web page may have two links to one file.
        may_repeat = described.name.startswith(("http://", "https://"))
        super().__init__(described.name, described.prefix, may_repeat=may_repeat, is_moved=described.moved)
        self._described = described
        self._service = service
        self._own_paths = own_paths
        self._stall = stall
        self._own: OwnFiles | None = None
        self._walk: CloudWalk | None = None
        # The folders to list next, then the folder that is being listed, the position of its next page, and
        # the entries of its current page.
        self._folders: list[str] = []
        self._folder = ""
        self._position: object = None
        self._entries: Iterator[Mapping[str, object]] | None = None
        self._is_over = False

    async def read(self) -> list[Entry | Skip]:
        """Return the next items, or an empty list at the end."""
        while not self._is_over:
            if self._walk is None:
                self._walk = await self._begin()
            if self._entries is not None:
                items = await self._items_of(self._decide(self._walk, self._entries))
            elif self._position is None and not self._folders:
                break
            else:
                items = await self._list(self._walk)
            if items:
                return items
            # Listings in memory never wait.
            await asyncio.sleep(0)
        self._is_over = True
        return []

    # --- listings -------------------------------------------------------------------------------------------

    async def _begin(self) -> CloudWalk:
        """Open the file system, and list the first page. Raises `OSError` if there is nothing."""
        access = await self._service.open()
        if access.protocol in {"file", "local"}:
            self._own = OwnFiles(self._own_paths)
        self._folder = root = access.root
        page = await self._service.page(root, None)
        if not page.entries and access.needs_entries:
            raise FileNotFoundError(errno.ENOENT, "There are no files below this URL", self.name)
        if len(page.entries) == 1 and is_file_at(found_of(page.entries[0]), root):
            reason = "This is a file: pass the URL of its folder, and its name as include"
            raise NotADirectoryError(errno.ENOTDIR, reason, self.name)
        self._entries, self._position = iter(page.entries), page.next
        return CloudWalk(self._described.options, root, is_http=access.is_http)

    async def _list(self, walk: CloudWalk) -> list[Entry | Skip]:
        """List the next page of a folder, or the next folder. Return a skip for one that cannot be listed."""
        is_new = self._position is None
        if is_new:
            self._folder = self._folders.pop()
        try:
            page = await self._service.page(self._folder, self._position)
        except (FileNotFoundError, PermissionError) as error:
            # The rest of a listing may not be left out.
            if not is_new:
                raise
            is_gone = isinstance(error, FileNotFoundError)
            reason = "it was deleted while the files were listed" if is_gone else "no permission to read it"
            return [walk.skip_folder(self._folder, reason)]
        self._entries, self._position = iter(page.entries), page.next
        return []

    def _decide(self, walk: CloudWalk, entries: Iterator[Mapping[str, object]]) -> list[Candidate | Skip]:
        """Decide on the next entries of a page."""
        decided: list[Candidate | Skip] = []
        for info in itertools.islice(entries, _ENTRIES_PER_STEP):
            decision = walk.decide(found_of(info), self._folder)
            if isinstance(decision, SubFolder):
                self._folders.append(decision.path)
            elif decision is not None:
                decided.append(decision)
                if len(decided) == CHUNK:
                    return decided
        # Fewer entries than a step has can also mean that the page has ended exactly here.
        self._entries = self._rest(entries)
        return decided

    @staticmethod
    def _rest(entries: Iterator[Mapping[str, object]]) -> Iterator[Mapping[str, object]] | None:
        first = next(entries, None)
        return None if first is None else itertools.chain([first], entries)

    # --- items ----------------------------------------------------------------------------------------------

    async def _items_of(self, decided: list[Candidate | Skip]) -> list[Entry | Skip]:
        """Return entries for files, and skips."""
        if self._own is not None and decided:
            decided = await disk_work.run(self._without_own, decided, self._own)
        unknown = [item for item in decided if isinstance(item, Candidate) and item.found.size is None]
        measured = await self._measure(unknown) if unknown else {}
        prefix = self.options.prefix
        items: list[Entry | Skip] = []
        for item in decided:
            known = measured.get(id(item), item)
            if isinstance(known, Candidate):
                file = CloudFile(self._service, known.found, known.below)
                items.append(Entry(prefix + known.below, UploadItem(file), known.found.identity))
            else:
                items.append(known)
        return items

    @property
    def options(self) -> CloudOptions:
        """What the source takes and leaves out."""
        return self._described.options

    @staticmethod
    def _without_own(decided: list[Candidate | Skip], own: OwnFiles) -> list[Candidate | Skip]:
        return [
            item for item in decided if not (isinstance(item, Candidate) and own.has_path(item.found.path))
        ]

    async def _measure(self, candidates: list[Candidate]) -> dict[int, Candidate | Skip]:
        """Retrieve the sizes of files that the listing shows without them. Return the files by their ids."""
        measured: dict[int, Candidate | Skip] = {}
        left = iter(candidates)

        async def measure_some() -> None:
            for candidate in left:
                measured[id(candidate)] = await self._measure_one(candidate)

        await run_all([measure_some() for _ in range(min(_MEASURES, len(candidates)))])
        return measured

    async def _measure_one(self, candidate: Candidate) -> Candidate | Skip:
        key = self.options.prefix + candidate.below
        try:
            info = await self._service.info(candidate.found.path)
        except FileNotFoundError:
            return Skip(key, "it was deleted while the files were listed")
        except PermissionError:
            return Skip(key, "no permission to read it")
        except RedirectedError:
            return Skip(key, "the server redirects to another server")
        if info.size is None:
            return Skip(key, "the server does not say how many bytes it has")
        if not info.size:
            return Skip(key, "an empty file")
        return attrs.evolve(candidate, found=attrs.evolve(info, path=candidate.found.path))

    def again(self) -> Source:
        """Return a new source with the same files."""
        return self._described.start_with_stall(self._own_paths, self._stall)

    async def aclose(self) -> None:
        """Close the connections of the file system."""
        self._is_over = True
        await self._service.aclose()
