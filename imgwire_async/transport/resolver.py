"""Names to addresses, in threads of our own.

aiohttp asks in the loop's default executor, where a look-up stands in line behind whatever the application does there.
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

# Like aiohttp's own: no IPv6 addresses on a machine without IPv6.
_FLAGS: int = socket.AI_ADDRCONFIG & getattr(socket, "AI_MASK", -1)
_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class Resolver(AbstractResolver):
    """`socket.getaddrinfo` for a connector, which caches what it gives and joins those who ask the same. Holds nothing."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of `host`. Raises `OSError` when it has none."""
        return await _in_thread(lambda: look_up(host, port, family))

    async def close(self) -> None:
        """Nothing to close: a look-up that nobody waits for any more ends by itself."""


def look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    """The addresses of `host`; blocks while the system asks around."""
    try:
        found = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=_FLAGS)
    except socket.gaierror:
        if host.rstrip(".").lower() != "localhost":
            raise
        # Without a network up there is no "configured" address, but this machine is there.
        found = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"{host[:60]!r} is no host name") from error
    return [
        ResolveResult(
            hostname=host, host=_numeric(address), port=port, family=kind, proto=protocol, flags=_NUMERIC
        )
        for kind, _, protocol, _, address in found
        if kind == socket.AF_INET or len(address) == 4  # a Python without IPv6 gives something else
    ]


def _numeric(address: Any) -> str:
    if len(address) == 4 and address[3]:  # link-local: the scope belongs to the address
        return socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
    host: str = address[0]
    return host


async def _in_thread(function: Callable[[], T]) -> T:
    """What `function` gives, from a thread that nobody has to wait for.

    A pool would make a cancelled call, or the end of the interpreter, wait for a name server that does not answer. Look-ups are
    rare enough for a thread each.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if answer.done():  # nobody waits any more
            return
        if error is None:
            answer.set_result(result)  # type: ignore[arg-type]  # a result that is None, too, is a T
        else:
            answer.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = function()
        except BaseException as raised:  # noqa: BLE001  # it belongs to whoever waits
            error = raised
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:  # the loop has ended meanwhile
            pass

    try:
        threading.Thread(target=run, name="imgwire_async resolver", daemon=True).start()
    except RuntimeError as error:  # the interpreter is ending, or there are too many threads
        raise OSError(f"no thread for a look-up: {error}") from error
    return await answer


def connector(limit: int) -> aiohttp.TCPConnector:
    """A connector for so many connections at once that asks for names here."""
    return aiohttp.TCPConnector(limit=limit, resolver=Resolver())
