"""Test the installed package without its extras: `python -I -W error tests/smoke.py VERSION`.

The `-I` keeps Python from importing the package of this repository.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.resources
import importlib.util
import sys
from pathlib import Path

import imgwire_async
from imgwire_async import AsyncImgwireClient, ImgwireClient
from imgwire_async.emulator import Emulator

GIF = bytes.fromhex("47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b")


async def upload(emulator: Emulator) -> None:
    async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
        image = await client.images.upload(GIF, file_name="a.gif", wait=True)
        assert await client.images.read(image) == GIF
        assert [listed.id async for listed in client.images.list_all()] == [image.id]


def upload_without_await(emulator: Emulator) -> None:
    with ImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
        image = client.images.upload(GIF, file_name="b.gif", wait=True)
        assert client.images.read(image) == GIF
        client.images.delete(image.id)


def message_without_the_extra() -> str:
    try:
        importlib.import_module("imgwire_async.otel")
    except ImportError as error:
        return str(error)
    return "nothing"


def main(version: str) -> None:
    """Check the installation, and upload a picture with both clients."""
    assert "site-packages" in Path(imgwire_async.__file__).parts, imgwire_async.__file__
    assert imgwire_async.__version__ == importlib.metadata.version("imgwire-async") == version
    assert importlib.resources.files(imgwire_async).joinpath("py.typed").is_file()
    with Emulator() as emulator:
        asyncio.run(upload(emulator))
        upload_without_await(emulator)
    if importlib.util.find_spec("opentelemetry") is None:
        assert "imgwire-async[otel]" in message_without_the_extra()
    print(f"imgwire-async {version} works on Python {sys.version.partition(' ')[0]}")


if __name__ == "__main__":
    main(sys.argv[1])
