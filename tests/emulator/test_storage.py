"""The storage host, which accepts exactly the request that was signed."""

from __future__ import annotations

import asyncio
import hashlib
import re
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, unquote

import pytest
from yarl import URL

from imgwire_async.emulator import Emulator
from imgwire_async.emulator.bodies import MAXIMUM_WHOLE_BODY

from .raw_client import PNG, RawClient, RawResponse, request_head, send_raw


async def new_upload_url(client: RawClient, **more: Any) -> str:
    url: str = (await client.create(**{"name": "a b~é.png", "mime_type": "image/png", **more}))["upload_url"]
    return url


async def test_the_upload_url_has_characters_that_clients_re_encode(client: RawClient) -> None:
    url = await new_upload_url(client, name="Zoë-1~2 (a+b)/c.png")
    for part in ("%2F", "%7E", "%2B", "+", "%3d", "%C3%A9", "%20", "%2D", "%28"):
        assert part in url
    # The length of a request line is limited.
    assert len(await new_upload_url(client, name="🏔" * 5000)) < 4000


async def test_a_put_with_the_declared_type_and_length_is_accepted(
    client: RawClient, emulator: Emulator
) -> None:
    created = await client.create(mime_type="image/png", content_length=len(PNG))
    response = await client.put(created["upload_url"], PNG)
    assert (response.status, response.body) == (200, b"")
    assert response.headers["ETag"]
    stored = emulator.images[created["image"]["id"]].stored
    assert stored is not None
    assert (stored.data, stored.length, stored.sha256) == (PNG, len(PNG), hashlib.sha256(PNG).hexdigest())
    assert emulator.requests[-1].target == created["upload_url"].removeprefix(emulator.storage_url)
    assert emulator.requests[-1].body_sha256 == stored.sha256


def _requoted(url: str) -> str:
    return quote(unquote(url), safe=":/?&=;@,+~")


@pytest.mark.parametrize(
    "change",
    [
        lambda url: url.replace("%7E", "~"),
        lambda url: url.replace("%3d", "%3D"),
        lambda url: url.replace("+", "%20"),
        lambda url: url.replace("X-Amz-Expires=900", "X-Amz-Expires=901"),
        lambda url: url.replace("a%20b", "a%20c"),
        lambda url: url.replace("&X-Amz-Date", "&x-id=PutObject&X-Amz-Date"),
        lambda url: url.replace("content-type%3B", ""),
        lambda url: re.sub(
            r"Signature=.", lambda match: "Signature=" + ("0" if match[0][-1] != "0" else "1"), url
        ),
        _requoted,
    ],
)
async def test_any_changed_byte_of_the_url_is_rejected(client: RawClient, change: Any) -> None:
    url = await new_upload_url(client)
    assert change(url) != url
    response = await client.put(change(url), PNG)
    assert response.s3_error == (403, "SignatureDoesNotMatch")
    # The unchanged URL still works.
    assert (await client.put(url, PNG)).status == 200


@pytest.mark.parametrize("tail", ["", "?", "?a=b", "?X-Amz-Signature=00", "?a=b&X-Amz-Signature=" + "0" * 64])
async def test_an_unsigned_target_is_rejected(client: RawClient, tail: str) -> None:
    assert (await client.put((await new_upload_url(client)).partition("?")[0] + tail, PNG)).s3_error == (
        403,
        "AccessDenied",
    )


async def test_other_paths_get_a_404(client: RawClient, emulator: Emulator) -> None:
    assert (await client.get(f"{emulator.storage_url}/")).s3_error == (404, "NoSuchKey")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "HEAD", "PATCH", "OPTIONS"])
async def test_an_upload_url_allows_only_put(client: RawClient, method: str) -> None:
    response = await client.get(await new_upload_url(client), method)
    assert (response.status, response.headers["Allow"]) == (405, "PUT")


@pytest.mark.parametrize(
    "content_type", [None, "image/jpeg", "application/octet-stream", "image/png; charset=x"]
)
async def test_the_put_must_have_the_declared_type(client: RawClient, content_type: str | None) -> None:
    assert (await client.put(await new_upload_url(client), PNG, content_type)).s3_error == (
        403,
        "SignatureDoesNotMatch",
    )


