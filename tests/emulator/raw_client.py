"""A plain HTTP client for the tests: aiohttp for ordinary requests, sockets where every byte counts."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from aiohttp import ClientSession
from attrs import frozen
from yarl import URL

from imgwire_async.emulator import Emulator

from .schema import check_response

# A picture of 3 x 2 pixels.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAMAAAACCAIAAAASFvFNAAAAEElEQVR4nGMQaPgAQQxwFgBU1AkBfzrtswAAAABJRU5ErkJggg=="
)
# A picture of 1 x 1 pixel.
GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"


def without_slow_step_warnings(stderr: str) -> str:
    """Return the stderr of a process without the warnings about slow steps.

    asyncio prints them in its debug mode on a busy machine.
    """
    return re.sub(r"^WARNING: Executing .* took [\d.]+ seconds\n", "", stderr, flags=re.MULTILINE)


@frozen
class RawResponse:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def api_error(self) -> tuple[int, str]:
        """The status and the `error_type` of an error response of the API."""
        return self.status, self.json["error_type"]

    @property
    def s3_error(self) -> tuple[int, str]:
        """The status and the code of an error response of the storage host."""
        assert self.headers["Content-Type"] == "application/xml"
        return self.status, self.body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode()


class RawClient:
    """Send requests to an emulator.

    Each 200 and each validation 422 of the API is checked against the contract.
    """

    def __init__(self, emulator: Emulator, session: ClientSession) -> None:
        self.emulator = emulator
        self.session = session

    async def request(
        self,
        method: str,
        path: str,
        *,
        key: str | None = "server",
        headers: dict[str, str] | None = None,
        lenient: bool = False,
        **options: Any,
    ) -> RawResponse:
        """Send a request to the API. `lenient` skips the check of a 200."""
        keys = {"server": self.emulator.api_key, "client": self.emulator.client_key}
        credentials = {} if key is None else {"Authorization": f"Bearer {keys.get(key, key)}"}
        url = URL(f"{self.emulator.base_url}/api/v1{path}", encoded=True)
        async with self.session.request(
            method, url, headers={**credentials, **(headers or {})}, allow_redirects=False, **options
        ) as aiohttp_response:
            response = RawResponse(
                aiohttp_response.status, aiohttp_response.headers, await aiohttp_response.read()
            )
        is_validation_error = response.status == 422 and isinstance(response.json["detail"], list)
        if (response.status == 200 and method != "OPTIONS" and not lenient) or is_validation_error:
            check_response(method, f"/api/v1{path.partition('?')[0]}", response.status, response.json)
        return response

    async def create(self, name: str = "a.png", **fields: Any) -> Any:
        """Create an image, and return the JSON of the response."""
        response = await self.request("POST", "/images/standard_upload", json={"file_name": name, **fields})
        assert response.status == 200, response
        return response.json

    async def put(
        self, url: str, data: bytes, content_type: str | None = "image/png", **headers: str
    ) -> RawResponse:
        """Send a PUT to the storage host, with exactly these headers."""
        sent = dict(headers) if content_type is None else {"Content-Type": content_type, **headers}
        async with self.session.put(
            URL(url, encoded=True), data=data, headers=sent, skip_auto_headers=["Content-Type"]
        ) as response:
            return RawResponse(response.status, response.headers, await response.read())

    async def get(self, url: str, method: str = "GET") -> RawResponse:
        """Send a request without credentials."""
        async with self.session.request(method, URL(url, encoded=True), allow_redirects=False) as response:
            return RawResponse(response.status, response.headers, await response.read())

    async def upload(
        self, data: bytes = PNG, name: str = "a.png", mime_type: str | None = "image/png", **fields: Any
    ) -> Any:
        """Upload a picture, and return its image after PROCESSING has ended."""
        created = await self.create(name, **({"mime_type": mime_type} if mime_type else {}), **fields)
        response = await self.put(created["upload_url"], data, mime_type)
        assert response.status == 200, response
        await self.retrieve(created["image"]["id"])
        return await self.retrieve(created["image"]["id"])

    async def retrieve(self, image_id: str) -> Any:
        """Return the JSON of an image."""
        response = await self.request("GET", f"/images/{image_id}")
        assert response.status == 200, response
        return response.json


async def send_raw(origin: str, data: bytes, *, then: bytes = b"") -> bytes:
    """Send bytes, and return all bytes that the server sends.

    `then` is sent after the first bytes of the response have arrived.
    """
    host, _, port = origin.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(data)
        first = await reader.read(65536)
        if then:
            writer.write(then)
        return first + await reader.read()
    finally:
        writer.close()


def request_head(
    url: str, *headers: str, method: str = "PUT", length: int | None = None
) -> tuple[str, bytes]:
    """Return the origin of a URL, and the bytes of a request line and headers with `Connection: close`."""
    scheme, _, rest = url.partition("://")
    host, slash, target = rest.partition("/")
    lines = [f"{method} {slash}{target} HTTP/1.1", f"Host: {host}", "Connection: close", *headers]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return f"{scheme}://{host}", "\r\n".join([*lines, "", ""]).encode()
