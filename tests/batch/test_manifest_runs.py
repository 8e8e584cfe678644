"""Runs over manifests against the emulator: arguments of rows, mistakes, pipes, and many rows."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from worlds import World

from imgwire_async import AsyncImgwireClient, ImgwireClient
from imgwire_async.batch import AsyncBatch, Batch, BatchError, BatchResult, manifest
from imgwire_async.emulator import Emulator

from .gifs import gif

posix = pytest.mark.skipif(os.name != "posix", reason="only POSIX has named pipes")
ROOT = Path(__file__).parents[2]


@pytest.fixture
async def client(emulator: Emulator, world: World) -> AsyncIterator[AsyncImgwireClient]:
    async with world.client_of(emulator) as client:
        yield client


def write(folder: Path, *names: str) -> None:
    """Write pictures that differ from each other."""
    for number, name in enumerate(names):
        (folder / name).write_bytes(gif(number))


async def run(client: AsyncImgwireClient, folder: Path, files: Any, **options: Any) -> dict[str, BatchResult]:
    async with AsyncBatch(client, folder / "photos.journal") as batch:
        return {result.key: result async for result in batch.upload(files, **options)}


async def test_the_columns_of_a_row_are_sent(
    client: AsyncImgwireClient, emulator: Emulator, folder: Path
) -> None:
    write(folder, "a.gif")
    emulator.urls["https://example.com/b.gif?token=1"] = gif(1)
    (folder / "m.csv").write_text(
        "path;url;key;file_name;purpose;custom_metadata;metadata.shop\n"
        'a.gif;;sku-1;cover.gif;gallery;"{""n"": 1}";x\n'
        ";https://example.com/b.gif?token=1;;b.gif;;;y\n"
    )
    results = await run(client, folder, manifest(folder / "m.csv"))
    assert {result.status for result in results.values()} == {"done"}
    url = next(key for key in results if key != "sku-1")
    assert url.startswith("https://example.com/b.gif?")
    assert "token" not in url
    first, second = (emulator.images[str(results[key].image_id)] for key in ("sku-1", url))
    assert (first.original_filename, first.purpose) == ("cover.gif", "gallery")
    assert first.custom_metadata == {"n": 1, "shop": "x"}
    assert (second.custom_metadata, second.status) == ({"shop": "y"}, "READY")


async def test_a_mistake_ends_the_run_before_the_first_request(
    client: AsyncImgwireClient, emulator: Emulator, folder: Path
) -> None:
    write(folder, "a.gif")
    (folder / "m.csv").write_text("path,hash_sha256\n" + "a.gif,\n" * 2_000 + "a.gif,abc\n")
    async with AsyncBatch(client, folder / "photos.journal") as batch:
        with pytest.raises(BatchError, match="line 2002, column 'hash_sha256'"):
            [_ async for _ in batch.upload(manifest(folder / "m.csv"))]
        with pytest.raises(BatchError, match="line 2002, column 'hash_sha256'"):
            [_ async for _ in batch.plan(manifest(folder / "m.csv"))]
        assert list(batch.records()) == []
    assert not emulator.requests


async def test_without_strict_the_journal_has_the_reason_of_a_skip(
    client: AsyncImgwireClient, folder: Path
) -> None:
    write(folder, "a.gif")
    (folder / "m.txt").write_text("a.gif\n../b.gif\na.gif\n")
    files = manifest(folder / "m.txt", strict=False)
    async with AsyncBatch(client, folder / "photos.journal") as batch:
        found = [(result.key, result.status) async for result in batch.upload(files, include_done=True)]
        assert sorted(found) == [("../b.gif", "skipped"), ("a.gif", "done"), ("a.gif", "skipped")]
        (record,) = batch.records(status="skipped")
        assert str(record.error).startswith("line 2, column 'path': '../b.gif' leads out of the folder")
        actions = [(file.key, file.action, file.reason) async for file in batch.plan(files)]
    assert ("a.gif", "skip", "the same key came before in this run") in actions


async def test_rows_with_equal_keys_of_two_manifests_are_kept_apart(
    client: AsyncImgwireClient, emulator: Emulator, folder: Path
) -> None:
    write(folder, "a.gif")
    for name in ("1.txt", "2.txt"):
        (folder / name).write_text("a.gif\n")
    await run(client, folder, manifest(folder / "1.txt"))
    with pytest.raises(BatchError, match=r"pass prefix= .*moved=True"):
        await run(client, folder, manifest(folder / "2.txt"))
    assert await run(client, folder, manifest(folder / "2.txt", moved=True)) == {}
    assert [*await run(client, folder, manifest(folder / "1.txt", prefix="p/"))] == ["p/a.gif"]
    assert len(emulator.images) == 2


async def test_with_a_hash_in_the_table_a_new_time_changes_nothing(
    client: AsyncImgwireClient, emulator: Emulator, folder: Path
) -> None:
    write(folder, "a.gif")
    digest = hashlib.sha256(gif(0)).hexdigest()
    (folder / "m.csv").write_text(f"path,hash_sha256\na.gif,{digest}\n")
    await run(client, folder, manifest(folder / "m.csv"))
    os.utime(folder / "a.gif", ns=(0, 1))
    async with AsyncBatch(client, folder / "photos.journal", checksum=True) as batch:
        assert [result async for result in batch.upload(manifest(folder / "m.csv"))] == []
    assert len(emulator.images) == 1


@posix
async def test_a_plan_and_a_run_share_the_bytes_of_a_pipe(client: AsyncImgwireClient, folder: Path) -> None:
    write(folder, "a.gif")
    os.mkfifo(folder / "m.txt")
    thread = threading.Thread(
        target=(folder / "m.txt").write_text, args=(f"{folder / 'a.gif'}\n",), daemon=True
    )
    thread.start()
    files = manifest(folder / "m.txt")
    async with AsyncBatch(client, folder / "photos.journal") as batch:
        assert [file.action async for file in batch.plan(files)] == ["upload"]
        assert [result.status async for result in batch.upload(files)] == ["done"]
    thread.join()


@posix
async def test_a_pipe_that_waits_for_its_writer_does_not_delay_the_end(
    client: AsyncImgwireClient, folder: Path
) -> None:
    os.mkfifo(folder / "m.txt")
    async with AsyncBatch(client, folder / "photos.journal") as batch:
        task = asyncio.ensure_future(anext(batch.upload(manifest(folder / "m.txt"))))
        await asyncio.sleep(0.1)
        task.cancel()
        async with asyncio.timeout(10):
            await asyncio.wait([task])
    assert task.cancelled()
    # Let the thread end.
    os.close(os.open(folder / "m.txt", os.O_RDWR))


def test_the_blocking_batch_uploads_the_rows_of_a_manifest(folder: Path) -> None:
    write(folder, "a.gif", "b.gif")
    (folder / "m.jsonl").write_text('{"path": "a.gif"}\n{"path": "b.gif", "key": "b"}\n')
    with (
        Emulator() as emulator,
        ImgwireClient(emulator.api_key, base_url=emulator.base_url) as client,
        Batch(client, folder / "photos.journal") as batch,
    ):
        results = [(result.key, result.status) for result in batch.upload(manifest(folder / "m.jsonl"))]
    assert sorted(results) == [("a.gif", "done"), ("b", "done")]


# --- many rows ----------------------------------------------------------------------------------------------

MEASURE = """
import asyncio, sys, time
from pathlib import Path
from imgwire_async.batch.sources import manifest

def memory(name):
    return 1024 * int(Path("/proc/self/status").read_text("ascii").partition(name + ":")[2].split()[0])

async def main(path):
    source = manifest(path).start(frozenset())
    count = len(await source.read())
    before = memory("VmRSS")
    started_at = time.process_time()
    while items := await source.read():
        count += len(items)
    await source.aclose()
    print(count, memory("VmHWM") - before, time.process_time() - started_at)

asyncio.run(main(sys.argv[1]))
"""


# A million on demand.
MANY = int(os.environ.get("BATCH_TESTS_ROWS", "150000"))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process from /proc")
def test_many_rows_need_no_more_memory_than_a_thousand(folder: Path) -> None:
    write(folder, "a.gif")
    with (folder / "m.csv").open("w", encoding="utf-8") as file:
        file.write("path,key,metadata.number\n")
        file.writelines(f"a.gif,sku-{number:08},{number}\n" for number in range(MANY))
    process = subprocess.run(
        [sys.executable, "-c", MEASURE, str(folder / "m.csv")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=500,
        check=True,
    )
    found, growth, _seconds = process.stdout.split()
    assert int(found) == MANY
    # The peak also contains the first pass.
    assert int(growth) < 16 * 2**20, process.stdout
