"""https for the three hosts: a throw-away CA, and TLS on accepted connections whose TCP transports stay within reach."""

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

_NAMES = ("127.0.0.1", "localhost", "::1")


@frozen(kw_only=True)
class Certificates:
    """Contexts of both sides, and the PEM text of the CA that the client's side trusts."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    ca_pem: bytes

    def write_ca(self) -> CaFile:
        """Write the CA's certificate to a temporary file."""
        return CaFile(self.ca_pem)


class CaFile:
    """A temporary file with a CA's certificate, until `remove` is called or the process that wrote it ends."""

    def __init__(self, pem: bytes) -> None:
        number, name = tempfile.mkstemp(prefix="imgwire-emulator-ca-", suffix=".pem")
        with os.fdopen(number, "wb") as file:
            file.write(pem)
        self.path: Path = Path(name)
        self.remove: Callable[[], object] = weakref.finalize(self, _unlink, name, os.getpid())


def _unlink(name: str, owner: int) -> None:
    if os.getpid() == owner:  # a forked child ends, too, and the file is its parent's
        with contextlib.suppress(OSError):
            os.unlink(name)  # noqa: PTH108  at the end of the process, when pathlib may be gone


def make_certificates(host: str = "127.0.0.1") -> Certificates:
    """Return new contexts with a certificate for `host` and the loopback names, signed by this process's own CA."""
    names = _NAMES if host in _NAMES or is_wildcard(host) else (*_NAMES, host)
    authority, identity = _signed(names)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with identity.private_key_and_cert_chain_pem.tempfile() as path:  # the ssl module reads files alone
        server.load_cert_chain(path)
    pem = authority.cert_pem.bytes()
    return Certificates(
        server=server, client=ssl.create_default_context(cadata=pem.decode("ascii")), ca_pem=pem
    )


@functools.cache  # two keys and two signatures, about 10 ms
def _signed(names: tuple[str, ...]) -> tuple[trustme.CA, trustme.LeafCert]:
    try:
        import trustme
    except ImportError as error:
        raise ImportError(
            'Emulator(tls=True) makes its certificate with trustme: pip install "imgwire-async[emulator]"',
            name="trustme",
        ) from error
    authority = trustme.CA()
    return authority, authority.issue_cert(*names)


class TcpTransports:
    """The TCP transports below TLS transports: what resets a connection or ends it without close_notify needs them.

    Neither asyncio nor uvloop shows them, and `abort()` of a TLS transport does nothing once `close()` was called twice.
    """

    def __init__(self) -> None:
        # Not by weak keys: uvloop's TLS transports cannot be.
        self._below: dict[asyncio.BaseTransport, asyncio.Transport] = {}

    def add(self, upper: asyncio.Transport, tcp: asyncio.Transport) -> None:
        """Remember the TCP transport of a TLS transport, until `discard`."""
        self._below[upper] = tcp

    def discard(self, upper: asyncio.Transport) -> None:
        """Forget a connection that was lost."""
        self._below.pop(upper, None)

    def below(self, transport: asyncio.Transport) -> asyncio.Transport:
        """Return the TCP transport of a connection, which without TLS is the transport itself."""
        return self._below.get(transport, transport)


class TlsServer:
    """A protocol factory for `loop.create_server` that speaks TLS first, then hands over to a protocol of `make`.

    `create_server(ssl=...)` would do it as well, but shows nobody the TCP transports, nor what still shakes hands.
    """

    def __init__(
        self, make: Callable[[], asyncio.Protocol], context: ssl.SSLContext, transports: TcpTransports
    ) -> None:
        self._make = make
        self._context = context
        self._transports = transports
        self._handshakes: set[asyncio.Task[None]] = set()
        self._open: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()

    def __call__(self) -> asyncio.Protocol:
        return _Accepted(self._accept)

    def _accept(self, tcp: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        secured = _Secured()
        handshake = _Begun(loop.start_tls(tcp, secured, self._context, server_side=True))
        task = loop.create_task(self._finish(tcp, secured, handshake))
        self._open.add(tcp)
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def _finish(
        self, tcp: asyncio.Transport, secured: _Secured, handshake: Awaitable[asyncio.Transport | None]
    ) -> None:
        try:
            upper = await handshake
        except OSError:  # the other side left, speaks no TLS, or does not trust the CA
            upper = None
        if upper is None:  # asyncio says so when the connection was lost in the last rfc3339
            tcp.abort()
            return
        self._transports.add(upper, tcp)
        secured.hand_over(self._make(), upper, lambda: self._transports.discard(upper))

    async def stop(self) -> None:
        """End every connection, without a farewell: the other side may never answer one."""
        for task in list(self._handshakes):
            task.cancel()
        await asyncio.gather(*self._handshakes, return_exceptions=True)
        for tcp in list(self._open):
            tcp.abort()


class _Begun(Awaitable[asyncio.Transport | None]):
    """A coroutine whose first step is done here and now, the rest where it is awaited.

    `start_tls` has to put its protocol in place within `connection_made`: uvloop begins to read when that returns.
    """

    def __init__(self, work: Awaitable[asyncio.Transport | None]) -> None:
        self._steps = work.__await__()
        self._first = next(self._steps)

    def __await__(self) -> Generator[Any, Any, asyncio.Transport | None]:
        try:
            yield self._first
        except BaseException as error:
            self._steps.throw(error)
            raise
        return (yield from self._steps)


class _Accepted(asyncio.Protocol):
    """Of a TCP connection that was just accepted."""

    def __init__(self, accept: Callable[[asyncio.Transport], None]) -> None:
        self._accept = accept

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._accept(cast("asyncio.Transport", transport))


class _Secured(asyncio.Protocol):
    """Hands everything on to a protocol, once there is one: the first bytes may come with the end of the handshake."""

    def __init__(self) -> None:
        self._inner: asyncio.Protocol | None = None
        self._early = bytearray()
        self._ended = False
        self._lost: Callable[[], None] | None = None

    def hand_over(
        self, inner: asyncio.Protocol, transport: asyncio.Transport, lost: Callable[[], None]
    ) -> None:
        """Begin `inner` on the TLS transport, with what has come already; `lost` is called at the end."""
        self._inner, self._lost = inner, lost
        inner.connection_made(transport)
        if self._early:
            inner.data_received(bytes(self._early))
        if self._ended:
            inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._inner is not None:
            self._inner.connection_lost(exc)
        if self._lost is not None:
            self._lost()

    def data_received(self, data: bytes) -> None:
        if self._inner is None:
            self._early += data
        else:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        self._ended = True
        return None if self._inner is None else self._inner.eof_received()

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()
