"""Images that no longer exist are found, with as few requests as possible."""

from __future__ import annotations

import asyncio
from pathlib import Path

import attrs
import pytest

from imgwire_async import AsyncImgwireClient, AuthenticationError
from imgwire_async.batch.keys import Shard
from imgwire_async.batch.verify import IsGone, find_gone, prefers_list

from .journals import row
from .services import Scene, scene


async def gone(run: Scene, shard: Shard | None = None, stop: asyncio.Event | None = None) -> IsGone:
    return await find_gone(run.service, run.journal, run.owner, shard, stop=stop or asyncio.Event())


async def done(run: Scene, *names: str, deleted: tuple[str, ...] = ()) -> None:
    """Upload files, write their rows, and delete some of the images."""
    for name in names:
        image_id = await run.create(name)
        run.journal.put_blocking([row("stored" if name == "stored" else "done", key=name, image_id=image_id)])
        if name in deleted:
            await run.client.images.delete(image_id)
    run.emulator.requests.clear()


def lines(run: Scene) -> list[str]:
    return sorted(f"{record.method} {record.target.partition('?')[0]}" for record in run.emulator.requests)


@pytest.mark.parametrize(
    ("count", "total", "expected"),
    [
        (0, 0, False),
        (1, 1, True),
        (1, 100, False),
        (1, 101, False),
        (2, 101, True),
        (9, 900, False),
        (9, None, True),
    ],
)
def test_the_list_is_read_if_it_has_fewer_pages_than_the_journal_has_images(
    count: int, total: int | None, expected: bool
) -> None:
    assert prefers_list(count, total) is expected


async def test_only_images_that_the_list_does_not_show_are_retrieved(folder: Path) -> None:
    async with scene(folder) as run:
        await done(run, "a", "b", "c", "stored", deleted=("b",))
        is_gone = await gone(run)
        assert [is_gone(run.row(name)) for name in ("a", "b", "c", "stored")] == [False, True, False, False]
        # The first request returns the number of images.
        assert lines(run) == [*["GET /api/v1/images/"] * 2, f"GET /api/v1/images/{run.row('b').image_id}"]


async def test_an_image_that_cannot_be_read_is_not_gone(folder: Path) -> None:
    async with scene(folder) as run:
        await done(run, "a", "b", deleted=("a", "b"))
        path = f"/api/v1/images/{run.row('a').image_id}"
        run.emulator.faults.add("GET", path, status=400, times=None)
        is_gone = await gone(run)
        assert [is_gone(run.row(name)) for name in ("a", "b")] == [False, True]


async def test_a_list_that_cannot_be_read_to_its_end_does_not_make_images_gone(folder: Path) -> None:
    async with scene(folder) as run:
        await done(run, "a", "b", deleted=("b",))
        run.emulator.faults.add("GET", "/api/v1/images/", status=400, after=1)
        is_gone = await gone(run)
        assert [is_gone(run.row(name)) for name in ("a", "b")] == [False, True]


async def test_a_client_key_retrieves_all_images(folder: Path) -> None:
    async with scene(folder) as run:
        await done(run, "a", "b", deleted=("b",))
        url = run.emulator.base_url
        async with AsyncImgwireClient(run.emulator.client_key, base_url=url) as client:
            is_gone = await gone(attrs.evolve(run, client=client))
        assert [is_gone(run.row(name)) for name in ("a", "b")] == [False, True]


async def test_only_the_shard_and_the_source_of_the_run_are_checked(folder: Path) -> None:
    async with scene(folder) as run:
        names = [str(number) for number in range(4)]
        await done(run, *names, deleted=tuple(names))
        run.journal.put_blocking([attrs.evolve(run.row("0"), source=9)])
        is_gone = await gone(run, Shard(1, 2))
        own = {name for name in names if name in Shard(1, 2) and name != "0"}
        assert {name for name in names if is_gone(run.row(name))} == own


async def test_after_a_stop_images_that_were_not_checked_count_as_existing(folder: Path) -> None:
    async with scene(folder) as run:
        await done(run, "a", deleted=("a",))
        stop = asyncio.Event()
        stop.set()
        assert not (await gone(run, stop=stop))(run.row("a"))


async def test_without_done_images_nothing_is_requested(folder: Path) -> None:
    async with scene(folder) as run:
        is_gone = await gone(run)
        assert not is_gone(row("done"))
        assert lines(run) == []


async def test_a_wrong_api_key_ends_the_run(folder: Path) -> None:
    async with scene(folder) as run:
        await done(run, "a")
        run.emulator.faults.add("GET", "*", status=401, times=None)
        with pytest.raises(AuthenticationError):
            await gone(run)
