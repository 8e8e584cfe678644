"""The worlds of tests with the mark `world`: http or https, on asyncio's event loop or on uvloop.

All sessions run all tests in the first world. The other worlds have the mark `slow`: `nox -s slow` runs them,
and `-k https-uvloop` selects one of them. `world_fixtures.py` sets the current world before it creates
the fixtures of a test.
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
    """The protocol between client and server, and the kind of event loop that runs both."""

    tls: bool
    uvloop: bool

    def __str__(self) -> str:
        return f"{'https' if self.tls else 'http'}-{'uvloop' if self.uvloop else 'asyncio'}"

    @property
    def ssl(self) -> ssl.SSLContext | None:
        """The TLS context of a client, which trusts the emulator and the servers of `raw_server()`.

        None over http.
        """
        return _certificates().client if self.tls else None

    @property
    def server_ssl(self) -> ssl.SSLContext | None:
        """The TLS context of a server. None over http."""
        return _certificates().server if self.tls else None

    def origin(self, port: int) -> str:
        """Return the origin of a server on this machine."""
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{port}"

    def emulator(self, **switches: Any) -> Emulator:
        """Return an emulator that uses the protocol of this world."""
        return Emulator(tls=self.tls, **switches)

    def client(self, key: Any, base_url: str, **settings: Any) -> AsyncImgwireClient:
        """Return a client that trusts the servers of this world."""
        return AsyncImgwireClient(key, base_url=base_url, ssl=self.ssl, **settings)

    def client_of(self, emulator: Emulator, **settings: Any) -> AsyncImgwireClient:
        """Return a client of `emulator`, with its server key."""
        return self.client(emulator.api_key, emulator.base_url, **settings)

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """Return a new event loop of this world's kind."""
        if not self.uvloop:
            return asyncio.new_event_loop()
        import uvloop

        return uvloop.new_event_loop()

    @property
    def missing(self) -> str | None:
        """The reason why this world cannot run here, or None."""
        required = [name for name, needed in (("trustme", self.tls), ("uvloop", self.uvloop)) if needed]
        absent = [name for name in required if importlib.util.find_spec(name) is None]
        return f"needs {' and '.join(absent)}" if absent else None


@functools.cache
def _certificates() -> Certificates:
    return make_certificates()


PLAIN = World(tls=False, uvloop=False)
WORLDS = [PLAIN, World(tls=True, uvloop=False), World(tls=True, uvloop=True), World(tls=False, uvloop=True)]
_current = PLAIN


def current() -> World:
    """Return the world of the current test."""
    return _current


def enter(world: World) -> None:
    """Make `world` the current one, until the next test."""
    global _current
    _current = world


def new_loop() -> asyncio.AbstractEventLoop:
    """Return a new event loop of the current world's kind."""
    return _current.new_loop()


def parameters() -> list[Any]:
    """Return the worlds as pytest parameters.

    All but the first are slow, and are skipped if a package is missing.
    """
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
