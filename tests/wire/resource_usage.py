"""Uploads in a process of their own, and what they took of it: `python -m wire.resource_usage WHAT SETTINGS` in `tests`, JSON in and out."""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from imgwire_async import AsyncImgwireClient, UploadItem

PIECE = bytes(2**18)


def memory(field: str) -> int:
    """`VmRSS` or `VmHWM` (its peak) of this process, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


@contextmanager
def measuring() -> Iterator[dict[str, Any]]:
    """How far this process grew at its peak, how many files it had open, and how long it took."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before, began, most = memory("VmRSS"), time.monotonic(), 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, sum(1 for _ in Path("/proc/self/fd").iterdir()))
            await asyncio.sleep(0.005)

    watching = asyncio.ensure_future(watch())
    found: dict[str, Any] = {}
    yield found
    watching.cancel()
    found.update(growth=memory("VmHWM") - before, open_files=most, seconds=round(time.monotonic() - began, 2))


async def many(client: AsyncImgwireClient, given: dict[str, Any]) -> dict[str, Any]:
    """`count` files from a generator: paths of the folder again and again, or sources of unknown size."""
    paths = sorted(Path(given["folder"]).iterdir())

    async def unknown(path: Path) -> AsyncIterator[bytes]:
        yield path.read_bytes()

    def files(count: int) -> Iterator[Any]:
        for number in range(count):
            path = paths[number % len(paths)]
            yield UploadItem(unknown(path)) if given.get("unknown_size") else path

    async def run(count: int) -> int:
        done = 0
        async for result in client.images.upload_many(files(count), concurrency=given["concurrency"]):
            result.unwrap()
            done += 1
        return done

    await run(given["warm_up"])
    with measuring() as found:
        found["done"] = await run(given["count"])
    return found


async def one(client: AsyncImgwireClient, given: dict[str, Any]) -> dict[str, Any]:
    """One big file."""
    size: int = given["size"]

    async def pieces(length: int) -> AsyncIterator[bytes]:
        for at in range(0, length, len(PIECE)):
            yield PIECE[: length - at]

    def plain(length: int) -> Iterator[bytes]:
        for at in range(0, length, len(PIECE)):
            yield PIECE[: length - at]

    kinds: dict[str, Callable[[int], tuple[Any, int | None]]] = {
        "path": lambda _: (given["path"], None),
        "async iterator": lambda length: (pieces(length), length),
        "spooled": lambda length: (plain(length), None),
    }
    make = kinds[given["kind"]]
    await client.images.upload(pieces(2**23), mime_type="image/png")  # every import and buffer is there
    await client.images.upload(pieces(2**23), mime_type="image/png", content_length=2**23)
    file, length = make(size)
    with measuring() as found:
        image = await client.images.upload(file, mime_type="image/png", content_length=length)
        found["done"] = image.id
    return found


async def main(what: str, given: dict[str, Any]) -> None:
    limit = given.get("open_file_limit")
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    async with AsyncImgwireClient(given["api_key"], base_url=given["base_url"]) as client:
        print(json.dumps(await {"many": many, "one": one}[what](client, given)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
