"""The storage host believes nothing but the signature."""

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

from .asking import PNG, Asker, Reply, put_head, raw


async def made_url(ask: Asker, **more: Any) -> str:
    url: str = (await ask.create(**{"name": "a b~é.png", "mime_type": "image/png", **more}))["upload_url"]
    return url


async def test_the_url_holds_what_careless_clients_rewrite(ask: Asker) -> None:
    url = await made_url(ask, name="Zoë-1~2 (a+b)/c.png")
    for piece in ("%2F", "%7E", "%2B", "+", "%3d", "%C3%A9", "%20", "%2D", "%28"):
        assert piece in url
    assert len(await made_url(ask, name="🏔" * 5000)) < 4000  # request lines have an end


async def test_a_put_as_declared_is_taken(ask: Asker, emulator: Emulator) -> None:
    made = await ask.create(mime_type="image/png", content_length=len(PNG))
    reply = await ask.put(made["upload_url"], PNG)
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["ETag"]
    stored = emulator.images[made["image"]["id"]].stored
    assert stored is not None
    assert (stored.data, stored.length, stored.sha256) == (PNG, len(PNG), hashlib.sha256(PNG).hexdigest())
    assert emulator.requests[-1].target == made["upload_url"].removeprefix(emulator.storage_url)
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
            r"Signature=.", lambda found: "Signature=" + ("0" if found[0][-1] != "0" else "1"), url
        ),
        _requoted,
    ],
)
async def test_any_changed_byte_is_refused(ask: Asker, change: Any) -> None:
    url = await made_url(ask)
    assert change(url) != url
    reply = await ask.put(change(url), PNG)
    assert reply.code == (403, "SignatureDoesNotMatch")
    assert (await ask.put(url, PNG)).status == 200  # the right one still works


@pytest.mark.parametrize("tail", ["", "?", "?a=b", "?X-Amz-Signature=00", "?a=b&X-Amz-Signature=" + "0" * 64])
async def test_an_unsigned_target_is_refused(ask: Asker, tail: str) -> None:
    assert (await ask.put((await made_url(ask)).partition("?")[0] + tail, PNG)).code == (403, "AccessDenied")


async def test_other_paths_hold_nothing(ask: Asker, emulator: Emulator) -> None:
    assert (await ask.get(f"{emulator.storage_url}/")).code == (404, "NoSuchKey")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "HEAD", "PATCH", "OPTIONS"])
async def test_the_url_is_for_one_method(ask: Asker, method: str) -> None:
    reply = await ask.get(await made_url(ask), method)
    assert (reply.status, reply.headers["Allow"]) == (405, "PUT")


@pytest.mark.parametrize(
    "content_type", [None, "image/jpeg", "application/octet-stream", "image/png; charset=x"]
)
async def test_the_declared_type_has_to_come(ask: Asker, content_type: str | None) -> None:
    assert (await ask.put(await made_url(ask), PNG, content_type)).code == (403, "SignatureDoesNotMatch")


async def test_no_type_may_come_when_none_was_declared(ask: Asker) -> None:
    url = await made_url(ask, mime_type=None)
    assert (await ask.put(url, PNG, "image/png")).code == (403, "SignatureDoesNotMatch")
    assert (await ask.put(url, PNG, None)).status == 200


@pytest.mark.parametrize("switches", [{"signed_content_type": False}])
@pytest.mark.parametrize("content_type", [None, "image/png", "text/plain"])
async def test_an_unsigned_type_may_be_any(ask: Asker, content_type: str | None) -> None:
    url = await made_url(ask)
    assert "content-type" not in url
    assert (await ask.put(url, PNG, content_type)).status == 200


@pytest.mark.parametrize("off", [-1, 1])
async def test_the_declared_length_has_to_come(ask: Asker, off: int) -> None:
    url = await made_url(ask, content_length=len(PNG) + off)
    assert (await ask.put(url, PNG)).code == (403, "SignatureDoesNotMatch")


async def test_a_declared_length_of_zero_counts(ask: Asker) -> None:
    url = await made_url(ask, content_length=0)
    assert (await ask.put(url, PNG)).status == 403
    assert (await ask.put(url, b"")).status == 200


async def test_another_host_name_is_refused(ask: Asker) -> None:
    url = (await made_url(ask)).replace("127.0.0.1", "localhost")
    assert (await ask.put(url, PNG)).code == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("Authorization", 400, "InvalidArgument"),
        ("Cookie", 403, "AccessDenied"),
        ("X-Amz-Meta-A", 403, "AccessDenied"),
        ("x-amz-acl", 403, "AccessDenied"),
    ],
)
async def test_headers_that_nobody_signed_are_refused(ask: Asker, name: str, status: int, code: str) -> None:
    assert (await ask.put(await made_url(ask), PNG, **{name: "x=y"})).code == (status, code)


