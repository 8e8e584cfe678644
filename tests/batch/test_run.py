"""A run uploads each file once, whatever interrupts it, and writes to the journal what became of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from .runs import Site, site


@pytest.fixture
def switches() -> dict[str, Any]:
    return {}


@pytest.fixture
async def here(folder: Path, tmp_path: Path, switches: dict[str, Any]) -> AsyncIterator[Site]:
    async with site(folder, tmp_path, switches=switches) as here:
        yield here


async def test_a_first_run_uploads_each_file_of_a_folder(here: Site) -> None:
    here.add("a.png", "b.png", "below/c.png")
    results = await here.upload()
    assert sorted(results) == ["a.png", "b.png", "below/c.png"]
    assert {result.status for result in results.values()} == {"done"}
    assert here.statuses() == dict.fromkeys(["a.png", "b.png", "below/c.png"], "done")
    summary = here.reporter.summary()
    assert (summary.found, summary.uploaded, summary.left, summary.counted) == (3, 3, 0, True)


async def test_a_second_run_sends_no_request(here: Site) -> None:
    here.add_many(20)
    await here.upload()
    before = len(here.emulator.requests)
    assert await here.upload() == {}
    assert len(here.emulator.requests) == before
    summary = here.reporter.summary()
    assert (summary.found, summary.uploaded, summary.done_before, summary.left) == (20, 0, 20, 0)
