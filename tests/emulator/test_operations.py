"""The responses and errors of the 20 operations."""

from __future__ import annotations

import json

import pytest

from imgwire_async.emulator import Emulator
from imgwire_async.emulator.routes import OPERATIONS, PREFIX

from .raw_client import PNG, UNKNOWN_ID, RawClient
from .schema import DOCUMENT


def test_the_route_table_has_exactly_the_operations_of_the_contract() -> None:
    contract = {
        (method.upper(), path): operation["x-codegen-sdk-auth"] == "server_or_client_key"
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    }
    assert {
        (operation.method, PREFIX + operation.path): operation.allows_client_key for operation in OPERATIONS
    } == contract
    assert len({operation.name for operation in OPERATIONS}) == len(contract) == 20


async def test_create_returns_the_pending_image(client: RawClient) -> None:
    metadata = {"text": "é", "integer": 1, "fraction": 0.5, "boolean": True}
    created = await client.create(
        "Été à la plage.JPG",
        mime_type="image/jpeg",
        content_length=12,
        hash_sha256="ab",
        idempotency_key="k",
        purpose="p",
        custom_metadata=metadata,
    )
    image = created["image"]
    assert (image["status"], image["can_upload"], image["width"], image["size_bytes"]) == (
        "PENDING",
        True,
        0,
        0,
    )
    assert (image["original_filename"], image["extension"]) == ("Été à la plage.JPG", "jpg")
    assert (image["hash_sha256"], image["idempotency_key"], image["purpose"]) == ("ab", "k", "p")
    assert image["custom_metadata"] == metadata
    assert created["upload_url"].startswith(f"{client.emulator.storage_url}/uploads/{image['id']}/")


@pytest.mark.parametrize(
    ("name", "mime_type", "extension"),
    [
        ("a.tiff", "image/tiff", "tiff"),
        ("a.xyz", "image/jpeg", "xyz"),
        ("a", "image/jpeg", "jpg"),
        ("a.ICO", "image/vnd.microsoft.icon", "ico"),
    ],
)
async def test_an_undeclared_type_comes_from_the_file_name(
    client: RawClient, name: str, mime_type: str, extension: str
) -> None:
    image = (await client.create(name, mime_type=None, content_length=None, purpose=None))["image"]
    assert (image["mime_type"], image["extension"]) == (mime_type, extension)


async def test_a_ready_image_has_the_size_of_its_bytes(client: RawClient) -> None:
    image = await client.upload(PNG, "a.png", "image/png")
    assert (image["status"], image["width"], image["height"], image["size_bytes"]) == (
        "READY",
        3,
        2,
        len(PNG),
    )
    assert image["processed_metadata_at"] is not None
    assert image["is_directly_deliverable"]
    assert not image["can_upload"]


async def test_images_are_listed_in_pages_newest_first(client: RawClient) -> None:
    created = [(await client.create(f"{n}.png"))["image"]["id"] for n in range(5)]
    pages = [await client.request("GET", f"/images/?page={n}&limit=2") for n in (1, 2, 3, 4)]
    assert [image["id"] for page in pages for image in page.json] == created[::-1]
    pagination = [
        (page.headers["X-Page"], page.headers["X-Prev-Page"], page.headers["X-Next-Page"]) for page in pages
    ]
    assert pagination == [("1", "null", "2"), ("2", "1", "3"), ("3", "2", "null"), ("4", "3", "null")]
    assert {(page.headers["X-Total-Count"], page.headers["X-Limit"]) for page in pages} == {("5", "2")}


@pytest.mark.parametrize("switches", [{"list_order": "updated", "ready_after": 60, "ready_polls": 0}])
async def test_images_are_listed_by_their_last_change_if_the_switch_says_so(client: RawClient) -> None:
    a, b, c = [await client.create(f"{name}.png") for name in "abc"]
    assert await listed(client) == [item["image"]["id"] for item in (c, b, a)]
    assert (await client.put(a["upload_url"], PNG, None)).status == 200
    assert await listed(client) == [item["image"]["id"] for item in (a, c, b)]
    client.emulator.clock.advance(30)
    assert (await client.put(b["upload_url"], PNG, None)).status == 200
    client.emulator.clock.advance(40)
    # `a` has become READY by itself, after the PUT of `b`.
    assert await listed(client) == [item["image"]["id"] for item in (a, b, c)]


@pytest.mark.parametrize("switches", [{"list_order": "id"}])
async def test_images_are_listed_by_id_if_the_switch_says_so(client: RawClient) -> None:
    created = [(await client.create())["image"]["id"] for _ in range(5)]
    assert await listed(client) == sorted(created)


