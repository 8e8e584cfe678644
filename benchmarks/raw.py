"""The baselines: the requests that the client sends, written directly with aiohttp."""

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
    """Return a session with sensible settings: no cookies, one TLS context, enough connections."""
    tls = ssl.create_default_context(cafile=cafile) if cafile else True
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=limit, ssl=tls),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Authorization": "Bearer sk_benchmark"},
    )


async def upload(http: aiohttp.ClientSession, base: str, name: str, body: bytes) -> None:
    """Upload one file: create the record, then send the bytes to the upload URL."""
    body_json = orjson.dumps({"file_name": name, "mime_type": "image/jpeg", "content_length": len(body)})
    async with http.post(f"{base}/api/v1/images/standard_upload", data=body_json, headers=JSON) as response:
        created = orjson.loads(await response.read())
    url = yarl.URL(created["upload_url"], encoded=True)
    async with http.put(url, data=body, skip_auto_headers=("Content-Type",)) as response:
        await response.read()
        response.raise_for_status()


async def upload_all(
    http: aiohttp.ClientSession,
    base: str,
    paths: Iterable[Path],
    at_once: int,
    read: Callable[[Path], bytes],
) -> None:
    """Upload files with `at_once` workers that share one iterator."""
    left = iter(paths)

    async def worker() -> None:
        for path in left:
            await upload(http, base, path.name, read(path))

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(worker())


async def get(http: aiohttp.ClientSession, url: str) -> Any:
    """Send one small GET, and return the parsed JSON."""
    async with http.get(url) as response:
        return orjson.loads(await response.read())


async def list_all(http: aiohttp.ClientSession, base: str, pages: int, in_flight: int) -> int:
    """Fetch and parse all pages, `in_flight` at the same time, and return the number of records."""
    left = iter(range(1, pages + 1))
    count = 0

    async def worker() -> None:
        nonlocal count
        for page in left:
            records = await get(http, f"{base}/api/v1/images/?page={page}&limit=100")
            # Not in one statement: other workers would add their counts during the await.
            count += len(records)

    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(worker())
    return count
