"""Measure the memory and the open files of uploads in a process of their own.

`python -m wire.resource_usage NAME SETTINGS` in `tests` runs the function NAME, and prints the measurements.
SETTINGS and the output are JSON.
"""

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

CHUNK = bytes(2**18)


def memory(field: str) -> int:
    """Return `VmRSS` (the memory of this process) or `VmHWM` (its peak), in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


@contextmanager
def measuring() -> Iterator[dict[str, Any]]:
    """Provide a dict, and store the measurements of the body in it at the end."""
    gc.collect()
    # This resets the peak.
    Path("/proc/self/clear_refs").write_text("5")
    before, started_at, maximum = memory("VmRSS"), time.monotonic(), 0

    async def watch() -> None:
        nonlocal maximum
        while True:
            maximum = max(maximum, sum(1 for _ in Path("/proc/self/fd").iterdir()))
            await asyncio.sleep(0.005)

    task = asyncio.ensure_future(watch())
    measured: dict[str, Any] = {}
    yield measured
    task.cancel()
    measured.update(
        growth=memory("VmHWM") - before, open_files=maximum, seconds=round(time.monotonic() - started_at, 2)
    )


async def many(client: AsyncImgwireClient, settings: dict[str, Any]) -> dict[str, Any]:
    """Upload `count` files from a generator: the paths of a folder repeatedly, or sources of unknown size."""
    paths = sorted(Path(settings["folder"]).iterdir())

    async def unknown_size(path: Path) -> AsyncIterator[bytes]:
        yield path.read_bytes()

    def files(count: int) -> Iterator[Any]:
        for number in range(count):
            path = paths[number % len(paths)]
            yield UploadItem(unknown_size(path)) if settings.get("unknown_size") else path

    async def run(count: int) -> int:
        done = 0
        async for result in client.images.upload_many(files(count), concurrency=settings["concurrency"]):
            result.unwrap()
            done += 1
        return done

    await run(settings["warm_up"])
    with measuring() as measured:
        measured["done"] = await run(settings["count"])
    return measured


async def one(client: AsyncImgwireClient, settings: dict[str, Any]) -> dict[str, Any]:
    """Upload one big file."""
    size: int = settings["size"]

    async def async_chunks(length: int) -> AsyncIterator[bytes]:
        for offset in range(0, length, len(CHUNK)):
            yield CHUNK[: length - offset]

    def chunks(length: int) -> Iterator[bytes]:
        for offset in range(0, length, len(CHUNK)):
            yield CHUNK[: length - offset]

    kinds: dict[str, Callable[[int], tuple[Any, int | None]]] = {
        "path": lambda _: (settings["path"], None),
        "async iterator": lambda length: (async_chunks(length), length),
        "spooled": lambda length: (chunks(length), None),
    }
    make = kinds[settings["kind"]]
    # Uploads before the measurement load all imports and allocate all buffers.
    await client.images.upload(async_chunks(2**23), mime_type="image/png")
    await client.images.upload(async_chunks(2**23), mime_type="image/png", content_length=2**23)
    file, length = make(size)
    with measuring() as measured:
        image = await client.images.upload(file, mime_type="image/png", content_length=length)
        measured["done"] = image.id
    return measured


async def main(name: str, settings: dict[str, Any]) -> None:
    limit = settings.get("open_file_limit")
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    async with AsyncImgwireClient(settings["api_key"], base_url=settings["base_url"]) as client:
        print(json.dumps(await {"many": many, "one": one}[name](client, settings)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