async def listed(client: RawClient) -> list[str]:
    return [
        image["id"]
        for page in (1, 2, 3)
        for image in (await client.request("GET", f"/images/?page={page}&limit=2")).json
    ]


async def test_an_empty_list_has_no_other_pages(client: RawClient) -> None:
    response = await client.request("GET", "/images/")
    assert response.json == []
    names = ("X-Total-Count", "X-Page", "X-Limit", "X-Prev-Page", "X-Next-Page")
    assert [response.headers[name] for name in names] == ["0", "1", "20", "null", "null"]


async def test_a_deleted_image_is_gone_everywhere(client: RawClient) -> None:
    image = await client.upload()
    assert (await client.request("DELETE", f"/images/{image['id']}")).json["id"] == image["id"]
    assert (await client.request("GET", f"/images/{image['id']}")).api_error == (404, "ResourceNotFoundError")
    assert (await client.request("DELETE", f"/images/{image['id']}")).api_error == (
        404,
        "ResourceNotFoundError",
    )
    assert (await client.request("GET", "/images/")).json == []
    assert (await client.get(image["cdn_url"])).status == 404
    assert image["id"] not in client.emulator.images


async def test_bulk_delete_deletes_all_images_or_none(client: RawClient) -> None:
    ids = [(await client.create())["image"]["id"] for _ in range(3)]
    rejected = await client.request("POST", "/images/bulk_delete", json={"image_ids": [ids[0], UNKNOWN_ID]})
    assert rejected.api_error == (404, "ResourceNotFoundError")
    done = await client.request(
        "POST", "/images/bulk_delete", json={"image_ids": [ids[0], ids[1].upper(), ids[0]]}
    )
    assert done.json == {"detail": "2 images deleted."}
    assert list(client.emulator.images) == [ids[2]]


async def test_upload_by_url_fetches_the_picture_from_emulator_urls(client: RawClient) -> None:
    client.emulator.urls["https://example.com/pics/a%20b.png?x=1"] = PNG
    body = {"url": "https://example.com/pics/a%20b.png?x=1", "custom_metadata": {"a": 1}, "purpose": "p"}
    image = (await client.request("POST", "/images/upload_via_url", json=body)).json
    assert (image["status"], image["original_filename"], image["purpose"]) == ("PROCESSING", "a b.png", "p")
    await client.retrieve(image["id"])
    assert (await client.retrieve(image["id"]))["status"] == "READY"


async def test_upload_by_url_fetches_ready_images_from_the_cdn(client: RawClient) -> None:
    image = await client.upload()
    copy = (
        await client.request(
            "POST", "/images/upload_via_url", json={"url": f"{image['cdn_url']}@small", "file_name": "c.png"}
        )
    ).json
    assert client.emulator.images[copy["id"]].stored == client.emulator.images[image["id"]].stored
    pending = (await client.create())["image"]["cdn_url"]
    assert (await client.request("POST", "/images/upload_via_url", json={"url": pending})).api_error == (
        422,
        "InvalidUrlError",
    )


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://example.com/unknown.png", "cannot be fetched"),
        ("http://127.0.0.1:1/a.png", "is not public"),
        ("http://[::1]/a.png", "is not public"),
        ("http://10.0.0.1/a.png", "is not public"),
        ("http://localhost/a.png", "is not public"),
        ("http://printer/a.png", "is not public"),
        ("http://box.local/a.png", "is not public"),
        ("http://8.8.8.8/a.png", "cannot be fetched"),
    ],
)
async def test_upload_by_url_rejects_urls_that_it_cannot_fetch(
    client: RawClient, url: str, reason: str
) -> None:
    response = await client.request("POST", "/images/upload_via_url", json={"url": url})
    assert response.api_error == (422, "InvalidUrlError")
    assert reason in response.json["detail"]


@pytest.mark.parametrize("switches", [{"second_put": "refused"}])
async def test_upload_by_url_returns_the_same_image_for_the_same_idempotency_key(client: RawClient) -> None:
    client.emulator.urls["https://example.com/"] = PNG
    body = {"url": "https://example.com/", "idempotency_key": "k"}
    first, second = [
        (await client.request("POST", "/images/upload_via_url", json=body)).json for _ in range(2)
    ]
    assert first["id"] == second["id"]
    assert first["original_filename"] == "upload"
    # `images.create` with the same key returns this image, which never had an upload URL.
    again = await client.create("other.png", idempotency_key="k")
    assert again["image"]["id"] == first["id"]
    assert (await client.put(again["upload_url"], PNG, None)).s3_error == (403, "AccessDenied")


