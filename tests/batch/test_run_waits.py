"""The files of a run that wait for their images."""

from __future__ import annotations

import asyncio

import pytest

from imgwire_async.batch import records
from imgwire_async.batch.items import Entry, Identity
from imgwire_async.batch.records import RowOwner
from imgwire_async.batch.run_waits import Waits
from imgwire_async.batch.run_work import Work
from imgwire_async.models import Image
from imgwire_async.uploads.item import UploadItem

from .test_run_outcome import image


def stored(key: str) -> Work:
    entry = Entry(key, UploadItem(b"x"), Identity(1))
    row = records.started(
        None, RowOwner(1, 1, 1), key, entry.identity, idempotency_key=key, generation=0, now=1.0
    )
    return Work(entry, entry.item, records.stored(row, f"id of {key}", None), None)


async def test_a_file_is_taken_once_although_its_image_becomes_ready_later() -> None:
    responds = asyncio.Event()

    async def retrieve(image_id: str) -> Image:
        await responds.wait()
        return image("READY", image_id)

    waits = Waits(retrieve, timeout=5.0, max_checks=10)
    works = [stored(key) for key in "abc"]
    for work in works:
        waits.add(work, check_now=True)
    assert {work.key for work in waits.take_all()} == {"a", "b", "c"}
    later = stored("d")
    waits.add(later, check_now=True)
    responds.set()
    work, outcome = await asyncio.wait_for(waits.next(), 5.0)
    assert (work, isinstance(outcome, Image), len(waits)) == (later, True, 0)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(waits.next(), 0.1)
    await waits.aclose()