async def test_the_put_must_not_have_a_type_if_none_was_declared(client: RawClient) -> None:
    url = await new_upload_url(client, mime_type=None)
    assert (await client.put(url, PNG, "image/png")).s3_error == (403, "SignatureDoesNotMatch")
    assert (await client.put(url, PNG, None)).status == 200


@pytest.mark.parametrize("switches", [{"signed_content_type": False}])
@pytest.mark.parametrize("content_type", [None, "image/png", "text/plain"])
async def test_any_type_is_accepted_if_the_type_is_not_signed(
    client: RawClient, content_type: str | None
) -> None:
    url = await new_upload_url(client)
    assert "content-type" not in url
    assert (await client.put(url, PNG, content_type)).status == 200


@pytest.mark.parametrize("off", [-1, 1])
async def test_the_put_must_have_the_declared_length(client: RawClient, off: int) -> None:
    url = await new_upload_url(client, content_length=len(PNG) + off)
    assert (await client.put(url, PNG)).s3_error == (403, "SignatureDoesNotMatch")


async def test_a_declared_length_of_0_is_signed(client: RawClient) -> None:
    url = await new_upload_url(client, content_length=0)
    assert (await client.put(url, PNG)).status == 403
    assert (await client.put(url, b"")).status == 200


async def test_another_host_name_is_rejected(client: RawClient) -> None:
    url = (await new_upload_url(client)).replace("127.0.0.1", "localhost")
    assert (await client.put(url, PNG)).s3_error == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("Authorization", 400, "InvalidArgument"),
        ("Cookie", 403, "AccessDenied"),
        ("X-Amz-Meta-A", 403, "AccessDenied"),
        ("x-amz-acl", 403, "AccessDenied"),
    ],
)
async def test_unsigned_headers_are_rejected(client: RawClient, name: str, status: int, code: str) -> None:
    assert (await client.put(await new_upload_url(client), PNG, **{name: "x=y"})).s3_error == (status, code)


async def test_a_chunked_body_is_rejected(client: RawClient) -> None:
    origin, head = request_head(
        await new_upload_url(client), "Content-Type: image/png", "Transfer-Encoding: chunked"
    )
    response = await send_raw(origin, head + b"1\r\na\r\n0\r\n\r\n")
    assert response.startswith(b"HTTP/1.1 411 ")
    assert b"<Code>MissingContentLength</Code>" in response


async def test_a_put_without_a_length_is_rejected(client: RawClient) -> None:
    origin, head = request_head(await new_upload_url(client), "Content-Type: image/png")
    assert (await send_raw(origin, head)).startswith(b"HTTP/1.1 411 ")


async def test_a_body_with_content_encoding_is_stored_unchanged(
    client: RawClient, emulator: Emulator
) -> None:
    created = await client.create(mime_type="image/png")
    assert (await client.put(created["upload_url"], PNG, **{"Content-Encoding": "gzip"})).status == 200
    stored = emulator.images[created["image"]["id"]].stored
    assert stored is not None
    assert stored.data == PNG


@pytest.mark.parametrize("switches", [{"second_put": "refused"}])
async def test_100_continue_comes_only_after_the_checks(client: RawClient, emulator: Emulator) -> None:
    url = await new_upload_url(client)
    headers = ("Content-Type: image/png", "Expect: 100-continue")
    origin, head = request_head(url, *headers, length=len(PNG))
    response = await send_raw(origin, head, then=PNG)
    assert response.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")
    async with client.session.put(
        URL(url, encoded=True), data=PNG, headers={"Content-Type": "image/png"}, expect100=True
    ) as used:
        assert used.status == 403
    assert emulator.requests[-1].body_length == 0


async def test_an_incomplete_body_is_not_an_upload(client: RawClient, emulator: Emulator) -> None:
    url = await new_upload_url(client)
    origin, head = request_head(url, "Content-Type: image/png", length=len(PNG))
    host, _, port = origin.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(head + PNG[:20])
    await writer.drain()
    while emulator.requests[-1].method != "PUT":
        await asyncio.sleep(0.001)
    writer.close()
    await writer.wait_closed()
    while emulator.requests[-1].body_length == 0:
        await asyncio.sleep(0.001)
    record = emulator.requests[-1]
    assert (record.status, record.body_length) == (None, 20)
    assert (await client.put(url, PNG)).status == 200


