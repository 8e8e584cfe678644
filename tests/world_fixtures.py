"""Hooks and fixtures for folders whose tests run in several worlds. `conftest.py` imports all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import leaks
import pytest
import worlds
from worlds import World

from imgwire_async import AsyncImgwireClient
from imgwire_async.emulator import Emulator

__all__ = [
    "client",
    "emulator",
    "pytest_asyncio_loop_factories",
    "pytest_generate_tests",
    "pytest_runtest_setup",
    "pytest_runtest_teardown",
    "switches",
    "world",
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.get_closest_marker("world") is not None:
        metafunc.parametrize("world", worlds.parameters(), indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    # The world is set before any fixture runs, because the fixtures run on an event loop of this world.
    callspec = getattr(item, "callspec", None)
    worlds.enter(worlds.PLAIN if callspec is None else callspec.params.get("world", worlds.PLAIN))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    # Tests in other folders use `raw_server()`, too.
    worlds.enter(worlds.PLAIN)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], Any]]:
    return {"loop": worlds.new_loop}


@pytest.fixture(autouse=True)
def world() -> World:
    """Return the world of the test: TLS or not, and the kind of event loop.

    The fixtures `emulator` and `client` and the servers of `raw_server()` use it. A test that creates its own
    must use it, too. Only tests with the mark `world` run in other worlds than plain http on asyncio's loop.
    """
    return worlds.current()


# --- the emulator and its client ----------------------------------------------------------------------------


@pytest.fixture
def switches() -> dict[str, Any]:
    """Return the emulator's switches.

    A test overrides them with `@pytest.mark.parametrize("switches", ...)`.
    """
    return {}


@pytest.fixture
async def emulator(switches: dict[str, Any], world: World) -> AsyncIterator[Emulator]:
    async with world.emulator(**switches) as emulator:
        yield emulator
        assert leaks.leaks_to_hosts(emulator.requests) == []


@pytest.fixture
async def client(emulator: Emulator, world: World) -> AsyncIterator[AsyncImgwireClient]:
    async with world.client_of(emulator) as client:
        yield client
