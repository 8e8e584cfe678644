"""What a page of another origin may do and read.

`Page` sends the preflights and checks the CORS headers that the Fetch standard requires of a browser.
"""

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
SAFE_RESPONSE_HEADERS = {
    "cache-control",
    "content-language",
    "content-length",
    "content-type",
    "expires",
    "last-modified",
}


class BlockedError(Exception):
    """The browser blocks the request. The page gets a network error without details."""


def header_items(value: str | None) -> set[str]:
    return {item.strip().lower() for item in (value or "").split(",")}


@frozen
class Page:
    """A page with an origin, in a browser without cookies."""

    client: RawClient
    origin: str = ORIGIN

    async def fetch(self, url: str, method: str = "GET", *, data: bytes = b"", **headers: str) -> RawResponse:
        """Do what `fetch(url, {method, headers, body})` does in JavaScript.

        The response has only the headers that the page may read.
        """
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        unsafe = {name.lower() for name, value in sent.items() if not is_safelisted(name, value)}
        if unsafe or method not in SAFE_METHODS:
            await self.preflight(url, method, unsafe)
        response = await self._send(method, url, sent, data)
        self._check_origin(response)
        readable = SAFE_RESPONSE_HEADERS | header_items(response.headers.get("Access-Control-Expose-Headers"))
        visible_headers = CIMultiDict(
            (name, value) for name, value in response.headers.items() if name.lower() in readable
        )
        return RawResponse(response.status, visible_headers, response.body)

    async def preflight(self, url: str, method: str, unsafe: set[str]) -> None:
        requested = {"Access-Control-Request-Method": method}
        if unsafe:
            requested["Access-Control-Request-Headers"] = ",".join(sorted(unsafe))
        response = await self._send("OPTIONS", url, requested, b"")
        self._check_origin(response)
        if not 200 <= response.status < 300:
            raise BlockedError(f"preflight {response.status}")
        allowed = {
            item.upper() for item in header_items(response.headers.get("Access-Control-Allow-Methods"))
        }
        if method not in allowed | SAFE_METHODS:
            raise BlockedError(f"{method} is not among {allowed}")
        # The wildcard `*` never allows the Authorization header.
        if not unsafe <= header_items(response.headers.get("Access-Control-Allow-Headers")):
            raise BlockedError(f"{unsafe} are not among the allowed headers")

    def _check_origin(self, response: RawResponse) -> None:
        allowed = response.headers.get("Access-Control-Allow-Origin")
        if allowed not in {"*", self.origin}:
            raise BlockedError(f"{allowed} is not {self.origin}")
        if allowed != "*":
            assert "origin" in header_items(response.headers.get("Vary")), (
                "a cache would give this to another origin"
            )

    async def _send(self, method: str, url: str, headers: dict[str, str], data: bytes) -> RawResponse:
        async with self.client.session.request(
            method, URL(url, encoded=True), data=io.BytesIO(data) if data else None, headers={"Origin": self.origin, **headers},
            skip_auto_headers=["Content-Type"], allow_redirects=False,
        ) as response:  # fmt: skip
            return RawResponse(response.status, response.headers, await response.read())


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


async def test_a_page_uploads_with_a_client_key_and_an_upload_token(
    page: Page, client: RawClient, emulator: Emulator
) -> None:
    token = (await client.request("POST", "/images/token")).json["token"]
    created = (await create(page, emulator, key=emulator.client_key, query=f"?upload_token={token}")).json
    put = await page.fetch(created["upload_url"], "PUT", data=PNG, Content_Type="image/png")
    assert (put.status, bool(put.headers["ETag"])) == (200, True)
    key = f"Bearer {emulator.client_key}"
    responses = [
        await page.fetch(api(emulator, f"/images/{created['image']['id']}"), Authorization=key)
        for _ in range(2)
    ]
    assert [response.json["status"] for response in responses] == ["PROCESSING", "READY"]
    assert (await page.fetch(created["image"]["cdn_url"])).body == PNG
    assert [(record.host, record.method) for record in emulator.requests[1:]] == [
        ("api", "OPTIONS"), ("api", "POST"), ("storage", "OPTIONS"), ("storage", "PUT"),
        ("api", "OPTIONS"), ("api", "GET"), ("api", "OPTIONS"), ("api", "GET"), ("cdn", "GET"),
    ]  # fmt: skip


async def test_a_page_reads_every_error_of_the_api(page: Page, emulator: Emulator) -> None:
    key = emulator.client_key
    assert (await create(page, emulator, key="ck_wrong")).api_error == (401, "InvalidTokenError")
    assert (await create(page, emulator, key=key)).api_error == (403, "OperationNotAllowedError")
    assert (await create(page, emulator, key=key, query="?upload_token=no")).api_error == (
        401,
        "InvalidTokenError",
    )
    assert (await create(page, emulator, key=key, body=b"{")).status == 422
    assert (await create(page, emulator, key=key, body=b" " * (2**20 + 1))).status == 413
    responses = [
        await page.fetch(api(emulator, f"/images/{image_id}"), Authorization=f"Bearer {key}")
        for image_id in (UNKNOWN_ID, "img_1")
    ]
    assert [response.status for response in responses] == [404, 422]
    assert (await page.fetch(api(emulator, f"/images/{UNKNOWN_ID}"))).status == 401


