"""A run that is interrupted at any moment is continued by the next run, and no file is stored twice."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path
from typing import Any

import attrs
import pytest

from imgwire_async.batch.hold import FAILURES_BEFORE_HOLD

from .runs import Site, rows_of, site

CREATE = "/api/v1/images/standard_upload"
MODES = ["same", "same_dead_url", "conflict", "ignored"]


async def cancelled_run(here: Site, steps: int, **options: Any) -> bool:
    """Cancel a run after a number of iterations of the event loop. Return whether it had ended before."""

    async def go() -> None:
        async with here.run(journal, **options) as run:
            async for _ in run:
                pass

    with here.journal() as journal:
        task = asyncio.ensure_future(go())
        for _ in range(steps):
            await asyncio.sleep(0)
            if task.done():
                await task
                return True
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert not others(), "no task of the run is left"
        return False


def others() -> list[str]:
    """Return the tasks that a run has left behind."""
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    return [repr(task) for task in tasks if "batch" in repr(task.get_coro())]


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
async def test_runs_that_are_cancelled_at_any_moment_store_each_file_once(
    folder: Path, tmp_path: Path, mode: str
) -> None:
    rng = random.Random(mode)
    async with site(folder, tmp_path, switches={"idempotency": mode}) as here:
        here.add_many(12)
        for _ in range(8):
            if await cancelled_run(here, rng.randrange(1, 900), concurrency=4):
                break
        await here.upload()
        assert here.statuses() == dict.fromkeys((f"{n:05}.png" for n in range(12)), "done")
        stored = [image for image in here.images(None) if image.stored]
        assert len(stored) == 12
        assert sorted(i.id for i in stored) == sorted(str(row.image_id) for row in here.rows().values())


@pytest.mark.parametrize("mode", MODES)
async def test_lost_responses_store_no_file_twice(folder: Path, tmp_path: Path, mode: str) -> None:
    async with site(folder, tmp_path, switches={"idempotency": mode}) as here:
        here.client = here.client.with_options(retries=0)
        here.add_many(6)
        here.emulator.faults.add("POST", CREATE, reset="after_commit", times=2)
        here.emulator.faults.add("PUT", "*", reset="after_commit", times=2)
        for _ in range(3):
            await here.upload(concurrency=2)
        assert set(here.statuses().values()) == {"done"}
        assert len([image for image in here.images(None) if image.stored]) == 6


async def test_a_lost_journal_sends_no_byte_again_if_keys_return_their_records(
    folder: Path, tmp_path: Path
) -> None:
    async with site(folder, tmp_path) as here:
        here.add_many(10)
        await here.upload()
        puts = here.requests("PUT")
        here.journal_path = folder / "other.journal"
        results = await here.upload()
        assert here.requests("PUT") == puts
        assert all(result.resumed for result in results.values())
        assert len(here.emulator.images) == 10


@pytest.mark.parametrize("mode", ["conflict", "ignored"])
async def test_a_lost_journal_is_found_again_in_the_list(folder: Path, tmp_path: Path, mode: str) -> None:
    async with site(folder, tmp_path, switches={"idempotency": mode}) as here:
        here.add_many(10)
        await here.upload()
        here.journal_path = folder / "other.journal"
        results = await here.upload(reconcile="all")
        assert {result.status for result in results.values()} == {"done"}
        assert len(here.emulator.images) == 10


async def test_an_image_that_was_deleted_is_uploaded_again_with_verify(folder: Path, tmp_path: Path) -> None:
    for deleted in ("forgotten", "remembered"):
        async with site(folder, tmp_path / deleted, switches={"deleted_keys": deleted}) as here:
            here.journal_path = folder / f"{deleted}.journal"
            here.add_many(4)
            first = (await here.upload())["00001.png"].image_id
            await here.client.images.delete(str(first))
            results = await here.upload(verify=True)
            assert list(results) == ["00001.png"]
            assert results["00001.png"].status == "done"
            assert len(here.emulator.images) == 4


@pytest.mark.slow
async def test_an_outage_holds_the_run_and_fails_no_file(folder: Path, tmp_path: Path) -> None:
    async with site(folder, tmp_path, retries=0) as here:
        here.add_many(80)
        outage = here.emulator.faults.add("POST", CREATE, status=503, times=22, after=10)
        results = await here.upload(concurrency=4)
        assert {result.status for result in results.values()} == {"done"}
        assert outage.fired == 22
        assert len(results) == len(here.emulator.images) == 80
        kinds = [event.kind for event in here.events if event.kind in {"held", "resumed"}]
        assert kinds == ["held", "resumed"]


async def test_stop_ends_a_run_that_is_held(folder: Path, tmp_path: Path) -> None:
    async with site(folder, tmp_path, retries=0) as here:
        here.add_many(60)
        here.emulator.faults.add("POST", CREATE, status=503, times=None)
        with here.journal() as journal:
            async with asyncio.timeout(30):
                async with here.run(
                    journal,
                    concurrency=4,
                    on_event=lambda event: run.stop() if event.kind == "held" else None,
                ) as run:
                    results = [result async for result in run]
            assert FAILURES_BEFORE_HOLD <= len(results) < 30
            assert {row.status for row in rows_of(journal).values()} == {"failed"}


async def test_a_file_in_doubt_that_is_gone_is_failed_and_the_run_says_so(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with site(folder, tmp_path) as here:
        here.add("a.png", "b.png")
        await here.upload()
        await here.client.images.bulk_delete([image.id for image in here.images(None)])
        with here.journal() as journal:
            rows = [attrs.evolve(row, status="started", image_id=None) for row in rows_of(journal).values()]
            journal.put_blocking(rows)
        (here.folder / "b.png").unlink()
        assert set(await here.upload()) == {"a.png"}
        assert here.statuses() == {"a.png": "done", "b.png": "failed"}
        assert "1 file(s) of interrupted runs are no longer there" in caplog.text
