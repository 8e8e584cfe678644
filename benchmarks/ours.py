"""The package as benchmarks use it: six functions that call only its public API.

Benchmarks outside this repository may copy this file and import it by its name. `decode_page` is the
exception that uses internal functions, because the client has no public method that only decodes.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from imgwire_async import AsyncImgwireClient, Exchange, Image, UploadItem
from imgwire_async.protocol import codec
from imgwire_async.protocol.request import APIResponse

_EXCHANGE = Exchange(kind="api", method="GET", path="/images/", status=200)


def client(base: str, cafile: str | None = None) -> AsyncImgwireClient:
    """Return a client for the API at `base`, which is an async context manager."""
    return AsyncImgwireClient("sk_benchmark", base_url=base, ssl=cafile, max_connections=1000)


async def upload_many(
    client: AsyncImgwireClient,
    paths: Iterable[str | Path],
    concurrency: int,
    *,
    mime_type: str | None = "image/jpeg",
) -> int:
    """Upload the files, and return how many succeeded.

    With `mime_type=None` the type of each file is detected.
    """
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
    """Retrieve one image by its id."""
    return await client.images.retrieve(image_id)


async def list_all(client: AsyncImgwireClient) -> int:
    """Iterate over all images in order, and return their number."""
    count = 0
    async for _ in client.images.list_all():
        count += 1
    return count


def decode_page(body: bytes) -> list[Image]:
    """Decode a page of images from its JSON, with all checks."""
    return codec.decode(APIResponse(200, _EXCHANGE.headers, body, _EXCHANGE), list[Image])