@pytest.mark.parametrize("switches", [{"second_put": "refused"}])
async def test_a_used_url_is_rejected_if_the_switch_says_so(client: RawClient) -> None:
    url = await new_upload_url(client)
    assert (await client.put(url, PNG)).status == 200
    rejected = await client.put(url, PNG)
    assert rejected.s3_error == (403, "AccessDenied")
    assert b"already been used" in rejected.body


async def test_a_second_put_replaces_the_bytes(client: RawClient, emulator: Emulator) -> None:
    created = await client.create()
    for data in (PNG, b"no picture"):
        assert (await client.put(created["upload_url"], data, None)).status == 200
    await client.retrieve(created["image"]["id"])
    assert (await client.retrieve(created["image"]["id"]))["status"] == "QUARANTINE"


@pytest.mark.parametrize("switches", [{"second_put": "refused"}])
async def test_only_one_of_several_concurrent_puts_is_accepted(client: RawClient) -> None:
    url = await new_upload_url(client)
    responses: list[RawResponse] = await asyncio.gather(*(client.put(url, PNG) for _ in range(4)))
    assert sorted(response.status for response in responses) == [200, 403, 403, 403]


async def test_a_put_for_a_deleted_image_gets_a_404(client: RawClient) -> None:
    created = await client.create()
    await client.request("DELETE", f"/images/{created['image']['id']}")
    assert (await client.put(created["upload_url"], PNG, None)).s3_error == (404, "NoSuchKey")


@pytest.mark.parametrize(
    ("switches", "status"),
    [({}, 403), ({"expired_status": 400}, 400), ({"url_lifetime": 1.5, "expired_status": 403}, 403)],
)
async def test_a_url_expires(
    client: RawClient, emulator: Emulator, switches: dict[str, Any], status: int
) -> None:
    lifetime = switches.get("url_lifetime", 900.0)
    url = await new_upload_url(client)
    emulator.clock.advance(lifetime)
    response = await client.put(url, PNG)
    assert response.s3_error == (status, "AccessDenied")
    assert b"<Message>Request has expired</Message>" in response.body
    stamp = re.search(r"X-Amz-Date=(\d{8}T\d{6}Z)", url)
    assert stamp is not None
    delay = parsedate_to_datetime(response.headers["Date"]) - emulator.clock.now()
    assert abs(delay) < timedelta(seconds=5)


@pytest.mark.parametrize("switches", [{"url_lifetime": 0.0}])
async def test_a_url_with_a_lifetime_of_0_is_expired(client: RawClient) -> None:
    assert (await client.put(await new_upload_url(client), PNG)).s3_error == (403, "AccessDenied")


async def test_a_url_works_until_its_expiry(client: RawClient, emulator: Emulator) -> None:
    url = await new_upload_url(client)
    emulator.clock.advance(890)
    assert (await client.put(url, PNG)).status == 200


@pytest.mark.parametrize(
    ("switches", "status", "same_image", "same_url"),
    [
        ({}, 200, True, False),
        ({"idempotency": "same_dead_url"}, 200, True, True),
        ({"idempotency": "ignored"}, 200, False, False),
        ({"idempotency": "conflict"}, 409, None, None),
    ],
)
async def test_a_repeated_idempotency_key_gets_the_response_of_the_switch(
    client: RawClient, status: int, same_image: bool | None, same_url: bool | None
) -> None:
    first = await client.create(idempotency_key="k")
    again = await client.request(
        "POST", "/images/standard_upload", json={"file_name": "a.png", "idempotency_key": "k"}
    )
    assert again.status == status
    if status == 409:
        assert again.api_error == (409, "ConflictError")
        return
    assert (again.json["image"]["id"] == first["image"]["id"]) is same_image
    assert (again.json["upload_url"] == first["upload_url"]) is same_url
    assert (await client.put(again.json["upload_url"], PNG, None)).status == 200


async def test_a_repeat_after_the_upload_gets_a_url_that_accepts_the_bytes_again(client: RawClient) -> None:
    first = await client.create(idempotency_key="k")
    assert (await client.put(first["upload_url"], PNG, None)).status == 200
    # The vendor's SDKs then send the bytes again.
    again = await client.create(idempotency_key="k")
    assert (again["image"]["id"], again["upload_url"]) == (first["image"]["id"], first["upload_url"])
    assert (await client.put(again["upload_url"], PNG, None)).status == 200
    assert (await client.retrieve(first["image"]["id"]))["status"] == "PROCESSING"
    assert (await client.retrieve(first["image"]["id"]))["status"] == "READY"


