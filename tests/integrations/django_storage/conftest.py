from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from imgwire_async.emulator import Emulator


@pytest.fixture(scope="module")
def running() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def emulator(running: Emulator) -> Emulator:
    running.reset()
    return running


@pytest.fixture
def options(emulator: Emulator) -> dict[str, Any]:
    return {"api_key": emulator.api_key, "base_url": emulator.base_url, "retries": 0}


@pytest.fixture
def storage(options: dict[str, Any]) -> Iterator[Any]:
    # Imported here, because Django is set up only by the tests that use a storage.
    from imgwire_async.integrations.django import ImgwireStorage

    storage = ImgwireStorage(**options)
    yield storage
    storage.client.close()
