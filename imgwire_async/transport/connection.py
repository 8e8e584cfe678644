"""TCP connections, dropped where closing them would wait for the peer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from imgwire_async import threads

if TYPE_CHECKING:
    import aiohttp

try:
    import fcntl
    import termios
except ImportError:  # Windows: progress is then what the kernel took, not what the peer acknowledged
    fcntl = termios = None  # type: ignore[assignment]  # modules or nothing


class Connection:
    """A connection as it was while sound: a transport that is closed tells nothing any more, or raises.

    Over TLS a second `close()` cuts asyncio's transport off from its protocol. So what is needed later is taken at once, the
    TCP transport below the TLS layer too: only that one can be dropped then.
    """

    __slots__ = ("_protocol", "_raw", "_socket", "_transport")

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport
        self._raw: asyncio.WriteTransport | None = getattr(
            getattr(transport, "_ssl_protocol", None), "_transport", None
        )
        self._protocol = transport.get_protocol()
        self._socket = transport.get_extra_info("socket")

    @classmethod
    def of(cls, end: object) -> Connection | None:
        """Return the connection behind aiohttp's writer or connection object, or None when it is gone already."""
        transport: asyncio.WriteTransport | None = getattr(end, "transport", None)
        try:
            return None if transport is None else cls(transport)
        except AttributeError:  # closed twice, by the peer and by aiohttp
            return None

    def abort(self) -> None:
        """Drop the connection, unsent bytes and all.

        To close it takes until the peer has read them and, over TLS, has stopped sending: that may be never.
        """
        # aiohttp's writer may wait here for room; nobody else would look at what becomes of that.
        waiter = getattr(self._protocol, "_drain_waiter", None)
        if waiter is not None:
            waiter.add_done_callback(threads.consume_exception)
        try:
            (self._transport if self._raw is None else self._raw).abort()
        except (AttributeError, RuntimeError):  # closed by somebody else: there is nothing to drop any more
            pass

    @property
    def is_closing(self) -> bool:
        """Whether nothing that is written arrives any more. A TLS transport does not know that its TCP transport failed."""
        return self._transport.is_closing() or (self._raw is not None and self._raw.is_closing())

    def buffered(self) -> int:
        """Return the bytes that wait in this process, those of the TLS layer included."""
        return sum(_write_buffer_size(each) for each in (self._transport, self._raw) if each is not None)

    def unacknowledged(self) -> int:
        """Return the bytes in the kernel that the peer has not acknowledged.

        A slow peer shows here long before our buffer moves.
        """
        sock = self._socket
        if fcntl is None or termios is None or sock is None or sock.fileno() < 0:
            return 0
        try:
            return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"), "little")
        except OSError:  # the socket went away in between
            return 0


class Unread:
    """The connection of a response whose body is still to be read: `drop` ends it, unless the body was read to its end.

    Then it may be in use for another request already.
    """

    __slots__ = ("_connection", "_content")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._content = response.content  # shows no URL, as the response does
        self._connection = Connection.of(response.connection)

    def drop(self) -> None:
        """Drop the connection, if it is still this response's."""
        if self._connection is not None and not self._content.is_eof():
            self._connection.abort()


def _write_buffer_size(transport: asyncio.WriteTransport) -> int:
    try:
        return transport.get_write_buffer_size()
    except (AttributeError, RuntimeError):  # closed: nothing waits there any more
        return 0
