"""Rows in doubt are settled before a run uploads anything: no file twice, none lost."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import attrs
import pytest

from imgwire_async import (
    APIConnectionError,
    AsyncImgwireClient,
    AuthenticationError,
    UploadConnectionError,
    to_dict,
)
from imgwire_async.batch.keys import Shard
from imgwire_async.batch.settle import fail_missing

from .journals import row as any_row
from .services import PNG, Scene, key_of, scene

MODES = ["same", "same_dead_url", "conflict", "ignored"]
LONG_AGO = 100.0


# --- each file exactly once ---------------------------------------------------------------------------------


async def leave_all_states(run: Scene) -> list[Any]:
    """Leave one file in each state that a kill can leave. Return the uploads whose bytes arrive later."""
    # The row is durable, and nothing was sent.
    run.doubt("nothing sent")
    # The response to the create request was lost.
    await run.begin("no id, no bytes")
    run.doubt("no id, no bytes", age=LONG_AGO)
    upload = await run.begin("no bytes")
    run.doubt("no bytes", upload.image.id, age=LONG_AGO)
    run.emulator.clock.advance(LONG_AGO)
    # The id was not yet on the disk.
    await run.create("no id")
    run.doubt("no id")
    # The response to the PUT was lost.
    run.doubt("id", await run.create("id"))
    upload = await run.begin("failed")
    await run.put(upload)
    run.doubt("failed", upload.image.id, status="failed", error_type="UploadConnectionError")
    late = [await run.begin("late"), await run.begin("late, no id")]
    run.doubt("late", late[0].image.id)
    run.doubt("late, no id")
    return late


@pytest.mark.parametrize(
    ("idempotency", "list_order"),
    [
        *[(mode, "created") for mode in MODES],
        *[pytest.param(mode, order, marks=pytest.mark.slow) for mode in MODES for order in ("updated", "id")],
    ],
)
async def test_each_file_is_stored_exactly_once(folder: Path, idempotency: str, list_order: str) -> None:
    async with scene(folder, stall=20, retries=3, idempotency=idempotency, list_order=list_order) as run:
        late = await leave_all_states(run)

        async def arrive() -> None:
            await asyncio.sleep(0.1)
            for upload in late:
                await run.put(upload)

        settled, _ = await asyncio.gather(run.settle(), arrive())
        assert settled.images.keys() == {"no id", "id", "failed", "late", "late, no id"}
        assert settled.unsure == 0
        assert (run.reports[0], run.reports[-1]) == ((8, 8), (0, 8))
        for key, image in settled.images.items():
            assert (run.row(key).status, run.row(key).image_id) == ("done", image.id)
            assert run.row(key).run == run.owner.run
        for name in ("nothing sent", "no id, no bytes", "no bytes"):
            assert run.row(name).status == "started"
            await run.upload(name)
        everything = {image.original_filename for image in run.emulator.images.values()}
        assert {name: len(run.stored(name)) for name in everything} == dict.fromkeys(everything, 1)


@pytest.mark.parametrize("idempotency", MODES)
async def test_lost_responses_do_not_lead_to_a_second_image(folder: Path, idempotency: str) -> None:
    async with scene(folder, stall=20, idempotency=idempotency) as run:
        faults = run.emulator.faults
        run.doubt("create", age=LONG_AGO)
        faults.add("POST", "/api/v1/images/standard_upload", reset="after_commit")
        with pytest.raises(APIConnectionError):
            await run.upload("create")
        run.doubt("put", age=LONG_AGO)
        faults.add("PUT", "/uploads/*", reset="after_commit")
        faults.add("GET", "/api/v1/images/{image_id}", reset="before")
        with pytest.raises(UploadConnectionError):
            await run.upload("put")
        run.emulator.clock.advance(LONG_AGO)
        settled = await run.settle()
        assert settled.images.keys() == {"put"}
        await run.upload("create")
        assert (len(run.stored("create")), len(run.stored("put"))) == (1, 1)


# --- PENDING records ----------------------------------------------------------------------------------------


def requests(run: Scene, pattern: str) -> int:
    """Return the number of requests whose method and path match."""
    lines = [f"{record.method} {record.target.partition('?')[0]}" for record in run.emulator.requests]
    return sum(re.fullmatch(pattern, line) is not None for line in lines)


async def test_a_young_record_is_retrieved_until_its_bytes_can_no_longer_arrive(folder: Path) -> None:
    async with scene(folder, stall=0.5) as run:
        upload = await run.begin("a")
        run.doubt("a", upload.image.id)
        started_at = time.monotonic()
        settled = await run.settle()
        assert time.monotonic() - started_at >= 0.4
        assert settled.images == {}
        # The delays grow.
        assert 3 <= requests(run, f"GET .*/{upload.image.id}") <= 6


async def test_an_old_record_is_not_waited_for(folder: Path) -> None:
    async with scene(folder, stall=60) as run:
        upload = await run.begin("a")
        run.doubt("a", upload.image.id, age=LONG_AGO)
        run.emulator.clock.advance(LONG_AGO)
        settled = await run.settle()
        assert (settled.images, settled.unsure, run.row("a").image_id) == ({}, 0, upload.image.id)
        assert requests(run, f"GET .*/{upload.image.id}") == 1


# --- records of one file ------------------------------------------------------------------------------------


async def test_of_two_images_of_a_file_the_older_one_is_adopted(folder: Path) -> None:
    async with scene(folder, idempotency="ignored") as run:
        ids = [await run.create("a"), await run.create("a")]
        empty = await run.begin("a")
        run.doubt("a")
        settled = await run.settle()
        row = run.row("a")
        assert settled.images["a"].id == row.image_id == ids[0]
        assert {*row.abandoned} == {ids[1], empty.image.id} == {*run.journal.abandoned(row.destination)}


async def test_another_record_of_the_key_is_found_for_a_row_with_an_id(folder: Path) -> None:
    async with scene(folder, idempotency="ignored") as run:
        empty = await run.begin("a")
        # The next run created another record, and was killed before its id was on the disk.
        image_id = await run.create("a")
        run.doubt("a", empty.image.id)
        settled = await run.settle()
        assert settled.images["a"].id == image_id
        assert run.row("a").abandoned == (empty.image.id,)


async def test_a_picture_in_quarantine_fails_its_file(folder: Path) -> None:
    async with scene(folder, ready_polls=0) as run:
        ids = {name: await run.create(name, data=b"no picture") for name in ("a", "b")}
        run.doubt("a", ids["a"])
        run.doubt("b")
        settled = await run.settle()
        assert settled.images == {}
        for name, image_id in ids.items():
            row = run.row(name)
            assert (row.status, row.error_type, row.image_id) == ("failed", "ImageQuarantinedError", image_id)
            assert row.abandoned == ()


@pytest.mark.parametrize("deleted_keys", ["forgotten", "remembered"])
async def test_a_deleted_record_gets_a_new_key(folder: Path, deleted_keys: str) -> None:
    async with scene(folder, deleted_keys=deleted_keys) as run:
        image_id = await run.create("a")
        await run.client.images.delete(image_id)
        run.doubt("a", image_id)
        settled = await run.settle()
        row = run.row("a")
        assert (settled.images, settled.unsure) == ({}, 0)
        assert (row.status, row.generation, row.idempotency_key, row.image_id) == ("started", 1, None, None)
        assert [*run.journal.abandoned(row.destination)] == []
        image = await run.upload("a")
        assert run.stored("a") == [image.id]


async def test_a_run_that_waits_for_ready_images_stores_those_that_are_not(folder: Path) -> None:
    async with scene(folder, ready_polls=2) as run:
        run.doubt("a", await run.create("a"))
        settled = await run.settle(wait=True)
        assert (run.row("a").status, settled.images["a"].status.value) == ("stored", "PROCESSING")


# --- the list -----------------------------------------------------------------------------------------------


async def test_a_client_key_settles_rows_with_an_id_and_is_unsure_of_others(folder: Path) -> None:
    async with scene(folder) as run:
        ids = [await run.create("a"), await run.create("b")]
        run.doubt("a", ids[0])
        run.doubt("b")
        url = run.emulator.base_url
        async with AsyncImgwireClient(run.emulator.client_key, base_url=url) as client:
            settled = await attrs.evolve(run, client=client).settle()
        assert (settled.images.keys(), settled.unsure) == ({"a"}, 1)
        assert (run.row("b").status, run.row("b").image_id) == ("started", None)


async def test_without_the_walk_rows_without_an_id_are_unsure(folder: Path) -> None:
    async with scene(folder) as run:
        run.doubt("a", await run.create("a"))
        run.doubt("b")
        settled = await run.settle(reconcile=False)
        assert (settled.images.keys(), settled.unsure) == ({"a"}, 1)
        assert requests(run, "GET .*/images/") == 0


async def test_the_list_is_read_only_if_a_row_needs_it(folder: Path) -> None:
    async with scene(folder) as run:
        run.doubt("a", await run.create("a"))
        await run.settle()
        assert requests(run, "GET .*/images/") == 0


async def test_the_records_of_a_lost_journal_are_found(folder: Path) -> None:
    async with scene(folder, idempotency="ignored") as run:
        ids = [await run.create("a"), await run.create("a"), await run.create("b")]
        await run.begin("no bytes")
        await run.client.images.upload(PNG, idempotency_key="of another program")
        settled = await run.settle(reconcile="all")
        keys = [key_of("a"), key_of("b"), key_of("no bytes"), "of another program", key_of("missing")]
        assert await settled.find(keys) == {key_of("a"): ids[0], key_of("b"): ids[2]}
        assert settled.unsure == 0
        await settled.aclose()
        await settled.aclose()


async def test_without_reconcile_all_nothing_is_found(folder: Path) -> None:
    async with scene(folder) as run:
        await run.create("a")
        settled = await run.settle()
        assert await settled.find([key_of("a")]) == {}
        assert requests(run, "GET .*") == 0
        await settled.aclose()


# --- failures -----------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_failed_request_is_repeated_until_the_service_responds(folder: Path) -> None:
    async with scene(folder) as run:
        run.doubt("a", await run.create("a"))
        run.doubt("b", await run.create("b"))
        run.emulator.faults.add("GET", "/api/v1/images/{image_id}", status=503, times=2)
        settled = await run.settle()
        assert settled.images.keys() == {"a", "b"}
        assert run.held == ["server error", None]


async def test_settling_stops_while_the_service_is_not_available(folder: Path) -> None:
    async with scene(folder) as run:
        row = run.doubt("a", await run.create("a"))
        run.emulator.faults.add("GET", "*", reset="before", times=None)
        stop = asyncio.Event()
        settling = asyncio.ensure_future(run.settle(stop, reconcile="all"))
        while not run.held:
            await asyncio.sleep(0.01)
        stop.set()
        settled = await asyncio.wait_for(settling, 5)
        await settled.aclose()
        assert (settled.images, run.row("a")) == ({}, row)


@pytest.mark.parametrize("path", ["/api/v1/images/{image_id}", "/api/v1/images/"])
async def test_a_wrong_api_key_ends_the_run_and_leaves_the_rows(folder: Path, path: str) -> None:
    async with scene(folder) as run:
        upload = await run.begin("a")
        row = run.doubt("a", upload.image.id)
        run.emulator.faults.add("GET", path, status=401, times=None)
        with pytest.raises(AuthenticationError):
            await run.settle(reconcile="all")
        assert run.row("a") == row


async def test_a_record_that_cannot_be_read_is_unsure(folder: Path) -> None:
    async with scene(folder) as run:
        image_id = await run.create("a")
        run.doubt("a", image_id)
        run.emulator.faults.add("GET", "/api/v1/images/{image_id}", status=200, body={"id": 1}, times=None)
        settled = await run.settle(reconcile=False)
        assert (settled.images, settled.unsure, run.row("a").image_id) == ({}, 1, image_id)


async def test_the_record_of_another_image_settles_nothing(folder: Path) -> None:
    async with scene(folder) as run:
        image_id = await run.create("a")
        other = to_dict(await run.client.images.upload(PNG))
        run.doubt("a", image_id)
        run.emulator.faults.add("GET", f"/api/v1/images/{image_id}", status=200, body=other, times=None)
        settled = await run.settle(reconcile=False)
        assert (settled.images, settled.unsure, run.row("a").status) == ({}, 1, "started")


async def test_only_rows_of_the_shard_are_settled(folder: Path) -> None:
    async with scene(folder) as run:
        shard = Shard(1, 2)
        names = [str(number) for number in range(4)]
        for name in names:
            run.doubt(name, await run.create(name))
        settled = await run.settle(shard=shard)
        assert settled.images.keys() == {name for name in names if name in shard} != {*names}


async def test_rows_of_other_sources_are_settled_only_if_the_user_has_moved_the_source(folder: Path) -> None:
    async with scene(folder) as run:
        run.doubt("a", await run.create("a"), source=9)
        assert (await run.settle()).images == {}
        assert (await run.settle(is_moved=True)).images.keys() == {"a"}


async def test_failed_files_are_settled_only_if_the_run_retries_them(folder: Path) -> None:
    async with scene(folder) as run:
        run.doubt("a", await run.create("a"), status="failed", error_type="UploadStalledError")
        assert (await run.settle(with_failed=False)).images == {}
        assert (await run.settle()).images.keys() == {"a"}


# --- files that no longer exist -----------------------------------------------------------------------------


async def test_a_file_that_no_longer_exists_fails_unless_it_has_an_image(folder: Path) -> None:
    async with scene(folder) as run:
        run.doubt("stored", await run.create("stored"))
        run.doubt("never sent")
        empty = await run.begin("empty")
        run.doubt("empty", empty.image.id, age=LONG_AGO)
        run.doubt("found again")
        await run.settle()
        # The run has met this file, so the row is its own.
        again = attrs.evolve(run.row("found again"), run=run.owner.run)
        run.journal.put_blocking([again, attrs.evolve(any_row("started", key="of another source"), source=9)])
        assert await fail_missing(run.journal, run.owner, None, now=5.0) == 2
        assert run.row("stored").status == "done"
        for name in ("never sent", "empty"):
            row = run.row(name)
            assert (row.status, row.error_type, row.error) == (
                "failed",
                "FileNotFoundError",
                "the file is no longer there",
            )
        assert run.row("empty").abandoned == (empty.image.id,)
        assert run.row("found again") == again
        assert run.row("of another source").status == "started"
