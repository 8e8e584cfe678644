"""aiohttp sessions, one set per running loop, each closed by its own loop.

Two pools of connections a loop: one for the API, and one for storage and CDN that never holds a credential or a cookie. What
carries a secret in its URL goes through sessions that no tracing of other libraries looks into.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import os
import ssl
import sys
import threading
import weakref
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import attrs

import imgwire_async
from imgwire_async import forks, userland
from imgwire_async.config import Config
from imgwire_async.errors import CLOSED, ConfigurationError
from imgwire_async.limits import open_file_limit
from imgwire_async.transport import disposal
from imgwire_async.transport.errors import Route, no_hidden_resend
from imgwire_async.transport.open_calls import IdleCheck, OpenCalls, UntilClosed
from imgwire_async.transport.proxies import Proxies, ProxyOptions
from imgwire_async.transport.request_url import Address
from imgwire_async.transport.resolver import connector
from imgwire_async.transport.slots import Slots, fitting, make_slots, without_slot


@attrs.frozen(eq=False)
class LoopSessions:
    """What one loop owns: its sessions, slots and proxies. Used on that loop only; `keeper` closes it when the loop ends."""

    api: aiohttp.ClientSession
    # For calls with a secret in their query; over the connections of `api`.
    untraced_api: aiohttp.ClientSession
    fetches: aiohttp.ClientSession  # over the connections of `files`
    files: aiohttp.ClientSession
    slots: Slots
    proxies: Proxies
    tls: dict[str, Any]  # {"ssl": context} when one was given, ready for a request
    keeper: AsyncGenerator[None, None]
    open_calls: OpenCalls
    idle_check: IdleCheck
    made_in: threading.Thread = attrs.field(factory=threading.current_thread)  # which runs the loop
    pid: int = attrs.field(factory=os.getpid)

    def proxy_for(self, address: Address) -> ProxyOptions:
        """Return the keyword arguments by which a request takes the proxy that leads there, if one does."""
        return self.proxies.for_origin(address.url.scheme, address.host)

    def route_to(self, address: Address) -> Route:
        """Return how requests get there, for messages about one that failed."""
        scheme = address.url.scheme
        return Route(
            address.host,
            scheme == "https",
            self.proxies.in_use(scheme, address.host),
            own_trust=bool(self.tls),
        )


class Sessions:
    """The sessions of one client, by loop. May be used from several loops and threads."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._by_loop: dict[asyncio.AbstractEventLoop, LoopSessions] = {}
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None
        self.closed: bool = False
        weakref.finalize(self, disposal.let_go, self._by_loop).atexit = False
        _holders.add(self)
        forks.renew_after_fork(self)

    def at_hand(self) -> LoopSessions | None:
        """What the running loop owns, if it is made already and the client is open."""
        forks.check()
        return None if self.closed else self._by_loop.get(asyncio.get_running_loop())

    async def here(self) -> LoopSessions:
        """What the running loop owns, made on first use."""
        forks.check()
        if self.closed:
            raise RuntimeError(CLOSED)
        loop = asyncio.get_running_loop()
        found = self._by_loop.get(loop)
        if found is None and isinstance(self._config.ssl, str) and self._tls is None:
            self._tls = await _read_ca_bundle(self._config.ssl)
            if self.closed:
                raise RuntimeError(CLOSED)
            found = self._by_loop.get(loop)  # another call may have made it meanwhile
        if found is not None:
            return found
        with self._lock:
            dead = [other for other in self._by_loop if other.is_closed()]
            gone = {other: self._by_loop.pop(other) for other in dead}
        disposal.let_go(gone)
        made = self._make()
        await anext(made.keeper)  # does not suspend, so first calls that come together make one session
        if not self._add(loop, made):
            await made.keeper.aclose()
            raise RuntimeError(CLOSED)
        return made

    def _add(self, loop: asyncio.AbstractEventLoop, made: LoopSessions) -> bool:
        """Keep what a loop owns. False when the client was closed in another thread meanwhile."""
        with self._lock:
            if not self.closed:
                self._by_loop[loop] = made
            return not self.closed

    async def pause(self, seconds: float) -> None:
        """Let time pass. Raises `RuntimeError` as soon as this loop's sessions are closed: nothing could follow the pause."""
        async with UntilClosed(self):
            await without_slot(lambda: asyncio.sleep(seconds))

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
        sessions = _open_sessions(config, slots, shared)
        calls = OpenCalls()
        keeper = _keep(calls, *sessions)
        return LoopSessions(*sessions, slots, proxies, tls, keeper, calls, IdleCheck())

    def _tls_options(self) -> dict[str, Any]:
        setting = self._config.ssl
        if setting is None:
            return {}
        return {"ssl": setting if isinstance(setting, ssl.SSLContext) else self._tls}

    async def aclose(self) -> None:
        """Close what the running loop owns. On other loops end what is under way, and let them close theirs. Idempotent."""
        forks.check()
        self.closed = True
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        with self._lock:
            mine = self._by_loop.pop(loop, None) if loop is not None else None
            others = list(self._by_loop.items())
        for other, sessions in others:
            if other.is_running():
                with contextlib.suppress(RuntimeError):  # it ends just now
                    other.call_soon_threadsafe(sessions.open_calls.end)
        if mine is not None:
            await mine.keeper.aclose()

    def close_idle(self) -> None:
        """At exit: close what loops own that do not run."""
        disposal.close_idle(self._by_loop)

    def after_fork(self) -> None:
        """In a forked child: forget the parent's sessions without touching them, for good.

        Their sockets sit in an epoll set that both processes share; closing them here would stop the parent's loop.
        """
        for sessions in self._by_loop.values():
            forks.keep_for_good(sessions)
        self._by_loop.clear()
        self._lock = threading.Lock()


