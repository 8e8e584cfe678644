"""Permissions: keys, upload tokens, the limits of the client key, the environment header."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from attrs import evolve

from imgwire_async.emulator import ClientLimits, Emulator
from imgwire_async.emulator.routes import OPERATIONS

from .raw_client import PNG, UNKNOWN_ID, RawClient, send_raw

SERVER_ONLY = [
    (operation.method, operation.path) for operation in OPERATIONS if not operation.allows_client_key
]


@pytest.mark.parametrize("key", [None, "wrong", "sk_", ""])
async def test_an_unknown_key_is_rejected_before_all_other_checks(client: RawClient, key: str | None) -> None:
    response = await client.request("POST", "/images/standard_upload", key=key, data=b"no json")
    assert response.api_error == (401, "InvalidTokenError")
    assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_a_key_in_another_scheme_or_sent_twice_is_rejected(
    client: RawClient, emulator: Emulator
) -> None:
    basic = {"Authorization": f"Basic {emulator.api_key}"}
    assert (await client.request("GET", "/images/", key=None, headers=basic)).status == 401
    line = f"Authorization: Bearer {emulator.api_key}\r\n"
    for times, status in ((1, b"200"), (2, b"401")):
        head = f"GET /api/v1/images/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{line * times}\r\n"
        response = await send_raw(emulator.base_url, head.encode())
        assert response.split()[1] in {status, b"400"} if times == 2 else response.split()[1] == status


async def test_a_rotated_key_replaces_the_old_one_for_the_same_images(
    client: RawClient, emulator: Emulator
) -> None:
    created = await client.create()
    old, emulator.api_key = emulator.api_key, "sk_new"
    assert (await client.request("GET", "/images/", key=old)).api_error == (401, "InvalidTokenError")
    assert (await client.put(created["upload_url"], PNG, None)).status == 200
    assert [image["id"] for image in (await client.request("GET", "/images/")).json] == [
        created["image"]["id"]
    ]
    with pytest.raises(ValueError, match="client_key"):
        emulator.api_key = emulator.client_key
    emulator.reset()
    assert emulator.api_key == "sk_new"


@pytest.mark.parametrize(("method", "path"), SERVER_ONLY)
async def test_a_client_key_may_not_use_server_operations(client: RawClient, method: str, path: str) -> None:
    for name in ("image_id", "image_download_job_id", "cors_origin_id"):
        path = path.replace(f"{{{name}}}", UNKNOWN_ID)
    assert (await client.request(method, path, key="client")).api_error == (403, "OperationNotAllowedError")


async def test_a_client_key_can_retrieve_an_image(client: RawClient) -> None:
    image = (await client.create())["image"]
    assert (await client.request("GET", f"/images/{image['id']}", key="client")).json["id"] == image["id"]


async def create(client: RawClient, token: str | None = None, **body: Any) -> Any:
    query = "" if token is None else f"?upload_token={token}"
    return await client.request(
        "POST", f"/images/standard_upload{query}", key="client", json={"file_name": "a.png", **body}
    )


async def new_token(client: RawClient) -> Any:
    return (await client.request("POST", "/images/token")).json


async def test_a_client_key_needs_an_upload_token(client: RawClient) -> None:
    assert (await create(client)).api_error == (403, "OperationNotAllowedError")
    token = await new_token(client)
    created = await create(client, token["token"])
    assert created.json["image"]["upload_token_id"] == token["id"]


async def test_an_upload_token_works_once(client: RawClient) -> None:
    token = (await new_token(client))["token"]
    assert (await create(client, token)).status == 200
    assert (await create(client, token)).api_error == (401, "InvalidTokenError")


async def test_an_upload_token_expires(client: RawClient, emulator: Emulator) -> None:
    token = (await new_token(client))["token"]
    emulator.clock.advance(900)
    assert (await create(client, token)).api_error == (401, "InvalidTokenError")
    assert (await create(client, "unknown")).api_error == (401, "InvalidTokenError")


async def test_a_rejected_create_does_not_use_up_the_token(client: RawClient) -> None:
    token = (await new_token(client))["token"]
    assert (await create(client, token, content_length=52_428_801)).api_error == (
        403,
        "OperationNotAllowedError",
    )
    assert (await create(client, token, file_name="")).status == 422
    assert (await create(client, token, content_length=52_428_800)).status == 200


async def test_client_limits_can_allow_uploads_without_a_token(client: RawClient, emulator: Emulator) -> None:
    emulator.client_limits = evolve(emulator.client_limits, allow_unsigned_upload=True)
    assert (await create(client)).status == 200


async def test_client_limits_can_allow_some_types_only(client: RawClient, emulator: Emulator) -> None:
    emulator.client_limits = ClientLimits(
        allowed_mime_types=frozenset({"image/png"}), allow_unsigned_upload=True
    )
    # The type comes from the file name.
    assert (await create(client)).status == 200
    assert (await create(client, mime_type="image/jpeg")).api_error == (403, "OperationNotAllowedError")
    assert (await create(client, file_name="a")).api_error == (403, "OperationNotAllowedError")


async def test_the_pending_uploads_of_a_client_key_are_limited(client: RawClient, emulator: Emulator) -> None:
    emulator.client_limits = ClientLimits(maximum_pending_uploads=5, allow_unsigned_upload=True)
    created = [(await create(client)).json for _ in range(5)]
    assert (await create(client)).api_error == (402, "PaymentRequiredError")
    # The server key has no such limit.
    assert (await client.create())["image"]["status"] == "PENDING"
    assert (await client.put(created[0]["upload_url"], PNG, None)).status == 200
    assert (await create(client)).status == 200
    assert (await create(client)).status == 402
    await client.request("DELETE", f"/images/{created[1]['image']['id']}")
    assert (await create(client, idempotency_key="k")).status == 200
    # A repeated key does not create an image.
    assert (await create(client, idempotency_key="k")).status == 200


async def test_the_environment_header_must_match_the_key(client: RawClient, emulator: Emulator) -> None:
    async def named(value: str) -> Any:
        return await client.request("GET", "/images/", headers={"X-Environment-Id": value})

    assert (await named(emulator.environment_id)).status == 200
    assert (await named(UNKNOWN_ID)).api_error == (403, "ResourceNotAuthorizedError")
    rejected = await named("mine")
    assert (rejected.status, rejected.json["detail"][0]["loc"]) == (422, ["header", "x-environment-id"])


async def test_an_upload_token_that_expires_before_the_body_arrives_is_rejected(
    client: RawClient, emulator: Emulator
) -> None:
    token = (await new_token(client))["token"]
    host, _, port = emulator.base_url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = b'{"file_name": "a.png"}'
    head = (
        f"POST /api/v1/images/standard_upload?upload_token={token} HTTP/1.1\r\nHost: {host}:{port}\r\n"
        f"Authorization: Bearer {emulator.client_key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
    )
    try:
        writer.write(head.encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        emulator.clock.advance(86_400)
        writer.write(body)
        response = await reader.read()
    finally:
        writer.close()
    assert response.startswith(b"HTTP/1.1 401 ")
    assert b"InvalidTokenError" in response
