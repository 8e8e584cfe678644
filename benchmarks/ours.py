"""The product as the drivers see it: six functions, its public calls and nothing else.

Drivers outside this repository may put this file beside them and import it by its name. (`decode_page` is the one that has to
look inside: nobody but the client decodes.)
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from imgwire_async import AsyncImgwireClient, Exchange, Image, UploadItem
from imgwire_async.protocol import codec
from imgwire_async.protocol.request import APIResponse

_EXCHANGE = Exchange(kind="api", method="GET", path="/images/", status=200)


def client(base: str, cafile: str | None = None) -> AsyncImgwireClient:
    """A client for the API at `base`; an async context manager."""
    return AsyncImgwireClient("sk_benchmark", base_url=base, ssl=cafile, max_connections=1000)


async def upload_many(
    client: AsyncImgwireClient,
    paths: Iterable[str | Path],
    concurrency: int,
    *,
    mime_type: str | None = "image/jpeg",
) -> int:
    """Upload the files; how many ended well. With `mime_type=None` each is looked into for its type."""
    items = (UploadItem(path, mime_type=mime_type) for path in paths)
    done = 0
    async for result in client.images.upload_many(items, concurrency=concurrency):
        result.unwrap()
        done += 1
    return done


async def upload_one(client: AsyncImgwireClient, path: str | Path) -> Image:
    """Upload one file, of any size."""
    return await client.images.upload(path, mime_type="image/jpeg")


async def retrieve(client: AsyncImgwireClient, image_id: str) -> Image:
    """One image by its id."""
    return await client.images.retrieve(image_id)


async def list_all(client: AsyncImgwireClient) -> int:
    """Go through all images one by one, in order; how many there were."""
    seen = 0
    async for _ in client.images.list_all():
        seen += 1
    return seen


def decode_page(body: bytes) -> list[Image]:
    """A page of images from its JSON, with all checks."""
    return codec.decode(APIResponse(200, _EXCHANGE.headers, body, _EXCHANGE), list[Image])
