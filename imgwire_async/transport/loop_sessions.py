"""The aiohttp sessions of one event loop, closed by that loop.

Two pools of connections a loop: one for the API, and one for storage and CDN that never holds a credential or a cookie. What
carries a secret in its URL goes through sessions that no tracing of other libraries looks into.
"""

from __future__ import annotations

import contextlib
import functools
import os
import ssl
import sys
import threading
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import aiohttp
import attrs

import imgwire_async
from imgwire_async import disk_work
from imgwire_async.concurrency import open_file_limit
from imgwire_async.config import Config
from imgwire_async.errors import ConfigurationError
from imgwire_async.transport.errors import Route
from imgwire_async.transport.middleware import send_once
from imgwire_async.transport.open_calls import IdleCheck, OpenCalls
from imgwire_async.transport.proxies import Proxies
from imgwire_async.transport.request_url import Address
from imgwire_async.transport.resolver import connector
from imgwire_async.transport.slots import Slots, fitting, make_slots


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

    def options_for(self, address: Address) -> Mapping[str, Any]:
        """Return the keyword arguments of a request that tell its proxy, if one leads there, and its TLS settings."""
        if self.proxies.are_off:
            return self.tls
        return {**self.proxies.for_origin(address.url.scheme, address.host), **self.tls}

    def route_to(self, address: Address) -> Route:
        """Return how requests get there, for messages about one that failed."""
        scheme = address.url.scheme
        return Route(
            address.host,
            scheme == "https",
            self.proxies.in_use(scheme, address.host),
            own_trust=bool(self.tls),
        )


def open_sessions(config: Config, bundle: ssl.SSLContext | None) -> LoopSessions:
    """Return sessions for the running loop, not yet begun. `bundle` is what `ssl=` names, if that is a path.

    What a setting may refuse comes first, so that no session is left behind.
    """
    tls = {} if config.ssl is None else {"ssl": bundle if isinstance(config.ssl, str) else config.ssl}
    proxies = Proxies(config.proxy, trust_env=config.trust_env)
    limit = fitting(config.max_connections, open_file_limit())
    if config.connector is None:
        shared = None
        slots = make_slots(limit, shared_limit=0)
    else:
        shared = config.connector()
        if not isinstance(shared, aiohttp.BaseConnector):  # pyright: ignore[reportUnnecessaryIsInstance]  # user code
            raise TypeError(f"connector() must return an aiohttp.BaseConnector, not {type(shared).__name__}")
        slots = make_slots(
            limit, shared_limit=min(filter(None, (shared.limit, shared.limit_per_host)), default=0)
        )
    sessions = _aiohttp_sessions(config, slots, shared)
    calls = OpenCalls()
    keeper = _keep(calls, *sessions)
    return LoopSessions(*sessions, slots, proxies, tls, keeper, calls, IdleCheck())


async def read_ca_bundle(path: str) -> ssl.SSLContext:
    """Return a TLS context that trusts the CAs in a file. Read in a thread: it takes about 20 ms, and the disk may be slow."""
    try:
        return await disk_work.run(functools.partial(ssl.create_default_context, cafile=path))
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"ssl={path!r} is no readable CA bundle: {error}") from error


def _aiohttp_sessions(
    config: Config, slots: Slots, shared: aiohttp.BaseConnector | None
) -> tuple[aiohttp.ClientSession, aiohttp.ClientSession, aiohttp.ClientSession, aiohttp.ClientSession]:
    """Return the sessions of a loop, as `LoopSessions` holds them; over `shared` connections, if there is such a connector."""
    common: dict[str, Any] = {
        "cookie_jar": aiohttp.DummyCookieJar(),
        "trust_env": False,  # would read .netrc in an executor before each request, and send what it finds
        "requote_redirect_url": False,
        "middlewares": (send_once,),
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
