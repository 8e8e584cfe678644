"""A file whose bytes have arrived is not sent again, if only its row does not say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from imgwire_async.batch import records
from imgwire_async.batch.items import Identity
from imgwire_async.batch.sources import folder as source_folder

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


async def test_the_interrupted_uploads_of_a_folder_that_was_moved_are_settled(
    folder: Path, tmp_path: Path
) -> None:
    async with site(folder, tmp_path, switches={"idempotency": "conflict"}) as here:
        here.add("a.png")
        file = here.folder / "a.png"
        image = await here.client.images.upload(file, idempotency_key="imgwire-batch-1-x")
        status = file.stat()
        with here.journal() as journal:
            destination = journal.use_destination(None, here.emulator.base_url, None, "aabbccdd")
            owner = journal.begin_run(destination, "/before/it/was/moved")
            identity = Identity(status.st_size, mtime_ns=status.st_mtime_ns)
            row = records.started(
                None, owner, "a.png", identity, idempotency_key="imgwire-batch-1-x", generation=0, now=1.0
            )
            journal.put_blocking([row])
        results = await here.upload(source_folder(here.folder, moved=True))
        assert (results["a.png"].image_id, results["a.png"].resumed) == (image.id, True)
        assert here.requests("PUT") == 1
