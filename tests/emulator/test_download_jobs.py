"""Download jobs and their archives."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from imgwire_async.emulator import Emulator

from .raw_client import GIF, PNG, UNKNOWN_ID, RawClient


async def create_job(client: RawClient, ids: list[str]) -> Any:
    response = await client.request("POST", "/images/downloads", json={"image_ids": ids})
    assert response.status == 200
    return response.json


async def retrieve_job(client: RawClient, job: Any) -> Any:
    return (await client.request("GET", f"/images/downloads/{job['id']}")).json


async def test_a_download_job_ends_with_an_archive_of_ready_images(client: RawClient) -> None:
    names = ["a.png", "A.png", "../evil/a.png", "c:\\x\\b.gif", "a.png", "/"]
    images = [await client.upload(GIF if name.endswith("gif") else PNG, name, None) for name in names]
    pending = (await client.create("late.png"))["image"]["id"]
    created = await create_job(client, [*(image["id"] for image in images), pending])
    assert (created["status"], created["download_url"]) == ("PENDING", None)
    first, second = await retrieve_job(client, created), await retrieve_job(client, created)
    assert [first["status"], first["download_url"], second["status"]] == ["PROCESSING", None, "READY"]
    response = await client.get(second["download_url"])
    assert (response.status, response.headers["Content-Type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(response.body)) as archive:
        assert archive.namelist() == ["a.png", "A (2).png", "a (3).png", "b.gif", "a (4).png", "image"]
        assert [archive.read(name) for name in archive.namelist()] == [PNG, PNG, PNG, GIF, PNG, PNG]


async def test_an_archive_url_is_signed_and_expires_and_is_replaced(
    client: RawClient, emulator: Emulator
) -> None:
    emulator.download_polls = 1
    created = await create_job(client, [(await client.upload())["id"]])
    url = (await retrieve_job(client, created))["download_url"]
    assert url.startswith(f"{emulator.storage_url}/archives/")
    assert (await client.get(url.replace("%7E", "~"))).s3_error == (403, "SignatureDoesNotMatch")
    assert (await client.get(url, "PUT")).s3_error == (405, "MethodNotAllowed")
    assert (await client.get(url)).status == (await client.get(url)).status == 200
    emulator.clock.advance(900)
    assert (await client.get(url)).s3_error == (403, "AccessDenied")
    fresh = (await retrieve_job(client, created))["download_url"]
    assert fresh != url
    assert (await client.get(fresh)).status == 200
    emulator._state.store.jobs.clear()
    assert (await client.get(fresh)).s3_error == (404, "NoSuchKey")


async def test_a_job_without_a_ready_image_fails(client: RawClient) -> None:
    created = await create_job(client, [(await client.create())["image"]["id"]])
    assert [(await retrieve_job(client, created))["status"] for _ in range(3)] == [
        "PROCESSING",
        "FAILED",
        "FAILED",
    ]
    assert (await retrieve_job(client, created))["download_url"] is None


async def test_a_job_with_an_unknown_id_gets_a_404(client: RawClient) -> None:
    response = await client.request("POST", "/images/downloads", json={"image_ids": [UNKNOWN_ID]})
    assert response.api_error == (404, "ResourceNotFoundError")
    assert (await client.request("GET", f"/images/downloads/{UNKNOWN_ID}")).api_error == (
        404,
        "ResourceNotFoundError",
    )
