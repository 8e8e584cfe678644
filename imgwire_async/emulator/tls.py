"""TLS for the three hosts: a new CA, its certificates, and servers that give access to the TCP transports."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import ssl
import tempfile
import weakref
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from attrs import frozen

from imgwire_async.emulator.addresses import is_wildcard

if TYPE_CHECKING:
    import trustme

__all__ = ["Certificates", "TcpTransports", "TlsServer", "make_certificates"]

_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")


@frozen(kw_only=True)
class Certificates:
    """The SSL contexts for servers and clients, and the CA certificate in PEM format."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    ca_pem: bytes

    def write_ca(self) -> CaFile:
        """Write the CA certificate to a temporary file."""
        return CaFile(self.ca_pem)


class CaFile:
    """A temporary file with a CA certificate in PEM format.

    The file exists until `remove` is called, the object is garbage-collected, or the process ends.
    """

    def __init__(self, pem: bytes) -> None:
        descriptor, name = tempfile.mkstemp(prefix="imgwire-emulator-ca-", suffix=".pem")
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
        self.path: Path = Path(name)
        self.remove: Callable[[], object] = weakref.finalize(self, _unlink, name, os.getpid())


def _unlink(name: str, owner_pid: int) -> None:
    # A forked child process runs this function when it ends. It must not delete the file, because the parent
    # process may still need it.
    if os.getpid() == owner_pid:
        with contextlib.suppress(OSError):
            os.unlink(name)  # noqa: PTH108  pathlib may be unavailable at the end of the process


def make_certificates(host: str = "127.0.0.1") -> Certificates:
    """Create SSL contexts for servers and clients, with a certificate for `host` and the loopback names."""
    names = _LOOPBACK_NAMES if host in _LOOPBACK_NAMES or is_wildcard(host) else (*_LOOPBACK_NAMES, host)
    authority, identity = _create_certificate(names)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # The ssl module reads a private key only from a file.
    with identity.private_key_and_cert_chain_pem.tempfile() as path:
        server.load_cert_chain(path)
    pem = authority.cert_pem.bytes()
    return Certificates(
        server=server, client=ssl.create_default_context(cadata=pem.decode("ascii")), ca_pem=pem
    )


# Cached, because the creation of two keys and two signatures takes about 10 ms.
@functools.cache
def _create_certificate(names: tuple[str, ...]) -> tuple[trustme.CA, trustme.LeafCert]:
    try:
        import trustme
    except ImportError as error:
        raise ImportError(
            'Emulator(tls=True) needs trustme to create its certificate: pip install "imgwire-async[emulator]"',
            name="trustme",
        ) from error
    authority = trustme.CA()
    return authority, authority.issue_cert(*names)


class TcpTransports:
    """A registry that maps each TLS transport to the TCP transport that carries it.

    Two faults need the TCP transport: the reset of a connection, and the end of a connection without
    close_notify. asyncio and uvloop give no access to the TCP transport. Calling `abort()` on the TLS
    transport is not enough, because it does nothing after two calls of `close()`.
    """

    def __init__(self) -> None:
        # An ordinary dictionary, because uvloop's TLS transports do not support weak references.
        self._tcp_by_tls: dict[asyncio.BaseTransport, asyncio.Transport] = {}

    def add(self, tls_transport: asyncio.Transport, tcp: asyncio.Transport) -> None:
        """Register the TCP transport of a TLS transport."""
        self._tcp_by_tls[tls_transport] = tcp

    def discard(self, tls_transport: asyncio.Transport) -> None:
        """Remove a TLS transport whose connection was lost."""
        self._tcp_by_tls.pop(tls_transport, None)

    def find(self, transport: asyncio.Transport) -> asyncio.Transport:
        """Return the TCP transport that carries `transport`, or `transport` itself if it does not use TLS."""
        return self._tcp_by_tls.get(transport, transport)


