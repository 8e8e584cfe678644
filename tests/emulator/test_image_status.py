"""The status of an image: when it changes, and why an image ends in QUARANTINE."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from imgwire_async.emulator import Emulator

from .raw_client import GIF, PNG, RawClient

SHARED = Path(__file__).parents[2].parent / "shared" / "pictures"


async def upload_picture(client: RawClient, data: bytes = PNG, **more: Any) -> str:
    created = await client.create(**more)
    assert (await client.put(created["upload_url"], data, more.get("mime_type"))).status == 200
    image_id: str = created["image"]["id"]
    return image_id


async def retrieve_statuses(client: RawClient, image_id: str, count: int) -> list[str]:
    return [(await client.retrieve(image_id))["status"] for _ in range(count)]


async def test_retrieving_a_pending_image_does_not_change_it(client: RawClient) -> None:
    created = await client.create()
    assert await retrieve_statuses(client, created["image"]["id"], 3) == ["PENDING"] * 3


@pytest.mark.parametrize(
    ("switches", "statuses"),
    [
        ({}, ["PROCESSING", "READY", "READY"]),
        ({"ready_polls": 0}, ["READY", "READY", "READY"]),
        ({"ready_polls": 2}, ["PROCESSING", "PROCESSING", "READY"]),
        ({"ready_after": 60}, ["PROCESSING", "PROCESSING", "PROCESSING"]),
    ],
)
async def test_an_image_is_ready_after_ready_polls_retrieves(client: RawClient, statuses: list[str]) -> None:
    assert await retrieve_statuses(client, await upload_picture(client), 3) == statuses


@pytest.mark.parametrize("switches", [{"ready_after": 60, "ready_polls": 1}])
async def test_ready_needs_both_the_time_and_the_retrieves(client: RawClient, emulator: Emulator) -> None:
    image_id = await upload_picture(client)
    emulator.clock.advance(60)
    assert await retrieve_statuses(client, image_id, 2) == ["PROCESSING", "READY"]


@pytest.mark.parametrize("switches", [{"ready_after": 60, "ready_polls": 0}])
async def test_the_time_of_ready_does_not_depend_on_the_first_retrieve(
    client: RawClient, emulator: Emulator
) -> None:
    image_id = await upload_picture(client)
    assert emulator.images[image_id].status == "PROCESSING"
    emulator.clock.advance(600)
    image = await client.retrieve(image_id)
    record = emulator.images[image_id]
    assert record.stored_at is not None
    assert record.ready_at is not None
    assert (record.ready_at - record.stored_at).total_seconds() == 60
    assert image["processed_metadata_at"] == image["updated_at"]


async def test_lists_and_emulator_images_do_not_count_as_polls(client: RawClient, emulator: Emulator) -> None:
    image_id = await upload_picture(client)
    for _ in range(3):
        assert [image["status"] for image in (await client.request("GET", "/images/")).json] == ["PROCESSING"]
        assert emulator.images[image_id].polls == 0
    assert await retrieve_statuses(client, image_id, 1) == ["PROCESSING"]
    assert [image["status"] for image in (await client.request("GET", "/images/")).json] == ["READY"]


@pytest.mark.parametrize("switches", [{"null_sizes_while_pending": True, "ready_polls": 1}])
async def test_sizes_are_null_until_the_end_if_the_switch_says_so(client: RawClient) -> None:
    response = await client.request(
        "POST", "/images/standard_upload", json={"file_name": "a.png"}, lenient=True
    )
    image_id = response.json["image"]["id"]
    assert (await client.put(response.json["upload_url"], PNG, None)).status == 200
    images = [(await client.request("GET", f"/images/{image_id}", lenient=True)).json for _ in range(2)]
    sizes = [
        [image[name] for name in ("width", "height", "size_bytes")]
        for image in (response.json["image"], *images)
    ]
    assert sizes == [[None] * 3, [None] * 3, [3, 2, len(PNG)]]


@pytest.mark.parametrize(
    ("data", "mime_type", "why"),
    [
        (b"", None, "empty"),
        (b"hello", None, "not a picture"),
        (PNG[:-12], "image/png", "ends early"),
        (PNG.replace(b"\0\0\0\3\0\0\0\2", b"\0\1\0\0\0\0\x0f\0"), "image/png", "250 megapixels"),
        (GIF, "image/png", "declared image/png, the bytes are image/gif"),
    ],
)
async def test_broken_bytes_end_in_quarantine(
    client: RawClient, emulator: Emulator, data: bytes, mime_type: str | None, why: str
) -> None:
    image_id = await upload_picture(client, data, **({"mime_type": mime_type} if mime_type else {}))
    assert await retrieve_statuses(client, image_id, 2) == ["PROCESSING", "QUARANTINE"]
    image = await client.retrieve(image_id)
    assert (image["width"], image["size_bytes"], image["processed_metadata_at"]) == (0, len(data), None)
    assert why in str(emulator.images[image_id].reason)
    assert (await client.get(image["cdn_url"])).status == 404


async def test_the_bytes_decide_the_type_if_none_was_declared(client: RawClient) -> None:
    image = await client.upload(GIF, "wrong.png", None)
    assert (image["status"], image["mime_type"], image["extension"]) == ("READY", "image/gif", "gif")


PICTURES = json.loads((SHARED / "manifest.json").read_text()) if SHARED.exists() else []


@pytest.mark.skipif(not PICTURES, reason="the folder with the shared pictures is missing")
@pytest.mark.parametrize("switches", [{"ready_polls": 0}])
async def test_real_pictures_end_with_the_status_in_their_manifest(
    client: RawClient, emulator: Emulator
) -> None:
    for picture in PICTURES:
        data = (SHARED / picture["name"]).read_bytes()
        name = Path(picture["name"]).name
        created = await client.create(
            name, **({"mime_type": picture["mime_type"]} if picture["mime_type"] else {})
        )
        assert (await client.put(created["upload_url"], data, picture["mime_type"])).status == 200
        image = await client.retrieve(created["image"]["id"])
        record = emulator.images[image["id"]]
        assert record.stored is not None
        assert record.stored.sha256 == picture["sha256"]
        if picture["decodes"]:
            fields = (
                image["status"],
                image["mime_type"],
                image["width"],
                image["height"],
                image["size_bytes"],
            )
            assert fields == (
                "READY",
                *(picture[key] for key in ("mime_type", "width", "height", "size_bytes")),
            ), name
            assert (await client.get(image["cdn_url"])).body == data
        else:
            assert (image["status"], bool(record.reason)) == ("QUARANTINE", True), name
