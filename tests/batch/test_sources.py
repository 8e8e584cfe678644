"""Sources of batch runs, from all kinds of `files`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from imgwire_async import UploadItem
from imgwire_async.batch.items import BatchItem, Entry, Skip
from imgwire_async.batch.sources import as_source


def read_all(files: Any, own_paths: frozenset[Path] = frozenset()) -> list[Entry | Skip]:
    """Return all items of a source, in the order of their keys."""

    async def read() -> list[Entry | Skip]:
        source = as_source(files, own_paths)
        try:
            return [item async for item in source]
        finally:
            await source.aclose()

    return sorted(asyncio.run(read()), key=lambda item: item.key)


def test_the_path_of_a_folder_stands_for_its_files(folder: Path) -> None:
    (folder / "2024").mkdir()
    (folder / "2024" / "a.jpg").write_bytes(b"12")
    (entry,) = read_all(folder)
    assert isinstance(entry, Entry)
    assert (entry.key, entry.item.file, entry.identity.size) == (
        "2024/a.jpg",
        str(folder / "2024" / "a.jpg"),
        2,
    )


def test_an_iterable_may_contain_paths_and_items(folder: Path) -> None:
    path = folder / "a.jpg"
    path.write_bytes(b"123")
    files = [path, UploadItem(str(path)), BatchItem("k1", path), BatchItem("k2", b"1234")]
    found = read_all(iter(files))
    assert [item.key for item in found] == [str(path), str(path), "k1", "k2"]
    sizes = [item.identity.size for item in found if isinstance(item, Entry)]
    assert sizes == [3, 3, 3, 4]


def test_an_async_iterable_is_a_source(folder: Path) -> None:
    async def items() -> AsyncIterator[BatchItem]:
        yield BatchItem("k", b"1234")

    (entry,) = read_all(items())
    assert entry.key == "k"


def test_a_wrong_item_raises_a_type_error_with_its_position() -> None:
    with pytest.raises(TypeError, match=r"files\[1\] must be a path"):
        read_all([BatchItem("k", b"1"), 7])
