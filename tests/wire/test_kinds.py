"""Every kind of file arrives whole, from its own library; nothing of ours stays open and nothing of the caller's is closed."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imgwire_async import AsyncImgwireClient
from imgwire_async.emulator import Emulator, RequestRecord

from .sources import KNOWN, UNKNOWN, noise

SIZES = [0, 1, 524_287, 524_288, 524_289, 5_000_000]


@pytest.fixture(autouse=True)
def spool(tmp_path: Path) -> Iterator[Path]:
    """Temporary files go into a folder of this test, where they can be counted."""
    before, folder = tempfile.tempdir, tmp_path / "spool"
    folder.mkdir()
    tempfile.tempdir = str(folder)
    yield folder
    tempfile.tempdir = before


def open_below(folder: Path) -> set[str]:
    """The open files of this process that lie in a folder, deleted ones and pipes too."""
    links: set[str] = set()
    for each in Path("/proc/self/fd").iterdir():
        try:
            links.add(str(each.readlink()))
        except OSError:  # gone meanwhile
            continue
    return {link for link in links if link.startswith(str(folder))}


def puts(emulator: Emulator) -> list[RequestRecord]:
    return [record for record in emulator.requests if record.host == "storage"]


def require_whole(emulator: Emulator, data: bytes) -> None:
    """One PUT, told its length, with every byte in place."""
    (put,) = puts(emulator)
    assert (put.status, put.body_length) == (200, len(data))
    assert put.body_sha256 == hashlib.sha256(data).hexdigest()
    assert put.header("Content-Length") == str(len(data))
    assert put.header("Transfer-Encoding") is None
    (image,) = emulator.images.values()
    assert image.stored is not None
    assert image.stored.sha256 == put.body_sha256


@pytest.mark.parametrize("declared", [False, True], ids=["", "declared"])
@pytest.mark.parametrize("kind", [*KNOWN, *UNKNOWN])
async def test_it_arrives_whole(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path, kind: str, declared: bool
) -> None:
    before = open_below(tmp_path)
    for size in SIZES:
        data = noise(size)
        options: dict[str, Any] = {"content_length": size} if declared else {}
        async with {**KNOWN, **UNKNOWN}[kind](data, tmp_path) as file:
            await client.images.upload(file, mime_type="image/png", **options)
        require_whole(emulator, data)
        emulator.reset()
    assert open_below(tmp_path) == before
