"""Random archives are read as they were written, and random damage is an error and nothing else."""

from __future__ import annotations

import asyncio
import io
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from drawing import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from imgwire_async import ArchiveError
from imgwire_async.batch.items import Skip
from imgwire_async.batch.sources import archive

from .archives import contents, read, tar_info

_PARTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='/\\:."'), min_size=1, max_size=60
)
_NAMES = st.lists(_PARTS, min_size=1, max_size=6).map("/".join)
_FILES = st.dictionaries(_NAMES, st.binary(min_size=1, max_size=2_000), max_size=6)
QUICK = ["zip8", "w:gz"]
SLOW = ["zip0", "zip12", "zip14", "w", "w:bz2", "w:xz"]
KINDS = [*QUICK, *(pytest.param(kind, marks=pytest.mark.slow) for kind in SLOW)]


def written(kind: str, files: dict[str, bytes], form: int) -> bytes:
    """Return an archive as the standard library writes it."""
    buffer = io.BytesIO()
    if kind.startswith("zip"):
        with zipfile.ZipFile(buffer, "w", int(kind[3:])) as zipped:
            for name, data in files.items():
                zipped.writestr(name, data)
        return buffer.getvalue()
    mode: Any = kind
    with tarfile.open(fileobj=buffer, mode=mode, format=form) as tar:
        for name, data in files.items():
            tar.addfile(tar_info(name, size=len(data)), io.BytesIO(data))
    return buffer.getvalue()


FORMS = st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])


@pytest.mark.parametrize("kind", KINDS)
@given(files=_FILES, form=FORMS)
@settings(max_examples=examples(50), deadline=None)
def test_an_archive_of_the_standard_library_is_read_as_it_was_written(
    kind: str, files: dict[str, bytes], form: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        path.write_bytes(written(kind, files, form))
        assert asyncio.run(contents(path)) == files


async def read_all(path: Path) -> list[Any]:
    """Return the contents of all files and their errors. Raises the error of the list."""
    source = archive(path).start(frozenset())
    found: list[Any] = []
    try:
        async with asyncio.timeout(20):
            while items := await source.read():
                found += [await read(item) for item in items if not isinstance(item, Skip)]
    finally:
        await source.aclose()
    return found


@pytest.mark.parametrize("kind", KINDS)
@given(
    data=st.data(),
    files=st.dictionaries(_NAMES, st.binary(min_size=1, max_size=300), min_size=1, max_size=3),
    form=FORMS,
)
@settings(max_examples=examples(100), deadline=None)
def test_damage_is_an_error_of_the_archive_and_nothing_else(
    kind: str, data: st.DataObject, files: dict[str, bytes], form: int
) -> None:
    damaged = bytearray(written(kind, files, form))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at] = data.draw(st.integers(0, 255))
    del damaged[data.draw(st.integers(0, 2 * len(damaged))) :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        path.write_bytes(damaged)
        try:
            found = asyncio.run(read_all(path))
        except ArchiveError:
            return
    assert all(isinstance(each, bytes | ArchiveError) for each in found), found
