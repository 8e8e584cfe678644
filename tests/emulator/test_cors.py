"""What a page of another origin may do and read. `Page` asks and judges as the Fetch standard has a browser do it."""

from __future__ import annotations

import io

import pytest
from attrs import frozen
from multidict import CIMultiDict
from yarl import URL

from imgwire_async.emulator import Emulator

from .raw_client import PNG, UNKNOWN_ID, RawClient, RawResponse

CREATE = "/images/standard_upload"
ORIGIN = "http://localhost:3000"
SAFE_METHODS = {"GET", "HEAD", "POST"}
SAFE_ANSWER_HEADERS = {
    "cache-control",
    "content-language",
    "content-length",
    "content-type",
    "expires",
    "last-modified",
}


class BlockedError(Exception):
    """The browser tells the page of a network error, and nothing else."""


def words(value: str | None) -> set[str]:
    return {word.strip().lower() for word in (value or "").split(",")}


@frozen
class Page:
    """A page of an origin, in a browser without cookies."""

    client: RawClient
    origin: str = ORIGIN

    async def fetch(self, url: str, method: str = "GET", *, data: bytes = b"", **headers: str) -> RawResponse:
        """Like `fetch(url, {method, headers, body})` of JavaScript; of the headers only those that a page may see."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        unsafe = {name.lower() for name, value in sent.items() if not is_safelisted(name, value)}
        if unsafe or method not in SAFE_METHODS:
            await self.preflight(url, method, unsafe)
        response = await self._send(method, url, sent, data)
        self._check_origin(response)
        shown = SAFE_ANSWER_HEADERS | words(response.headers.get("Access-Control-Expose-Headers"))
        seen = CIMultiDict((n, v) for n, v in response.headers.items() if n.lower() in shown)
        return RawResponse(response.status, seen, response.body)

    async def preflight(self, url: str, method: str, unsafe: set[str]) -> None:
        asked = {"Access-Control-Request-Method": method}
        if unsafe:
            asked["Access-Control-Request-Headers"] = ",".join(sorted(unsafe))
        response = await self._send("OPTIONS", url, asked, b"")
        self._check_origin(response)
        if not 200 <= response.status < 300:
            raise BlockedError(f"preflight {response.status}")
        allowed = {word.upper() for word in words(response.headers.get("Access-Control-Allow-Methods"))}
        if method not in allowed | SAFE_METHODS:
            raise BlockedError(f"{method} is not among {allowed}")
        if not unsafe <= words(
            response.headers.get("Access-Control-Allow-Headers")
        ):  # `*` is none of Authorization
            raise BlockedError(f"{unsafe} are not among the allowed headers")

    def _check_origin(self, response: RawResponse) -> None:
        allowed = response.headers.get("Access-Control-Allow-Origin")
        if allowed not in {"*", self.origin}:
            raise BlockedError(f"{allowed} is not {self.origin}")
        if allowed != "*":
            assert "origin" in words(response.headers.get("Vary")), (
                "a cache would give this to another origin"
            )

    async def _send(self, method: str, url: str, headers: dict[str, str], data: bytes) -> RawResponse:
        async with self.client.session.request(
            method, URL(url, encoded=True), data=io.BytesIO(data) if data else None, headers={"Origin": self.origin, **headers},
            skip_auto_headers=["Content-Type"], allow_redirects=False,
        ) as answer:  # fmt: skip
            return RawResponse(answer.status, answer.headers, await answer.read())


def is_safelisted(name: str, value: str) -> bool:
    plain = {"text/plain", "multipart/form-data", "application/x-www-form-urlencoded"}
    return name.lower() in {"accept", "accept-language"} or (
        name.lower() == "content-type" and value in plain
    )


@pytest.fixture
def page(client: RawClient) -> Page:
    return Page(client)


def api(emulator: Emulator, path: str) -> str:
    return f"{emulator.base_url}/api/v1{path}"


async def create(
    page: Page, emulator: Emulator, *, key: str, query: str = "", body: bytes = b""
) -> RawResponse:
    return await page.fetch(
        api(emulator, CREATE + query), "POST", Content_Type="application/json", Authorization=f"Bearer {key}",
        data=body or b'{"file_name": "a.png", "mime_type": "image/png"}',
    )  # fmt: skip


async def test_a_page_uploads_waits_and_shows_with_a_client_key_and_a_token(
    page: Page, client: RawClient, emulator: Emulator
) -> None:
    token = (await client.request("POST", "/images/token")).json["token"]
    made = (await create(page, emulator, key=emulator.client_key, query=f"?upload_token={token}")).json
    put = await page.fetch(made["upload_url"], "PUT", data=PNG, Content_Type="image/png")
    assert (put.status, bool(put.headers["ETag"])) == (200, True)
    key = f"Bearer {emulator.client_key}"
    looks = [
        await page.fetch(api(emulator, f"/images/{made['image']['id']}"), Authorization=key) for _ in range(2)
    ]
    assert [look.json["status"] for look in looks] == ["PROCESSING", "READY"]
    assert (await page.fetch(made["image"]["cdn_url"])).body == PNG
    assert [(each.host, each.method) for each in emulator.requests[1:]] == [
        ("api", "OPTIONS"), ("api", "POST"), ("storage", "OPTIONS"), ("storage", "PUT"),
        ("api", "OPTIONS"), ("api", "GET"), ("api", "OPTIONS"), ("api", "GET"), ("cdn", "GET"),
    ]  # fmt: skip


async def test_a_page_reads_every_refusal_of_the_api(page: Page, emulator: Emulator) -> None:
    key = emulator.client_key
    assert (await create(page, emulator, key="ck_wrong")).api_error == (401, "InvalidTokenError")
    assert (await create(page, emulator, key=key)).api_error == (403, "OperationNotAllowedError")
    assert (await create(page, emulator, key=key, query="?upload_token=no")).api_error == (
        401,
        "InvalidTokenError",
    )
    assert (await create(page, emulator, key=key, body=b"{")).status == 422
    assert (await create(page, emulator, key=key, body=b" " * (2**20 + 1))).status == 413
    found = [
        await page.fetch(api(emulator, f"/images/{image_id}"), Authorization=f"Bearer {key}")
        for image_id in (UNKNOWN_ID, "img_1")
    ]
    assert [response.status for response in found] == [404, 422]
    assert (await page.fetch(api(emulator, f"/images/{UNKNOWN_ID}"))).status == 401


async def test_a_page_reads_every_refusal_of_storage_and_cdn(
    page: Page, client: RawClient, emulator: Emulator
) -> None:
    made = await client.create(mime_type="image/png", content_length=len(PNG))
    url: str = made["upload_url"]
    for headers, status in (
        ({"Content_Type": "image/gif"}, 403), ({"Content_Type": "image/png", "Authorization": "x"}, 400),
        ({"Content_Type": "image/png", "x_amz_acl": "private"}, 403),
    ):  # fmt: skip
        assert (await page.fetch(url, "PUT", data=PNG, **headers)).status == status
    emulator.clock.advance(901)
    expired = await page.fetch(url, "PUT", data=PNG, Content_Type="image/png")
    assert expired.s3_error == (403, "AccessDenied")
    assert (await page.fetch(f"{emulator.storage_url}/uploads/x", "PUT", data=PNG)).status == 403
    assert (await page.fetch(f"{emulator.storage_url}/nothing")).status == 404
    assert (await page.fetch(made["image"]["cdn_url"])).status == 404
    assert (await page.fetch(made["image"]["cdn_url"], "POST")).status == 405


async def test_a_page_reads_what_faults_answer(page: Page, emulator: Emulator) -> None:
    told = {"Retry-After": "7", "X-Request-Id": "r-1"}
    emulator.faults.add("*", "/api/v1/*", status=503, headers=told, body={"detail": "later"})
    response = await create(page, emulator, key=emulator.client_key)
    assert (response.status, response.headers["Retry-After"], response.headers["X-Request-Id"]) == (
        503,
        "7",
        "r-1",
    )
    emulator.faults.add("*", "*", host="cdn", status=429)
    assert (await page.fetch(emulator.cdn_url)).status == 429
    emulator.faults.add("PUT", "*", host="storage", status=500, early=True)
    assert (await page.fetch(f"{emulator.storage_url}/uploads/x", "PUT", data=PNG)).status == 500


async def test_faults_may_spoil_the_preflight_or_take_the_permission_away(
    page: Page, emulator: Emulator
) -> None:
    emulator.faults.add("OPTIONS", "/api/v1/*", status=503)
    with pytest.raises(BlockedError, match="preflight 503"):
        await create(page, emulator, key=emulator.client_key)
    emulator.faults.add(
        "POST", "*", status=502, headers={"Access-Control-Allow-Origin": "https://other.example"}
    )
    with pytest.raises(BlockedError, match="other"):
        await create(page, emulator, key=emulator.client_key)


@pytest.mark.parametrize("switches", [{"rate_limit": 1}])
async def test_preflights_use_up_no_rate_and_its_refusal_can_be_read(page: Page, emulator: Emulator) -> None:
    for _ in range(5):
        await page.preflight(api(emulator, CREATE), "POST", {"authorization"})
    responses = [
        await create(page, emulator, key=emulator.api_key) for _ in range(5)
    ]  # they may lie in two seconds
    assert responses[0].status == 200
    refused = next(response for response in responses if response.status == 429)
    assert refused.headers["Retry-After"] == "1"


async def test_a_mistake_in_the_emulator_can_be_read_too(page: Page, emulator: Emulator) -> None:
    emulator._state.store.tokens = None  # type: ignore[assignment]  # what no test should do
    response = await create(page, emulator, key=emulator.client_key, query="?upload_token=x")
    assert (response.status, b"Traceback" in response.body) == (500, True)


async def test_a_preflight_allows_what_was_asked_and_one_method(client: RawClient) -> None:
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization,traceparent",
        "Access-Control-Request-Private-Network": "true",
    }
    path = f"/images/{UNKNOWN_ID}"
    told = (await client.request("OPTIONS", path, key=None, headers=asked)).headers
    names = ("Origin", "Methods", "Headers", "Private-Network")
    assert [told[f"Access-Control-Allow-{name}"] for name in names] == [
        ORIGIN, "GET", "authorization,traceparent", "true",
    ]  # fmt: skip
    assert int(told["Access-Control-Max-Age"]) > 0
    assert "Access-Control-Allow-Credentials" not in told
    asked["Access-Control-Request-Method"] = "DELETE"  # the same path, but a server key's operation
    assert (
        "Access-Control-Allow-Origin"
        not in (await client.request("OPTIONS", path, key=None, headers=asked)).headers
    )


async def test_a_picture_from_the_cache_can_be_fetched_later(client: RawClient) -> None:
    image = await client.upload()
    drawn = await client.get(
        image["cdn_url"]
    )  # as an <img> asks: without Origin, and it is cached for a year
    assert drawn.headers["Access-Control-Allow-Origin"] == "*"
    assert "Vary" not in drawn.headers


async def test_preflights_are_no_requests_of_the_metrics(
    page: Page, client: RawClient, emulator: Emulator
) -> None:
    await page.preflight(f"{emulator.cdn_url}/x", "GET", {"range"})
    assert (await client.request("GET", "/metrics/stats")).json["requests"]["value"] == 0


async def preflight(client: RawClient, origin: str) -> RawResponse:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    return await client.request("OPTIONS", CREATE, key=None, headers=headers)


@pytest.mark.parametrize(
    ("pattern", "origin", "fits"),
    [
        (None, "https://anything.example", True),
        ("app.example.com", "https://app.example.com", True),
        ("APP.example.com", "https://app.example.com:443", True),
        ("app.example.com", "https://app.example.com:8443", False),
        ("localhost:3000", "http://localhost:3000", True),
        ("*.example.com", "https://a.b.example.com", True),
        ("*.example.com", "https://example.com", False),
        ("*.example.com", "https://.example.com", False),
        ("app.example.com", "https://other.example.com", False),
        ("app.example.com", "http://app.example.com:port", False),
        ("app.example.com", "http://[x", False),
        ("app.example.com", "null", False),
        (None, "null", True),
        ("[::1]:3000", "http://[::1]:3000", True),
        ("*.example.com:8443", "https://a.example.com:8443", True),
        ("app.example.com:443", "https://app.example.com", False),
        ("https://app.example.com", "https://app.example.com", False),
        ("app.example.com/", "https://app.example.com", False),
        (" app.example.com", "https://app.example.com", False),
        ("*", "https://app.example.com", False),
        ("*.", "https://app.example.com.", False),
    ],
)
async def test_browsers_hear_only_what_the_patterns_allow(
    client: RawClient, pattern: str | None, origin: str, fits: bool
) -> None:
    if pattern is not None:
        await client.request("POST", "/cors_origins/", json={"pattern": pattern})
    asked = await preflight(client, origin)
    assert asked.status == 200
    assert ("Access-Control-Allow-Methods" in asked.headers) is fits
    made = await client.request("POST", CREATE, headers={"Origin": origin}, json={"file_name": "a.png"})
    assert made.status == 200  # a mismatch only takes the headers away
    assert made.headers.get("Access-Control-Allow-Origin") == (origin if fits else None)
    assert made.headers["Vary"] == "Origin"
    refused = await client.request(
        "POST", CREATE, key="client", headers={"Origin": origin}, json={"file_name": "a.png"}
    )
    assert (refused.headers.get("Access-Control-Allow-Origin") == origin) is fits


async def test_only_what_a_client_key_may_do_is_for_browsers(client: RawClient) -> None:
    assert (
        "Vary"
        not in (await client.request("GET", "/images/", headers={"Origin": "https://a.example"})).headers
    )
    assert (
        await client.request("OPTIONS", "/images/", headers={"Access-Control-Request-Method": "GET"})
    ).status == 405
    assert (await client.request("OPTIONS", CREATE, key=None)).status == 405
