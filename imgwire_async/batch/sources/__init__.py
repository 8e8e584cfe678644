"""Sources of files for batch runs: folders, manifests, URLs, and iterables and sources of the user."""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterable, Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from imgwire_async import checks
from imgwire_async.batch.items import BatchItem, BatchSource, RemoteFile, Skip, Source
from imgwire_async.batch.sources.archive import Archive, archive
from imgwire_async.batch.sources.base import Files
from imgwire_async.batch.sources.cloud import Cloud, cloud
from imgwire_async.batch.sources.folder import Folder, folder
from imgwire_async.batch.sources.iterable import IterableSource
from imgwire_async.batch.sources.manifest import Manifest, manifest
from imgwire_async.batch.sources.urls import Urls, urls
from imgwire_async.uploads.detect import is_number_array
from imgwire_async.uploads.item import UploadItem
from imgwire_async.uploads.upload_run import require_many_files

__all__ = [
    "Archive",
    "BatchFiles",
    "Cloud",
    "Files",
    "Folder",
    "Manifest",
    "Urls",
    "archive",
    "as_source",
    "cloud",
    "folder",
    "manifest",
    "urls",
]

_Item: TypeAlias = str | os.PathLike[str] | UploadItem | BatchItem | RemoteFile | Skip
BatchFiles: TypeAlias = str | os.PathLike[str] | Files | Iterable[_Item] | AsyncIterable[_Item] | BatchSource
"""What a batch run uploads: the path of a folder, a source, or an iterable of paths and items."""


def as_source(
    files: BatchFiles, own_paths: frozenset[Path] = frozenset(), stall: float | None = 60.0
) -> Source:
    """Return a source for one run from the argument `files` of `upload` and `plan`.

    The source leaves out `own_paths`, which are the files of the journal. If it reads from a server, it waits
    at most `stall` seconds without progress. Raises `TypeError` for an object that is neither a folder's path
    nor contains files.
    """
    if isinstance(files, str | os.PathLike):
        files = folder(files)
    if isinstance(files, Files):
        return files.start_with_stall(own_paths, stall)
    if _is_one_file(files):
        raise TypeError(
            "files must be the path of a folder, a source, or an iterable of paths and items, not one "
            f"{type(files).__name__}; pass a list with it: [BatchItem(key, file)]"
        )
    name = _name_of_source(files)
    if name is not None and isinstance(files, AsyncIterable):
        return IterableSource(files, own_paths, name, closes=True)
    require_many_files(files)
    return IterableSource(files, own_paths)


def _is_one_file(files: object) -> bool:
    return (
        isinstance(files, UploadItem | BatchItem | RemoteFile | io.IOBase | int | float | Mapping)
        or is_number_array(files)
        or hasattr(type(files), "read")
    )


def _name_of_source(files: object) -> str | None:
    """Return the name of a source that the user has written, None for other objects.

    Such a source has `name`, asynchronous iteration over items, and `aclose`. Raises `TypeError` or
    `ValueError` for a name that is not text, because such a source would be taken for another one.
    """
    if not hasattr(type(files), "__aiter__") or not hasattr(type(files), "aclose"):
        return None
    name: object = getattr(files, "name", None)
    if name is None:
        return None
    if not (text := checks.text("the name of a source", name)):
        raise ValueError("the name of a source is empty; the journal needs it to tell sources apart")
    return text