@pytest.mark.parametrize("switches", [{"fetch_after": 30, "ready_polls": 0, "list_order": "updated"}])
async def test_an_upload_by_url_is_pending_until_the_picture_was_fetched(
    client: RawClient, emulator: Emulator
) -> None:
    emulator.urls["https://example.com/a.png"] = PNG
    image_ids = [
        (
            await client.request(
                "POST", "/images/upload_via_url", json={"url": f"https://example.com/{name}.png"}
            )
        ).json["id"]
        for name in ("a", "missing")
    ]
    assert [emulator.images[image_id].status for image_id in image_ids] == ["PENDING", "PENDING"]
    emulator.clock.advance(30)
    listed = (await client.request("GET", "/images/")).json
    statuses = {image["id"]: image["status"] for image in listed}
    assert [statuses[image_id] for image_id in image_ids] == ["READY", "PENDING"]


async def test_upload_by_url_rejects_more_than_100_mib(client: RawClient) -> None:
    client.emulator.urls["https://example.com/big.png"] = bytes(100 * 2**20 + 1)
    response = await client.request(
        "POST", "/images/upload_via_url", json={"url": "https://example.com/big.png"}
    )
    assert response.api_error == (422, "InvalidUrlError")


async def test_cors_origins_can_be_created_changed_and_deleted(client: RawClient) -> None:
    created = [
        (await client.request("POST", "/cors_origins/", json={"pattern": f"{n}.example.com"})).json
        for n in range(3)
    ]
    page = await client.request("GET", "/cors_origins/?limit=2")
    assert [origin["id"] for origin in page.json] == [created[2]["id"], created[1]["id"]]
    assert page.headers["X-Next-Page"] == "2"
    path = f"/cors_origins/{created[0]['id']}"
    assert (await client.request("PATCH", path, json={"pattern": "*.example.org"})).json[
        "pattern"
    ] == "*.example.org"
    assert (await client.request("GET", path)).json["pattern"] == "*.example.org"
    assert (await client.request("DELETE", path)).json["id"] == created[0]["id"]
    for method in ("GET", "PATCH", "DELETE"):
        assert (await client.request(method, path, json={"pattern": "x"})).api_error == (
            404,
            "ResourceNotFoundError",
        )


async def test_a_custom_domain_connects_after_two_tests(client: RawClient) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "test_connection")):
        assert (await client.request(method, f"/custom_domain/{path}")).api_error == (
            404,
            "ResourceNotFoundError",
        )
    created = (await client.request("POST", "/custom_domain/", json={"hostname": "Images.Example.com"})).json
    assert (created["hostname"], created["status"], created["certificate_status"]) == (
        "images.example.com",
        "PENDING",
        "PENDING",
    )
    assert created["dcv_cname_record"].startswith("_acme-challenge.images")
    domains = [(await client.request("POST", "/custom_domain/test_connection")).json for _ in range(3)]
    assert [(domain["status"], domain["certificate_status"]) for domain in domains] == [
        ("PENDING", "PENDING"), ("CONNECTED", "PENDING"), ("CONNECTED", "ACTIVE"),
    ]  # fmt: skip
    assert [domain["last_verified_at"] is None for domain in domains] == [True, False, False]
    assert (await client.request("GET", "/custom_domain/")).json == domains[-1]
    assert (await client.request("DELETE", "/custom_domain/")).json["id"] == created["id"]
    assert (await client.request("GET", "/custom_domain/")).status == 404


async def test_a_second_domain_and_a_claimed_host_name_get_a_409(
    client: RawClient, emulator: Emulator
) -> None:
    emulator.claimed_hostnames.add("taken.example.com")
    emulator.domain_polls = 1
    assert (
        await client.request("POST", "/custom_domain/", json={"hostname": "taken.example.com"})
    ).api_error == (
        409,
        "ConflictError",
    )
    assert (await client.request("POST", "/custom_domain/", json={"hostname": "a.example.com"})).status == 200
    assert (
        await client.request("POST", "/custom_domain/", json={"hostname": "b.example.com"})
    ).api_error == (
        409,
        "ConflictError",
    )
    assert (await client.request("POST", "/custom_domain/test_connection")).json["status"] == "CONNECTED"
    assert emulator.domain_polls == 1


async def test_creating_an_upload_token_returns_its_secret(client: RawClient) -> None:
    token = (await client.request("POST", "/images/token")).json
    assert token["used_at"] is None
    assert token["environment_id"] == client.emulator.environment_id
    assert token["token"]


async def test_responses_are_json_in_utf8(client: RawClient) -> None:
    response = await client.request("POST", "/images/standard_upload", json={"file_name": "é.png"})
    assert "é.png".encode() in response.body
    assert response.headers["Content-Type"] == "application/json"
    assert json.loads(response.body)
