from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession, TCPConnector

from imgwire_async.emulator import Emulator

from .raw_client import RawClient


@pytest.fixture
def switches() -> dict[str, Any]:
    """The arguments of the emulator, which `@pytest.mark.parametrize("switches", ...)` overrides."""
    return {}


@pytest.fixture
async def emulator(switches: dict[str, Any]) -> AsyncIterator[Emulator]:
    async with Emulator(**switches) as emulator:
        yield emulator


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[RawClient]:
    async with ClientSession(connector=TCPConnector(ssl=emulator.ssl_context or True)) as session:
        yield RawClient(emulator, session)
