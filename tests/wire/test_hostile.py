"""Hostile and broken responses raise an `ImgwireError`, in limited memory and time."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import re
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import samples
import worlds

from imgwire_async import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AsyncImgwireClient,
    ConfigurationError,
    DecodeError,
    ImgwireError,
    Page,
    PaginationError,
    Timeouts,
    UnsafeURLError,
    to_dict,
)
from imgwire_async.emulator import Emulator

from .conftest import Handler, http, raw_server, respond_with
from .pictures import png

MIB = 1024 * 1024
SMALL = Timeouts(attempt=10, max_response_bytes=MIB)


@asynccontextmanager
async def talking_to(answer: Handler, **options: Any) -> AsyncIterator[AsyncImgwireClient]:
    async with (
        raw_server(answer) as origin,
        worlds.current().client("sk_x", origin, **({"retries": 0} | options)) as client,
    ):
        yield client


async def failure(answer: Handler, **options: Any) -> ImgwireError:
    """Return the error of a list call for this response."""
    async with talking_to(answer, **options) as client:
        with pytest.raises(ImgwireError) as caught:
            await asyncio.wait_for(client.images.list(), 30)
    assert len(str(caught.value)) < 1500
    return caught.value


# --- sizes --------------------------------------------------------------------------------------------------


class Endless:
    """Send the headers, then the same chunk until the client closes the connection."""

    def __init__(self, head: bytes, chunk: bytes) -> None:
        self.head = head
        self.chunk = chunk
        self.sent = 0
        self.left = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(self.head)
        try:
            while not writer.transport.is_closing():
                writer.write(self.chunk)
                await writer.drain()
                # `drain` of a TLS transport never suspends after its TCP transport failed.
                await asyncio.sleep(0)
                self.sent += len(self.chunk)
        finally:
            self.left.set()


CHUNK = b"%x\r\n" % 65536 + b"[" + b" " * 65535 + b"\r\n"


@pytest.mark.world
@pytest.mark.parametrize(
    ("head", "chunk"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", CHUNK),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n", b" " * 65536),
        (b"HTTP/1.1 200 OK\r\n\r\n", b" " * 65536),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", CHUNK),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"20\r\n%b\r\n" % (b" " * 32) * 1000),
    ],
    ids=["chunked", "100 MB", "without length", "chunked with a length", "tiny chunks"],
)
async def test_an_endless_response_is_closed_at_the_limit(head: bytes, chunk: bytes) -> None:
    endless = Endless(head, chunk)
    error = await failure(endless, timeout=SMALL)
    # Some parsers reject a response with two lengths.
    if isinstance(error, APIConnectionError):
        assert b"Content-Length: 5" in head
        return
    assert isinstance(error, DecodeError)
    assert "larger than 1048576 bytes (Timeouts.max_response_bytes)" in str(error)
    await asyncio.wait_for(endless.left.wait(), 10)
    assert endless.sent < 30 * MIB, "sockets hold some, nobody else does"


@pytest.mark.world
@pytest.mark.parametrize("retries", [0, 3])
async def test_an_endless_error_response_keeps_its_status(retries: int) -> None:
    async with talking_to(
        Endless(b"HTTP/1.1 403 Forbidden\r\n\r\n", b"<p>no</p>" * 5000), retries=retries
    ) as client:
        with pytest.raises(APIStatusError, match="HTTP 403") as caught:
            await client.images.list()
    assert len(caught.value.body) <= 10_000


async def test_the_error_for_a_too_large_response_says_that_the_call_may_have_succeeded() -> None:
    async with talking_to(
        Endless(b"HTTP/1.1 200 OK\r\n\r\n", b" " * 65536), timeout=SMALL, retries=3
    ) as client:
        with pytest.raises(DecodeError, match=r"1 attempt.*carried out this call"):
            await client.cors_origins.create("a.example.com")


async def test_max_response_bytes_can_be_set_for_one_call(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    image = (await client.images.create(file_name="a.png")).image
    with pytest.raises(DecodeError, match="larger than 100 bytes"):
        await client.with_options(timeout=Timeouts(max_response_bytes=100)).images.retrieve(image.id)
    for enough in (10_000, None):
        small = client.with_options(timeout=Timeouts(max_response_bytes=enough))
        assert (await small.images.retrieve(image.id)).id == image.id


async def test_a_response_of_exactly_the_limit_is_complete() -> None:
    body = b"[]".ljust(5000)
    for limit, fits in ((5000, True), (4999, False)):
        async with talking_to(
            respond_with(http("200 OK", body)), timeout=Timeouts(max_response_bytes=limit)
        ) as client:
            if fits:
                assert (await client.images.list()).data == []
            else:
                with pytest.raises(DecodeError, match="larger than 4999"):
                    await client.images.list()


# --- compressed responses -----------------------------------------------------------------------------------


def packed(coding: str, body: bytes) -> bytes:
    return http("200 OK", body, f"Content-Encoding: {coding}")


def deflated(data: bytes) -> bytes:
    """Compress without the zlib header, as some servers do."""
    pressed = zlib.compressobj(wbits=-15)
    return pressed.compress(data) + pressed.flush()


@pytest.mark.parametrize(
    "answer",
    [
        packed("gzip", gzip.compress(b"[]")),
        packed("GZip", gzip.compress(b"[") + gzip.compress(b"]")),
        packed("x-gzip", gzip.compress(b"[]")),
        packed("gzip", gzip.compress(b"[]") + bytes(10_000)),  # gzip(1) ignores such padding, too
        packed("gzip", gzip.compress(b"[") + bytes(3) + gzip.compress(b"]") + b"\0"),
        packed("deflate", zlib.compress(b"[]")),
        packed("deflate", deflated(b"[]")),
        packed("identity", b"[]"),
        packed("", b"[]"),
    ],
)
@pytest.mark.parametrize("limit", [MIB, 2**63, None])
async def test_a_compressed_response_is_decompressed(answer: bytes, limit: int | None) -> None:
    async with talking_to(respond_with(answer), timeout=Timeouts(max_response_bytes=limit)) as client:
        assert (await client.images.list()).data == []


async def test_requests_accept_compressed_responses(emulator: Emulator, client: AsyncImgwireClient) -> None:
    await client.images.list()
    await client.with_options(default_headers={"accept-encoding": "identity"}).images.list()
    assert [request.header("Accept-Encoding") for request in emulator.requests] == [
        "gzip, deflate",
        "identity",
    ]


@pytest.mark.parametrize("members", [1, 40])
async def test_a_decompression_bomb_is_closed_at_the_limit(members: int) -> None:
    bomb = packed("gzip", gzip.compress(b" " * 16 * MIB) * members)
    tracemalloc.start()
    try:
        error = await failure(respond_with(bomb), timeout=SMALL)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(error, DecodeError)
    assert "larger than 1048576 bytes" in str(error)
    assert peak < 12 * MIB


@pytest.mark.world
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (packed("gzip", gzip.compress(b"[]")[:-3]), "before the end of its compressed"),
        (packed("gzip", b"[]"), "is not valid gzip"),
        (packed("gzip", gzip.compress(b"[]") + b"garbage"), "is not valid gzip"),
        (packed("gzip", gzip.compress(b"[]") + b"\0\0[]"), "is not valid gzip"),
        (packed("deflate", zlib.compress(b"[]") + b"\0"), "before the end of its compressed"),
        (packed("deflate", b"\xff\xff\xff"), "is not valid deflate"),
        (packed("br", b"\x8b\x00\x80[]\x03"), "has the encoding 'br', which the request did not accept"),
        (packed("gzip, gzip", gzip.compress(gzip.compress(b"[]"))), "the request did not accept"),
    ],
)
async def test_a_response_that_cannot_be_decompressed_is_an_error(answer: bytes, message: str) -> None:
    error = await failure(respond_with(answer))
    assert isinstance(error, APIConnectionError)
    assert message in str(error)


@pytest.mark.parametrize(
    "filling", [bytes(64 * 1024), gzip.compress(b"") * 3_000], ids=["zeros", "empty members"]
)
async def test_endless_padding_is_closed_at_the_limit(filling: bytes) -> None:
    async def pad(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"[]"))
        while True:
            writer.write(filling)
            await writer.drain()

    error = await failure(pad, timeout=Timeouts(attempt=None, max_response_bytes=1024))
    assert isinstance(error, DecodeError)
    assert "larger than 1024 bytes" in str(error)


# --- responses and requests at the limits -------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
        http("200 OK"),
        http("200 OK", b"\n"),
        http("200 OK", b"{}"),
    ],
    ids=["204", "empty", "a blank", "an object"],
)
async def test_a_delete_succeeds_without_a_response_body(answer: bytes) -> None:
    async with talking_to(respond_with(answer)) as client:
        assert await client.images.delete("a") == {}
        assert await client.cors_origins.delete("a") == {}
        assert await client.custom_domain.delete() == {}
        assert (await client.images.bulk_delete(["a", "b"])).deleted == ("a", "b")


@pytest.mark.parametrize("number", [10, 60_000], ids=["small", "large"])
async def test_a_request_body_of_any_size_is_sent_completely_and_without_a_warning(number: int) -> None:
    bodies: list[Any] = []

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"(?i)content-length: ([0-9]+)", head)
        assert length is not None
        assert "application/json" in head
        bodies.append(json.loads(await reader.readexactly(int(length[1]))))
        writer.write(http("200 OK", b"{}"))
        await writer.drain()

    ids = [f"{n:036d}" for n in range(number)]
    async with talking_to(receive) as client:
        result = await client.images.bulk_delete(ids, chunk_size=number)
    assert bodies == [{"image_ids": ids}]
    assert len(result.deleted) == number


# --- hostile texts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fragment", ["<title", "http://", '"token":', "X-Amz-Signature=", "\\u0026", "Bearer "], ids=repr
)
async def test_an_error_body_of_one_repeated_word_is_reported_quickly(fragment: str) -> None:
    body = f"<html>{fragment * (MIB // len(fragment) - 10)}".encode()
    started_at = time.monotonic()
    error = await failure(respond_with(http("403 Forbidden", body)))
    assert time.monotonic() - started_at < 3
    assert isinstance(error, APIStatusError)


async def test_control_characters_of_a_server_reach_neither_message_nor_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    evil = "\x9b31m\u202egpj.exe\u2028"
    body = json.dumps({"detail": f"\x1b[2J{evil}", "error_type": evil}).encode()
    raw = http("409 Conflict", body, f"X-Request-Id: {evil}")
    with caplog.at_level(logging.DEBUG, "imgwire_async"):
        error = await failure(respond_with(raw))
    assert isinstance(error, APIStatusError)
    assert r"\u001b[2J\u009b31m\u202egpj.exe" in str(error)
    texts = [str(error), error.message, str(error.request_id), *(r.getMessage() for r in caplog.records)]
    assert [text for text in texts if not text.isprintable()] == []


async def test_one_odd_text_does_not_break_a_list() -> None:
    page = [samples.image(), samples.image(original_filename="HERE"), samples.image()]
    body = json.dumps(page).replace('"HERE"', '"caf\\ud800.jpg"').encode()
    async with talking_to(respond_with(http("200 OK", body))) as client:
        images = (await client.images.list()).data
    assert [image.original_filename for image in images[1:2]] == ["caf\ufffd.jpg"]
    assert len(images) == 3


# --- invalid and unexpected JSON ----------------------------------------------------------------------------


def listing(**changes: Any) -> bytes:
    return json.dumps([samples.image(**changes)]).encode()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[" * 100_000, "not valid JSON"),
        (b'{"a":' * 100_000, "not valid JSON"),
        (b"[" * 5000 + b"]" * 5000, r"\$\[0\]: expected an object, got a list"),
        (b"[" * 900 + b"]" * 900, "expected an object, got a list"),
        (b"[NaN]", r"\$\[0\]: expected an object, got text"),
        (b"[Infinity]", r"\$\[0\]: expected an object, got text"),
        (b"[1e999]", r"\$\[0\]: expected an object, got text"),
        (b"[\xff\xfe]", "not valid JSON"),
        (b'["\\ud800"]', r"\$\[0\]: expected an object, got text"),
        (b'["\\ud800"', "not valid JSON"),
        (b"[nan]", "not valid JSON"),
        (b"\xef\xbb\xbf[", "not valid JSON"),
        (b"[]\x00", "not valid JSON"),
        (b"[" + b"9" * 100_000 + b"]", "not valid JSON|expected an object"),
        (b"null", "expected a list, got null"),
        (b'"text"', "expected a list, got text"),
        (b"[[]]", r"\$\[0\]: expected an object, got a list"),
        (listing(id=None), r"\$\[0\]\.id: expected text, got null"),
        (listing(width=True), r"\$\[0\]\.width: expected an integer, got a boolean"),
        (listing(width=1e300), r"\$\[0\]\.width: expected an integer, got a number"),
        (listing(created_at="yesterday"), r"\$\[0\]\.created_at: expected an RFC 3339 time"),
        (listing(created_at=0), r"\$\[0\]\.created_at"),
        (listing(custom_metadata={"a": [1]}, id=5), r"\$\[0\]\.id: expected text"),
    ],
)
async def test_json_of_another_shape_is_a_decode_error_with_the_path(body: bytes, message: str) -> None:
    error = await failure(respond_with(http("200 OK", body)))
    assert isinstance(error, DecodeError)
    assert re.search(message, str(error)), error


async def test_the_last_of_two_equal_fields_is_used() -> None:
    body = listing().replace(b"{", b'{"id": "first", ', 1)
    async with talking_to(respond_with(http("200 OK", body))) as client:
        assert (await client.images.list()).data[0].id == samples.ID


async def test_deeply_nested_data_in_a_free_field_is_kept() -> None:
    exif = json.loads('{"a":' * 400 + "1" + "}" * 400)
    async with talking_to(respond_with(http("200 OK", listing(exif_data=exif)))) as client:
        image = (await client.images.list()).data[0]
    assert to_dict(image)["exif_data"] == exif


@pytest.mark.parametrize(
    "body",
    [
        b'{"detail": ' + b"[" * 1000 + b"]" * 1000 + b"}",
        b'{"detail": {"a": NaN}}',
        b'{"detail": 5}',
        b"[" * 9999,
    ],
)
async def test_an_error_response_with_an_odd_body_keeps_its_status(body: bytes) -> None:
    error = await failure(respond_with(http("422 Unprocessable Entity", body)))
    assert isinstance(error, APIStatusError)
    assert error.status == 422


# --- headers ------------------------------------------------------------------------------------------------


async def test_thousands_of_headers_are_rejected_or_accepted() -> None:
    many = respond_with(http("200 OK", b"[]", *(f"X-{i}: {i}" for i in range(5000))))
    async with talking_to(many) as client:
        outcome = (await asyncio.gather(client.images.list(), return_exceptions=True))[0]
    # Newer versions of aiohttp have a limit.
    assert isinstance(outcome, Page) or "too many headers" in str(outcome)


@pytest.mark.world
async def test_endless_headers_are_rejected() -> None:
    endless = Endless(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 1000)
    started_at = time.monotonic()
    error = await failure(endless, timeout=Timeouts(attempt=1))
    assert isinstance(error, APIConnectionError)
    assert time.monotonic() - started_at < 10


async def test_an_endless_header_is_rejected() -> None:
    endless = Endless(b"HTTP/1.1 200 OK\r\nX-A: ", b"a" * 1000)
    error = await failure(endless, timeout=Timeouts(attempt=5))
    assert isinstance(error, APIConnectionError)
    assert endless.sent < 30 * MIB


@pytest.mark.world
async def test_endless_interim_responses_are_rejected() -> None:
    endless = Endless(b"", b"HTTP/1.1 102 Processing\r\n\r\n")
    error = await failure(endless, timeout=Timeouts(attempt=0.5))
    assert isinstance(error, APITimeoutError)
    assert error.which == "attempt"


async def test_a_long_request_id_is_shortened_in_the_message() -> None:
    error = await failure(respond_with(http("404 Not Found", b"", f"X-Request-Id: {'r' * 7000}")))
    assert isinstance(error, APIStatusError)
    assert error.request_id == "r" * 7000


@pytest.mark.world
@pytest.mark.parametrize(
    "length", ["-1", "1e3", "99999999999999999999999", "0x10", "2, 2", "2\r\nContent-Length: 3"]
)
async def test_an_invalid_content_length_is_invalid_http(length: str) -> None:
    raw = f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n[]".encode()
    error = await failure(respond_with(raw), timeout=5)
    assert isinstance(error, APIConnectionError)


@pytest.mark.world
async def test_bytes_after_a_response_are_not_taken_for_the_next_response(
    emulator: Emulator,
) -> None:
    calls = 0

    async def smuggling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        while True:
            await reader.readuntil(b"\r\n\r\n")
            calls += 1
            wrong = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]" + wrong)
            await writer.drain()

    async with talking_to(smuggling) as client:
        for _ in range(3):
            assert (await client.images.list()).data == []
    assert calls == 3


async def test_cookies_of_the_service_are_not_sent_back(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    emulator.faults.add(
        "GET", "*", times=None, status=200, body=b"[]", headers=[("Set-Cookie", "session=1; Path=/")]
    )
    await client.images.list()
    await client.images.list()
    assert [request.header("Cookie") for request in emulator.requests] == [None, None]


# --- hostile arguments --------------------------------------------------------------------------------------

INJECTED = ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\0b", "a\r\n\r\nGET / HTTP/1.1"]


@pytest.mark.parametrize("text", INJECTED)
async def test_line_breaks_in_names_ids_and_types_reach_no_header(
    emulator: Emulator, client: AsyncImgwireClient, text: str
) -> None:
    image = await client.images.upload(png(), file_name=text, purpose=text)
    assert image.original_filename == text
    before = len(emulator.requests)
    with pytest.raises(ValueError, match="image_id"):
        await client.images.retrieve(text)
    with pytest.raises(ValueError, match="upload_token"):
        await client.images.create(file_name="a.png", upload_token=text)
    with pytest.raises(ValueError, match="mime_type"):
        await client.images.upload(png(), mime_type=f"image/png{text}")
    with pytest.raises(ConfigurationError):
        client.with_options(default_headers={"X-Mine": text})
    with pytest.raises(ConfigurationError):
        client.with_options(environment_id=text)
    async with AsyncImgwireClient(lambda: f"sk_{text}", base_url=emulator.base_url) as other:
        with pytest.raises(ConfigurationError):
            await other.images.list()
    assert len(emulator.requests) == before
    assert all(request.header("X-Evil") is None for request in emulator.requests)


@pytest.mark.parametrize(
    "url", ["http://s/u\r\nX-Evil: 1", "http://s/ u", "javascript:1", "//s/u", "http://", "http://[", ""]
)
async def test_an_invalid_upload_url_is_rejected(
    emulator: Emulator, client: AsyncImgwireClient, url: str
) -> None:
    image = samples.image(status="PENDING")
    emulator.faults.add("POST", "*", status=200, body={"image": image, "upload_url": url})
    with pytest.raises(UnsafeURLError, match="upload_url"):
        await client.images.upload(png())
    assert len(emulator.requests) == 1


# --- pages --------------------------------------------------------------------------------------------------


def paging(pages: list[dict[str, str]]) -> Handler:
    """Send one image and the n-th headers for the n-th request.

    The last headers are used for all later requests.
    """
    asked = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        headers = pages[min(asked, len(pages) - 1)]
        asked += 1
        writer.write(http("200 OK", listing(), *(f"{name}: {value}" for name, value in headers.items())))
        await writer.drain()

    return answer


def page_headers(page: int, following: int | str, total: int | str) -> dict[str, str]:
    return {"X-Page": str(page), "X-Next-Page": str(following), "X-Total-Count": str(total), "X-Limit": "1"}


async def count(client: AsyncImgwireClient) -> int:
    async with asyncio.timeout(20):
        return len([image async for image in client.images.list_all(limit=1, prefetch=1)])


@pytest.mark.parametrize(
    ("pages", "images"),
    [
        ([page_headers(1, 2, 3), page_headers(2, 2, 3)], None),  # the same page again
        ([page_headers(1, 2, 9), page_headers(2, 1, 9)], None),  # backwards
        ([page_headers(1, 1, 9)], None),
        ([page_headers(1, 2, 9), page_headers(2, 3, 2)], 2),  # the list shrinks while it is read
        ([page_headers(1, 2, -5), page_headers(2, "null", -5)], 2),  # a negative total is ignored
        ([page_headers(1, -2, 9)], 1),
        ([page_headers(1, 2, "9" * 40), page_headers(2, "null", "9" * 40)], 2),
        ([page_headers(1, "NaN", "many")], 1),
    ],
)
async def test_invalid_pagination_headers_cause_no_endless_list(
    pages: list[dict[str, str]], images: int | None
) -> None:
    async with talking_to(paging(pages)) as client:
        outcome = (await asyncio.gather(count(client), return_exceptions=True))[0]
    assert type(outcome) is PaginationError if images is None else outcome == images


# --- closing ------------------------------------------------------------------------------------------------


@pytest.mark.world
async def test_closing_the_client_ends_a_stalled_response(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    emulator.faults.add("GET", "*", cut=1, stall=float("inf"))
    waiting = asyncio.create_task(client.images.list())
    while not any(record.status for record in emulator.requests):
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)  # the headers arrive
    await client.aclose()
    with pytest.raises(RuntimeError, match="client is closed"):
        await asyncio.wait_for(waiting, 5)
