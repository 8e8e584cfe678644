"""TCP connections that can be aborted without waiting for the peer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from imgwire_async import threads

if TYPE_CHECKING:
    import aiohttp

try:
    import fcntl
    import termios
except ImportError:
    # Windows has neither module. Progress is then the number of bytes that the kernel accepted, acknowledged
    # or not.
    fcntl = termios = None  # type: ignore[assignment]  # modules or nothing


class Connection:
    """The transport, protocol and socket of an open connection.

    They are saved while the connection is open, because a closed asyncio transport returns None for them, or
    raises. Over TLS the TCP transport below the TLS layer is saved, too: after a second `close()` only that
    transport can abort the connection.
    """

    __slots__ = ("_protocol", "_socket", "_tcp_transport", "_transport")

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport
        self._tcp_transport: asyncio.WriteTransport | None = getattr(
            getattr(transport, "_ssl_protocol", None), "_transport", None
        )
        self._protocol = transport.get_protocol()
        self._socket = transport.get_extra_info("socket")

    @classmethod
    def of(cls, owner: object) -> Connection | None:
        """Return the connection of aiohttp's writer or connection object, or None if it is closed already."""
        transport: asyncio.WriteTransport | None = getattr(owner, "transport", None)
        try:
            return None if transport is None else cls(transport)
        except AttributeError:
            # The transport was closed twice: by the peer and by aiohttp.
            return None

    def abort(self) -> None:
        """Close the connection at once and discard unsent bytes.

        `close()` would wait until the peer has read these bytes and, over TLS, has stopped sending. That may
        never happen.
        """
        # aiohttp's writer may wait in `drain()`. No other code retrieves the exception that ends this wait.
        waiter = getattr(self._protocol, "_drain_waiter", None)
        if waiter is not None:
            waiter.add_done_callback(threads.consume_exception)
        try:
            (self._transport if self._tcp_transport is None else self._tcp_transport).abort()
        except (AttributeError, RuntimeError):
            # Other code has closed the connection already.
            pass

    @property
    def is_closing(self) -> bool:
        """Whether written bytes are discarded.

        A TLS transport does not notice that its TCP transport failed.
        """
        return self._transport.is_closing() or (
            self._tcp_transport is not None and self._tcp_transport.is_closing()
        )

    def buffered(self) -> int:
        """Return the number of bytes buffered in this process, including those of the TLS layer."""
        return sum(
            _write_buffer_size(transport)
            for transport in (self._transport, self._tcp_transport)
            if transport is not None
        )

    def unacknowledged(self) -> int:
        """Return the number of bytes in the kernel that the peer has not acknowledged.

        With a slow peer this number changes long before the buffer in this process does.
        """
        sock = self._socket
        if fcntl is None or termios is None or sock is None or sock.fileno() < 0:
            return 0
        try:
            return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"), "little")
        except OSError:
            # The socket was closed after the check above.
            return 0


class UnreadResponse:
    """The connection of a response whose body has not been read to its end.

    `abort` closes this connection. It does nothing after the end of the body, when another request may use
    the connection.
    """

    __slots__ = ("_connection", "_content")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        # The repr of the content, unlike that of the response, shows no URL.
        self._content = response.content
        self._connection = Connection.of(response.connection)

    def abort(self) -> None:
        """Close the connection if it still belongs to this response."""
        if self._connection is not None and not self._content.is_eof():
            self._connection.abort()


def _write_buffer_size(transport: asyncio.WriteTransport) -> int:
    try:
        return transport.get_write_buffer_size()
    except (AttributeError, RuntimeError):
        # A closed transport has no buffer.
        return 0