async def test_chunks_are_refused(ask: Asker) -> None:
    origin, head = put_head(await made_url(ask), "Content-Type: image/png", "Transfer-Encoding: chunked")
    answer = await raw(origin, head + b"1\r\na\r\n0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 411 ")
    assert b"<Code>MissingContentLength</Code>" in answer


async def test_a_put_without_a_length_is_refused(ask: Asker) -> None:
    origin, head = put_head(await made_url(ask), "Content-Type: image/png")
    assert (await raw(origin, head)).startswith(b"HTTP/1.1 411 ")


async def test_an_encoded_body_is_stored_as_it_came(ask: Asker, emulator: Emulator) -> None:
    made = await ask.create(mime_type="image/png")
    assert (await ask.put(made["upload_url"], PNG, **{"Content-Encoding": "gzip"})).status == 200
    stored = emulator.images[made["image"]["id"]].stored
    assert stored is not None
    assert stored.data == PNG


@pytest.mark.parametrize("switches", [{"second_put": "refused"}])
async def test_the_body_is_waved_through_only_after_the_checks(ask: Asker, emulator: Emulator) -> None:
    url = await made_url(ask)
    headers = ("Content-Type: image/png", "Expect: 100-continue")
    origin, head = put_head(url, *headers, length=len(PNG))
    answer = await raw(origin, head, more=PNG)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")
    async with ask.session.put(
        URL(url, encoded=True), data=PNG, headers={"Content-Type": "image/png"}, expect100=True
    ) as used:
        assert used.status == 403
    assert emulator.requests[-1].body_length == 0


async def test_a_body_that_breaks_off_is_no_upload(ask: Asker, emulator: Emulator) -> None:
    url = await made_url(ask)
    origin, head = put_head(url, "Content-Type: image/png", length=len(PNG))
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
    assert (await ask.put(url, PNG)).status == 200


@pytest.mark.parametrize("switches", [{"second_put": "refused"}])
async def test_a_url_may_be_used_up(ask: Asker) -> None:
    url = await made_url(ask)
    assert (await ask.put(url, PNG)).status == 200
    refused = await ask.put(url, PNG)
    assert refused.code == (403, "AccessDenied")
    assert b"already been used" in refused.body


async def test_a_second_put_is_accepted_and_counts(ask: Asker, emulator: Emulator) -> None:
    made = await ask.create()
    for data in (PNG, b"no picture"):
        assert (await ask.put(made["upload_url"], data, None)).status == 200
    await ask.look(made["image"]["id"])
    assert (await ask.look(made["image"]["id"]))["status"] == "QUARANTINE"


@pytest.mark.parametrize("switches", [{"second_put": "refused"}])
async def test_of_two_puts_at_once_one_may_win(ask: Asker) -> None:
    url = await made_url(ask)
    replies: list[Reply] = await asyncio.gather(*(ask.put(url, PNG) for _ in range(4)))
    assert sorted(reply.status for reply in replies) == [200, 403, 403, 403]


async def test_a_deleted_image_takes_no_bytes(ask: Asker) -> None:
    made = await ask.create()
    await ask("DELETE", f"/images/{made['image']['id']}")
    assert (await ask.put(made["upload_url"], PNG, None)).code == (404, "NoSuchKey")


@pytest.mark.parametrize(
    ("switches", "status"),
    [({}, 403), ({"expired_status": 400}, 400), ({"url_lifetime": 1.5, "expired_status": 403}, 403)],
)
async def test_a_url_expires(ask: Asker, emulator: Emulator, switches: dict[str, Any], status: int) -> None:
    lifetime = switches.get("url_lifetime", 900.0)
    url = await made_url(ask)
    emulator.clock.advance(lifetime)
    reply = await ask.put(url, PNG)
    assert reply.code == (status, "AccessDenied")
    assert b"<Message>Request has expired</Message>" in reply.body
    stamp = re.search(r"X-Amz-Date=(\d{8}T\d{6}Z)", url)
    assert stamp is not None
    late = parsedate_to_datetime(reply.headers["Date"]) - emulator.clock.now()
    assert abs(late) < timedelta(seconds=5)


