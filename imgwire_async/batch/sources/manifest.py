"""A manifest as a source of files: a file that lists paths or URLs, with the arguments of each."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

import attrs

from imgwire_async import checks
from imgwire_async.batch.items import Source
from imgwire_async.batch.sources.base import Files, ThreadedSource
from imgwire_async.batch.sources.manifest_file import PipeCopy
from imgwire_async.batch.sources.manifest_walk import FORMATS, ManifestFormat, ManifestOptions, ManifestWalk
from imgwire_async.formatting import quoted

_FORMAT_BY_SUFFIX: dict[str, ManifestFormat] = {
    ".txt": "txt",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}


@attrs.frozen
class Manifest(Files):
    """The files that a manifest lists. `manifest` creates it; each run reads the manifest again."""

    options: ManifestOptions
    moved: bool = False
    # A pipe can be read only once, so all runs share its bytes.
    _pipe: PipeCopy = attrs.field(factory=PipeCopy, init=False, eq=False, repr=False)

    @property
    def name(self) -> str:
        """The absolute path of the manifest, by which the journal knows it."""
        return self.options.path

    def start(self, own_paths: frozenset[Path]) -> Source:
        """Return a source for one run. It leaves out `own_paths`, which are the files of the journal."""
        return ManifestSource(self, self._pipe, own_paths)

    def __aiter__(self) -> Source:
        return self.start(frozenset())


def manifest(
    path: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    strict: bool = True,
    prefix: str = "",
    format: ManifestFormat | None = None,  # noqa: A002  # the name that `export` has
    moved: bool = False,
) -> Manifest:
    """Return the files that a manifest lists as a source for a batch run.

    A `.txt` file has a path or an http(s) URL a line. `.csv`, `.jsonl` and `.parquet` have a column `path` or
    `url`, and may have `key`, `file_name`, `mime_type`, `purpose`, `hash_sha256`, `custom_metadata` and
    `metadata.NAME`. In CSV all values are text, and `custom_metadata` is a JSON object. The delimiter of a
    CSV is a comma, a semicolon, a tab or `|`. Text is UTF-8, and bytes of paths that are not UTF-8 are kept.

    The key of a row is `prefix` and its column `key`. Without that column it is the path as it is written, or
    the URL, of which only a hash of the query is kept. If a key comes twice, the second row is skipped.

    The manifest is read twice: first to check it, before anything is uploaded, then for its files. The run
    ends with `BatchError` if a row cannot be used, with its line and column, or if the file changes.

    A relative path must stay in its folder, also with `..`. If `root` is given, an absolute path must stay
    in `root`, too. So give it for a manifest that you do not trust. Links in `root` are followed.

    Args:
        path: The path of the manifest, or of a pipe such as `/dev/stdin`. A pipe is read once, to its end.
        root: The folder of relative paths. None is that of the manifest, or for a pipe the working directory.
        strict: Whether mistakes end the run. Without it, rows with mistakes are skipped, and unknown columns
            of a table are ignored with a warning in the log.
        prefix: Text before each key, for example to keep two manifests apart in one journal.
        format: `"txt"`, `"csv"`, `"jsonl"` or `"parquet"`. None takes the suffix of the path, or the content
            if the path has no suffix.
        moved: Whether the manifest was at another path before. Its files are then not uploaded again.

    Returns:
        The manifest, which several runs may use.

    Raises:
        TypeError: An argument has another type.
        ValueError: The path is empty, or has another suffix, or there is no such format.
    """
    name = checks.path("path", path)
    if not name:
        raise ValueError("path must not be empty")
    root_name = None if root is None else checks.path("root", root)
    if root_name is not None and not root_name:
        raise ValueError('root must not be empty; "." is the current folder')
    options = ManifestOptions(
        os.path.abspath(name),  # noqa: PTH100  # as a str
        None if root_name is None else os.path.abspath(root_name),  # noqa: PTH100  # as a str
        checks.text("prefix", prefix),
        _checked_format(name, format),
        checks.flag("strict", strict),
    )
    return Manifest(options, checks.flag("moved", moved))


def _checked_format(path: str, given: object) -> ManifestFormat | None:
    """Return the format of a manifest: the given one, that of its suffix, or None without a suffix."""
    if given is not None:
        for known in FORMATS:
            if given == known:
                return known
        shown = quoted(given) if isinstance(given, str) else type(given).__name__
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, not {shown}")
    suffix = PurePath(path).suffix.lower()
    found = _FORMAT_BY_SUFFIX.get(suffix)
    if suffix and found is None:
        raise ValueError(
            f"the path of a manifest ends with .txt, .csv, .jsonl or .parquet, not {quoted(PurePath(path).name)}; or pass "
            "format="
        )
    return found


class ManifestSource(ThreadedSource):
    """The source of one run over a manifest. A worker thread reads the manifest."""

    def __init__(self, described: Manifest, pipe: PipeCopy, own_paths: frozenset[Path]) -> None:
        options = described.options
        walk = ManifestWalk(options, pipe, own_paths)
        # Two rows may have the same key.
        super().__init__(walk, options.path, options.prefix, may_repeat=True, is_moved=described.moved)
        self._described = described
        self._pipe = pipe
        self._own_paths = own_paths

    def again(self) -> Source:
        """Return a new source with the same files."""
        return ManifestSource(self._described, self._pipe, self._own_paths)
