"""One listening socket with its HTTP server."""

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

_SILENT = logging.getLogger("imgwire_async.emulator.http")
_SILENT.setLevel(logging.CRITICAL + 1)  # aiohttp reports each malformed request, which tests send on purpose


class Listener:
    """One listening socket. Starts and stops in one and the same loop."""

    def __init__(
        self, front: HostServer, port: int, tls: tuple[ssl.SSLContext, TcpTransports] | None
    ) -> None:
        self._host_server = front
        self._port = port
        self._tls = tls
        self._tls_server: TlsServer | None = None
        self._server: web.Server | None = None
        self._listener: asyncio.Server | None = None

    async def start(self, address: str, host: str) -> str:
        """Listen on an IP address; return the origin, with the host as it was given."""
        self._server = web.Server(
            self._host_server,
            handler_cancellation=True,  # a client that leaves ends its stalled answer
            auto_decompress=False,  # what arrives is what was sent
            access_log=None,
            logger=_SILENT,
        )
        loop = asyncio.get_running_loop()
        factory: Callable[[], asyncio.Protocol] = self._server
        if self._tls is not None:
            factory = self._tls_server = TlsServer(self._server, *self._tls)
        self._listener = await loop.create_server(factory, address, self._port, backlog=1024)
        port: int = self._listener.sockets[0].getsockname()[1]
        return f"{'http' if self._tls is None else 'https'}://{url_host(host)}:{port}"

    def shrink_buffers(self) -> None:
        """Let connections that come from now on hold little unread: a slow reader then shows on the other side at once."""
        if self._listener is not None:
            for each in self._listener.sockets:
                # Of the listening socket: set later, megabytes would be in the kernel already, acknowledged and unread.
                each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)

    async def stop(self) -> None:
        """Stop listening, end what runs, close every connection."""
        if self._listener is None or self._server is None:
            return
        self._listener.close()
        self._server.pre_shutdown()
        await self._host_server.stop()
        if self._tls_server is not None:
            await self._tls_server.stop()
        await self._server.shutdown(timeout=0.05)
        await asyncio.sleep(0)  # closed transports let go of their sockets in the next round of the loop
        self._listener = self._server = self._tls_server = None
