"""`AsyncBatch`: its life, its arguments, and its plain methods, against the emulator."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from worlds import World

from imgwire_async import (
    AsyncImgwireClient,
    ConfigurationError,
    ImgwireClient,
    JournalLockedError,
    Timeouts,
)
from imgwire_async.batch import AsyncBatch, Batch, BatchResult, BatchSummary, merge_journals
from imgwire_async.emulator import Emulator

from .gifs import write_gifs

Open = Callable[..., AsyncBatch]


@pytest.fixture
def photos(folder: Path) -> Path:
    return write_gifs(folder / "photos", 8)


@pytest.fixture
async def client(emulator: Emulator, world: World) -> AsyncIterator[AsyncImgwireClient]:
    """Return a client whose runs wait only half a second for the bytes of interrupted uploads."""
    async with world.client_of(emulator, timeout=Timeouts(stall=0.5)) as client:
        yield client


@pytest.fixture
def open_batch(client: AsyncImgwireClient, folder: Path) -> Open:
    """Return a function that creates a batch, with the same journal for all of them."""

    def new(**arguments: Any) -> AsyncBatch:
        return AsyncBatch(client, folder / "photos.journal", **arguments)

    return new


async def uploaded(batch: AsyncBatch, files: Any, **arguments: Any) -> list[BatchResult]:
    return [result async for result in batch.upload(files, **arguments)]


def ready(emulator: Emulator) -> list[str]:
    """Return the names of the images whose bytes the emulator has."""
    return sorted(
        record.original_filename for record in emulator.images.values() if record.status != "PENDING"
    )


# --- a run and the next one ---------------------------------------------------------------------------------


@pytest.mark.world
async def test_a_second_run_uploads_nothing_again(open_batch: Open, photos: Path) -> None:
    async with open_batch() as batch:
        first = await uploaded(batch, photos)
        assert sorted(result.key for result in first) == [f"{number:04}.gif" for number in range(8)]
        assert {(result.status, result.error) for result in first} == {("done", None)}
    async with open_batch() as batch:
        assert await uploaded(batch, photos) == []
        summary = batch.summary()
    assert (summary.found, summary.uploaded, summary.done_before, summary.left) == (8, 0, 8, 0)


async def test_a_batch_runs_several_uploads_one_after_the_other(open_batch: Open, folder: Path) -> None:
    async with open_batch() as batch:
        await uploaded(batch, write_gifs(folder / "photos", 2))
        assert len(await uploaded(batch, write_gifs(folder / "photos", 5))) == 3
        assert batch.summary().uploaded == 3


async def test_the_summary_before_an_upload_is_that_of_the_journal(open_batch: Open, photos: Path) -> None:
    async with open_batch() as batch:
        assert batch.summary() == BatchSummary(counted=True)
        await uploaded(batch, photos)
    assert batch.summary().uploaded == 8
    async with open_batch() as batch:
        assert batch.summary() == BatchSummary(found=8, done_before=8, counted=True)


async def test_include_done_yields_the_files_of_earlier_runs(open_batch: Open, photos: Path) -> None:
    async with open_batch() as batch:
        ids = {result.key: result.image_id for result in await uploaded(batch, photos)}
        again = await uploaded(batch, photos, include_done=True)
        assert {result.key: result.image_id for result in again} == ids
        assert {(result.status, result.image) for result in again} == {("done", None)}


async def test_a_shard_uploads_its_part(open_batch: Open, photos: Path) -> None:
    async with open_batch() as batch:
        parts = [await uploaded(batch, photos, shard=shard) for shard in ("1/2", "2/2")]
    assert sorted(len(part) for part in parts) != [0, 8]
    assert len({result.key for part in parts for result in part}) == 8


async def test_a_plan_sends_no_request_and_writes_nothing(
    open_batch: Open, photos: Path, emulator: Emulator
) -> None:
    async with open_batch() as batch:
        planned = [file async for file in batch.plan(photos)]
        assert {(file.action, file.size) for file in planned} == {("upload", 51)}
        assert (list(emulator.requests), list(batch.records())) == ([], [])
        await uploaded(batch, photos)
        assert {file.action async for file in batch.plan(photos)} == {"done"}
        part = [file async for file in batch.plan(photos, shard="1/2")]
        assert 0 < len(part) < 8


# --- one run at a time, on one loop, inside the block -------------------------------------------------------


async def test_a_second_upload_at_the_same_time_raises(open_batch: Open, photos: Path) -> None:
    async with open_batch() as batch:
        first = batch.upload(photos)
        await anext(first)
        with pytest.raises(RuntimeError, match="already runs an upload"):
            await anext(batch.upload(photos))
        assert len([result async for result in first]) == 7


async def test_after_an_iterator_was_closed_the_next_upload_may_begin(open_batch: Open, photos: Path) -> None:
    async with open_batch() as batch:
        async with contextlib.aclosing(batch.upload(photos)) as results:
            await anext(results)
        await uploaded(batch, photos)
        assert len([*batch.records(status="done")]) == 8


@pytest.mark.long
@pytest.mark.world
async def test_after_a_break_the_next_upload_may_begin_at_once(open_batch: Open, photos: Path) -> None:
    async with open_batch(concurrency=2) as batch:
        for _ in range(3):
            async for _ in batch.upload(photos):
                break
        await uploaded(batch, photos)
        assert len([*batch.records(status="done")]) == 8


@pytest.mark.world
async def test_leaving_the_block_ends_a_run_whose_iterator_was_dropped(
    open_batch: Open, photos: Path, emulator: Emulator
) -> None:
    stalled = emulator.faults.add("PUT", "*", stall=float("inf"), times=None)
    async with open_batch() as batch:
        dropped = batch.upload(photos)
        task = asyncio.ensure_future(anext(dropped))
        while stalled.fired < 1:
            await asyncio.sleep(0.01)
    with pytest.raises((RuntimeError, StopAsyncIteration), match="with"):
        await task
    await dropped.aclose()
    async with open_batch() as batch:
        emulator.faults.clear()
        await uploaded(batch, photos)
    assert len(ready(emulator)) == 8


async def test_an_iterator_cannot_go_on_after_the_block(open_batch: Open, photos: Path) -> None:
    async with open_batch() as batch:
        results = batch.upload(photos)
        await anext(results)
    with pytest.raises(RuntimeError, match="`with` block of the batch was left"):
        await anext(results)


async def test_a_batch_is_for_use_inside_its_block(open_batch: Open, folder: Path) -> None:
    batch = open_batch()
    uses = (
        lambda: anext(batch.upload(folder)),
        lambda: anext(batch.plan(folder)),
        batch.records,
        batch.abandoned,
        lambda: batch.export(folder / "a.csv"),
    )

    async def check(when: str) -> None:
        for use in uses:
            with pytest.raises(RuntimeError, match=when):
                found: Any = use()
                await found
        batch.stop()

    await check("before the `with` block")
    with pytest.raises(RuntimeError, match="was not opened"):
        batch.summary()
    async with batch:
        pass
    await check("after the `with` block")
    with pytest.raises(RuntimeError, match="only once"):
        async with batch:
            pass


async def test_another_event_loop_cannot_upload(open_batch: Open, photos: Path) -> None:
    async with open_batch() as batch:

        async def other() -> None:
            with pytest.raises(RuntimeError, match="another event loop"):
                await anext(batch.upload(photos))

        await asyncio.to_thread(asyncio.run, other())


async def test_a_closed_client_is_named(open_batch: Open, photos: Path, client: AsyncImgwireClient) -> None:
    async with open_batch() as batch:
        await client.aclose()
        with pytest.raises(RuntimeError, match="closed"):
            await anext(batch.upload(photos))
        assert [*batch.records()] == []
    with pytest.raises(RuntimeError, match="closed"):
        async with open_batch():
            pass


async def test_two_batches_cannot_share_a_journal(open_batch: Open) -> None:
    second = open_batch()
    async with open_batch():
        with pytest.raises(JournalLockedError):
            async with second:
                pass
    # A batch that could not open its journal may try again.
    async with second:
        pass


async def test_an_error_of_the_block_ends_the_run(open_batch: Open, photos: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with open_batch() as batch:
            async for _ in batch.upload(photos):
                raise ZeroDivisionError
    async with open_batch() as batch:
        await uploaded(batch, photos)
        assert len([*batch.records(status="done")]) == 8


async def test_an_error_of_the_iterable_is_raised(open_batch: Open, photos: Path) -> None:
    async def files() -> AsyncIterator[Path]:
        yield photos / "0000.gif"
        raise LookupError("the list of files is gone")

    async with open_batch() as batch:
        with pytest.raises(LookupError):
            await uploaded(batch, files())
        assert len(await uploaded(batch, sorted(photos.iterdir()))) >= 7


@pytest.mark.world
async def test_a_cancelled_task_ends_the_run_at_once_and_the_next_run_goes_on(
    open_batch: Open, photos: Path, emulator: Emulator
) -> None:
    stalled = emulator.faults.add("PUT", "*", stall=float("inf"), times=None)

    async def run() -> None:
        async with open_batch(concurrency=4) as batch:
            await uploaded(batch, photos)

    task = asyncio.ensure_future(run())
    while stalled.fired < 4:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(5):
            await task
    emulator.faults.clear()
    async with open_batch() as batch:
        await uploaded(batch, photos)
        assert len([*batch.records(status="done")]) == len(ready(emulator)) == 8


async def test_a_cancelled_scope_of_anyio_ends_the_run(
    open_batch: Open, photos: Path, emulator: Emulator
) -> None:
    emulator.faults.add("PUT", "*", stall=float("inf"), times=None)
    with anyio.move_on_after(0.3) as scope:
        async with open_batch(concurrency=4) as batch:
            await uploaded(batch, photos)
    assert scope.cancel_called
    emulator.faults.clear()
    async with open_batch() as batch:
        await uploaded(batch, photos)
    assert len(ready(emulator)) == 8


async def test_an_upload_that_is_stopped_before_its_first_file_ends(open_batch: Open, photos: Path) -> None:
    async with open_batch() as batch:
        results = batch.upload(photos)
        first = asyncio.ensure_future(anext(results, None))
        await asyncio.sleep(0)
        batch.stop()
        await first
        assert len([result async for result in results]) < 8


# --- plain methods from anywhere ----------------------------------------------------------------------------


async def test_stop_from_another_thread_ends_the_run_after_the_files_in_progress(
    open_batch: Open, folder: Path
) -> None:
    photos = write_gifs(folder / "photos", 40)
    async with open_batch(concurrency=2) as batch:
        results = batch.upload(photos)
        await anext(results)
        thread = threading.Thread(target=batch.stop)
        thread.start()
        rest = [result async for result in results]
        thread.join()
        assert {result.status for result in rest} <= {"done"}
        assert 1 + len(rest) == len([*batch.records(status="done")]) < 40
        # The next run is not affected.
        assert len(await uploaded(batch, photos)) == 39 - len(rest)


async def test_stop_from_on_event_ends_the_run(client: AsyncImgwireClient, folder: Path) -> None:
    photos = write_gifs(folder / "photos", 100)
    kinds: list[str] = []

    def on_event(event: Any) -> None:
        kinds.append(event.kind)
        if event.kind == "uploaded":
            batch.stop()

    async with AsyncBatch(client, folder / "journal", concurrency=1, on_event=on_event) as batch:
        assert 1 <= len(await uploaded(batch, photos)) < 100
    assert {"found", "started", "uploaded", "done"} <= {*kinds}


async def test_an_on_event_that_raises_ends_the_run(client: AsyncImgwireClient, folder: Path) -> None:
    photos = write_gifs(folder / "photos", 20)

    def on_event(event: Any) -> None:
        if event.kind == "uploaded":
            raise LookupError("on_event")

    async with AsyncBatch(client, folder / "journal", on_event=on_event) as batch:
        with pytest.raises(LookupError):
            await uploaded(batch, photos)


async def test_records_exports_and_counts_may_be_read_in_threads_during_a_run(
    open_batch: Open, folder: Path
) -> None:
    photos = write_gifs(folder / "photos", 40)

    def read(batch: AsyncBatch) -> None:
        for number in range(5):
            assert {record.status for record in batch.records()} <= {"started", "done"}
            assert batch.export(folder / f"{number}.csv").exists()
            assert [*batch.abandoned()] == []
            assert batch.summary().failed == 0

    async with open_batch() as batch:
        reading = asyncio.ensure_future(asyncio.to_thread(read, batch))
        assert len(await uploaded(batch, photos)) == 40
        await reading


async def test_records_are_in_the_order_of_their_keys(open_batch: Open, photos: Path) -> None:
    (photos / "0003.gif").write_bytes(b"not a picture")
    async with open_batch() as batch:
        await uploaded(batch, photos)
        records = [*batch.records()]
        assert [record.key for record in records] == [f"{number:04}.gif" for number in range(8)]
        (failed,) = batch.records(status="failed")
        assert (failed.key, failed.error_type) == ("0003.gif", "UnsupportedImageError")
        with pytest.raises(ValueError, match="status must be one of"):
            batch.records(status="open")  # type: ignore[arg-type]


async def test_an_export_is_not_uploaded(open_batch: Open, photos: Path) -> None:
    async with open_batch() as batch:
        await uploaded(batch, photos)
        path = batch.export(photos / "report.csv")
        assert path == photos / "report.csv"
        assert path.read_text("utf-8").count("\n") == 9
        assert await uploaded(batch, photos) == []
        assert batch.summary().found == 8


async def test_an_export_never_replaces_the_journal(client: AsyncImgwireClient, folder: Path) -> None:
    async with AsyncBatch(client, folder / "journal.csv") as batch:
        with pytest.raises(ValueError, match="a file of the journal"):
            batch.export(folder / "journal.csv")


async def test_merged_journals_have_the_files_of_all(client: AsyncImgwireClient, folder: Path) -> None:
    photos = write_gifs(folder / "photos", 12)
    for part in (1, 2):
        async with AsyncBatch(client, folder / f"{part}.journal") as batch:
            await uploaded(batch, photos, shard=f"{part}/2")
    summary = merge_journals([folder / "1.journal", folder / "2.journal"], folder / "all.journal")
    assert (summary.found, summary.done_before) == (12, 12)
    async with AsyncBatch(client, folder / "all.journal") as batch:
        assert await uploaded(batch, photos) == []
        assert batch.summary().done_before == 12


# --- arguments ----------------------------------------------------------------------------------------------

WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"concurrency": 0}, ValueError, "concurrency must be 1 to 10000"),
    ({"concurrency": "4"}, TypeError, "concurrency must be an int"),
    ({"rate": 0}, ValueError, "rate must be more than 0"),
    ({"rate": True}, TypeError, "rate must be a number"),
    ({"wait": -1}, ValueError, "wait must be more than 0"),
    ({"checksum": "yes"}, TypeError, "checksum must be a bool"),
    ({"verify": 2}, TypeError, "verify must be a bool"),
    ({"reconcile": "some"}, ValueError, 'reconcile must be True, False or "all"'),
    ({"reconcile": None}, TypeError, 'reconcile must be a bool or "all"'),
    ({"max_failures": "5"}, ValueError, "max_failures must be"),
    ({"max_duration": 0}, ValueError, "max_duration must be more than 0"),
    ({"purpose": ""}, ValueError, "purpose must have 1 to 255"),
    ({"custom_metadata": {"a": None}}, TypeError, "custom_metadata"),
    ({"on_event": "print"}, TypeError, "on_event must be a callable"),
    ({"on_event": asyncio.sleep}, TypeError, "not a coroutine function"),
]


@pytest.mark.parametrize(("arguments", "kind", "message"), WRONG, ids=lambda value: str(value)[:30])
def test_a_wrong_argument_is_named(arguments: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        AsyncBatch(AsyncImgwireClient("sk_test"), "journal", **arguments)


WRONG_OF_UPLOAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"retry_failed": "none"}, ValueError, "retry_failed must be"),
    ({"include_done": 1.5}, TypeError, "include_done must be a bool"),
    ({"progress": "yes"}, TypeError, "progress must be a bool"),
    ({"shard": "0/4"}, ValueError, "shard must be"),
    ({"shard": 3}, TypeError, "shard must be"),
    ({"scheduler": "local"}, ConfigurationError, "scheduler= is reserved .* shard="),
    ({"worker_client": print}, ConfigurationError, "worker_client= is reserved"),
]


@pytest.mark.parametrize(("arguments", "kind", "message"), WRONG_OF_UPLOAD, ids=lambda value: str(value)[:30])
async def test_a_wrong_argument_of_an_upload_is_named(
    open_batch: Open, photos: Path, arguments: dict[str, Any], kind: type[Exception], message: str
) -> None:
    async with open_batch() as batch:
        with pytest.raises(kind, match=message):
            await anext(batch.upload(photos, **arguments))
        # The batch is still usable.
        assert len(await uploaded(batch, photos)) == 8


@pytest.mark.parametrize(
    ("journal", "kind"), [("", ValueError), (5, TypeError), ("a\0b", ValueError), (None, TypeError)]
)
def test_a_journal_must_be_a_path(journal: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="journal"):
        AsyncBatch(AsyncImgwireClient("sk_test"), journal)


def test_the_wrong_kind_of_client_names_the_other_class() -> None:
    wrong: Any = ImgwireClient("sk_test")
    with pytest.raises(TypeError, match="AsyncImgwireClient, not ImgwireClient; use Batch"):
        AsyncBatch(wrong, "journal")
    wrong = AsyncImgwireClient("sk_test")
    with pytest.raises(TypeError, match="an ImgwireClient, not AsyncImgwireClient; use AsyncBatch"):
        Batch(wrong, "journal")
    wrong = "sk_test"
    with pytest.raises(TypeError, match=r"client must be an AsyncImgwireClient, not str$"):
        AsyncBatch(wrong, "journal")
    with pytest.raises(TypeError, match=r"client must be an ImgwireClient, not str$"):
        Batch(wrong, "journal")


# --- forks --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
async def test_a_forked_child_cannot_use_the_batch_and_harms_nothing(open_batch: Open, photos: Path) -> None:
    async with open_batch() as batch:
        await uploaded(batch, photos)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                batch.stop()
                batch.summary()
                with pytest.raises(RuntimeError, match="forked"):
                    batch.records()
                # The child leaves the block without a loop, so the coroutine must not wait.
                with pytest.raises(StopIteration):
                    batch.__aexit__(None, None, None).send(None)
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert len([*batch.records(status="done")]) == 8
    async with open_batch() as batch:
        assert await uploaded(batch, photos) == []
