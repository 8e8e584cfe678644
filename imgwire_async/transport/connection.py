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
    # Windows has neither module. There `unacknowledged` returns 0, so bytes count as sent when the kernel
    # accepts them.
    fcntl = termios = None  # type: ignore[assignment]  # modules or nothing


class Connection:
    """The transport, protocol and socket of an open connection.

    They are saved while the connection is open, because a closed asyncio transport returns None for them, or
    raises. For a TLS connection the TCP transport below the TLS layer is saved, too, because after a second
    `close()` only the TCP transport can abort the connection.
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
        """Return the connection of aiohttp's writer or connection object, or None if it is closed."""
        transport: asyncio.WriteTransport | None = getattr(owner, "transport", None)
        try:
            return None if transport is None else cls(transport)
        except AttributeError:
            # The transport was closed twice, by the peer and by aiohttp, and has lost its attributes.
            return None

    def abort(self) -> None:
        """Close the connection at once and discard unsent bytes.

        `close()` would wait until the peer has read these bytes and, over TLS, has stopped sending. A peer
        may never do that.
        """
        # aiohttp's writer may wait in `drain()`. Aborting ends this wait with an exception, which asyncio
        # would log if no code retrieved it.
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
        """Whether the connection is closing, so that bytes written to it are discarded.

        A TLS transport does not notice that its TCP transport failed, so both transports are checked.
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

        This number shows the progress of a slow peer. While such a peer receives, the buffer in this process
        may not change for a long time.
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

    `abort` closes this connection. After the end of the body `abort` does nothing, because another request
    may already use the connection.
    """

    __slots__ = ("_connection", "_content")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        # Store the content and not the response, because the repr of the response shows its URL.
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
