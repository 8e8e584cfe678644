"""The aiohttp sessions of one event loop.

Each loop has two connection pools, unless the user passes a connector: one for the API, and one for the
storage and the CDN. No credentials and no cookies are sent to the storage and the CDN. Requests with a secret
in their URL use sessions that the instrumentation of other libraries cannot trace.
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
from imgwire_async.transport.request_url import RequestURL
from imgwire_async.transport.resolver import new_connector
from imgwire_async.transport.slots import Slots, cap_by_open_files, make_slots


@attrs.frozen(eq=False)
class LoopSessions:
    """The sessions, slots and proxies of one event loop. Only code on that loop may use them."""

    api: aiohttp.ClientSession
    # For API calls with a secret in their query. It uses the connection pool of `api`.
    untraced_api: aiohttp.ClientSession
    # For downloads. It uses the connection pool of `uploads`.
    downloads: aiohttp.ClientSession
    uploads: aiohttp.ClientSession
    slots: Slots
    proxies: Proxies
    # The keyword arguments for TLS of a request: {"ssl": context}, or {} for aiohttp's default.
    tls: dict[str, Any]
    # An async generator that closes the sessions when the generator itself is closed. The event loop closes
    # its async generators when it ends, so the sessions are closed even if no code closes the client.
    cleanup_generator: AsyncGenerator[None, None]
    open_calls: OpenCalls
    idle_check: IdleCheck
    # The thread that runs the loop.
    thread: threading.Thread = attrs.field(factory=threading.current_thread)
    pid: int = attrs.field(factory=os.getpid)

    def options_for(self, url: RequestURL) -> Mapping[str, Any]:
        """Return the keyword arguments for the proxy and for TLS of an aiohttp request to `url`."""
        if self.proxies.are_off:
            return self.tls
        return {**self.proxies.for_origin(url.url.scheme, url.host), **self.tls}

    def route_to(self, url: RequestURL) -> Route:
        """Return the route of requests to `url`, for error messages."""
        scheme = url.url.scheme
        return Route(
            url.host,
            scheme == "https",
            self.proxies.in_use(scheme, url.host),
            custom_ssl=bool(self.tls),
        )


def open_sessions(config: Config, bundle: ssl.SSLContext | None) -> LoopSessions:
    """Open the sessions of the running loop, and return them.

    The caller has to await `anext(cleanup_generator)` once, so that the loop closes the generator when the
    loop ends. `bundle` is the TLS context for the file that the option `ssl` names, or None if this option is
    not a path.
    """
    # Invalid settings raise here, before a session is open that would have to be closed.
    tls = {} if config.ssl is None else {"ssl": bundle if isinstance(config.ssl, str) else config.ssl}
    proxies = Proxies(config.proxy, trust_env=config.trust_env)
    limit = cap_by_open_files(config.max_connections, open_file_limit())
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
    cleanup_generator = _close_at_end(calls, *sessions)
    return LoopSessions(*sessions, slots, proxies, tls, cleanup_generator, calls, IdleCheck())


async def read_ca_bundle(path: str) -> ssl.SSLContext:
    """Create a TLS context that trusts the CAs in the file `path`.

    A worker thread reads the file, because reading takes about 20 ms, and more on a slow disk.
    """
    try:
        return await disk_work.run(functools.partial(ssl.create_default_context, cafile=path))
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"ssl={path!r} is not a readable CA bundle: {error}") from error


def _aiohttp_sessions(
    config: Config, slots: Slots, shared: aiohttp.BaseConnector | None
) -> tuple[aiohttp.ClientSession, aiohttp.ClientSession, aiohttp.ClientSession, aiohttp.ClientSession]:
    """Create the four sessions, and return them in the order of `LoopSessions`.

    If the user passed a connector, all sessions share it (`shared`).
    """
    common: dict[str, Any] = {
        "cookie_jar": aiohttp.DummyCookieJar(),
        # With True, aiohttp would read .netrc before each request, and send the credentials in that file.
        "trust_env": False,
        "requote_redirect_url": False,
        "middlewares": (send_once,),
        "headers": {"User-Agent": _user_agent(config.user_agent), "Accept": "*/*"},
    }
    api = aiohttp.ClientSession(
        connector=shared or new_connector(slots.call_limit), auto_decompress=False, **common
    )
    untraced_api = aiohttp.ClientSession(
        connector=api.connector, connector_owner=False, auto_decompress=False, **common
    )
    uploads = aiohttp.ClientSession(
        # 0 means no limit. The slots already limit the transfers. A download stream that stays open holds a
        # connection but no slot. So if the connections were limited, open streams could block all transfers.
        connector=shared or new_connector(0),
        auto_decompress=False,
        # A presigned URL is signed for one content type or none, so aiohttp must not add one.
        skip_auto_headers=("Content-Type",),
        **common,
    )
    # The trace reports when a request was sent, which only downloads need. It takes time on each request.
    downloads = aiohttp.ClientSession(
        connector=uploads.connector,
        auto_decompress=False,
        trace_configs=[tracing := _trace_config()],
        connector_owner=False,
        **common,
    )
    # Remove the trace configs of libraries that instrument all sessions of the process. Such trace configs
    # would record presigned URLs, and add headers to the requests.
    uploads.trace_configs.clear()
    untraced_api.trace_configs.clear()
    downloads.trace_configs[:] = [tracing]
    return api, untraced_api, downloads, uploads


async def _close_at_end(
    calls: OpenCalls,
    *sessions: aiohttp.ClientSession,
) -> AsyncGenerator[None, None]:
    """Yield once, and close the sessions when this generator is closed.

    `Sessions.aclose` closes the generator. If it is not called, the event loop closes the generator when the
    loop ends, or when the generator is garbage-collected.
    """
    try:
        yield
    finally:
        calls.abort_all()
        # The stack closes all sessions even if this task is cancelled while it closes one of them.
        async with contextlib.AsyncExitStack() as stack:
            for session in sessions:
                stack.push_async_callback(session.close)


def _trace_config() -> aiohttp.TraceConfig:
    """Create a trace config that calls a function when the headers of a request were sent.

    The function is `trace_request_ctx["on_sent"]` of the request.
    """
    tracing = aiohttp.TraceConfig()
    tracing.on_request_headers_sent.append(_on_headers_sent)
    return tracing


async def _on_headers_sent(session: object, context: Any, params: object) -> None:
    if context.trace_request_ctx is not None:
        context.trace_request_ctx["on_sent"]()


def _user_agent(prefix: str | None) -> str:
    user_agent = (
        f"imgwire-async/{imgwire_async.__version__} python/{sys.version_info.major}.{sys.version_info.minor} "
        f"aiohttp/{aiohttp.__version__}"
    )
    return f"{prefix} {user_agent}" if prefix else user_agent
