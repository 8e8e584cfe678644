"""The three listening hosts of one emulator: API, storage and CDN."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

from imgwire_async.emulator.addresses import is_loopback, is_wildcard, resolve_address
from imgwire_async.emulator.api import HEALTH_PATH, Api
from imgwire_async.emulator.cdn import Cdn
from imgwire_async.emulator.faults import Faults
from imgwire_async.emulator.host_server import Connections, Handler, HostServer
from imgwire_async.emulator.http import HostName
from imgwire_async.emulator.listener import Listener
from imgwire_async.emulator.state import Origins, State
from imgwire_async.emulator.storage import Storage
from imgwire_async.emulator.tls import CaFile, Certificates, TcpTransports, make_certificates

__all__ = ["Servers"]

logger: logging.Logger = logging.getLogger("imgwire_async.emulator")


class Servers:
    """The sockets of an emulator, and the file of its CA. They are opened and closed in one loop, as often as wanted."""

    def __init__(self, name: str, ports: tuple[int, int, int], *, tls: bool) -> None:
        if not name or not name.isprintable() or " " in name:
            raise ValueError(
                f"host: {name!r} is no host name or IP address; 0.0.0.0 stands for all of this machine"
            )
        self.listeners: tuple[Listener, ...] = ()
        self._name = name
        self._ports = ports
        self._certificates: Certificates | None = make_certificates(name) if tls else None
        self._ca_file: CaFile | None = None
        self._connections: Connections = Connections()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def client_context(self) -> ssl.SSLContext | None:
        """A context for clients that trusts these hosts and nobody else; None without TLS."""
        return None if self._certificates is None else self._certificates.client

    @property
    def ca_path(self) -> Path | None:
        """The PEM file of the CA: there while the hosts listen. None without TLS."""
        return None if self._ca_file is None else self._ca_file.path

    async def start(self, state: State, faults: Faults) -> None:
        """Listen, and tell `state` where. When one host cannot, none does."""
        self._connections, self._loop = Connections(), asyncio.get_running_loop()
        self.listeners = self._new_listeners(state, faults)
        try:
            address = await resolve_address(self._name)
            if self._certificates is not None:
                self._ca_file = await asyncio.to_thread(self._certificates.write_ca)
            api, storage, cdn = [await listener.start(address, self._name) for listener in self.listeners]
        except BaseException:
            await self.stop()
            raise
        state.origins = Origins(api=api, storage=storage, cdn=cdn, any_host=is_wildcard(self._name))
        if not is_loopback(address):
            logger.warning(
                "the emulator listens on %s, so other machines reach it, too; it is for tests, and guards nothing",
                self._name,
            )

    def _new_listeners(self, state: State, faults: Faults) -> tuple[Listener, ...]:
        transports, certificates = TcpTransports(), self._certificates
        handlers: tuple[tuple[HostName, Handler], ...] = (
            ("api", Api(state)), ("storage", Storage(state)), ("cdn", Cdn(state)),
        )  # fmt: skip
        return tuple(
            Listener(
                HostServer(
                    name,
                    handler,
                    log=state.log,
                    faults=faults,
                    clock=state.clock,
                    numbers=self._connections,
                    transports=transports,
                    unlogged=frozenset({HEALTH_PATH}) if name == "api" else frozenset(),
                ),
                port,
                None if certificates is None else (certificates.server, transports),
            )
            for (name, handler), port in zip(handlers, self._ports, strict=True)
        )

    async def stop(self) -> None:
        """Close all sockets and connections, and remove the CA's file."""
        listeners, self.listeners, self._loop = self.listeners, (), None
        await asyncio.gather(*(listener.stop() for listener in listeners))
        file, self._ca_file = self._ca_file, None
        if file is not None:
            await asyncio.to_thread(file.remove)

    def shrink_buffers(self) -> None:
        """Let connections hold little unread, those of now and those to come. Any thread may call this."""
        for listener in self.listeners:
            listener.shrink_buffers()
        if self._loop is None:
            return
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self._connections.shrink_buffers()
        else:
            self._loop.call_soon_threadsafe(self._connections.shrink_buffers)