@pytest.mark.parametrize("switches", [{"second_put": "refused"}])
async def test_a_repeat_after_the_upload_gets_the_last_url(client: RawClient) -> None:
    first = await client.create(idempotency_key="k")
    fresh = await client.create(idempotency_key="k")
    assert (await client.put(first["upload_url"], PNG, None)).status == 200
    assert (await client.put(fresh["upload_url"], PNG, None)).s3_error == (403, "AccessDenied")
    again = await client.create(idempotency_key="k")
    assert (again["image"]["status"], again["upload_url"]) == ("PROCESSING", fresh["upload_url"])


async def test_the_idempotency_key_of_a_deleted_image_can_be_reused(client: RawClient) -> None:
    first = await client.create(idempotency_key="k")
    await client.request("DELETE", f"/images/{first['image']['id']}")
    assert (await client.create(idempotency_key="k"))["image"]["id"] != first["image"]["id"]


@pytest.mark.parametrize(
    "switches", [{"deleted_keys": "remembered", "idempotency": mode} for mode in ("same", "same_dead_url")]
)
@pytest.mark.parametrize("is_stored", [False, True])
async def test_a_remembered_key_returns_the_deleted_record(client: RawClient, is_stored: bool) -> None:
    first = await client.create(idempotency_key="k")
    if is_stored:
        assert (await client.put(first["upload_url"], PNG, None)).status == 200
    await client.request("DELETE", f"/images/{first['image']['id']}")
    again = await client.create(idempotency_key="k")
    assert again["image"]["id"] == first["image"]["id"]
    assert again["image"]["deleted_at"] is not None
    assert (await client.put(again["upload_url"], PNG, None)).s3_error == (404, "NoSuchKey")
    assert (await client.request("GET", f"/images/{first['image']['id']}")).status == 404


@pytest.mark.parametrize("switches", [{"deleted_keys": "remembered", "idempotency": "conflict"}])
async def test_a_remembered_key_is_a_conflict_if_the_other_switch_says_so(client: RawClient) -> None:
    first = await client.create(idempotency_key="k")
    await client.request("DELETE", f"/images/{first['image']['id']}")
    body = {"file_name": "a.png", "idempotency_key": "k"}
    again = await client.request("POST", "/images/standard_upload", json=body)
    assert again.api_error == (409, "ConflictError")


async def test_the_start_and_end_of_a_large_body_are_kept(client: RawClient, emulator: Emulator) -> None:
    data = PNG[:33] + bytes(MAXIMUM_WHOLE_BODY) + PNG[-12:]
    created = await client.create()

    async def chunks() -> Any:
        for at in range(0, len(data), 2**20):
            yield data[at : at + 2**20]

    response = await client.put(created["upload_url"], chunks(), None, **{"Content-Length": str(len(data))})  # type: ignore[arg-type]
    assert response.status == 200
    stored = emulator.images[created["image"]["id"]].stored
    assert stored is not None
    assert (stored.data, stored.length, stored.sha256) == (None, len(data), hashlib.sha256(data).hexdigest())
    assert (stored.head, stored.tail) == (data[: 2**20], data[-(2**16) :])
    await client.retrieve(created["image"]["id"])
    image = await client.retrieve(created["image"]["id"])
    # The bytes between start and end are a chunk of length 0, so the picture is broken.
    assert (image["status"], image["width"], image["size_bytes"]) == (
        "QUARANTINE",
        0,
        len(data),
    )


async def test_bodies_are_not_kept_if_keep_bodies_is_false(client: RawClient, emulator: Emulator) -> None:
    emulator.keep_bodies = False
    image = await client.upload()
    assert (image["status"], image["width"]) == ("READY", 3)
    assert emulator.images[image["id"]].stored == emulator.images[image["id"]].stored
    assert emulator.images[image["id"]].stored.data is None  # type: ignore[union-attr]
    assert (await client.get(image["cdn_url"])).status == 404
    assert emulator.keep_bodies is False