@pytest.mark.parametrize("switches", [{"url_lifetime": 0.0}])
async def test_a_life_of_nothing_is_over_at_once(ask: Asker) -> None:
    assert (await ask.put(await made_url(ask), PNG)).code == (403, "AccessDenied")


async def test_a_url_lives_until_its_last_moment(ask: Asker, emulator: Emulator) -> None:
    url = await made_url(ask)
    emulator.clock.advance(890)
    assert (await ask.put(url, PNG)).status == 200


@pytest.mark.parametrize(
    ("switches", "status", "same_image", "same_url"),
    [
        ({}, 200, True, False),
        ({"idempotency": "same_dead_url"}, 200, True, True),
        ({"idempotency": "ignored"}, 200, False, False),
        ({"idempotency": "conflict"}, 409, None, None),
    ],
)
async def test_a_repeated_idempotency_key(
    ask: Asker, status: int, same_image: bool | None, same_url: bool | None
) -> None:
    first = await ask.create(idempotency_key="k")
    again = await ask("POST", "/images/standard_upload", json={"file_name": "a.png", "idempotency_key": "k"})
    assert again.status == status
    if status == 409:
        assert again.error == (409, "ConflictError")
        return
    assert (again.json["image"]["id"] == first["image"]["id"]) is same_image
    assert (again.json["upload_url"] == first["upload_url"]) is same_url
    assert (await ask.put(again.json["upload_url"], PNG, None)).status == 200


async def test_a_repeat_after_the_bytes_gets_a_url_that_takes_them_again(ask: Asker) -> None:
    first = await ask.create(idempotency_key="k")
    assert (await ask.put(first["upload_url"], PNG, None)).status == 200
    again = await ask.create(idempotency_key="k")  # the vendor's SDKs then send the bytes once more
    assert (again["image"]["id"], again["upload_url"]) == (first["image"]["id"], first["upload_url"])
    assert (await ask.put(again["upload_url"], PNG, None)).status == 200
    assert (await ask.look(first["image"]["id"]))["status"] == "PROCESSING"
    assert (await ask.look(first["image"]["id"]))["status"] == "READY"


@pytest.mark.parametrize("switches", [{"second_put": "refused"}])
async def test_a_repeat_after_the_bytes_gets_the_used_url(ask: Asker) -> None:
    first = await ask.create(idempotency_key="k")
    fresh = await ask.create(idempotency_key="k")
    assert (await ask.put(first["upload_url"], PNG, None)).status == 200
    assert (await ask.put(fresh["upload_url"], PNG, None)).code == (403, "AccessDenied")
    late = await ask.create(idempotency_key="k")
    assert (late["image"]["status"], late["upload_url"]) == ("PROCESSING", fresh["upload_url"])


async def test_the_key_of_a_deleted_image_is_free(ask: Asker) -> None:
    first = await ask.create(idempotency_key="k")
    await ask("DELETE", f"/images/{first['image']['id']}")
    assert (await ask.create(idempotency_key="k"))["image"]["id"] != first["image"]["id"]


async def test_a_big_body_is_kept_by_its_ends(ask: Asker, emulator: Emulator) -> None:
    data = PNG[:33] + bytes(MAXIMUM_WHOLE_BODY) + PNG[-12:]
    made = await ask.create()

    async def pieces() -> Any:
        for at in range(0, len(data), 2**20):
            yield data[at : at + 2**20]

    reply = await ask.put(made["upload_url"], pieces(), None, **{"Content-Length": str(len(data))})  # type: ignore[arg-type]
    assert reply.status == 200
    stored = emulator.images[made["image"]["id"]].stored
    assert stored is not None
    assert (stored.data, stored.length, stored.sha256) == (None, len(data), hashlib.sha256(data).hexdigest())
    assert (stored.head, stored.tail) == (data[: 2**20], data[-(2**16) :])
    await ask.look(made["image"]["id"])
    image = await ask.look(made["image"]["id"])
    assert (image["status"], image["width"], image["size_bytes"]) == (
        "QUARANTINE",
        0,
        len(data),
    )  # a chunk of no length


async def test_bodies_need_not_be_kept(ask: Asker, emulator: Emulator) -> None:
    emulator.keep_bodies = False
    image = await ask.upload()
    assert (image["status"], image["width"]) == ("READY", 3)
    assert emulator.images[image["id"]].stored == emulator.images[image["id"]].stored
    assert emulator.images[image["id"]].stored.data is None  # type: ignore[union-attr]
    assert (await ask.get(image["cdn_url"])).status == 404
    assert emulator.keep_bodies is False
