"""No operation makes a blocking disk call on the event loop, except reads from the page cache."""

from __future__ import annotations

import asyncio
import io
import os
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import imgwire_async
from imgwire_async import AsyncImgwireClient
from imgwire_async import emulator as emulator_package
from imgwire_async.emulator import Emulator

from .pictures import png

blockbuster = pytest.importorskip("blockbuster")

# Functions that the detector does not check by default. `preadv` is missing, because it is called so that it
# never blocks.
MORE = ("open", "fstat", "lstat", "close", "pread", "lseek", "fsync", "mkdir", "truncate", "ftruncate")
SMALL, LARGE = png(padding=5_000), png(padding=3_000_000)


@pytest.fixture
async def watched(client: AsyncImgwireClient) -> AsyncIterator[None]:
    await client.images.upload(iter([SMALL]))  # loads all imports
    with watching():
        yield


@contextmanager
def watching() -> Iterator[None]:
    where = {"scanned_modules": imgwire_async, "excluded_modules": [emulator_package]}
    watcher = blockbuster.BlockBuster(**where)
    for name in MORE:
        watcher.functions[f"os.{name}"] = blockbuster.BlockBusterFunction(None, f"os.{name}", **where)
    watcher.activate()
    try:
        yield
    finally:
        watcher.deactivate()


def on_disk(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def fifo(folder: Path) -> Path:
    path = folder / "fifo"
    os.mkfifo(path)
    threading.Thread(target=path.write_bytes, args=(LARGE,)).start()
    return path


def pipe() -> Any:
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as end:
            end.write(SMALL)

    threading.Thread(target=write).start()
    return os.fdopen(reading, "rb")


def spooled() -> Any:
    file = tempfile.SpooledTemporaryFile(max_size=100)  # noqa: SIM115  # the test closes it
    file.write(LARGE)
    file.seek(0)
    return file


async def pieces() -> AsyncIterator[bytes]:
    yield LARGE


KINDS: dict[str, Callable[[Path], Any]] = {
    "small path": lambda folder: on_disk(folder, "a.png", SMALL),
    "large path": lambda folder: on_disk(folder, "a.png", LARGE),
    "small file": lambda folder: on_disk(folder, "a.png", SMALL).open("rb"),
    "large file": lambda folder: on_disk(folder, "a.png", LARGE).open("rb"),
    "bytes": lambda _: LARGE,
    "file in memory": lambda _: io.BytesIO(LARGE),
    "spooled file": lambda _: spooled(),
    "FIFO": fifo,
    "pipe": lambda _: pipe(),
    "iterator": lambda _: iter([SMALL, LARGE]),
    "async iterator": lambda _: pieces(),
    "TIFF": lambda folder: on_disk(folder, "a.tif", b"II*\0\x08\0\0\0" + bytes(9_000)),
}


@pytest.mark.parametrize(
    "digest", [pytest.param(False, id=""), pytest.param(True, id="hashed", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("kind", KINDS)
async def test_an_upload_makes_no_blocking_call_on_the_loop(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path, watched: None, kind: str, digest: bool
) -> None:
    file = await asyncio.to_thread(KINDS[kind], tmp_path)
    image = await client.images.upload(file, hash_sha256=digest)
    assert emulator.images[image.id].stored is not None
    if hasattr(file, "close"):
        await asyncio.to_thread(file.close)


async def test_a_folder_of_files_makes_no_blocking_call_on_the_loop(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path, watched: None
) -> None:
    def files() -> Iterator[Path]:
        for number in range(40):
            yield on_disk(tmp_path, f"{number}.png", LARGE if number % 10 == 9 else SMALL)

    results = [result async for result in client.images.upload_many(files())]
    assert [result.error for result in results] == [None] * 40


@pytest.mark.long
async def test_no_other_operation_makes_a_blocking_call_on_the_loop(tmp_path: Path) -> None:
    """TLS is used, so that the file with the trusted CAs is read, too."""
    pytest.importorskip("trustme")
    async with Emulator(tls=True) as emulator:

        async def use_all(folder: Path) -> None:
            async with AsyncImgwireClient(
                emulator.api_key, base_url=emulator.base_url, ssl=emulator.ca_path
            ) as client:
                image = await client.images.upload(SMALL, wait=True)
                assert [listed.id async for listed in client.images.list_all()].count(image.id) == 1
                assert await client.images.read(image) == SMALL
                for overwrite in (False, True):
                    await client.images.download(image, folder / "a.png", overwrite=overwrite)
                async with client.images.stream(image) as chunks:
                    assert b"".join([chunk async for chunk in chunks]) == SMALL
                job = await client.images.create_bulk_download_job([image.id])
                job = await client.images.wait_for_bulk_download(job)
                await client.images.download_archive(job, folder / "a.zip")
                await client.images.bulk_delete([image.id])

        for name in ("first", "second"):
            await asyncio.to_thread((tmp_path / name).mkdir)
        await use_all(tmp_path / "first")  # loads all imports
        with watching():
            await use_all(tmp_path / "second")


async def test_a_blocking_call_is_detected(client: AsyncImgwireClient, watched: None) -> None:
    class Name:
        def __fspath__(self) -> str:
            os.stat("/")  # noqa: PTH116  # the detector checks this function
            return "a.png"

    with pytest.raises(blockbuster.BlockingError):
        await client.images.upload(Name())
