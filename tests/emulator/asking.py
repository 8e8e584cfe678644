"""A plain client for the tests: aiohttp for ordinary calls, bare sockets where every byte counts."""

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

from .schema import check_answer

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAMAAAACCAIAAAASFvFNAAAAEElEQVR4nGMQaPgAQQxwFgBU1AkBfzrtswAAAABJRU5ErkJggg=="
)  # 3 x 2
GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")  # 1 x 1
SOME_ID = "00000000-0000-4000-8000-000000000000"


def complaints(printed: str) -> str:
    """What a process printed to its stderr, without asyncio's word in its debug mode that a busy machine made a step slow."""
    return re.sub(r"^WARNING: Executing .* took [\d.]+ seconds\n", "", printed, flags=re.MULTILINE)


@frozen
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str]:
        """Status and domain name of a refusal."""
        return self.status, self.json["error_type"]

    @property
    def code(self) -> tuple[int, str]:
        """Status and S3-like code of a refusal."""
        assert self.headers["Content-Type"] == "application/xml"
        return self.status, self.body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode()


class Asker:
    """Asks an emulator; every 200 and every validation 422 has to fit the contract."""

    def __init__(self, emulator: Emulator, session: ClientSession) -> None:
        self.emulator = emulator
        self.session = session

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        key: str | None = "server",
        headers: dict[str, str] | None = None,
        lenient: bool = False,
        **more: Any,
    ) -> Reply:
        keys = {"server": self.emulator.api_key, "client": self.emulator.client_key}
        sent = {} if key is None else {"Authorization": f"Bearer {keys.get(key, key)}"}
        url = URL(f"{self.emulator.base_url}/api/v1{path}", encoded=True)
        async with self.session.request(
            method, url, headers={**sent, **(headers or {})}, allow_redirects=False, **more
        ) as answer:
            reply = Reply(answer.status, answer.headers, await answer.read())
        validation = reply.status == 422 and isinstance(reply.json["detail"], list)
        if (reply.status == 200 and method != "OPTIONS" and not lenient) or validation:
            check_answer(method, f"/api/v1{path.partition('?')[0]}", reply.status, reply.json)
        return reply

    async def create(self, name: str = "a.png", **more: Any) -> Any:
        """The 200 answer of `images.create`."""
        reply = await self("POST", "/images/standard_upload", json={"file_name": name, **more})
        assert reply.status == 200, reply
        return reply.json

    async def put(
        self, url: str, data: bytes, content_type: str | None = "image/png", **headers: str
    ) -> Reply:
        """A PUT to storage, with these headers alone."""
        sent = dict(headers) if content_type is None else {"Content-Type": content_type, **headers}
        async with self.session.put(
            URL(url, encoded=True), data=data, headers=sent, skip_auto_headers=["Content-Type"]
        ) as answer:
            return Reply(answer.status, answer.headers, await answer.read())

    async def get(self, url: str, method: str = "GET") -> Reply:
        """A request without any credential."""
        async with self.session.request(method, URL(url, encoded=True), allow_redirects=False) as answer:
            return Reply(answer.status, answer.headers, await answer.read())

    async def upload(
        self, data: bytes = PNG, name: str = "a.png", mime_type: str | None = "image/png", **more: Any
    ) -> Any:
        """Upload, then look twice: the image as it ended."""
        made = await self.create(name, **({"mime_type": mime_type} if mime_type else {}), **more)
        reply = await self.put(made["upload_url"], data, mime_type)
        assert reply.status == 200, reply
        await self.look(made["image"]["id"])
        return await self.look(made["image"]["id"])

    async def look(self, image_id: str) -> Any:
        """One retrieve."""
        reply = await self("GET", f"/images/{image_id}")
        assert reply.status == 200, reply
        return reply.json


async def raw(origin: str, data: bytes, *, more: bytes = b"") -> bytes:
    """Send bytes, read until the other side ends; `more` goes out after the first answer has begun to come."""
    host, _, port = origin.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(data)
        first = await reader.read(65536)
        if more:
            writer.write(more)
            return first + await reader.read()
        return first + await reader.read()
    finally:
        writer.close()


def put_head(url: str, *headers: str, method: str = "PUT", length: int | None = None) -> tuple[str, bytes]:
    """The origin of a URL, and the raw head of a request to it that ends its connection."""
    scheme, _, rest = url.partition("://")
    host, slash, target = rest.partition("/")
    lines = [f"{method} {slash}{target} HTTP/1.1", f"Host: {host}", "Connection: close", *headers]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return f"{scheme}://{host}", "\r\n".join([*lines, "", ""]).encode()
