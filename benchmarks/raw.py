"""The floors: raw aiohttp doing the requests that the client would do, as plainly as one would write it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import yarl

JSON = {"Content-Type": "application/json"}


def session(cafile: str | None, limit: int = 100) -> aiohttp.ClientSession:
    """A session as a careful user makes it: no cookies, one TLS context, connections enough."""
    tls = ssl.create_default_context(cafile=cafile) if cafile else True
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=limit, ssl=tls),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Authorization": "Bearer sk_benchmark"},
    )


async def upload(http: aiohttp.ClientSession, base: str, name: str, body: bytes) -> None:
    """One upload: create the record, send the bytes to the URL that came."""
    wanted = orjson.dumps({"file_name": name, "mime_type": "image/jpeg", "content_length": len(body)})
    async with http.post(f"{base}/api/v1/images/standard_upload", data=wanted, headers=JSON) as answer:
        created = orjson.loads(await answer.read())
    url = yarl.URL(created["upload_url"], encoded=True)
    async with http.put(url, data=body, skip_auto_headers=("Content-Type",)) as answer:
        await answer.read()
        answer.raise_for_status()


async def upload_all(
    http: aiohttp.ClientSession,
    base: str,
    paths: Iterable[Path],
    at_once: int,
    read: Callable[[Path], bytes],
) -> None:
    """So many workers over one iterator."""
    left = iter(paths)

    async def worker() -> None:
        for path in left:
            await upload(http, base, path.name, read(path))

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(worker())


async def get(http: aiohttp.ClientSession, url: str) -> Any:
    """One small GET, parsed."""
    async with http.get(url) as answer:
        return orjson.loads(await answer.read())


async def list_all(http: aiohttp.ClientSession, base: str, pages: int, in_flight: int) -> int:
    """All pages, so many at a time, parsed and not decoded; how many records there were."""
    left = iter(range(1, pages + 1))
    seen = 0

    async def worker() -> None:
        nonlocal seen
        for page in left:
            records = await get(http, f"{base}/api/v1/images/?page={page}&limit=100")
            seen += len(records)  # not in one step: the await would let others count in between

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(worker())
    return seen