def _open_sessions(
    config: Config, slots: Slots, shared: aiohttp.BaseConnector | None
) -> tuple[aiohttp.ClientSession, aiohttp.ClientSession, aiohttp.ClientSession, aiohttp.ClientSession]:
    """Return the sessions of a loop, as `LoopSessions` holds them; over `shared` connections, if there is such a connector."""
    common: dict[str, Any] = {
        "cookie_jar": aiohttp.DummyCookieJar(),
        "trust_env": False,  # would read .netrc in an executor before each request, and send what it finds
        "requote_redirect_url": False,
        "middlewares": (no_hidden_resend,),
        "headers": {"User-Agent": _user_agent(config.user_agent), "Accept": "*/*"},
    }
    api = aiohttp.ClientSession(
        connector=shared or connector(slots.call_limit), auto_decompress=False, **common
    )
    untraced_api = aiohttp.ClientSession(
        connector=api.connector, connector_owner=False, auto_decompress=False, **common
    )
    files = aiohttp.ClientSession(
        # Slots bound what is under way; a stream that its reader holds keeps its connection, but no slot.
        connector=shared or connector(0),
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
    untraced_api.trace_configs.clear()
    fetches.trace_configs[:] = [tracing]
    return api, untraced_api, fetches, files


async def _read_ca_bundle(path: str) -> ssl.SSLContext:
    """Return a TLS context that trusts the CAs in a file. Read in a thread: it takes about 20 ms, and the disk may be slow."""
    try:
        return await userland.disk(functools.partial(ssl.create_default_context, cafile=path))
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"ssl={path!r} is no readable CA bundle: {error}") from error


async def _keep(
    calls: OpenCalls,
    *sessions: aiohttp.ClientSession,
) -> AsyncGenerator[None, None]:
    """Close the sessions when the loop shuts its async generators down, or when nobody holds this one any more."""
    try:
        yield
    finally:
        calls.end()
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


def _user_agent(own: str | None) -> str:
    ours = (
        f"imgwire-async/{imgwire_async.__version__} python/{sys.version_info.major}.{sys.version_info.minor} "
        f"aiohttp/{aiohttp.__version__}"
    )
    return f"{own} {ours}" if own else ours


_holders: weakref.WeakSet[Sessions] = weakref.WeakSet()


@atexit.register
def _at_exit() -> None:
    forks.check()
    for holder in list(_holders):
        holder.close_idle()
    disposal.close_waiting()
