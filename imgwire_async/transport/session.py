"""aiohttp sessions, one pair per running loop, each closed by its own loop; and foreign errors made ours.

Two sessions a loop: one for the API, and one for storage and CDN that never holds a credential or a cookie.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import ssl
import sys
import threading
import traceback
import weakref
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import attrs
from yarl import URL

import imgwire_async
from imgwire_async.config import Config
from imgwire_async.errors import CLOSED, ConfigurationError
from imgwire_async.exchange import redact
from imgwire_async.protocol.request import NoAnswerError
from imgwire_async.retry import Failure, Fate
from imgwire_async.transport.proxies import Proxies
from imgwire_async.transport.resolver import connector
from imgwire_async.transport.slots import Slots, fitting, make_slots, open_file_limit
from imgwire_async.transport.stall import StallClock


class DroppedError(aiohttp.ClientError):
    """A connection broke. Wraps the two errors upon which aiohttp would send the request again without telling."""


_UNSENT = "imgwire_unsent"


async def _no_hidden_resend(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise DroppedError from error
    except asyncio.CancelledError as error:
        # The clock of the attempt may be what cancels. Its TimeoutError will come from this, and does not know where it was.
        if getattr(request, "response", request) is None:  # made when the request is sent
            setattr(error, _UNSENT, True)
        raise


@attrs.frozen(eq=False)
class LoopSessions:
    """What one loop owns: its sessions, slots and proxies. Used on that loop only; `keeper` closes it when the loop ends."""

    api: aiohttp.ClientSession
    files: aiohttp.ClientSession
    fetches: aiohttp.ClientSession  # over the connections of `files`
    slots: Slots
    proxies: Proxies
    tls: dict[str, Any]  # {"ssl": context} when one was given, ready for a request
    keeper: AsyncGenerator[None, None]
    # Answers whose bytes are being read: closing a session alone would leave their readers waiting.
    arriving: weakref.WeakSet[aiohttp.ClientResponse]
    closing: asyncio.Event  # set when it is closed, for those who let time pass
    stall_clocks: dict[float, StallClock]  # by their seconds

    def proxy_for(self, address: Address) -> str | None:
        """The proxy that leads there, or None."""
        return self.proxies.for_origin(address.url.scheme, address.host)

    def stall_clock(self, seconds: float | None) -> StallClock | None:
        """The clock for transfers that may stand still for so long; None for those that may for ever."""
        if seconds is None:
            return None
        clock = self.stall_clocks.get(seconds)
        if clock is None:
            # Others were asked for by options that may be gone.
            for other in [each for each, old in self.stall_clocks.items() if old.idle]:
                self.stall_clocks.pop(other).stop()
            clock = self.stall_clocks[seconds] = StallClock(seconds)
        return clock


class Sessions:
    """The sessions of one client, by loop. May be used from several loops and threads."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._by_loop: dict[asyncio.AbstractEventLoop, LoopSessions] = {}
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None
        self.closed: bool = False
        weakref.finalize(self, _let_go, self._by_loop)
        _holders.add(self)

    def at_hand(self) -> LoopSessions | None:
        """What the running loop owns, if it is made already and the client is open."""
        return None if self.closed else self._by_loop.get(asyncio.get_running_loop())

    async def here(self) -> LoopSessions:
        """What the running loop owns, made on first use."""
        if self.closed:
            raise RuntimeError(CLOSED)
        loop = asyncio.get_running_loop()
        found = self._by_loop.get(loop)
        if found is not None:
            return found
        with self._lock:
            dead = [other for other in self._by_loop if other.is_closed()]
            gone = {other: self._by_loop.pop(other) for other in dead}
        _let_go(gone)
        made = self._make()
        with self._lock:
            self._by_loop[loop] = made
        await anext(made.keeper)  # does not suspend, so first calls that come together make one session
        return made

    async def pause(self, seconds: float) -> None:
        """Let time pass. Raises `RuntimeError` as soon as this loop's sessions are closed: nothing could follow the pause."""
        here = await self.here()
        try:
            async with asyncio.timeout(seconds):
                await here.closing.wait()
        except TimeoutError:
            return
        raise RuntimeError(CLOSED)

    def _make(self) -> LoopSessions:
        config = self._config
        # What may be refused comes first, so that no session is left behind.
        tls = self._tls_options()
        proxies = Proxies(config.proxy, trust_env=config.trust_env)
        limit = fitting(config.max_connections, open_file_limit())
        if config.connector is None:
            shared = None
            slots = make_slots(limit, shared_limit=0)
        else:
            shared = config.connector()
            if not isinstance(shared, aiohttp.BaseConnector):  # pyright: ignore[reportUnnecessaryIsInstance]  # user code
                raise TypeError(
                    f"connector() must return an aiohttp.BaseConnector, not {type(shared).__name__}"
                )
            slots = make_slots(
                limit, shared_limit=min(filter(None, (shared.limit, shared.limit_per_host)), default=0)
            )
        common: dict[str, Any] = {
            "cookie_jar": aiohttp.DummyCookieJar(),
            "trust_env": False,  # would read .netrc in an executor before each request, and send what it finds
            "requote_redirect_url": False,
            "middlewares": (_no_hidden_resend,),
            "headers": {"User-Agent": _user_agent(config.user_agent), "Accept": "*/*"},
        }
        api = aiohttp.ClientSession(
            connector=shared or connector(slots.call_limit), auto_decompress=False, **common
        )
        files = aiohttp.ClientSession(
            connector=shared or connector(slots.transfer_limit),
            auto_decompress=False,
            skip_auto_headers=("Content-Type",),  # signed URLs take the declared one or none
            **common,
        )
        # Only downloads need the trace, so uploads do not pay for it.
        fetches = aiohttp.ClientSession(
            connector=files.connector,
            auto_decompress=False,
            trace_configs=[tracing := _tracing()],
            connector_owner=False,
            **common,
        )
        # Whoever instruments all sessions of a process would see signed URLs here, and send headers to their hosts.
        files.trace_configs.clear()
        fetches.trace_configs[:] = [tracing]
        arriving: weakref.WeakSet[aiohttp.ClientResponse] = weakref.WeakSet()
        closing = asyncio.Event()
        clocks: dict[float, StallClock] = {}
        keeper = _keep(closing, arriving, clocks, api, fetches, files)
        return LoopSessions(api, files, fetches, slots, proxies, tls, keeper, arriving, closing, clocks)

    def _tls_options(self) -> dict[str, Any]:
        setting = self._config.ssl
        if setting is None:
            return {}
        if isinstance(setting, ssl.SSLContext):
            return {"ssl": setting}
        if self._tls is None:  # one for all loops: reading a CA bundle takes about 20 ms
            try:
                self._tls = ssl.create_default_context(cafile=setting)
            except (OSError, ssl.SSLError) as error:
                raise ConfigurationError(f"ssl={setting!r} is no readable CA bundle: {error}") from error
        return {"ssl": self._tls}

    async def aclose(self) -> None:
        """Close what the running loop owns, and let the others close theirs. Idempotent."""
        self.closed = True
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        with self._lock:
            mine = self._by_loop.pop(loop, None) if loop is not None else None
        if mine is not None:
            await mine.keeper.aclose()

    def leak(self) -> None:
        """In a forked child: forget the parent's sessions without touching them, for good.

        Their sockets sit in an epoll set that both processes share; closing them here would stop the parent's loop.
        """
        for sessions in self._by_loop.values():
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(sessions))
        self._by_loop.clear()
        self._lock = threading.Lock()


