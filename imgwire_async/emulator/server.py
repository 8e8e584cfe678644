"""The class `Emulator`, which starts the three servers and gives tests access to their state."""

from __future__ import annotations

import re
import secrets
import ssl
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from attrs import evolve

from imgwire_async.emulator.clock import Clock
from imgwire_async.emulator.configuration import (
    ClientLimits,
    DeletedKeys,
    ExpiredStatus,
    Idempotency,
    ListOrder,
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
            raise ValueError(f"{name}: a header carries the key, so use printable ASCII without spaces")
    if api_key is not None and api_key == client_key:
        raise ValueError("client_key: it equals api_key; the emulator could not distinguish the two keys")
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
    """A strict, stateful Imgwire server on this machine.

    `async with` runs the emulator in the running event loop. Plain `with` runs it in a thread of its own. The
    end of the block stops the emulator at once and cancels running requests. The same object can be used for
    another block, which starts with an empty state.

    The arguments from `ready_after` to `rate_limit` are switches: they select a behaviour that the contract
    does not define. Attributes such as `client_limits` are settings: a test may change them at any time.

    Args:
        port: The port of the API. 0 takes any free port.
        storage_port: The port of the storage host. 0 takes any free port.
        cdn_port: The port of the CDN host. 0 takes any free port.
        host: The host name or IP address to listen on. If other machines can connect to it, the emulator logs
            a warning. `"0.0.0.0"` and `"::"` listen on all addresses. URLs in responses then have the host
            name that the request was sent to.
        tls: Whether to serve https, with a certificate from a CA that this process creates. It requires
            trustme, which the extra `emulator` installs.
        api_key: The server key. None creates a random key.
        client_key: The client key. None creates a random key.
        ready_after: The minimum number of seconds from the upload until the image is READY.
        ready_polls: How many retrieves of an image return PROCESSING before it can be READY. Listing images
            does not count. With `ready_after=0.0` and `ready_polls=0` an image is READY after its PUT.
        fetch_after: The number of seconds that an upload by URL stays PENDING, because the service fetches
            the picture. The image of a URL that cannot be fetched stays PENDING. With 0.0 the picture is
            fetched before the response, and such a URL is rejected with the status 422.
        idempotency: The response to a call that repeats an idempotency key. `"same"`: the first image, with a
            new upload URL if the image is PENDING, else with its last upload URL. `"same_dead_url"`: the
            first image with its last upload URL, even if this URL has expired. `"conflict"`: status 409.
            `"ignored"`: a new image.
        deleted_keys: What happens to the idempotency key of a deleted image. `"forgotten"`: a call with this
            key creates a new image. `"remembered"`: the call gets the response of `idempotency`. With
            `"same"` and `"same_dead_url"` this is the deleted record, with its `deleted_at`.
        list_order: The order of lists of images. `"created"`: the newest image comes first. `"updated"`: the
            image that changed last comes first, so images move to another page while they are listed.
            `"id"`: by ID, so new images appear on any page.
        signed_content_type: Whether the PUT of an upload must have the declared `mime_type` as its
            `Content-Type`, and no `Content-Type` if no `mime_type` was declared. False allows any
            `Content-Type`.
        url_lifetime: The number of seconds until an upload URL or an archive URL expires.
        null_sizes_while_pending: Whether width, height and size of a PENDING or PROCESSING image are null.
            False makes them 0.
        expired_status: The status of the response to a request with an expired URL. The error code is
            `AccessDenied` for either status.
        second_put: The response to a second PUT to an upload URL that has not expired. `"accepted"`: status
            200, and the new bytes replace the old bytes. `"refused"`: status 403, code `AccessDenied`.
        naive_dates: How to read a date without a time zone in a query. `"utc"`: as UTC. `"refused"`:
            the response is a 422.
        rate_limit: The maximum number of API requests in one second of real time. Further requests in that
            second get a 429 with `Retry-After: 1`. None means no limit.
    """

    # long: one line per argument
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
        fetch_after: float = 0.0,
        idempotency: Idempotency = "same",
        deleted_keys: DeletedKeys = "forgotten",
        list_order: ListOrder = "created",
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
            fetch_after=fetch_after,
            idempotency=idempotency,
            deleted_keys=deleted_keys,
            list_order=list_order,
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

    @property
    def base_url(self) -> str:
        """The origin of the API host, such as `http://127.0.0.1:8080`. Empty before the emulator starts."""
        return self._state.origins.api

    @property
    def storage_url(self) -> str:
        """The origin of the storage host. Empty before the emulator starts."""
        return self._state.origins.storage

    @property
    def cdn_url(self) -> str:
        """The origin of the CDN host. Empty before the emulator starts."""
        return self._state.origins.cdn

    @property
    def ssl_context(self) -> ssl.SSLContext | None:
        """An SSL context for clients, which trusts only the emulator's CA. None without `tls`.

        Emulators in one process with the same host share a CA.
        """
        return self._servers.client_context

    @property
    def ca_path(self) -> Path | None:
        """The PEM file with the CA certificate, for clients in other programs.

        The file exists while the emulator runs. None without `tls`, and while the emulator does not run.
        """
        return self._servers.ca_path

    @property
    def api_key(self) -> str:
        """The server key. Assign another key to rotate it: the old key is rejected from then on."""
        return self._state.credentials.server

    @api_key.setter
    def api_key(self, key: str) -> None:
        before = self._state.credentials
        self._state.credentials = evolve(_choose_credentials(key, before.client), signing=before.signing)

    @property
    def client_key(self) -> str:
        """The client key."""
        return self._state.credentials.client

    @property
    def environment_id(self) -> str:
        """The ID of the environment to which the server key and the client key belong."""
        return self._state.store.environment_id

    @property
    def images(self) -> Mapping[str, Image]:
        """The images that exist now, by ID.

        The records have additional fields that the API does not send, such as `.stored`, `.reason` and
        `.polls`.
        """
        return ImagesView(self._state.store, self.clock.now)

    @property
    def client_limits(self) -> ClientLimits:
        """The limits for uploads with the client key. Assign another `ClientLimits` to change them."""
        return self._state.settings.client_limits

    @client_limits.setter
    def client_limits(self, limits: ClientLimits) -> None:
        self._state.settings.client_limits = limits

    @property
    def urls(self) -> dict[str, bytes]:
        """The pictures for `upload_via_url`: maps each URL to the bytes of its picture. Add URLs here."""
        return self._state.settings.urls

    @property
    def claimed_hostnames(self) -> set[str]:
        """Host names that other customers own. Creating a custom domain with one of them returns a 409."""
        return self._state.settings.claimed_hostnames

    @property
    def domain_polls(self) -> int:
        """How many connection tests it takes until a custom domain is CONNECTED.

        After one more test its certificate is ACTIVE.
        """
        return self._state.settings.domain_polls

    @domain_polls.setter
    def domain_polls(self, polls: int) -> None:
        self._state.settings.domain_polls = polls

    @property
    def download_polls(self) -> int:
        """How many retrieves it takes until a download job is READY or FAILED."""
        return self._state.settings.download_polls

    @download_polls.setter
    def download_polls(self, polls: int) -> None:
        self._state.settings.download_polls = polls

    @property
    def keep_bodies(self) -> bool:
        """Whether to keep the bodies of PUTs of up to 32 MiB whole.

        If False, and for longer bodies, the emulator keeps only the hash, the length, the first MiB and the
        last 64 KiB. The CDN and archives do not have the pictures of such uploads.
        """
        return self._state.settings.keep_bodies

    @keep_bodies.setter
    def keep_bodies(self, keep: bool) -> None:
        self._state.settings.keep_bodies = keep

    def reset(self) -> None:
        """Remove all records, logged requests and planned faults, and reset the clock and the settings.

        The ports, the keys and the environment ID do not change.
        """
        self.faults.clear()
        self.clock.reset()
        self._state.settings = Settings()
        self._state.store = Store(self._state.switches, self._state.store.environment_id)
        self.requests.clear()

    def _shrink_buffers(self) -> None:
        self._servers.shrink_buffers()

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._servers.stop()

    def __enter__(self) -> Self:
        self._check_not_running()
        self._thread = EmulatorThread(self._start, self._servers.stop)
        try:
            self._thread.start()
        except BaseException:
            self._thread = None
            raise
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop()

    def _check_not_running(self) -> None:
        if self._servers.listeners or self._thread is not None:
            raise RuntimeError("this emulator is already running; create a second one")

    async def _start(self) -> None:
        if self._servers.listeners:
            raise RuntimeError("this emulator is already running; create a second one")
        self.reset()
        await self._servers.start(self._state, self.faults)
