"""Runs over URLs, whose pictures the service fetches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from worlds import World

from imgwire_async import Timeouts, UploadItem
from imgwire_async.batch import doubts
from imgwire_async.batch.items import BatchItem, RemoteFile, Skip
from imgwire_async.batch.keys import url_key
from imgwire_async.batch.planning import plan
from imgwire_async.batch.reporter import BatchEvent
from imgwire_async.batch.run import BatchRun
from imgwire_async.batch.sources import as_source, urls
from imgwire_async.errors import (
    PaymentRequiredError,
    ServerError,
    UnprocessableEntityError,
    WaitTimeoutError,
)

from .runs import FAST, Site, picture, rows_of, site

VIA_URL = "/api/v1/images/upload_via_url"
SECRET = "X-Amz-Signature=0123456789abcdef&user=alice"


@pytest.fixture
def switches() -> dict[str, Any]:
    return {"ready_polls": 0}


@pytest.fixture
async def here(folder: Path, tmp_path: Path, switches: dict[str, Any]) -> AsyncIterator[Site]:
    # The next run waits that long for the pictures of records that are PENDING.
    async with site(folder, tmp_path, switches=switches, timeout=Timeouts(stall=0.3)) as here:
        yield here


def serve(here: Site, *names: str, query: str = "") -> list[str]:
    """Let the service fetch pictures, and return their URLs."""
    found = [f"https://pictures.example.com/{name}{query and f'?{query}'}" for name in names]
    here.emulator.urls.update({url: picture(number) for number, url in enumerate(found)})
    return found


def fetches(here: Site) -> int:
    """Return the number of requests to fetch a URL."""
    return sum(request.target == VIA_URL for request in here.emulator.requests)


async def test_the_service_fetches_each_url_once_over_two_runs(here: Site) -> None:
    found = serve(here, "a.png", "b.png")
    results = await here.upload(urls(found))
    assert {key: result.status for key, result in results.items()} == dict.fromkeys(found, "done")
    result = results[found[0]]
    assert (result.file, result.attempts, result.bytes_sent, result.resumed) == (
        RemoteFile(found[0]),
        1,
        0,
        False,
    )
    assert await here.upload(urls(iter(found))) == {}
    assert (fetches(here), len(here.images())) == (2, 2)


async def test_a_run_waits_until_an_image_is_ready(here: Site, switches: dict[str, Any]) -> None:
    found = serve(here, "a.png")
    results = await here.upload(urls(found))
    image = results[found[0]].image
    assert image is not None
    assert image.status == "READY"


@pytest.mark.parametrize("switches", [{"fetch_after": 0.3}])
async def test_a_pending_record_is_waited_for_while_the_service_fetches(here: Site) -> None:
    found = serve(here, "a.png")
    results = await here.upload(urls(found))
    assert here.kinds == ["found", "counted", "started", "uploaded", "done"]
    assert (results[found[0]].status, len(here.images())) == ("done", 1)


@pytest.mark.parametrize("switches", [{"fetch_after": 60}])
async def test_without_wait_a_url_is_done_when_the_service_has_accepted_it(here: Site) -> None:
    found = serve(here, "a.png")
    results = await here.upload(urls(found, wait=False))
    image = results[found[0]].image
    assert image is not None
    assert (image.status, here.statuses()) == ("PENDING", {found[0]: "done"})


@pytest.mark.parametrize("switches", [{"fetch_after": 60, "ready_polls": 0}])
async def test_a_picture_that_is_never_fetched_fails_and_gets_a_new_record_in_the_next_run(
    here: Site,
) -> None:
    found = serve(here, "a.png")
    results = await here.upload(urls(found), wait=0.3)
    error = results[found[0]].error
    assert isinstance(error, WaitTimeoutError)
    assert "the service has not fetched the picture after 0.3 s" in str(error)
    row = here.rows()[found[0]]
    assert (row.status, row.error_type, row.abandoned) == ("failed", "WaitTimeoutError", (row.image_id,))
    # The first record never gets its bytes. The second one gets them after a minute.
    here.emulator.urls.clear()
    serve(here, "a.png")
    (lost,) = here.emulator.images
    advancing = asyncio.create_task(advance_when(here, images=2))
    results = await here.upload(urls(found), wait=20)
    await advancing
    row = here.rows()[found[0]]
    assert (row.status, row.generation, row.abandoned) == ("done", 1, (lost,))
    assert row.image_id != lost


async def advance_when(here: Site, *, images: int) -> None:
    while len(here.emulator.images) < images:
        await asyncio.sleep(0.01)
    here.emulator.clock.advance(60)


async def test_a_url_that_the_service_rejects_fails_that_file_only(here: Site) -> None:
    found = serve(here, "a.png", query=SECRET)
    bad = f"https://pictures.example.com/missing.png?{SECRET}"
    results = await here.upload(urls([bad, *found]))
    assert {result.status for result in results.values()} == {"done", "failed"}
    error = results[url_key(bad)].error
    assert isinstance(error, UnprocessableEntityError)
    assert str(error).startswith("https://pictures.example.com/missing.png: ")


async def test_neither_journal_nor_messages_nor_events_hold_the_query(here: Site) -> None:
    bad = f"https://alice:{SECRET[:24]}@pictures.example.com/a.png?{SECRET}'quoted-{SECRET}"
    body = {"detail": [{"loc": ["body", "url"], "msg": f"bad {bad}", "type": "url", "input": bad}]}
    here.emulator.faults.add("POST", VIA_URL, times=None, status=422, body=body)
    results = await here.upload(urls([bad]))
    (result,) = results.values()
    shown = f"{result!r} {result.error} {vars(result.error)} {here.events!r} {here.rows()!r}"
    shown += here.journal_path.read_bytes().decode("latin-1")
    for secret in ("0123456789abcdef", "alice", "quoted"):
        assert secret not in shown


@pytest.mark.parametrize("mode", ["same", "conflict", "ignored", "same_dead_url"])
@pytest.mark.parametrize("fault", [{"reset": "after_commit"}, {"cut": 10}, {"status": 503}])
async def test_after_a_lost_response_a_url_is_one_image(
    folder: Path, tmp_path: Path, mode: str, fault: dict[str, Any]
) -> None:
    async with site(folder, tmp_path, switches={"ready_polls": 0, "idempotency": mode}) as here:
        found = serve(here, *[f"{number}.png" for number in range(12)])
        here.emulator.faults.add("POST", VIA_URL, times=5, **fault)
        results = await here.upload(urls(found))
        assert {result.status for result in results.values()} == {"done"}
        assert len(here.images(None)) == len(found)


@pytest.mark.parametrize("mode", ["conflict", "ignored"])
async def test_the_next_run_finds_the_images_of_lost_responses(
    folder: Path, tmp_path: Path, mode: str
) -> None:
    async with site(folder, tmp_path, switches={"ready_polls": 0, "idempotency": mode}) as here:
        found = serve(here, "a.png", "b.png")
        here.emulator.faults.add("POST", VIA_URL, times=None, reset="after_commit")
        listing = here.emulator.faults.add("GET", "/api/v1/images/", times=None, status=503)
        results = await here.upload(urls(found))
        assert {result.status for result in results.values()} == {"failed"}
        assert listing.fired
        here.emulator.faults.clear()
        results = await here.upload(urls(found))
        assert set(here.statuses().values()) == {"done"}
        assert len(here.images(None)) == 2


async def test_without_retries_a_lost_response_makes_no_second_image(folder: Path, tmp_path: Path) -> None:
    switches = {"ready_polls": 0, "idempotency": "ignored"}
    async with site(folder, tmp_path, switches=switches, retries=0) as here:
        found = serve(here, "a.png", "b.png")
        here.emulator.faults.add("POST", VIA_URL, reset="after_commit")
        here.emulator.faults.add("POST", VIA_URL, after=1, reset="before")
        results = await here.upload(urls(found))
        assert {result.status for result in results.values()} == {"done"}
        assert len(here.images(None)) == 2


async def test_a_transient_failure_is_tried_again_at_the_end_of_the_run(here: Site) -> None:
    found = serve(here, "a.png", "b.png")
    here.emulator.faults.add("POST", VIA_URL, times=3, status=503)
    results = await here.upload(urls(found))
    assert {result.status for result in results.values()} == {"done"}


async def test_a_402_ends_the_run(here: Site) -> None:
    here.emulator.faults.add("POST", VIA_URL, times=None, status=402)
    with pytest.raises(PaymentRequiredError):
        await here.upload(urls(serve(here, "a.png")))
    assert "failed" not in here.statuses().values()


async def test_a_service_that_only_fails_leaves_a_failed_row(here: Site) -> None:
    found = serve(here, "a.png")
    here.emulator.faults.add("POST", VIA_URL, times=None, status=500)
    results = await here.upload(urls(found))
    assert isinstance(results[found[0]].error, ServerError)
    assert here.statuses() == {found[0]: "failed"}


async def test_items_combine_urls_with_arguments(here: Site) -> None:
    a, b, c = serve(here, "a.png", "b.png", "c.png")
    items = [
        BatchItem("first", a, file_name="x.png", custom_metadata={"n": 1}),
        UploadItem(b, purpose="cover"),
        RemoteFile(c, wait=False),
        Skip("old", "it is sold"),
    ]
    results = await here.upload(urls(items), include_done=True, purpose="shop")
    assert {key: result.status for key, result in results.items()} == {
        "first": "done",
        b: "done",
        c: "done",
        "old": "skipped",
    }
    first = results["first"].image
    assert first is not None
    assert (first.original_filename, first.custom_metadata, first.purpose) == ("x.png", {"n": 1}, "shop")


async def test_any_iterable_may_contain_urls_with_keys(here: Site) -> None:
    here.add("local.png")
    (url,) = serve(here, "a.png")
    results = await here.upload(
        [BatchItem("far", RemoteFile(url)), BatchItem("near", here.folder / "local.png")]
    )
    assert {key: result.status for key, result in results.items()} == {"far": "done", "near": "done"}


@pytest.mark.parametrize(
    ("item", "error", "message"),
    [
        (3, TypeError, r"files\[1\] must be a URL"),
        (BatchItem("b", b"bytes"), TypeError, r"files\[1\] must be a URL as text.*not bytes"),
        (UploadItem("https://x.example/a.png", hash_sha256="0" * 64), ValueError, "hash_sha256 cannot be"),
        (BatchItem("", "https://x.example/a.png"), ValueError, r"key of files\[1\] is empty"),
    ],
)
async def test_a_wrong_item_of_a_list_is_an_error_before_the_first_upload(
    here: Site, item: Any, error: type[Exception], message: str
) -> None:
    found = serve(here, "a.png")
    with pytest.raises(error, match=message):
        await here.upload(urls([*found, item]))
    assert fetches(here) == 0
    with pytest.raises(error, match=message):
        await here.upload(urls(iter([*found, item])))
    assert fetches(here) == 1


@pytest.mark.parametrize("text", ["ftp://me:secret@x.example/a?secret", "https://x.example/secret a.png", ""])
async def test_a_text_that_is_no_url_is_an_error_in_a_list_and_a_skip_in_an_iterator(
    here: Site, text: str
) -> None:
    found = serve(here, "a.png", "b.png")
    with pytest.raises(ValueError, match=r"files\[1\]: url ") as raised:
        await here.upload(urls([found[0], text, found[1]]))
    assert (fetches(here), "secret" in str(raised.value)) == (0, False)
    items = [found[0], text, BatchItem("mine", text), found[1]]
    results = await here.upload(urls(iter(items)), include_done=True)
    assert {key: result.status for key, result in results.items()} == {
        found[0]: "done",
        "files[1]": "skipped",
        "mine": "skipped",
        found[1]: "done",
    }
    reason = results["files[1]"].reason
    assert reason is not None
    assert reason.startswith("url ")
    assert "secret" not in reason


async def test_a_url_whose_key_is_too_long_is_skipped(here: Site) -> None:
    url = f"https://x.example/{'a' * 4_096}"
    (result,) = (await here.upload(urls([url]), include_done=True)).values()
    assert (result.status, result.reason) == ("skipped", "its key has more than 4,096 bytes")


def test_one_url_is_not_a_list_of_urls() -> None:
    with pytest.raises(TypeError, match=r"not be one str; pass a list: urls\(\[url\]\)"):
        urls("https://example.com/a.png")


async def test_a_plan_of_urls_needs_no_request(here: Site) -> None:
    found = serve(here, "a.png", "b.png")
    await here.upload(urls(found[:1]))
    count = len(here.emulator.requests)
    with here.journal() as journal:
        (destination,) = journal.destinations()
        planned = [file async for file in plan(as_source(urls(found)), journal, destination)]
    assert {file.key: file.action for file in planned} == {found[0]: "done", found[1]: "upload"}
    assert len(here.emulator.requests) == count


async def test_a_url_among_paths_is_an_error_that_names_urls(here: Site) -> None:
    with pytest.raises(ValueError, match=r"files\[0\] is a URL; urls"):
        await here.upload(["https://example.com/a.png"])


@pytest.mark.parametrize("switches", [{"idempotency": "ignored"}])
async def test_a_lost_journal_is_found_again_in_the_list(here: Site) -> None:
    found = serve(here, "a.png", "b.png", query=SECRET)
    await here.upload(urls(found))
    here.journal_path = here.journal_path.with_name("new.journal")
    results = await here.upload(urls(found), reconcile="all")
    assert {result.resumed for result in results.values()} == {True}
    assert len(here.images(None)) == 2


@pytest.mark.parametrize("switches", [{"idempotency": "same", "deleted_keys": "remembered"}])
async def test_an_image_that_was_deleted_is_fetched_again_with_a_new_key(here: Site) -> None:
    found = serve(here, "a.png")
    results = await here.upload(urls(found))
    first = results[found[0]].image_id
    assert first is not None
    await here.client.images.delete(first)
    results = await here.upload(urls(found), verify=True)
    assert results[found[0]].image_id not in {None, first}
    assert here.statuses() == {found[0]: "done"}


async def test_a_key_of_the_user_is_kept(here: Site) -> None:
    (url,) = serve(here, "a.png")
    item = BatchItem("a", url, idempotency_key="mine")
    results = await here.upload(urls([item]))
    assert (results["a"].status, here.rows()["a"].idempotency_key) == ("done", "mine")


@pytest.mark.parametrize("switches", [{"idempotency": "conflict"}])
async def test_a_conflict_of_a_key_of_the_user_fails_that_url_only(here: Site) -> None:
    a, b = serve(here, "a.png", "b.png")
    await here.client.images.upload_via_url(b, idempotency_key="mine")
    results = await here.upload(urls([BatchItem("a", a, idempotency_key="mine"), b]))
    assert {key: result.status for key, result in results.items()} == {"a": "failed", b: "done"}


@pytest.mark.parametrize("switches", [{"idempotency": "ignored", "ready_polls": 0}])
async def test_an_old_image_with_the_same_key_of_the_user_is_not_taken_for_the_lost_one(
    here: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = serve(here, "a.png", "b.png")
    old = await here.client.images.upload_via_url(b, idempotency_key="mine")
    # The clocks are equal, so an image is old at once.
    monkeypatch.setattr(doubts, "CLOCK_TOLERANCE", 0)
    here.emulator.faults.add("POST", VIA_URL, status=503)
    results = await here.upload(urls([BatchItem("a", a, idempotency_key="mine")]))
    assert results["a"].status == "done"
    assert results["a"].image_id != old.id


@pytest.mark.slow
@pytest.mark.parametrize("switches", [{"rate_limit": 20}])
async def test_a_rate_limit_never_fails_a_url(here: Site) -> None:
    found = serve(here, *[f"{number}.png" for number in range(30)])
    results = await here.upload(urls(found, wait=False), concurrency=8)
    assert {result.status for result in results.values()} == {"done"}


@pytest.mark.parametrize("switches", [{"fetch_after": 60}])
async def test_a_run_that_was_stopped_waits_for_the_picture_in_the_next_run(here: Site) -> None:
    found = serve(here, "a.png")
    with here.journal() as journal:
        async with here.run(journal, urls(found), on_event=lambda event: stop_at(run, event)) as run:
            results = [result async for result in run]
    assert [result.status for result in results] == ["stored"]
    here.emulator.clock.advance(60)
    again = await here.upload(urls(found))
    assert (again[found[0]].status, fetches(here)) == ("done", 1)


def stop_at(run: BatchRun, event: BatchEvent) -> None:
    if event.kind == "uploaded":
        run.stop()


@pytest.mark.parametrize("switches", [{"fetch_after": 60, "idempotency": "ignored"}])
async def test_a_row_in_doubt_whose_picture_is_still_fetched_is_not_fetched_again(here: Site) -> None:
    found = serve(here, "a.png")
    await here.upload(urls(found, wait=False))
    with here.journal() as journal:
        # As if the process had been killed after the response.
        row = rows_of(journal)[found[0]]
        journal.put_blocking([attrs.evolve(row, status="started", image_id=None, finished_at=None)])
    results = await here.upload(urls(found, wait=False))
    assert (results[found[0]].status, len(here.images(None))) == ("done", 1)


@pytest.mark.slow
@pytest.mark.world
@pytest.mark.parametrize("mode", ["same", "conflict", "ignored"])
async def test_lost_responses_make_no_second_image_in_any_world(
    folder: Path, tmp_path: Path, world: World, mode: str
) -> None:
    switches = {"ready_polls": 0, "fetch_after": 0.05, "idempotency": mode}
    async with world.emulator(**switches) as emulator:
        async with world.client_of(emulator, retries=FAST, timeout=Timeouts(stall=1.0)) as client:
            here = Site(emulator, client, tmp_path, folder / "urls.journal")
            found = serve(here, *[f"{number}.png" for number in range(40)])
            emulator.faults.add("POST", VIA_URL, times=10, reset="after_commit")
            emulator.faults.add("POST", VIA_URL, times=10, after=5, cut=20)
            emulator.faults.add("POST", VIA_URL, times=5, after=20, reset="before")
            results = await here.upload(urls(found))
            assert {result.status for result in results.values()} == {"done"}
            assert len(here.images(None)) == len(found)
