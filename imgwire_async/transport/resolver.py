"""Resolve host names in dedicated threads.

aiohttp's own resolver uses the default executor of the event loop. There it would have to wait for other work
of the application.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

T = TypeVar("T")

# With AI_ADDRCONFIG a machine without IPv6 gets no IPv6 addresses. aiohttp's resolver sets it, too.
_FLAGS: int = socket.AI_ADDRCONFIG & getattr(socket, "AI_MASK", -1)
_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class Resolver(AbstractResolver):
    """A stateless resolver that uses `socket.getaddrinfo`.

    aiohttp's connector caches the addresses, and calls `resolve` only once for concurrent requests to a host.
    """

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of `host`. Raises `OSError` if it has none."""
        return await _run_in_thread(lambda: resolve_blocking(host, port, family))

    async def close(self) -> None:
        """Do nothing, because each thread ends by itself."""


def resolve_blocking(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    """Return the addresses of `host`. Blocks the thread while the system resolves the name."""
    try:
        infos = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=_FLAGS)
    except socket.gaierror:
        if host.rstrip(".").lower() != "localhost":
            raise
        # Without a network, AI_ADDRCONFIG hides all addresses. `localhost` has to work without a network,
        # too.
        infos = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"{host[:60]!r} is not a host name") from error
    return [
        ResolveResult(
            hostname=host, host=_numeric(address), port=port, family=kind, proto=protocol, flags=_NUMERIC
        )
        for kind, _, protocol, _, address in infos
        # A Python without IPv6 support returns IPv6 addresses as tuples of an unknown form. Leave them out.
        if kind == socket.AF_INET or len(address) == 4
    ]


def _numeric(address: Any) -> str:
    # A link-local IPv6 address needs its scope (`%eth0`), which only `getnameinfo` adds.
    if len(address) == 4 and address[3]:
        return socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
    host: str = address[0]
    return host


async def _run_in_thread(function: Callable[[], T]) -> T:
    """Run `function` in a daemon thread and return its result.

    A thread pool would delay the exit of the interpreter while a name server does not respond. Names are
    resolved rarely, so a new thread for each of them is cheap enough.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def set_outcome(result: T | None, error: BaseException | None) -> None:
        # The future is done if the task that waited for it was cancelled.
        if future.done():
            return
        if error is None:
            future.set_result(result)  # type: ignore[arg-type]  # T may be None
        else:
            future.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = function()
        except BaseException as raised:  # noqa: BLE001  # raised in the waiting task
            error = raised
        try:
            loop.call_soon_threadsafe(set_outcome, result, error)
        except RuntimeError:
            # The loop was closed while this thread ran.
            pass

    try:
        threading.Thread(target=run, name="imgwire_async resolver", daemon=True).start()
    except RuntimeError as error:
        # The interpreter is exiting, or there are too many threads.
        raise OSError(f"no thread to resolve the name: {error}") from error
    return await future


def new_connector(limit: int) -> aiohttp.TCPConnector:
    """Return a connector with a `Resolver` and at most `limit` connections. 0 means no limit."""
    return aiohttp.TCPConnector(limit=limit, resolver=Resolver())
