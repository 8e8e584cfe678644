"""`Emulator`: three listening hosts over one state, in the running loop or in a thread of their own."""

from __future__ import annotations

import re
import secrets
import ssl
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from imgwire_async.emulator.clock import Clock
from imgwire_async.emulator.configuration import (
    ClientLimits,
    ExpiredStatus,
    Idempotency,
    NaiveDates,
    SecondPut,
    Settings,
    Switches,
)  # fmt: skip
from imgwire_async.emulator.faults import Faults
from imgwire_async.emulator.log import RequestLog
from imgwire_async.emulator.records import Image
from imgwire_async.emulator.servers import Servers
from imgwire_async.emulator.state import Credentials, Origins, State
from imgwire_async.emulator.store import ImagesView, Store, new_id
from imgwire_async.emulator.thread import EmulatorThread

__all__ = ["Emulator"]

_KEY = re.compile(r"[!-~]+")


def _choose_credentials(api_key: str | None, client_key: str | None) -> Credentials:
    for name, key in (("api_key", api_key), ("client_key", client_key)):
        if key is not None and not _KEY.fullmatch(key):
            raise ValueError(f"{name}: a header carries it, so give printable ASCII without blanks")
    if api_key is not None and api_key == client_key:
        raise ValueError("client_key: it is the api_key, too; nobody could tell what the key may do")
    return Credentials(
        server=api_key or f"sk_{secrets.token_hex(16)}",
        client=client_key or f"ck_{secrets.token_hex(16)}",
        signing=secrets.token_bytes(32),
    )


def _new_state(switches: Switches, credentials: Credentials, clock: Clock, log: RequestLog) -> State:
    return State(
        switches=switches,
        credentials=credentials,
        organization_id=new_id(),
        clock=clock,
        log=log,
        store=Store(switches, new_id()),
        settings=Settings(),
        origins=Origins(api="", storage="", cdn=""),
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
        self.faults: Faults = Faults(self._shrink_buffers)
        self._servers: Servers = Servers(host, (port, storage_port, cdn_port), tls=tls)
        self._thread: EmulatorThread | None = None
        credentials = _choose_credentials(api_key, client_key)
        self._state = _new_state(switches, credentials, self.clock, self.requests)

    # where it is and who may come

    @property
    def base_url(self) -> str:
        """Origin of the API, without `/api/v1`. Known while the emulator runs."""
        return self._state.origins.api

    @property
    def storage_url(self) -> str:
        """Origin of the storage host."""
        return self._state.origins.storage

    @property
    def cdn_url(self) -> str:
        """Origin of the CDN host."""
        return self._state.origins.cdn

    @property
    def ssl_context(self) -> ssl.SSLContext | None:
        """A context for clients that trusts this emulator and nobody else; None without `tls`."""
        return self._servers.client_context

    @property
    def ca_path(self) -> Path | None:
        """The PEM file of the CA to trust, for other programs: there while the emulator runs. None without `tls`."""
        return self._servers.ca_path

    @property
    def api_key(self) -> str:
        """The server key."""
        return self._state.credentials.server

    @property
    def client_key(self) -> str:
        """The client key."""
        return self._state.credentials.client

    @property
    def environment_id(self) -> str:
        """The one environment that both keys belong to."""
        return self._state.store.environment_id

    # what it holds, and what a test may set; `reset` brings the first state back

    @property
    def images(self) -> Mapping[str, Image]:
        """The living images by id, with what is not on the wire: `.stored`, `.reason`, `.polls` ..."""
        return ImagesView(self._state.store, self.clock.now)

    @property
    def client_limits(self) -> ClientLimits:
        """What the client key may do; set another `ClientLimits` to change it."""
        return self._state.settings.client_limits

    @client_limits.setter
    def client_limits(self, limits: ClientLimits) -> None:
        self._state.settings.client_limits = limits

    @property
    def urls(self) -> dict[str, bytes]:
        """What the internet holds for `upload_via_url`: URL -> bytes."""
        return self._state.settings.urls

    @property
    def claimed_hostnames(self) -> set[str]:
        """Host names that somebody else has claimed already."""
        return self._state.settings.claimed_hostnames

    @property
    def domain_polls(self) -> int:
        """At which connection test a custom domain is CONNECTED; its certificate is ACTIVE one later."""
        return self._state.settings.domain_polls

    @domain_polls.setter
    def domain_polls(self, polls: int) -> None:
        self._state.settings.domain_polls = polls

    @property
    def download_polls(self) -> int:
        """At which retrieve a download job is READY (or FAILED)."""
        return self._state.settings.download_polls

    @download_polls.setter
    def download_polls(self, polls: int) -> None:
        self._state.settings.download_polls = polls

    @property
    def keep_bodies(self) -> bool:
        """False: of uploads only hash, length and both ends are kept, as always over 32 MiB; the CDN then has none."""
        return self._state.settings.keep_bodies

    @keep_bodies.setter
    def keep_bodies(self, keep: bool) -> None:
        self._state.settings.keep_bodies = keep

    def reset(self) -> None:
        """Everything as new: records, log, faults, clock and settings; ports, keys and environment stay."""
        self.faults.clear()
        self.clock.reset()
        self._state.settings = Settings()
        self._state.store = Store(self._state.switches, self._state.store.environment_id)
        self.requests.clear()

    def _shrink_buffers(self) -> None:
        self._servers.shrink_buffers()

    # life

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._servers.stop()

    def __enter__(self) -> Self:
        self._check_idle()
        self._thread = EmulatorThread(self._start, self._servers.stop)
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
        if self._servers.listeners or self._thread is not None:
            raise RuntimeError("this emulator runs already; make a second one")

    async def _start(self) -> None:
        if self._servers.listeners:
            raise RuntimeError("this emulator runs already; make a second one")
        self.reset()
        await self._servers.start(self._state, self.faults)
