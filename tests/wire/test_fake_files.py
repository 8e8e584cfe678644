"""Uploads and downloads with pyfakefs.

Its file descriptors are unknown to the operating system, or belong to another file there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from imgwire_async import AsyncImgwireClient
from imgwire_async.emulator import Emulator

from .pictures import png

patching: Any = pytest.importorskip("pyfakefs.fake_filesystem_unittest", reason="needs pyfakefs")

# pyfakefs patches every module that is loaded, which takes long.
pytestmark = pytest.mark.slow

# The largest of them has several chunks.
PICTURES = {f"/pictures/{padding}.png": png(padding=padding) for padding in (100, 200_000, 2_000_000)}


async def chunks(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 100_000):
        yield data[start : start + 100_000]


async def test_uploads_and_downloads_work_with_pyfakefs(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    real = os.open(__file__, os.O_RDONLY)
    with patching.Patcher() as patcher:
        for name, data in PICTURES.items():
            patcher.fs.create_file(name, contents=data)
            image = await client.images.upload(name, wait=True)
            await client.images.upload(Path(name), hash_sha256=True)
            with Path(name).open("rb") as file:
                await client.images.upload(file)
            await client.images.upload(chunks(data), file_name="spooled.png")
            puts = [request for request in emulator.requests if request.host == "storage"][-4:]
            assert {put.body_sha256 for put in puts} == {hashlib.sha256(data).hexdigest()}
            assert (await client.images.download(image, name + ".copy")).read_bytes() == data
        results = [result async for result in client.images.upload_many(list(PICTURES))]
        assert [result.error for result in results] == [None] * len(PICTURES)
        with pytest.raises(FileNotFoundError):
            await client.images.upload("/pictures/none.png")
        with pytest.raises(IsADirectoryError):
            await client.images.upload("/pictures")
        assert {str(path) for path in Path("/pictures").iterdir()} == {
            name + ending for name in PICTURES for ending in ("", ".copy")
        }
    # Raises OSError if the SDK closed this descriptor.
    os.close(real)
