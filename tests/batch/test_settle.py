"""Rows in doubt are settled before a run uploads anything: no file twice, none lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from .services import scene

MODES = ["same", "same_dead_url", "conflict", "ignored"]


@pytest.mark.parametrize("idempotency", MODES)
async def test_records_with_bytes_are_adopted_with_and_without_an_id(folder: Path, idempotency: str) -> None:
    async with scene(folder, idempotency=idempotency) as run:
        ids = {name: await run.create(name, stored=True) for name in ("a", "b")}
        run.doubt("a", ids["a"])
        run.doubt("b")
        settled = await run.settle()
        assert {key: image.id for key, image in settled.images.items()} == ids
        assert settled.unsure == 0
        for name, image_id in ids.items():
            row = run.row(name)
            assert (row.status, row.image_id, row.run, row.abandoned) == ("done", image_id, run.owner.run, ())
        assert run.reports[0] == (2, 2)
        assert run.reports[-1] == (0, 2)


@pytest.mark.parametrize("idempotency", MODES)
async def test_bytes_that_arrive_late_are_adopted(folder: Path, idempotency: str) -> None:
    async with scene(folder, stall=5.0, idempotency=idempotency) as run:
        uploads = {name: await run.begin(name) for name in ("a", "b")}
        run.doubt("a", uploads["a"].image.id)
        run.doubt("b")

        async def arrive() -> None:
            await asyncio.sleep(0.3)
            for upload in uploads.values():
                await run.put(upload.upload_url)

        settled, _ = await asyncio.gather(run.settle(), arrive())
        assert settled.images.keys() == {"a", "b"}