class TlsServer:
    """A protocol factory for `loop.create_server` that starts TLS on each accepted connection.

    After the handshake, `make_protocol` creates the protocol that handles the connection. This class replaces
    `create_server(ssl=...)`, which gives no access to the TCP transports, and cannot cancel handshakes that
    have not finished.
    """

    def __init__(
        self,
        make_protocol: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext,
        transports: TcpTransports,
    ) -> None:
        self._make_protocol = make_protocol
        self._context = context
        self._transports = transports
        self._handshakes: set[asyncio.Task[None]] = set()
        self._open_transports: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()

    def __call__(self) -> asyncio.Protocol:
        return _AcceptProtocol(self._accept)

    def _accept(self, tcp: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        deferred = _DeferredProtocol()
        handshake = _StartedAwaitable(loop.start_tls(tcp, deferred, self._context, server_side=True))
        task = loop.create_task(self._finish(tcp, deferred, handshake))
        self._open_transports.add(tcp)
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def _finish(
        self,
        tcp: asyncio.Transport,
        deferred: _DeferredProtocol,
        handshake: Awaitable[asyncio.Transport | None],
    ) -> None:
        try:
            tls_transport = await handshake
        except OSError:
            # The client disconnected, does not use TLS, or does not trust the CA.
            tls_transport = None
        # `start_tls` returns None if the connection was lost at the end of the handshake.
        if tls_transport is None:
            tcp.abort()
            return
        self._transports.add(tls_transport, tcp)
        protocol = self._make_protocol()
        deferred.set_protocol(protocol, tls_transport, lambda: self._transports.discard(tls_transport))

    async def stop(self) -> None:
        """Cancel all handshakes, and abort all connections.

        Connections are not closed cleanly, because a TLS shutdown could wait forever for the client.
        """
        for task in list(self._handshakes):
            task.cancel()
        await asyncio.gather(*self._handshakes, return_exceptions=True)
        for tcp in list(self._open_transports):
            tcp.abort()


class _StartedAwaitable(Awaitable[asyncio.Transport | None]):
    """An awaitable that starts at once: it runs until it first waits, and continues when it is awaited.

    `TlsServer` uses this class to start `start_tls` during `connection_made`. That is necessary because
    uvloop reads the first bytes right after `connection_made`, and by then `start_tls` must have installed
    its own protocol.
    """

    def __init__(self, awaitable: Awaitable[asyncio.Transport | None]) -> None:
        self._iterator = awaitable.__await__()
        self._first_future = next(self._iterator)

    def __await__(self) -> Generator[Any, Any, asyncio.Transport | None]:
        try:
            yield self._first_future
        except BaseException as error:
            self._iterator.throw(error)
            raise
        return (yield from self._iterator)


class _AcceptProtocol(asyncio.Protocol):
    """The protocol of a new TCP connection. It calls `accept` with the transport."""

    def __init__(self, accept: Callable[[asyncio.Transport], None]) -> None:
        self._accept = accept

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._accept(cast("asyncio.Transport", transport))


class _DeferredProtocol(asyncio.Protocol):
    """A protocol that forwards all events to another protocol, which `set_protocol` sets after the handshake.

    The first bytes of a request may arrive before `set_protocol` is called. These bytes are kept until the
    call.
    """

    def __init__(self) -> None:
        self._protocol: asyncio.Protocol | None = None
        self._early_data = bytearray()
        self._eof_received = False
        self._on_lost: Callable[[], None] | None = None

    def set_protocol(
        self, protocol: asyncio.Protocol, transport: asyncio.Transport, on_lost: Callable[[], None]
    ) -> None:
        """Connect `protocol` to the TLS transport, and pass it the data that arrived earlier.

        `on_lost` is called when the connection is lost.
        """
        self._protocol, self._on_lost = protocol, on_lost
        protocol.connection_made(transport)
        if self._early_data:
            protocol.data_received(bytes(self._early_data))
        if self._eof_received:
            protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._protocol is not None:
            self._protocol.connection_lost(exc)
        if self._on_lost is not None:
            self._on_lost()

    def data_received(self, data: bytes) -> None:
        if self._protocol is None:
            self._early_data += data
        else:
            self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        self._eof_received = True
        return None if self._protocol is None else self._protocol.eof_received()

    def pause_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if self._protocol is not None:
            self._protocol.resume_writing()
