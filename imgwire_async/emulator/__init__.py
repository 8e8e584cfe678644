"""A strict, stateful local Imgwire: API, presigned storage and CDN on three ports of this machine.

async with Emulator() as emulator:          # or plain `with`, in a thread
    client = AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url)
"""

from __future__ import annotations

from imgwire_async.emulator.server import Emulator
from imgwire_async.emulator.switches import ClientLimits

__all__ = ["ClientLimits", "Emulator"]
