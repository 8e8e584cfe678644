"""An S3 server in the test's own process, which fails on demand. It does not check signatures."""

from __future__ import annotations

import asyncio
import bisect
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Self
from urllib.parse import quote
from xml.sax.saxutils import escape

import aiohttp.web

KEY, SECRET = "an-access-key", "a-secret-access-key"
Handler = Callable[[aiohttp.web.Request], Awaitable[aiohttp.web.StreamResponse]]


def options_of(origin: str, **more: Any) -> dict[str, Any]:
    """Return the `storage_options` for an S3 server that is not AWS."""
    return {
        "key": KEY,
        "secret": SECRET,
        "endpoint_url": origin,
        "client_kwargs": {"region_name": "us-east-1"},
        "config_kwargs": {"s3": {"addressing_style": "path"}},
        **more,
    }


def error(status: int, code: str) -> aiohttp.web.Response:
    """Return an error response of S3."""
    text = f"<Error><Code>{code}</Code><Message>{code} of {SECRET}</Message></Error>"
    return aiohttp.web.Response(status=status, text=text, content_type="application/xml")


class S3Server:
    """A bucket named `box`. `requests` has the method and the path with query of each request.

    `faults` decide on the next requests, one after the other. Each is a status, a number of seconds before
    the response as a float, a function that gets the request, or None for no fault.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.list_faults: list[Any] = []
        self.get_faults: list[Any] = []
        self.page_size = 1_000
        self.checks_conditions = True
        self.origin = ""
        self._sorted: list[str] = []

    def options(self, **more: Any) -> dict[str, Any]:
        """Return the `storage_options` for this server."""
        # botocore repeats requests, too, with long delays.
        config = {"s3": {"addressing_style": "path"}, "retries": {"max_attempts": 0}}
        return options_of(self.origin, config_kwargs=config, **more)

    async def __aenter__(self) -> Self:
        app = aiohttp.web.Application()
        app.router.add_get("/box", self._list)
        app.router.add_get(r"/box/{key:[\s\S]*}", self._get)
        self._runner = aiohttp.web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await aiohttp.web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.origin = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._runner.cleanup()

    def count(self, part: str) -> int:
        """Return the number of requests whose path or query contains a text."""
        return sum(part in request for request in self.requests)

    async def _fault(self, request: aiohttp.web.Request, faults: list[Any]) -> Any:
        self.requests.append(request.path_qs)
        fault = faults.pop(0) if faults else None
        if isinstance(fault, float):
            await asyncio.sleep(fault)
        elif isinstance(fault, int):
            return error(fault, "SlowDown" if fault == 503 else "AccessDenied")
        elif fault is not None:
            return await fault(request)
        return None

    async def _list(self, request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        if (response := await self._fault(request, self.list_faults)) is not None:
            return response
        prefix = request.query.get("prefix", "")
        start = request.query.get("continuation-token", "")
        if len(self._sorted) != len(self.objects):
            self._sorted = sorted(self.objects)
        first = (
            bisect.bisect_right(self._sorted, start) if start else bisect.bisect_left(self._sorted, prefix)
        )
        keys = [key for key in self._sorted[first : first + self.page_size + 1] if key.startswith(prefix)]
        page, more = keys[: self.page_size], len(keys) > self.page_size
        contents = "".join(
            f"<Contents><Key>{escape(quote(key, safe='/'))}</Key><Size>{len(self.objects[key])}</Size>"
            f"<ETag>{escape(self.etag(key))}</ETag><LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in page
        )
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        text = (
            f"<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>{str(more).lower()}</IsTruncated>"
            f"{contents}{token}</ListBucketResult>"
        )
        return aiohttp.web.Response(text=text, content_type="application/xml")

    def etag(self, key: str) -> str:
        """Return the ETag of an object, which is the MD5 of its bytes."""
        return f'"{hashlib.md5(self.objects[key], usedforsecurity=False).hexdigest()}"'

    async def _get(self, request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        if (response := await self._fault(request, self.get_faults)) is not None:
            return response
        key = request.match_info["key"]
        if key not in self.objects:
            return error(404, "NoSuchKey")
        condition = request.headers.get("If-Match")
        if self.checks_conditions and condition is not None and condition != self.etag(key):
            return error(412, "PreconditionFailed")
        return await self.send(request, len(self.objects[key]))

    async def send(self, request: aiohttp.web.Request, limit: int) -> aiohttp.web.StreamResponse:
        """Send an object, and break the connection after `limit` bytes if it has more."""
        key = request.match_info["key"]
        data = self.objects[key]
        start = request.http_range.start or 0
        headers = {"ETag": self.etag(key), "Content-Length": str(len(data) - start)}
        response = aiohttp.web.StreamResponse(status=206 if start else 200, headers=headers)
        await response.prepare(request)
        await response.write(data[start : start + limit])
        if start + limit < len(data):
            assert request.transport is not None
            # A reset would drop the bytes that were not sent yet.
            request.transport.close()
        return response
