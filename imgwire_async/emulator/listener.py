"""One listening socket and its HTTP server."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

from aiohttp import web

from imgwire_async.emulator.addresses import url_host
from imgwire_async.emulator.host_server import SMALL_BUFFER, HostServer
from imgwire_async.emulator.tls import TcpTransports, TlsServer

__all__ = ["Listener"]

# aiohttp logs each malformed request. This logger drops the messages, because tests send such requests on
# purpose.
_SILENT_LOGGER = logging.getLogger("imgwire_async.emulator.http")
_SILENT_LOGGER.setLevel(logging.CRITICAL + 1)


class Listener:
    """One listening socket, whose connections `host_server` serves.

    `tls` has the SSL context and the registry of TCP transports for https. None means http. Call `start` and
    `stop` in the same event loop.
    """

    def __init__(
        self, host_server: HostServer, port: int, tls: tuple[ssl.SSLContext, TcpTransports] | None
    ) -> None:
        self._host_server = host_server
        self._port = port
        self._tls = tls
        self._tls_server: TlsServer | None = None
        self._server: web.Server | None = None
        self._socket_server: asyncio.Server | None = None

    async def start(self, address: str, host: str) -> str:
        """Listen on an IP address, and return the origin for clients, such as `http://localhost:8080`.

        `host` is the host name in the origin.
        """
        self._server = web.Server(
            self._host_server,
            # Make aiohttp cancel a request when its client disconnects, because the request may be stalled
            # forever.
            handler_cancellation=True,
            # The emulator stores bodies exactly as clients sent them.
            auto_decompress=False,
            access_log=None,
            logger=_SILENT_LOGGER,
        )
        loop = asyncio.get_running_loop()
        protocol_factory: Callable[[], asyncio.Protocol] = self._server
        if self._tls is not None:
            protocol_factory = self._tls_server = TlsServer(self._server, *self._tls)
        self._socket_server = await loop.create_server(protocol_factory, address, self._port, backlog=1024)
        port: int = self._socket_server.sockets[0].getsockname()[1]
        return f"{'http' if self._tls is None else 'https'}://{url_host(host)}:{port}"

    def shrink_buffers(self) -> None:
        """Shrink the receive buffers of future connections.

        With small buffers, clients soon notice that the emulator reads slowly.
        """
        if self._socket_server is not None:
            for listening_socket in self._socket_server.sockets:
                # A connection inherits the size from the listening socket. Setting it on the connection
                # itself would be too late, because the kernel may have received megabytes by then.
                listening_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)

    async def stop(self) -> None:
        """Stop listening, cancel all running requests, and close all connections."""
        if self._socket_server is None or self._server is None:
            return
        self._socket_server.close()
        self._server.pre_shutdown()
        await self._host_server.stop()
        if self._tls_server is not None:
            await self._tls_server.stop()
        await self._server.shutdown(timeout=0.05)
        # Wait one iteration of the event loop, in which the closed transports close their sockets.
        await asyncio.sleep(0)
        self._socket_server = self._server = self._tls_server = None