async def _keep(
    closing: asyncio.Event,
    arriving: weakref.WeakSet[aiohttp.ClientResponse],
    clocks: dict[float, StallClock],
    *sessions: aiohttp.ClientSession,
) -> AsyncGenerator[None, None]:
    """Close the sessions when the loop shuts its async generators down, or when nobody holds this one any more."""
    try:
        yield
    finally:
        closing.set()
        for answer in list(arriving):
            answer.close()
        for clock in clocks.values():
            clock.stop()
        # All of them, also when this is cancelled in the midst.
        async with contextlib.AsyncExitStack() as ends:
            for session in sessions:
                ends.push_async_callback(session.close)


def _tracing() -> aiohttp.TraceConfig:
    """Tells a request's own `trace_request_ctx={"sent": ...}` that its head has left, so that the wait for the answer begins."""
    tracing = aiohttp.TraceConfig()
    tracing.on_request_headers_sent.append(_sent)
    return tracing


async def _sent(session: object, context: Any, head: object) -> None:
    if context.trace_request_ctx is not None:
        context.trace_request_ctx["sent"]()


def _let_go(by_loop: dict[asyncio.AbstractEventLoop, LoopSessions]) -> None:
    """Close the sessions of loops that can no longer do it themselves."""
    for loop, sessions in list(by_loop.items()):
        if loop.is_running():
            continue  # it closes them itself: when it ends, or when the collector tells it that nobody holds the keeper
        del by_loop[loop]
        if loop.is_closed() or _inside_a_loop():
            _abandon(sessions)
        else:
            loop.run_until_complete(sessions.keeper.aclose())


