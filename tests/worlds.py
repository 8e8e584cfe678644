"""The worlds that a test marked `world` runs in: http or https, on asyncio's own loop or on uvloop.

The first one is everybody's, in every session. The others are marked `slow`, so `nox -s slow` runs them, and `-k https-uvloop`
picks one. `tests/wire/conftest.py` sets the current one before a test's fixtures are made.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import ssl
from typing import Any

import attrs
import pytest

from imgwire_async import AsyncImgwireClient
from imgwire_async.emulator import Emulator
from imgwire_async.emulator.tls import Certificates, make_certificates

__all__ = ["PLAIN", "WORLDS", "World", "current", "parameters"]


@attrs.frozen
class World:
    """What lies between client and server, and what runs both."""

    tls: bool
    uvloop: bool

    def __str__(self) -> str:
        return f"{'https' if self.tls else 'http'}-{'uvloop' if self.uvloop else 'asyncio'}"

    @property
    def ssl(self) -> ssl.SSLContext | None:
        """What a client of this world trusts: the emulator and `raw_server()` servers alike; None is the default over http."""
        return _certificates().client if self.tls else None

    @property
    def server_ssl(self) -> ssl.SSLContext | None:
        """What a server of this world shows; None over http."""
        return _certificates().server if self.tls else None

    def origin(self, port: int) -> str:
        """The origin of a server on this machine."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{port}"

    def emulator(self, **switches: Any) -> Emulator:
        """An emulator that speaks as this world does."""
        return Emulator(tls=self.tls, **switches)

    def client(self, key: Any, base_url: str, **settings: Any) -> AsyncImgwireClient:
        """A client that trusts the servers of this world."""
        return AsyncImgwireClient(key, base_url=base_url, ssl=self.ssl, **settings)

    def client_of(self, emulator: Emulator, **settings: Any) -> AsyncImgwireClient:
        """A client of an emulator with its server key."""
        return self.client(emulator.api_key, emulator.base_url, **settings)

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """An event loop of this world's kind."""
        if not self.uvloop:
            return asyncio.new_event_loop()
        import uvloop

        return uvloop.new_event_loop()

    @property
    def missing(self) -> str | None:
        """Why this world cannot be entered here; None when it can."""
        wanted = [name for name, needed in (("trustme", self.tls), ("uvloop", self.uvloop)) if needed]
        absent = [name for name in wanted if importlib.util.find_spec(name) is None]
        return f"needs {' and '.join(absent)}" if absent else None


@functools.cache
def _certificates() -> Certificates:
    return make_certificates()


PLAIN = World(tls=False, uvloop=False)
WORLDS = [PLAIN, World(tls=True, uvloop=False), World(tls=True, uvloop=True), World(tls=False, uvloop=True)]
_current = PLAIN


def current() -> World:
    """The world of the test that runs."""
    return _current


def enter(world: World) -> None:
    """Make `world` the current one, until the next test."""
    global _current
    _current = world


def new_loop() -> asyncio.AbstractEventLoop:
    """An event loop of the current world's kind."""
    return _current.new_loop()


def parameters() -> list[Any]:
    """Every world as a parameter: all but the first are slow, and skip where their packages are missing."""
    return [
        pytest.param(
            world,
            id=str(world),
            marks=[] if world is PLAIN else [pytest.mark.slow, *_skipped(world)],
        )
        for world in WORLDS
    ]


def _skipped(world: World) -> list[pytest.MarkDecorator]:
    return [] if world.missing is None else [pytest.mark.skip(reason=f"{world} {world.missing}")]
