from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession, TCPConnector

from imgwire_async.emulator import Emulator

from .asking import Asker


@pytest.fixture
def switches() -> dict[str, Any]:
    """Overridden by `@pytest.mark.parametrize("switches", ...)`."""
    return {}


@pytest.fixture
async def emulator(switches: dict[str, Any]) -> AsyncIterator[Emulator]:
    async with Emulator(**switches) as emulator:
        yield emulator


@pytest.fixture
async def ask(emulator: Emulator) -> AsyncIterator[Asker]:
    async with ClientSession(connector=TCPConnector(ssl=emulator.ssl_context or True)) as session:
        yield Asker(emulator, session)
