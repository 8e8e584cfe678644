"""Runs between which a setting changes, or during which the key does: no file is uploaded twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from imgwire_async import AsyncImgwireClient, Timeouts
from imgwire_async.batch import AsyncBatch, BatchResult
from imgwire_async.emulator import Emulator

from .outcomes import check_exactly_once, records_of
from .picture_files import make_pictures
from .run_process import quick_client

COUNT = 24
MODES = ["same", "conflict", "same_dead_url", "ignored"]


@pytest.fixture
def mode() -> str:
    return "same"


@pytest.fixture
async def emulator(mode: Any) -> AsyncIterator[Emulator]:
    async with Emulator(ready_polls=0, idempotency=mode, list_order="updated") as emulator:
        yield emulator


@pytest.fixture
def journal(folder: Path) -> Path:
    return folder / "photos.journal"


@pytest.fixture
def photos(folder: Path) -> Path:
    return folder / "photos"


@pytest.fixture
def hashes(photos: Path) -> dict[str, str]:
    return make_pictures(photos, COUNT, per_folder=10)


def client_of(emulator: Emulator) -> AsyncImgwireClient:
    """Return a client with the current key, which waits only shortly for bytes of interrupted uploads."""
    timeout = Timeouts(stall=0.5, attempt=10.0)
    return quick_client(emulator.api_key, emulator.base_url, timeout=timeout)


async def run(
    client: AsyncImgwireClient, journal: Path, photos: Path, *, only: int | None = None, **arguments: Any
) -> list[BatchResult]:
    """Run a batch, and return its results. With `only` leave the iteration after so many of them."""
    results: list[BatchResult] = []
    async with client, AsyncBatch(client, journal, **arguments) as batch:
        upload = batch.upload(photos)
        async for result in upload:
            results.append(result)
            if len(results) == only:
                break
        await upload.aclose()
    return results


def puts(emulator: Emulator) -> int:
    return sum(request.method == "PUT" for request in emulator.requests)


@pytest.mark.parametrize("mode", MODES)
async def test_a_key_callable_may_return_another_key_in_the_middle_of_a_run(
    emulator: Emulator, journal: Path, photos: Path, hashes: dict[str, str]
) -> None:
    client = quick_client(lambda: emulator.api_key, emulator.base_url)
    count = 0
    async with client, AsyncBatch(client, journal, concurrency=4) as batch:
        async for result in batch.upload(photos):
            assert result.error is None
            count += 1
            if count % 8 == 0:
                emulator.api_key = f"sk_{count}"
        assert batch.summary().uploaded == COUNT
    assert any(request.status == 401 for request in emulator.requests)
    check_exactly_once(emulator, hashes, journal)


@pytest.mark.parametrize("mode", ["same", "ignored"])
async def test_another_key_of_the_environment_continues_where_the_first_has_stopped(
    emulator: Emulator, journal: Path, photos: Path, hashes: dict[str, str]
) -> None:
    await run(client_of(emulator), journal, photos, only=7)
    emulator.api_key = "sk_second"
    first = {key for key, record in records_of(journal).items() if record.status == "done"}
    results = await run(client_of(emulator), journal, photos)
    assert {result.key for result in results} == set(hashes) - first
    check_exactly_once(emulator, hashes, journal)


@pytest.mark.parametrize("mode", ["same", "ignored"])
async def test_changed_metadata_uploads_no_file_again(
    emulator: Emulator, journal: Path, photos: Path, hashes: dict[str, str]
) -> None:
    for number, only in enumerate((5, None)):
        client = client_of(emulator)
        await run(
            client, journal, photos, only=only, custom_metadata={"run": number}, purpose=f"run {number}"
        )
    check_exactly_once(emulator, hashes, journal)


@pytest.mark.parametrize("mode", ["same", "same_dead_url"])
@pytest.mark.parametrize("only", [None, 10])
async def test_after_the_loss_of_the_journal_no_byte_is_sent_again(
    emulator: Emulator, journal: Path, photos: Path, hashes: dict[str, str], only: int | None
) -> None:
    await run(client_of(emulator), journal, photos, only=only)
    stored = sum(image.status == "READY" for image in emulator.images.values())
    emulator.requests.clear()
    journal.unlink()
    results = await run(client_of(emulator), journal, photos)
    assert len(results) == COUNT
    assert puts(emulator) == COUNT - stored
    check_exactly_once(emulator, hashes, journal)


@pytest.mark.parametrize("mode", MODES)
async def test_a_walk_through_all_images_replaces_a_lost_journal(
    emulator: Emulator, journal: Path, photos: Path, hashes: dict[str, str]
) -> None:
    await run(client_of(emulator), journal, photos, only=10)
    stored = sum(image.status == "READY" for image in emulator.images.values())
    emulator.requests.clear()
    journal.unlink()
    client = client_of(emulator)
    results = await run(client, journal, photos, reconcile="all")
    assert len(results) == COUNT
    assert puts(emulator) == COUNT - stored
    check_exactly_once(emulator, hashes, journal)
