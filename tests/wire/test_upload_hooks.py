"""The hooks of an upload: they choose the keys, and a file that an earlier run stored is not sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import pytest

from imgwire_async import (
    AsyncImgwireClient,
    ConflictError,
    Image,
    ImageStatus,
    RetryPolicy,
    Timeouts,
    UploadError,
    UploadItem,
    UploadRejectedError,
    UploadUrlExpiredError,
)
from imgwire_async.emulator import Emulator
from imgwire_async.resources.uploading import checked_item
from imgwire_async.uploads.hooks import UploadHooks
from imgwire_async.uploads.upload import Upload

from .pictures import png

FAST = RetryPolicy(backoff=0.01)
LIFETIME = 60.0


@attrs.define
class Journal:
    """The hooks of a batch run, which record their calls. `on_first_record` is called once."""

    prefix: str = "key"
    on_first_record: Callable[[Image], Awaitable[object]] | None = None
    calls: list[tuple[str, str, ImageStatus | None]] = attrs.field(factory=list)

    async def next_key(self, generation: int) -> str:
        self.calls.append(("next_key", f"{self.prefix}-{generation}", None))
        return f"{self.prefix}-{generation}"

    async def created(self, image: Image) -> None:
        self.calls.append(("created", image.id, image.status))
        on_first_record, self.on_first_record = self.on_first_record, None
        if on_first_record is not None:
            await on_first_record(image)

    async def stored(self, image: Image) -> None:
        self.calls.append(("stored", image.id, image.status))

    @property
    def keys(self) -> list[str]:
        return [value for kind, value, _ in self.calls if kind == "next_key"]

    @property
    def stored_ids(self) -> list[str]:
        return [value for kind, value, _ in self.calls if kind == "stored"]


def upload_of(client: AsyncImgwireClient, journal: Journal, file: Any = None, **arguments: Any) -> Upload:
    item = checked_item(UploadItem(png() if file is None else file, **arguments))
    hooks = UploadHooks(journal.next_key, journal.created, journal.stored)
    return Upload(client.images._transport(), item, hooks=hooks)


def puts(emulator: Emulator) -> int:
    return sum(request.method == "PUT" for request in emulator.requests)


@pytest.fixture
async def quick(client: AsyncImgwireClient) -> AsyncImgwireClient:
    return client.with_options(retries=FAST)


async def test_hooks_are_called_for_key_record_and_stored_bytes_in_that_order(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    journal = Journal()
    image = await upload_of(client, journal).run()
    assert journal.calls == [
        ("next_key", "key-0", None),
        ("created", image.id, ImageStatus.PENDING),
        ("stored", image.id, ImageStatus.PENDING),
    ]
    assert [image_record.idempotency_key for image_record in emulator.images.values()] == ["key-0"]


@pytest.mark.world
@pytest.mark.parametrize("switches", [{"second_put": "refused"}, {"second_put": "accepted"}], ids=str)
async def test_a_record_stored_by_an_earlier_run_is_taken_without_a_put(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    first = await upload_of(client, Journal()).run()
    journal = Journal()
    second = upload_of(client, journal)
    image = await second.run()
    assert image.id == first.id
    assert image.status in {ImageStatus.PROCESSING, ImageStatus.READY}
    assert (second.puts, second.bytes_sent, second.abandoned) == (0, 0, [])
    assert (puts(emulator), len(emulator.images)) == (1, 1)
    assert journal.stored_ids == [first.id]


@pytest.mark.parametrize(
    "switches",
    [{"deleted_keys": "remembered", "idempotency": mode} for mode in ("same", "same_dead_url", "conflict")],
    ids=str,
)
@pytest.mark.parametrize("is_stored", [False, True])
async def test_a_deleted_record_is_replaced_under_the_next_key(
    client: AsyncImgwireClient, emulator: Emulator, is_stored: bool
) -> None:
    if is_stored:
        deleted = await upload_of(client, Journal()).run()
    else:
        deleted = (await client.images.create(file_name="upload.png", idempotency_key="key-0")).image
    await client.images.delete(deleted.id)
    journal = Journal()
    image = await upload_of(client, journal).run()
    assert image.id != deleted.id
    assert journal.keys == ["key-0", "key-1"]
    assert journal.stored_ids == [image.id]
    assert emulator.images[image.id].stored is not None


@pytest.mark.parametrize("switches", [{"deleted_keys": "remembered"}])
async def test_a_callers_key_of_a_deleted_record_is_an_error_that_says_so(client: AsyncImgwireClient) -> None:
    image = await client.images.upload(png(), idempotency_key="mine")
    await client.images.delete(image.id)
    with pytest.raises(UploadError, match="was deleted") as caught:
        await client.images.upload(png(), idempotency_key="mine")
    assert caught.value.image is not None
    assert caught.value.image.id == image.id


async def test_a_record_without_bytes_gets_them(client: AsyncImgwireClient, emulator: Emulator) -> None:
    created = await client.images.create(file_name="upload.png", idempotency_key="key-0")
    journal = Journal()
    assert (await upload_of(client, journal).run()).id == created.image.id
    assert (puts(emulator), len(emulator.images)) == (1, 1)
    assert journal.stored_ids == [created.image.id]


@pytest.mark.parametrize("switches", [{"second_put": "refused"}])
@pytest.mark.parametrize("retries", [0, 3])
async def test_after_a_rejected_put_a_record_with_bytes_counts_as_stored(
    client: AsyncImgwireClient, emulator: Emulator, retries: int
) -> None:
    configured = client.with_options(retries=RetryPolicy(max_retries=retries, backoff=0.01))

    async def upload_in_another_run(_: Image) -> None:
        await upload_of(client, Journal()).run()

    journal = Journal(on_first_record=upload_in_another_run)
    upload = upload_of(configured, journal)
    image = await upload.run()
    assert image.status != ImageStatus.PENDING
    assert (upload.puts, len(emulator.images), journal.keys) == (1, 1, ["key-0"])
    assert journal.stored_ids == [image.id]


@pytest.mark.parametrize("status", [403, 409, 412])
async def test_a_rejected_put_of_a_record_without_bytes_raises(
    quick: AsyncImgwireClient, emulator: Emulator, status: int
) -> None:
    emulator.faults.add("PUT", "/uploads/*", times=None, status=status)
    journal = Journal()
    upload = upload_of(quick, journal)
    with pytest.raises(UploadRejectedError) as caught:
        await upload.run()
    assert caught.value.image is upload.image is not None
    assert journal.stored_ids == []
    assert upload.puts == (2 if status == 403 else 1)
    assert sum(request.method == "GET" for request in emulator.requests) == upload.puts


async def test_a_record_deleted_meanwhile_is_replaced_under_the_next_key(
    quick: AsyncImgwireClient, emulator: Emulator
) -> None:
    journal = Journal(on_first_record=lambda image: quick.images.delete(image.id))
    upload = upload_of(quick, journal)
    image = await upload.run()
    deleted_id = journal.calls[1][1]
    assert journal.keys == ["key-0", "key-1"]
    assert (upload.abandoned, journal.stored_ids) == ([deleted_id], [image.id])
    assert list(emulator.images) == [image.id]


@pytest.mark.parametrize("switches", [{"idempotency": "conflict"}])
async def test_a_used_key_is_replaced_by_the_next_one_once(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    for retries in (0, 3):
        emulator.reset()
        configured = client.with_options(retries=RetryPolicy(max_retries=retries, backoff=0.01))
        await client.images.create(file_name="a.png", idempotency_key="key-0")
        journal = Journal()
        image = await upload_of(configured, journal).run()
        assert (journal.keys, journal.stored_ids) == (["key-0", "key-1"], [image.id])
        journal = Journal()
        with pytest.raises(ConflictError):
            await upload_of(configured, journal).run()
        assert journal.keys == ["key-0", "key-1"]
        assert journal.stored_ids == []


@pytest.mark.parametrize("switches", [{"idempotency": "same_dead_url", "url_lifetime": LIFETIME}])
async def test_a_rejected_url_returned_again_leads_to_the_next_key_once(
    quick: AsyncImgwireClient, emulator: Emulator
) -> None:
    await quick.images.create(file_name="upload.png", idempotency_key="key-0")
    await quick.images.create(file_name="upload.png", idempotency_key="key-1")
    emulator.clock.advance(LIFETIME + 1)
    journal = Journal()
    with pytest.raises(UploadUrlExpiredError):
        await upload_of(quick, journal).run()
    assert journal.keys == ["key-0", "key-1"]
    journal = Journal("other")
    await quick.images.create(file_name="upload.png", idempotency_key="other-0")
    emulator.clock.advance(LIFETIME + 1)
    image = await upload_of(quick, journal).run()
    assert (journal.keys, journal.stored_ids) == (["other-0", "other-1"], [image.id])


@pytest.mark.parametrize("switches", [{"idempotency": "conflict"}])
async def test_the_callers_own_key_is_kept(quick: AsyncImgwireClient, emulator: Emulator) -> None:
    journal = Journal()
    image = await upload_of(quick, journal, idempotency_key="own-key").run()
    assert (journal.keys, journal.stored_ids) == ([], [image.id])
    with pytest.raises(ConflictError):
        await upload_of(quick, journal, idempotency_key="own-key").run()
    assert journal.keys == []


async def test_a_run_that_is_repeated_stores_every_file_once(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    files = [png(width, 1) for width in range(1, 9)]
    # Half of the PUTs fail, as if the first run had been killed.
    emulator.faults.add("PUT", "/uploads/*", times=4, after=4, reset="before")
    once = client.with_options(retries=0)
    for configured in (once, client):
        for number, file in enumerate(files):
            upload = upload_of(configured, Journal(f"file-{number}"), file)
            try:
                await upload.run()
            except Exception:
                assert configured is once
    assert len(emulator.images) == 8
    assert puts(emulator) == 8 + 4
    assert {image.status for image in emulator.images.values()} <= {"PROCESSING", "READY"}


async def test_a_hook_that_fails_ends_the_upload_with_its_own_error(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    class DiskFullError(Exception):
        pass

    for hook in ("next_key", "created", "stored"):
        emulator.reset()

        async def fail(_: object) -> Any:
            raise DiskFullError

        journal = Journal()
        hooks = attrs.evolve(UploadHooks(journal.next_key, journal.created, journal.stored), **{hook: fail})
        upload = Upload(client.images._transport(), checked_item(UploadItem(png())), hooks=hooks)
        with pytest.raises(DiskFullError):
            await upload.run()
        assert len(emulator.images) == (hook != "next_key")
        assert puts(emulator) == (hook == "stored")


async def test_a_hook_that_uploads_itself_fails_if_it_holds_the_only_slot(emulator: Emulator) -> None:
    async with AsyncImgwireClient(
        emulator.api_key,
        base_url=emulator.base_url,
        max_connections=1,
        timeout=Timeouts(stall=0.2),
        retries=0,
    ) as client:
        journal = Journal(on_first_record=lambda _: client.images.upload(png()))
        async with asyncio.timeout(10):
            with pytest.raises(UploadError, match="max_connections"):
                await upload_of(client, journal).run()
