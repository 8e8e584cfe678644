from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from imgwire_async.emulator import Emulator


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator() as emulator:
        yield emulator
