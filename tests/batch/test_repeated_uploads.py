"""A file that is uploaded again in the same run is stored only once, also if its bytes had arrived."""

from __future__ import annotations

from pathlib import Path

import pytest

from .runs import site


@pytest.mark.parametrize("idempotency", ["same", "same_dead_url", "conflict", "ignored"])
async def test_a_file_whose_bytes_arrived_is_not_sent_again_at_the_end_of_the_run(
    folder: Path, tmp_path: Path, idempotency: str
) -> None:
    async with site(folder, tmp_path, retries=0, switches={"idempotency": idempotency}) as here:
        here.add("a.png")
        here.emulator.faults.add("PUT", "/uploads/*", reset="after_commit")
        here.emulator.faults.add("GET", "/api/v1/images/{image_id}", reset="before")
        results = await here.upload()
        assert results["a.png"].status == "done"
        assert [image.id for image in here.images(None) if image.stored] == [results["a.png"].image_id]
        assert here.requests("PUT") == 1
