"""Runs over the files of another cloud against the emulator."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from imgwire_async import AsyncImgwireClient, BatchError, ImgwireClient, Timeouts
from imgwire_async.batch import AsyncBatch, Batch, BatchResult, cloud
from imgwire_async.batch import folder as folder_source
from imgwire_async.emulator import Emulator

from .gifs import gif, write_gifs
from .shelves import ServiceError, Shelf, shelf

__all__ = ["shelf"]

SECRET = "sEcReTsEcReT"


def box(**arguments: Any) -> Any:
    return cloud("shelf://me:pw-of-me@box", storage_options={"key": SECRET}, **arguments)


def client_of(emulator: Emulator, stall: float = 1.0) -> AsyncImgwireClient:
    return AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url, timeout=Timeouts(stall=stall))


async def run(
    client: AsyncImgwireClient, journal: Path, files: Any, **settings: Any
) -> dict[str, BatchResult]:
    """Upload files, and return the results by their keys."""
    async with AsyncBatch(client, journal, **settings) as batch:
        return {result.key: result async for result in batch.upload(files)}


@pytest.mark.slow
async def test_a_file_that_does_not_arrive_fails_with_its_url_and_the_next_run_uploads_it(
    emulator: Emulator, folder: Path, shelf: type[Shelf]
) -> None:
    data = gif(1) * 60_000
    shelf.files = {"box/a.gif": data}
    # The second block hangs, during the PUT.
    shelf.faults = [0.0, 0.0, 60.0]
    # The file system gets less time than the upload. On a slow machine the difference must be large.
    async with client_of(emulator, stall=6) as client:
        result = (await run(client, folder / "j", box()))["a.gif"]
        assert result.status == "failed"
        assert isinstance(result.error, OSError)
        assert str(result.error).endswith("TimeoutError: 'shelf://box/a.gif'")
        assert {key: each.status for key, each in (await run(client, folder / "j", box())).items()} == {
            "a.gif": "done"
        }
    assert len(emulator.images) == 1


async def test_no_secret_is_in_results_events_and_the_journal(
    emulator: Emulator, folder: Path, shelf: type[Shelf]
) -> None:
    shelf.files = {"box/a.gif": gif(1), "box/b.gif": gif(2), "box/x/c.gif": gif(3)}
    error = f"shelf://me:pw-of-me@box?sig=1 {SECRET}"
    shelf.faults = [0.0, ServiceError(400, error), ServiceError(400, error)]
    seen: list[Any] = []
    async with client_of(emulator) as client:
        with pytest.raises(BatchError) as caught:
            async with AsyncBatch(client, folder / "j", concurrency=1, on_event=seen.append) as batch:
                async for result in batch.upload(box()):
                    seen.append(result)
    assert "listing shelf://box failed: ServiceError" in str(caught.value)
    texts = [*map(repr, seen), repr(box()), repr(caught.value)]
    texts += [path.read_bytes().decode("latin-1") for path in folder.iterdir()]
    assert not [text for text in texts if SECRET in text or "pw-of-me" in text]
    assert any("shelf://box/a.gif" in text or "shelf://box" in text for text in texts)


def test_the_blocking_client_reads_on_its_own_loop(folder: Path, shelf: type[Shelf]) -> None:
    shelf.files = {f"box/{number}.gif": gif(number) for number in range(10)}
    with Emulator() as emulator, ImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
        with Batch(client, folder / "j") as batch:
            assert {result.status for result in batch.upload(box())} == {"done"}
            assert [*batch.upload(box())] == []
    assert len(shelf.loops) == 1
    assert shelf.closed == 2
    assert threading.active_count() < 50


async def test_files_of_a_folder_and_of_a_bucket_do_not_overwrite_each_other(
    emulator: Emulator, folder: Path, shelf: type[Shelf]
) -> None:
    write_gifs(folder / "photos", 1)
    shelf.files = {"box/0000.gif": gif(1), "new/0000.gif": gif(1)}
    async with client_of(emulator) as client:
        await run(client, folder / "j", folder_source(folder / "photos"))
        with pytest.raises(BatchError, match="prefix="):
            await run(client, folder / "j", box())
        assert [*await run(client, folder / "j", box(prefix="box/"))] == ["box/0000.gif"]
        # A bucket that was renamed has the same files.
        moved = cloud("shelf://new", prefix="box/", moved=True)
        assert await run(client, folder / "j", moved) == {}
    assert len(emulator.images) == 2


async def test_a_run_that_is_stopped_or_cancelled_closes_the_file_system(
    emulator: Emulator, folder: Path, shelf: type[Shelf]
) -> None:
    shelf.files = {f"box/{number}.gif": gif(number) for number in range(30)}
    async with client_of(emulator) as client:
        async with AsyncBatch(client, folder / "j", concurrency=1) as batch:
            async for _ in batch.upload(box()):
                batch.stop()
        assert shelf.closed == len(shelf.options)
        shelf.faults = [60.0] * 9
        running = asyncio.ensure_future(run(client, folder / "k", box()))
        while "ls box" not in shelf.calls[1:]:
            await asyncio.sleep(0.001)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert shelf.closed == len(shelf.options)
