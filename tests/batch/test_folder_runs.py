"""Runs over real folders against the emulator: names, keys and files that change."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import shutil
import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from worlds import World

from imgwire_async import AsyncImgwireClient, BatchError, ImgwireClient, Timeouts
from imgwire_async.batch import AsyncBatch, Batch, BatchResult
from imgwire_async.batch import folder as folder_source
from imgwire_async.emulator import Emulator

from .gifs import gif, write_gifs


@pytest.fixture
async def client(emulator: Emulator, world: World) -> AsyncIterator[AsyncImgwireClient]:
    async with world.client_of(emulator, timeout=Timeouts(stall=1)) as client:
        yield client


async def run(
    client: AsyncImgwireClient, journal: Path, files: Any, **arguments: Any
) -> dict[str, BatchResult]:
    """Upload files, and return the results by their keys."""
    async with AsyncBatch(client, journal) as batch:
        return {result.key: result async for result in batch.upload(files, **arguments)}


def odd_names() -> list[str]:
    names = ["a b.gif", "%41.gif", "[x]{y}.gif", "💥.gif", "x/y/z.gif", "no ending"]
    if os.name == "posix":
        names += [
            "\udcff.gif",
            "\udcfe.gif",
            "\udcff/\udcff.gif",
            "a\nb.gif",
            "\\.gif",
            '"quoted".gif',
            "a:b?.gif",
        ]
        names += [unicodedata.normalize(form, "é.gif") for form in ("NFC", "NFD")]
    return names


async def test_files_of_all_names_are_uploaded_once_and_listed(
    client: AsyncImgwireClient, emulator: Emulator, folder: Path
) -> None:
    photos = folder / "photos"
    for number, name in enumerate(odd_names()):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).write_bytes(gif(number))
    # The journal and its export are in the folder, too.
    journal = photos / "photos.journal"
    first = await run(client, journal, photos)
    assert {result.error for result in first.values()} == {None}
    assert set(first) == set(odd_names())
    async with AsyncBatch(client, journal) as batch:
        batch.export(photos / "photos.csv")
        batch.export(photos / "photos.jsonl")
    async with AsyncBatch(client, journal) as batch:
        assert [result async for result in batch.upload(photos, include_done=False)] == []
        assert (batch.summary().found, batch.summary().done_before) == (len(first), len(first))
        ids = {record.key: record.image_id for record in batch.records()}
    assert ids == {key: result.image_id for key, result in first.items()}
    assert len(emulator.images) == len(first)
    with (photos / "photos.csv").open(encoding="utf-8", newline="") as file:
        assert len({row["key"] for row in csv.DictReader(file)}) == len(first)
    lines = (photos / "photos.jsonl").read_text("utf-8").splitlines()
    assert {json.loads(line)["image_id"] for line in lines} == set(ids.values())


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has such names")
async def test_a_bad_file_whose_name_is_no_utf8_fails_with_a_readable_text(
    client: AsyncImgwireClient, folder: Path
) -> None:
    events: list[Any] = []
    photos = folder / "photos"
    photos.mkdir()
    (photos / "bad\udcff.gif").write_bytes(b"no picture")
    async with AsyncBatch(client, folder / "j", on_event=events.append) as batch:
        (result,) = [result async for result in batch.upload(photos)]
        assert (result.key, result.status) == ("bad\udcff.gif", "failed")
        (record,) = batch.records(status="failed")
        batch.export(folder / "out.md")
    assert record.key == "bad\udcff.gif"
    assert record.error is not None
    record.error.encode()
    assert "bad%FF.gif" in (folder / "out.md").read_text("utf-8")
    assert "failed" in {event.kind for event in events}


async def test_skips_are_listed_until_they_are_gone(client: AsyncImgwireClient, folder: Path) -> None:
    photos = write_gifs(folder / "photos", 1)
    (photos / "empty.gif").touch()
    (photos / ".hidden.gif").write_bytes(gif(7))
    skips = {"empty.gif": "an empty file", ".hidden.gif": "a hidden file; hidden=True uploads it"}
    found = await run(client, folder / "j", photos, include_done=True)
    assert {key: result.reason for key, result in found.items() if result.status == "skipped"} == skips
    async with AsyncBatch(client, folder / "j") as batch:
        assert {record.key: record.error for record in batch.records(status="skipped")} == skips
        (photos / "empty.gif").unlink()
        assert [result async for result in batch.upload(photos)] == []
        assert [record.key for record in batch.records(status="skipped")] == [".hidden.gif"]
        found = {result.key: result async for result in batch.upload(folder_source(photos, hidden=True))}
        assert [*found] == [".hidden.gif"]
        assert [*batch.records(status="skipped")] == []


async def test_two_folders_with_equal_names_do_not_meet(
    client: AsyncImgwireClient, emulator: Emulator, folder: Path
) -> None:
    first, second = write_gifs(folder / "a", 2), write_gifs(folder / "b", 2)
    await run(client, folder / "j", first)
    with pytest.raises(BatchError, match="prefix="):
        await run(client, folder / "j", second)
    assert len(emulator.images) == 2
    found = await run(client, folder / "j", folder_source(second, prefix="b/"))
    assert [*sorted(found)] == ["b/0000.gif", "b/0001.gif"]
    assert len(emulator.images) == 4


async def test_a_folder_that_was_moved_is_not_uploaded_again(
    client: AsyncImgwireClient, emulator: Emulator, folder: Path
) -> None:
    photos = write_gifs(folder / "a", 2)
    await run(client, folder / "j", photos)
    moved = photos.rename(folder / "b")
    write_gifs(moved, 3)
    assert [*await run(client, folder / "j", folder_source(moved, moved=True))] == ["0002.gif"]
    assert await run(client, folder / "j", moved) == {}
    assert len(emulator.images) == 3


async def test_only_changed_files_are_uploaded_again(
    client: AsyncImgwireClient, emulator: Emulator, folder: Path
) -> None:
    photos = write_gifs(folder / "photos", 3)
    before = await run(client, folder / "j", photos)
    (photos / "0001.gif").write_bytes(gif(1) + b"1")
    (photos / "0002.gif").unlink()
    after = await run(client, folder / "j", photos)
    assert [*after] == ["0001.gif"]
    async with AsyncBatch(client, folder / "j") as batch:
        assert [*batch.abandoned()] == [before["0001.gif"].image_id]
        # Its image exists, so its row stays.
        assert {record.key for record in batch.records(status="done")} == {*before}


@pytest.mark.long
async def test_a_run_ends_when_its_folder_is_deleted_in_between(
    client: AsyncImgwireClient, folder: Path
) -> None:
    photos = folder / "photos"
    for number in range(4):
        write_gifs(photos, 0)
        write_gifs(photos / str(number), 3)
    async with AsyncBatch(client, folder / "j", concurrency=1) as batch:
        results = batch.upload(photos)
        first = await anext(results)
        assert first.error is None
        shutil.rmtree(photos)
        left = [result async for result in results]
    assert {type(result.error) for result in left if result.error} <= {FileNotFoundError}
    with pytest.raises(FileNotFoundError, match="There is no such folder"):
        await run(client, folder / "j", photos)


async def test_a_path_to_nothing_fails_unless_it_was_uploaded_before(
    client: AsyncImgwireClient, folder: Path
) -> None:
    photos = write_gifs(folder / "photos", 1)
    paths = [photos / "0000.gif", photos / "missing.gif"]
    found = await run(client, folder / "j", paths)
    assert {Path(key).name: type(result.error) for key, result in found.items()} == {
        "0000.gif": type(None),
        "missing.gif": FileNotFoundError,
    }
    paths[0].unlink()
    found = await run(client, folder / "j", paths)
    assert [Path(key).name for key in found] == ["missing.gif"]
    async with AsyncBatch(client, folder / "j") as batch:
        assert [Path(record.key).name for record in batch.records(status="done")] == ["0000.gif"]


async def test_bytes_and_paths_of_an_iterable_are_uploaded_once(
    client: AsyncImgwireClient, emulator: Emulator, folder: Path
) -> None:
    from imgwire_async.batch import BatchItem

    photos = write_gifs(folder / "photos", 2)

    async def items() -> AsyncIterator[Any]:
        for path in sorted(photos.iterdir()):
            yield path
        yield BatchItem("bytes", gif(7), file_name="7.gif")
        yield BatchItem("bytes", gif(8))

    found = await run(client, folder / "j", items(), include_done=True)
    assert {result.status for result in found.values()} <= {"done", "skipped"}
    assert len(emulator.images) == 3
    assert await run(client, folder / "j", items()) == {}
    assert len(emulator.images) == 3


async def test_the_blocking_batch_takes_the_same_sources(emulator: Emulator, folder: Path) -> None:
    photos = write_gifs(folder / "photos", 3)

    def upload() -> list[int]:
        with (
            ImgwireClient(emulator.api_key, base_url=emulator.base_url) as client,
            Batch(client, folder / "j") as batch,
        ):
            files = [folder_source(photos, exclude="0000*"), str(photos), (path for path in photos.iterdir())]
            return [len([*batch.upload(source)]) for source in files]

    assert await asyncio.to_thread(upload) == [2, 1, 3]
