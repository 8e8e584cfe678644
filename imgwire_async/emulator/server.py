"""`Emulator`: three listening hosts over one world, in the running loop or in a thread of their own."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import ssl
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

from imgwire_async.emulator.addresses import is_loopback, is_wildcard, resolve_address
from imgwire_async.emulator.api import HEALTH_PATH, Api
from imgwire_async.emulator.cdn import Cdn
from imgwire_async.emulator.clock import Clock
from imgwire_async.emulator.faults import Faults
from imgwire_async.emulator.front import Connections, Front, Handler
from imgwire_async.emulator.listener import Listener
from imgwire_async.emulator.log import RequestLog
from imgwire_async.emulator.records import Image
from imgwire_async.emulator.storage import Storage
from imgwire_async.emulator.store import ImageShelf, Store, new_id
from imgwire_async.emulator.switches import (
    ClientLimits,
    ExpiredStatus,
    Idempotency,
    Knobs,
    NaiveDates,
    SecondPut,
    Switches,
)  # fmt: skip
from imgwire_async.emulator.tls import CaFile, Certificates, TcpTransports, make_certificates
from imgwire_async.emulator.wire import HostName
from imgwire_async.emulator.world import Keys, Places, World

__all__ = ["Emulator"]

_Step: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

_KEY = re.compile(r"[!-~]+")

logger: logging.Logger = logging.getLogger("imgwire_async.emulator")


def _chosen_keys(api_key: str | None, client_key: str | None) -> Keys:
    for name, key in (("api_key", api_key), ("client_key", client_key)):
        if key is not None and not _KEY.fullmatch(key):
            raise ValueError(f"{name}: a header carries it, so give printable ASCII without blanks")
    if api_key is not None and api_key == client_key:
        raise ValueError("client_key: it is the api_key, too; nobody could tell what the key may do")
    return Keys(
        server=api_key or f"sk_{secrets.token_hex(16)}",
        client=client_key or f"ck_{secrets.token_hex(16)}",
        signing=secrets.token_bytes(32),
    )


def _new_world(switches: Switches, keys: Keys, clock: Clock, log: RequestLog) -> World:
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

    `port`, `storage_port`, `cdn_port`: 0 = any free one. `host`: the name or address to listen on; one off loopback lets
    others in, which a WARNING says, and `"0.0.0.0"` or `"::"` puts the name that a client used into the URLs that the client
    gets. `api_key`, `client_key`: None = new ones. `tls`: https on all three, with a certificate of a CA made for this process,
    which `ssl_context` trusts and `ca_path` holds; it needs trustme, from the extra `emulator`. The other arguments are the
    contract's open questions, see the package's docstring. Leaving the block ends all of it at once, stalled answers too; it
    can be entered again, with a new state.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        storage_port: int = 0,
        cdn_port: int = 0,
        host: str = "127.0.0.1",
        tls: bool = False,
        api_key: str | None = None,
        client_key: str | None = None,
        ready_after: float = 0.0,
        ready_polls: int = 1,
        idempotency: Idempotency = "same",
        signed_content_type: bool = True,
        url_lifetime: float = 900.0,
        null_sizes_while_pending: bool = False,
        expired_status: ExpiredStatus = 403,
        second_put: SecondPut = "accepted",
        naive_dates: NaiveDates = "utc",
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
            naive_dates=naive_dates,
            rate_limit=rate_limit,
        )
        self.clock: Clock = Clock()
        self.requests: RequestLog = RequestLog()
        self.faults: Faults = Faults(self._narrow)
        if not host or not host.isprintable() or " " in host:
            raise ValueError(
                f"host: {host!r} is no host name or IP address; 0.0.0.0 stands for all of this machine"
            )
        self._host = host
        self._certificates: Certificates | None = make_certificates(host) if tls else None
        self._ca_file: CaFile | None = None
        self._ports = (port, storage_port, cdn_port)
        self._hosts: tuple[Listener, ...] = ()
        self._connections: Connections = Connections()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: _Thread | None = None
        keys = _chosen_keys(api_key, client_key)
        self._world = _new_world(switches, keys, self.clock, self.requests)

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
        self._connections, self._loop = Connections(), asyncio.get_running_loop()
        self._hosts = self._new_listeners()
        try:
            address = await resolve_address(self._host)
            if self._certificates is not None:
                self._ca_file = await asyncio.to_thread(self._certificates.write_ca)
            api, storage, cdn = [await listener.start(address, self._host) for listener in self._hosts]
        except BaseException:
            await self._stop()
            raise
        self._world.places = Places(api=api, storage=storage, cdn=cdn, any_host=is_wildcard(self._host))
        if not is_loopback(address):
            logger.warning(
                "the emulator listens on %s, so other machines reach it, too; it is for tests, and guards nothing",
                self._host,
            )

    def _new_listeners(self) -> tuple[Listener, ...]:
        transports, certificates = TcpTransports(), self._certificates
        handlers: tuple[tuple[HostName, Handler], ...] = (
            ("api", Api(self._world)), ("storage", Storage(self._world)), ("cdn", Cdn(self._world)),
        )  # fmt: skip
        return tuple(
            Listener(
                Front(
                    name,
                    handler,
                    log=self.requests,
                    faults=self.faults,
                    clock=self.clock,
                    numbers=self._connections,
                    transports=transports,
                    unlogged=frozenset({HEALTH_PATH}) if name == "api" else frozenset(),
                ),
                port,
                None if certificates is None else (certificates.server, transports),
            )
            for (name, handler), port in zip(handlers, self._ports, strict=True)
        )

    async def _stop(self) -> None:
        hosts, self._hosts, self._loop = self._hosts, (), None
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
