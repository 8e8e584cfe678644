"""`Emulator`: three listening hosts over one world, in the running loop or in a thread of their own."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

from aiohttp import web

from imgwire_async.emulator.api import Api
from imgwire_async.emulator.cdn import Cdn
from imgwire_async.emulator.clock import Clock
from imgwire_async.emulator.faults import Faults
from imgwire_async.emulator.front import NARROW, Connections, Front, Handler
from imgwire_async.emulator.log import RequestLog
from imgwire_async.emulator.records import Image
from imgwire_async.emulator.storage import Storage
from imgwire_async.emulator.store import ImageShelf, Store, new_id
from imgwire_async.emulator.switches import (
    ClientLimits,
    ExpiredStatus,
    Idempotency,
    Knobs,
    SecondPut,
    Switches,
)  # fmt: skip
from imgwire_async.emulator.tls import CaFile, Certificates, TcpTransports, TlsServer, make_certificates
from imgwire_async.emulator.wire import HostName
from imgwire_async.emulator.world import Keys, Places, World

__all__ = ["Emulator"]

_Step: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

_ADDRESS = "127.0.0.1"
_SILENT = logging.getLogger("imgwire_async.emulator")
_SILENT.setLevel(logging.CRITICAL + 1)  # aiohttp reports each malformed request, which tests send on purpose


class _Host:
    """One listening socket. Starts and stops in one and the same loop."""

    def __init__(self, front: Front, port: int, tls: tuple[ssl.SSLContext, TcpTransports] | None) -> None:
        self._front = front
        self._port = port
        self._tls = tls
        self._tls_server: TlsServer | None = None
        self._server: web.Server | None = None
        self._listener: asyncio.Server | None = None

    async def start(self) -> str:
        """Listen; the origin."""
        self._server = web.Server(
            self._front,
            handler_cancellation=True,  # a client that leaves ends its stalled answer
            auto_decompress=False,  # what arrives is what was sent
            access_log=None,
            logger=_SILENT,
        )
        loop = asyncio.get_running_loop()
        factory: Callable[[], asyncio.Protocol] = self._server
        if self._tls is not None:
            factory = self._tls_server = TlsServer(self._server, *self._tls)
        self._listener = await loop.create_server(factory, _ADDRESS, self._port, backlog=1024)
        port: int = self._listener.sockets[0].getsockname()[1]
        return f"{'http' if self._tls is None else 'https'}://{_ADDRESS}:{port}"

    def narrow(self) -> None:
        """Let connections that come from now on hold little unread: a slow reader then shows on the other side at once."""
        if self._listener is not None:
            for each in self._listener.sockets:
                # Of the listening socket: set later, megabytes would be in the kernel already, acknowledged and unread.
                each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW)

    async def stop(self) -> None:
        """Stop listening, end what runs, close every connection."""
        if self._listener is None or self._server is None:
            return
        self._listener.close()
        self._server.pre_shutdown()
        await self._front.stop()
        if self._tls_server is not None:
            await self._tls_server.stop()
        await self._server.shutdown(timeout=0.05)
        await asyncio.sleep(0)  # closed transports let go of their sockets in the next round of the loop
        self._listener = self._server = self._tls_server = None


def _new_world(switches: Switches, clock: Clock, log: RequestLog) -> World:
    keys = Keys(
        server=f"sk_{secrets.token_hex(16)}",
        client=f"ck_{secrets.token_hex(16)}",
        signing=secrets.token_bytes(32),
    )
    return World(
        switches=switches,
        keys=keys,
        organization_id=new_id(),
        clock=clock,
        log=log,
        store=Store(switches, new_id()),
        knobs=Knobs(),
        places=Places(api="", storage="", cdn=""),
    )


class Emulator:
    """A strict, stateful Imgwire on this machine. `async with` runs it in the running loop, plain `with` in a thread.

    `port`, `storage_port`: 0 = any free one. `tls`: https on all three, with a certificate of a CA made for this process,
    which `ssl_context` trusts and `ca_path` holds; it needs trustme, from the extra `emulator`. The other arguments are the contract's open questions, see the package's
    docstring. Leaving the block ends all of it at once, stalled answers too; it can be entered again, with a new state.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        storage_port: int = 0,
        tls: bool = False,
        ready_after: float = 0.0,
        ready_polls: int = 1,
        idempotency: Idempotency = "same",
        signed_content_type: bool = True,
        url_lifetime: float = 900.0,
        null_sizes_while_pending: bool = False,
        expired_status: ExpiredStatus = 403,
        second_put: SecondPut = "refused",
        rate_limit: int | None = None,
    ) -> None:
        switches = Switches(
            ready_after=ready_after,
            ready_polls=ready_polls,
            idempotency=idempotency,
            signed_content_type=signed_content_type,
            url_lifetime=url_lifetime,
            null_sizes_while_pending=null_sizes_while_pending,
            expired_status=expired_status,
            second_put=second_put,
            rate_limit=rate_limit,
        )
        self.clock: Clock = Clock()
        self.requests: RequestLog = RequestLog()
        self.faults: Faults = Faults(self._narrow)
        self._certificates: Certificates | None = make_certificates() if tls else None
        self._ca_file: CaFile | None = None
        self._ports = (port, storage_port, 0)
        self._hosts: tuple[_Host, ...] = ()
        self._thread: _Thread | None = None
        self._world = _new_world(switches, self.clock, self.requests)

    # where it is and who may come

    @property
    def base_url(self) -> str:
        """Origin of the API, without `/api/v1`. Known while the emulator runs."""
        return self._world.places.api

    @property
    def storage_url(self) -> str:
        """Origin of the storage host."""
        return self._world.places.storage

    @property
    def cdn_url(self) -> str:
        """Origin of the CDN host."""
        return self._world.places.cdn

    @property
    def ssl_context(self) -> ssl.SSLContext | None:
        """A context for clients that trusts this emulator and nobody else; None without `tls`."""
        return None if self._certificates is None else self._certificates.client

    @property
    def ca_path(self) -> Path | None:
        """The PEM file of the CA to trust, for other programs: there while the emulator runs. None without `tls`."""
        return None if self._ca_file is None else self._ca_file.path

    @property
    def api_key(self) -> str:
        """The server key."""
        return self._world.keys.server

    @property
    def client_key(self) -> str:
        """The client key."""
        return self._world.keys.client

    @property
    def environment_id(self) -> str:
        """The one environment that both keys belong to."""
        return self._world.store.environment_id

    # what it holds, and what a test may set; `reset` brings the first state back

    @property
    def images(self) -> Mapping[str, Image]:
        """The living images by id, with what is not on the wire: `.stored`, `.reason`, `.polls` ..."""
        return ImageShelf(self._world.store, self.clock.now)

    @property
    def client_limits(self) -> ClientLimits:
        """What the client key may do; set another `ClientLimits` to change it."""
        return self._world.knobs.client_limits

    @client_limits.setter
    def client_limits(self, limits: ClientLimits) -> None:
        self._world.knobs.client_limits = limits

    @property
    def urls(self) -> dict[str, bytes]:
        """What the internet holds for `upload_via_url`: URL -> bytes."""
        return self._world.knobs.urls

    @property
    def claimed_hostnames(self) -> set[str]:
        """Host names that somebody else has claimed already."""
        return self._world.knobs.claimed_hostnames

    @property
    def domain_polls(self) -> int:
        """At which connection test a custom domain is CONNECTED; its certificate is ACTIVE one later."""
        return self._world.knobs.domain_polls

    @domain_polls.setter
    def domain_polls(self, polls: int) -> None:
        self._world.knobs.domain_polls = polls

    @property
    def download_polls(self) -> int:
        """At which retrieve a download job is READY (or FAILED)."""
        return self._world.knobs.download_polls

    @download_polls.setter
    def download_polls(self, polls: int) -> None:
        self._world.knobs.download_polls = polls

    @property
    def keep_bodies(self) -> bool:
        """False: of uploads only hash, length and both ends are kept, as always over 32 MiB; the CDN then has none."""
        return self._world.knobs.keep_bodies

    @keep_bodies.setter
    def keep_bodies(self, keep: bool) -> None:
        self._world.knobs.keep_bodies = keep

    def reset(self) -> None:
        """Everything as new: records, log, faults, clock and settings; ports, keys and environment stay."""
        self.faults.clear()
        self.clock.reset()
        self._world.knobs = Knobs()
        self._world.store = Store(self._world.switches, self._world.store.environment_id)
        self.requests.clear()

    def _narrow(self) -> None:
        for host in self._hosts:
            host.narrow()

    # life

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    def __enter__(self) -> Self:
        self._check_idle()
        self._thread = _Thread(self._start, self._stop)
        try:
            self._thread.start()
        except BaseException:
            self._thread = None
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop()

    def _check_idle(self) -> None:
        if self._hosts or self._thread is not None:
            raise RuntimeError("this emulator runs already; make a second one")

    async def _start(self) -> None:
        if self._hosts:
            raise RuntimeError("this emulator runs already; make a second one")
        self.reset()
        numbers, transports = Connections(), TcpTransports()
        certificates = self._certificates
        handlers: tuple[tuple[HostName, Handler], ...] = (
            ("api", Api(self._world)), ("storage", Storage(self._world)), ("cdn", Cdn(self._world)),
        )  # fmt: skip
        self._hosts = tuple(
            _Host(
                Front(
                    name,
                    handler,
                    log=self.requests,
                    faults=self.faults,
                    clock=self.clock,
                    numbers=numbers,
                    transports=transports,
                ),
                port,
                None if certificates is None else (certificates.server, transports),
            )
            for (name, handler), port in zip(handlers, self._ports, strict=True)
        )
        try:
            if certificates is not None:
                self._ca_file = await asyncio.to_thread(certificates.write_ca)
            api, storage, cdn = [await host.start() for host in self._hosts]
        except BaseException:
            await self._stop()
            raise
        self._world.places = Places(api=api, storage=storage, cdn=cdn)

    async def _stop(self) -> None:
        hosts, self._hosts = self._hosts, ()
        await asyncio.gather(*(host.stop() for host in hosts))
        file, self._ca_file = self._ca_file, None
        if file is not None:
            await asyncio.to_thread(file.remove)


class _Thread:
    """A daemon thread with its own loop. `start` and `stop` are called by the thread that uses the emulator."""

    def __init__(self, begin: _Step, end: _Step) -> None:
        self._begin = begin
        self._end = end
        self._started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = threading.Thread(target=self._run, name="imgwire-emulator", daemon=True)

    def start(self) -> None:
        """Return when the hosts listen; raises what kept them from it."""
        self._thread.start()
        try:
            self._started.result()
        except BaseException:
            self._thread.join()
            raise

    def stop(self) -> None:
        """Return when everything has ended."""
        loop, over = self._started.result()
        loop.call_soon_threadsafe(over.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._live())

    async def _live(self) -> None:
        over = asyncio.Event()
        try:
            await self._begin()
        except BaseException as error:  # noqa: BLE001  it belongs to the thread that waits in `start`
            self._started.set_exception(error)
            return
        self._started.set_result((asyncio.get_running_loop(), over))
        await over.wait()
        await self._end()