async def test_a_page_reads_every_error_of_storage_and_cdn(
    page: Page, client: RawClient, emulator: Emulator
) -> None:
    created = await client.create(mime_type="image/png", content_length=len(PNG))
    url: str = created["upload_url"]
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
    assert (await page.fetch(created["image"]["cdn_url"])).status == 404
    assert (await page.fetch(created["image"]["cdn_url"], "POST")).status == 405


async def test_a_page_reads_the_response_of_a_fault(page: Page, emulator: Emulator) -> None:
    headers = {"Retry-After": "7", "X-Request-Id": "r-1"}
    emulator.faults.add("*", "/api/v1/*", status=503, headers=headers, body={"detail": "later"})
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


async def test_a_fault_can_fail_the_preflight_or_deny_the_origin(page: Page, emulator: Emulator) -> None:
    emulator.faults.add("OPTIONS", "/api/v1/*", status=503)
    with pytest.raises(BlockedError, match="preflight 503"):
        await create(page, emulator, key=emulator.client_key)
    emulator.faults.add(
        "POST", "*", status=502, headers={"Access-Control-Allow-Origin": "https://other.example"}
    )
    with pytest.raises(BlockedError, match="other"):
        await create(page, emulator, key=emulator.client_key)


@pytest.mark.parametrize("switches", [{"rate_limit": 1}])
async def test_preflights_do_not_count_for_the_rate_limit_and_a_page_reads_the_429(
    page: Page, emulator: Emulator
) -> None:
    for _ in range(5):
        await page.preflight(api(emulator, CREATE), "POST", {"authorization"})
    # The requests may fall into two different seconds.
    responses = [await create(page, emulator, key=emulator.api_key) for _ in range(5)]
    assert responses[0].status == 200
    rejected = next(response for response in responses if response.status == 429)
    assert rejected.headers["Retry-After"] == "1"


async def test_a_page_reads_the_traceback_of_an_emulator_bug(page: Page, emulator: Emulator) -> None:
    emulator._state.store.tokens = None  # type: ignore[assignment]  # a broken state triggers the bug
    response = await create(page, emulator, key=emulator.client_key, query="?upload_token=x")
    assert (response.status, b"Traceback" in response.body) == (500, True)


async def test_a_preflight_allows_the_requested_headers_and_one_method(client: RawClient) -> None:
    requested = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization,traceparent",
        "Access-Control-Request-Private-Network": "true",
    }
    path = f"/images/{UNKNOWN_ID}"
    headers = (await client.request("OPTIONS", path, key=None, headers=requested)).headers
    names = ("Origin", "Methods", "Headers", "Private-Network")
    assert [headers[f"Access-Control-Allow-{name}"] for name in names] == [
        ORIGIN, "GET", "authorization,traceparent", "true",
    ]  # fmt: skip
    assert int(headers["Access-Control-Max-Age"]) > 0
    assert "Access-Control-Allow-Credentials" not in headers
    # This operation has the same path, but needs a server key.
    requested["Access-Control-Request-Method"] = "DELETE"
    assert (
        "Access-Control-Allow-Origin"
        not in (await client.request("OPTIONS", path, key=None, headers=requested)).headers
    )


async def test_the_cdn_response_to_an_img_element_can_be_reused_by_fetch(client: RawClient) -> None:
    image = await client.upload()
    # An <img> element sends no Origin header, and its response is cached for a year.
    response = await client.get(image["cdn_url"])
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert "Vary" not in response.headers


async def test_the_metrics_do_not_count_preflights(page: Page, client: RawClient, emulator: Emulator) -> None:
    await page.preflight(f"{emulator.cdn_url}/x", "GET", {"range"})
    assert (await client.request("GET", "/metrics/stats")).json["requests"]["value"] == 0


async def preflight(client: RawClient, origin: str) -> RawResponse:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    return await client.request("OPTIONS", CREATE, key=None, headers=headers)


@pytest.mark.parametrize(
    ("pattern", "origin", "matches"),
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
async def test_only_origins_that_match_a_pattern_are_allowed(
    client: RawClient, pattern: str | None, origin: str, matches: bool
) -> None:
    if pattern is not None:
        await client.request("POST", "/cors_origins/", json={"pattern": pattern})
    preflight_response = await preflight(client, origin)
    assert preflight_response.status == 200
    assert ("Access-Control-Allow-Methods" in preflight_response.headers) is matches
    created = await client.request("POST", CREATE, headers={"Origin": origin}, json={"file_name": "a.png"})
    # The request is accepted, but the response has no CORS headers.
    assert created.status == 200
    assert created.headers.get("Access-Control-Allow-Origin") == (origin if matches else None)
    assert created.headers["Vary"] == "Origin"
    rejected = await client.request(
        "POST", CREATE, key="client", headers={"Origin": origin}, json={"file_name": "a.png"}
    )
    assert (rejected.headers.get("Access-Control-Allow-Origin") == origin) is matches


async def test_only_operations_for_client_keys_have_cors_headers(client: RawClient) -> None:
    assert (
        "Vary"
        not in (await client.request("GET", "/images/", headers={"Origin": "https://a.example"})).headers
    )
    assert (
        await client.request("OPTIONS", "/images/", headers={"Access-Control-Request-Method": "GET"})
    ).status == 405
    assert (await client.request("OPTIONS", CREATE, key=None)).status == 405