def _inside_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _abandon(sessions: LoopSessions) -> None:
    for session in (sessions.api, sessions.fetches, sessions.files):
        connector = session.connector
        session.detach()
        if connector is not None and not connector.closed:
            closing = connector.close()
            try:
                closing.__await__().__next__()  # it does no I/O once its loop is closed
            except (StopIteration, RuntimeError):
                pass
    try:
        sessions.keeper.aclose().send(None)  # finds everything closed, so it ends at once, without a loop
    except (StopIteration, RuntimeError):
        pass


def _user_agent(own: str | None) -> str:
    ours = (
        f"imgwire-async/{imgwire_async.__version__} python/{sys.version_info.major}.{sys.version_info.minor} "
        f"aiohttp/{aiohttp.__version__}"
    )
    return f"{own} {ours}" if own else ours


_holders: weakref.WeakSet[Sessions] = weakref.WeakSet()


def _after_fork() -> None:
    for holder in list(_holders):
        holder.leak()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


# --- foreign errors become ours ---------------------------------------------------------------------------------------


@attrs.frozen(slots=False)  # without slots, a frozen object of one call is made twice as fast
class Address:
    """A URL for aiohttp, to the byte as it was given. It may be signed, so it stands in no frame's variables by itself."""

    url: URL = attrs.field(repr=False)
    host: str  # with the port, if it has one

    @classmethod
    def of(cls, text: str, host: str | None = None) -> Address:
        """Whatever changes a byte breaks a signature. `host` is told where it is known."""
        url = URL(text, encoded=True)
        return cls(url, url.raw_authority.rpartition("@")[2] if host is None else host)

    @property
    def shown(self) -> str:
        """Host and path, as records and messages may show them."""
        return f"{self.host}{self.url.raw_path}"


def hush(error: BaseException) -> None:
    """Let the frames of aiohttp in a traceback forget their variables: signed URLs and requests stand in them.

    Error trackers store what they find in frames. Those of the caller, and lines and names of all, stay.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        waiting += (each.__cause__, each.__context__)
        for frame, _ in traceback.walk_tb(each.__traceback__):
            if frame.f_globals.get("__name__", "").startswith("aiohttp."):
                try:
                    frame.clear()
                except RuntimeError:  # it runs, or waits for something, so it is no one's past
                    pass


# What a request can raise. ValueError and TypeError are not among them: those would be bugs of ours and shall be seen.
FOREIGN = (aiohttp.ClientError, OSError, asyncio.TimeoutError)


def no_answer(error: BaseException, host: str) -> NoAnswerError:
    """What a foreign error means for us. Its text is never passed on whole: it may quote a signed URL."""
    if isinstance(error, DroppedError) and error.__cause__ is not None:
        error = error.__cause__
    fate, reason = _meaning(error, host)
    return NoAnswerError(Failure(reason, fate=fate))


def _meaning(error: BaseException, host: str) -> tuple[Fate, str]:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "connect", f"no connection to {host} in time"
    if isinstance(error, asyncio.TimeoutError) and getattr(error.__cause__, _UNSENT, False):
        return "connect", f"no connection to {host} in time"
    if isinstance(error, asyncio.TimeoutError):
        return "attempt", f"no answer from {host} in time"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return "unsent", f"the proxy to {host} answered HTTP {error.status}"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return "unsent", f"the proxy to {host} cannot be reached: {_cause(error.os_error)}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "unsent", f"the name {host} cannot be resolved"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return "unsent", f"no trusted TLS connection to {host}: {_cause(error)}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "unsent", f"{host} cannot be reached: {_cause(error.os_error)}"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "lost", f"{host} cut its answer short"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "lost", f"{host} closed the connection without an answer"
    if isinstance(error, aiohttp.ClientResponseError):
        return "lost", f"{host} answered something that is no HTTP"
    return "lost", f"the connection to {host} broke: {_cause(error)}"


def _cause(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return redact(" ".join(str(text).split())[:200])
