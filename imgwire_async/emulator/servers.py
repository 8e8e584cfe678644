"""The servers of the three hosts of an emulator: API, storage and CDN."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

from imgwire_async.emulator.addresses import is_loopback, is_wildcard, resolve_address
from imgwire_async.emulator.api import HEALTH_PATH, ApiHandler
from imgwire_async.emulator.cdn import CdnHandler
from imgwire_async.emulator.faults import Faults
from imgwire_async.emulator.host_server import Connections, Handler, HostServer
from imgwire_async.emulator.http import HostName
from imgwire_async.emulator.listener import Listener
from imgwire_async.emulator.state import Origins, State
from imgwire_async.emulator.storage import StorageHandler
from imgwire_async.emulator.tls import CaFile, Certificates, TcpTransports, make_certificates

__all__ = ["Servers"]

logger: logging.Logger = logging.getLogger("imgwire_async.emulator")


class Servers:
    """The three servers of an emulator, and the file with the certificate of its CA.

    Call `start` and `stop` in the same event loop. After `stop` the object can be started again.
    """

    def __init__(self, host: str, ports: tuple[int, int, int], *, tls: bool) -> None:
        if not host or not host.isprintable() or " " in host:
            raise ValueError(
                f"host: {host!r} is not a host name or IP address; to listen on all addresses pass '0.0.0.0'"
            )
        self.listeners: tuple[Listener, ...] = ()
        self._host = host
        self._ports = ports
        self._certificates: Certificates | None = make_certificates(host) if tls else None
        self._ca_file: CaFile | None = None
        self._connections: Connections = Connections()
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def client_context(self) -> ssl.SSLContext | None:
        """An SSL context for clients, which trusts only the CA of the emulator. None without TLS."""
        return None if self._certificates is None else self._certificates.client

    @property
    def ca_path(self) -> Path | None:
        """The PEM file of the CA, which exists while the servers run. None without TLS."""
        return None if self._ca_file is None else self._ca_file.path

    async def start(self, state: State, faults: Faults) -> None:
        """Start the three servers, and set `state.origins` to their origins.

        If one server cannot start, this method stops the others and raises the error.
        """
        self._connections, self._loop = Connections(), asyncio.get_running_loop()
        self.listeners = self._new_listeners(state, faults)
        try:
            address = await resolve_address(self._host)
            if self._certificates is not None:
                self._ca_file = await asyncio.to_thread(self._certificates.write_ca)
            api, storage, cdn = [await listener.start(address, self._host) for listener in self.listeners]
        except BaseException:
            await self.stop()
            raise
        state.origins = Origins(api=api, storage=storage, cdn=cdn, listens_on_all=is_wildcard(self._host))
        if not is_loopback(address):
            logger.warning(
                "the emulator listens on %s, so other machines can connect to it; it is for tests and has no protection",
                self._host,
            )

    def _new_listeners(self, state: State, faults: Faults) -> tuple[Listener, ...]:
        transports, certificates = TcpTransports(), self._certificates
        handlers: tuple[tuple[HostName, Handler], ...] = (
            ("api", ApiHandler(state)), ("storage", StorageHandler(state)), ("cdn", CdnHandler(state)),
        )  # fmt: skip
        return tuple(
            Listener(
                HostServer(
                    name,
                    handler,
                    log=state.log,
                    faults=faults,
                    clock=state.clock,
                    connections=self._connections,
                    transports=transports,
                    unlogged=frozenset({HEALTH_PATH}) if name == "api" else frozenset(),
                ),
                port,
                None if certificates is None else (certificates.server, transports),
            )
            for (name, handler), port in zip(handlers, self._ports, strict=True)
        )

    async def stop(self) -> None:
        """Close all sockets and connections, and remove the CA file."""
        listeners, self.listeners, self._loop = self.listeners, (), None
        await asyncio.gather(*(listener.stop() for listener in listeners))
        ca_file, self._ca_file = self._ca_file, None
        if ca_file is not None:
            await asyncio.to_thread(ca_file.remove)

    def shrink_buffers(self) -> None:
        """Shrink the receive buffers of open and future connections. Any thread may call this."""
        for listener in self.listeners:
            listener.shrink_buffers()
        if self._loop is None:
            return
        try:
            in_loop = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            in_loop = False
        if in_loop:
            self._connections.shrink_buffers()
        else:
            self._loop.call_soon_threadsafe(self._connections.shrink_buffers)
