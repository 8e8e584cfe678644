"""A run finds its destination, and a key of another environment never continues the run of the first one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imgwire_async import AsyncImgwireClient, JournalError
from imgwire_async.batch.destination import open_destination
from imgwire_async.batch.journal import Journal
from imgwire_async.batch.journal_destinations import Destination
from imgwire_async.batch.service import service_of
from imgwire_async.emulator import Emulator

from .journals import opened, row
from .services import PNG


async def destination(
    journal: Journal, emulator: Emulator, *, key: str | None = None, **settings: Any
) -> Destination:
    """Return the destination of a run with an API key."""
    url = emulator.base_url
    async with AsyncImgwireClient(key or emulator.api_key, base_url=url, **settings) as client:
        return await open_destination(service_of(client), journal)


async def upload(emulator: Emulator, number: int = 1) -> list[str]:
    async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
        return [(await client.images.upload(PNG)).id for _ in range(number)]


async def test_the_same_key_continues_without_a_request(folder: Path) -> None:
    async with Emulator() as emulator:
        with opened(folder / "a.journal") as journal:
            first = await destination(journal, emulator)
            again = await destination(journal, emulator)
            assert (first.number, again.number) == (1, 1)
            assert first.environment_id is None
            assert len(emulator.requests) == 0


async def test_another_key_of_the_environment_continues_and_the_environment_is_noted(folder: Path) -> None:
    async with Emulator() as emulator:
        with opened(folder / "a.journal") as journal:
            await destination(journal, emulator)
            (image_id,) = await upload(emulator)
            journal.put_blocking([row("done", image_id=image_id)])
            found = await destination(journal, emulator, key=emulator.client_key)
            assert (found.number, found.environment_id) == (1, emulator.environment_id)


async def test_images_that_the_user_has_deleted_do_not_stop_the_run(folder: Path) -> None:
    async with Emulator() as emulator:
        with opened(folder / "a.journal") as journal:
            await destination(journal, emulator)
            ids = await upload(emulator, 3)
            journal.put_blocking([row("done", key=image_id, image_id=image_id) for image_id in ids])
            async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
                await client.images.bulk_delete(sorted(ids)[:2])
            assert (await destination(journal, emulator, key=emulator.client_key)).number == 1


async def test_a_run_with_a_mistaken_environment_does_not_change_the_next_one(folder: Path) -> None:
    async with Emulator() as emulator:
        with opened(folder / "a.journal") as journal:
            first = await destination(journal, emulator)
            (image_id,) = await upload(emulator)
            journal.put_blocking([row("done", image_id=image_id)])
            first = journal.note_environment(first, emulator.environment_id)
            mistaken = await destination(journal, emulator, environment_id=UNKNOWN)
            assert mistaken.number != first.number
            assert (await destination(journal, emulator)).number == first.number
            # Images that the user has deleted do not stop the run.
            async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
                await client.images.delete(image_id)
            assert (await destination(journal, emulator)).number == first.number


UNKNOWN = "00000000-0000-4000-8000-000000000000"


async def test_a_key_of_another_environment_is_an_error_that_shows_the_ways_out(folder: Path) -> None:
    async with Emulator() as emulator:
        with opened(folder / "a.journal") as journal:
            before = await destination(journal, emulator)
            journal.note_environment(before, "e1")
            journal.put_blocking([row("done", image_id=UNKNOWN)])
            with pytest.raises(JournalError) as caught:
                await destination(journal, emulator, key=emulator.client_key)
            message = str(caught.value)
            for part in (
                "environment e1",
                "environment_id='e1'",
                str(before.fingerprint),
                UNKNOWN,
                "a.journal",
            ):
                assert part in message
            assert caught.value.path == str(journal.path)
            # Both ways out work.
            same = await destination(journal, emulator, key=emulator.client_key, environment_id="e1")
            other = await destination(journal, emulator, key=emulator.client_key, environment_id="e2")
            assert (same.number, other.number) == (1, 2)


async def test_a_key_of_an_older_environment_of_the_journal_continues_its_run(folder: Path) -> None:
    async with Emulator() as emulator:
        with opened(folder / "a.journal") as journal:
            first = await destination(journal, emulator)
            (image_id,) = await upload(emulator)
            journal.note_environment(first, emulator.environment_id)
            journal.put_blocking([row("done", image_id=image_id)])
            other = journal.use_destination(None, emulator.base_url, "e2", "aabbccdd")
            journal.put_blocking([row("done", image_id=UNKNOWN, destination=other.number)])
            assert (await destination(journal, emulator, key=emulator.client_key)).number == 1


async def test_the_environment_that_was_never_noted_is_checked_before_a_second_run_begins(
    folder: Path,
) -> None:
    async with Emulator() as emulator:
        with opened(folder / "a.journal") as journal:
            await destination(journal, emulator)
            (image_id,) = await upload(emulator)
            journal.put_blocking([row("done", image_id=image_id)])
            settings = {"key": emulator.client_key, "environment_id": emulator.environment_id}
            assert (await destination(journal, emulator, **settings)).number == 1
            journal.put_blocking([row("done", image_id=UNKNOWN)])
            assert (await destination(journal, emulator, environment_id="e9")).number == 2


@pytest.mark.parametrize("status", ["started", "failed"])
async def test_records_without_bytes_show_the_environment_too(folder: Path, status: str) -> None:
    async with Emulator() as emulator:
        with opened(folder / "a.journal") as journal:
            await destination(journal, emulator)
            journal.put_blocking([row(status, key="0", image_id=None), row(status, image_id=UNKNOWN)])
            with pytest.raises(JournalError, match="another environment"):
                await destination(journal, emulator, key=emulator.client_key)
            (image_id,) = await upload(emulator)
            journal.put_blocking([row(status, image_id=image_id)])
            assert (await destination(journal, emulator, key=emulator.client_key)).number == 1


async def test_a_destination_without_images_is_used_without_a_check(folder: Path) -> None:
    async with Emulator() as emulator:
        with opened(folder / "a.journal") as journal:
            await destination(journal, emulator)
            assert (await destination(journal, emulator, key=emulator.client_key)).number == 1
            assert len(emulator.requests) == 0
