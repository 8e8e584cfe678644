"""A file whose upload failed, although its bytes have arrived, is not uploaded twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from imgwire_async import RetryPolicy

from .runs import Site, site

QUICK = RetryPolicy(max_retries=1, backoff=0.01)
IDEMPOTENCY = ["same", "conflict", "same_dead_url", "ignored"]


@pytest.mark.long
@pytest.mark.parametrize("mode", IDEMPOTENCY)
@pytest.mark.parametrize("checks_that_fail", [2, 6], ids=["same run", "next run"])
async def test_a_failed_file_whose_bytes_have_arrived_is_adopted(
    folder: Path, tmp_path: Path, mode: str, checks_that_fail: int
) -> None:
    async with site(folder, tmp_path, switches={"idempotency": mode}, retries=QUICK) as here:
        here.add("a.png")
        faults = here.emulator.faults
        faults.add("PUT", "/*", reset="after_commit", times=1)
        faults.add("GET", "/api/v1/images/*", status=503, times=checks_that_fail)
        await here.upload()
        await here.upload()
        assert here.statuses() == {"a.png": "done"}
        assert one_image(here)


def one_image(here: Site) -> bool:
    [image] = here.images(None)
    return image.id == here.rows()["a.png"].image_id and image.status in {"READY", "PROCESSING"}
