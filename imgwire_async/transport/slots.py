"""How much may be under way at once, per loop.

Three kinds: a *call* slot is one HTTP exchange with the API, a *put* slot one PUT of bytes, a *get* slot one GET of bytes. They
are taken in the order get, put, call, never the other way round: a download may feed an upload, and an upload asks the API for
its URL. One kind for two of these would deadlock as soon as every slot is held by somebody who waits for another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

import attrs

from imgwire_async.concurrency import AcquireTimeoutError, acquire
from imgwire_async.protocol.request import NoResponseError
from imgwire_async.retry import Failure

if TYPE_CHECKING:
    from imgwire_async.transport.sessions import Sessions

T = TypeVar("T")
Kind: TypeAlias = Literal["put", "get"]

# Left for the application's own files and sockets, and for this library's journals and listeners.
_RESERVED = 32


@attrs.frozen
class Slots:
    """The semaphores of one loop, and the sizes they were made with."""

    calls: asyncio.Semaphore
    puts: asyncio.Semaphore
    gets: asyncio.Semaphore
    call_limit: int
    transfer_limit: int  # of puts, and of gets


def fitting(max_connections: int, open_files: int | None) -> int:
    """Return `max_connections`, or fewer where sockets and open files would not fit the process's limit.

    One unit is a call's socket, a PUT's socket and the file it reads, a GET's socket and the file it writes, and a socket that
    idles to another host.
    """
    if open_files is None:
        return max_connections
    return max(1, min(max_connections, (open_files - _RESERVED) // 6))


def make_slots(limit: int, *, shared_limit: int) -> Slots:
    """Make the slots of the running loop. `shared_limit` is the size of a connector that all kinds share, 0 when it has none."""
    calls = transfers = limit
    # Waiting happens in our queue, where no clock runs.
    if shared_limit and shared_limit < calls + 2 * transfers:
        calls = max(1, min(calls, shared_limit // 3))
        transfers = max(1, min(transfers, (shared_limit - calls) // 2))
    return Slots(
        asyncio.Semaphore(calls),
        asyncio.Semaphore(transfers),
        asyncio.Semaphore(transfers),
        calls,
        transfers,
    )


class TransferSlot(AbstractAsyncContextManager[None]):
    """One put or get slot, held inside `async with`. Raises `NoResponseError` instead of waiting for ever for itself.

    A transfer that is begun inside the source or a callback of another one waits for a slot while the other holds one. When
    all are held in that way nobody would ever give one back, so such a wait ends after `stall` seconds.
    """

    __slots__ = ("_kind", "_semaphore", "_sessions", "_stall", "_token", "held", "task")

    def __init__(self, sessions: Sessions, kind: Kind, stall: float | None) -> None:
        self._sessions = sessions
        self._kind: Kind = kind
        self._stall = stall
        self._token: Token[TransferSlot | None] | None = None
        self.task: asyncio.Task[object] | None = None
        self.held: bool = False

    async def __aenter__(self) -> None:
        here = await self._sessions.get()
        self._semaphore = here.slots.puts if self._kind == "put" else here.slots.gets
        await self.acquire()
        if self._kind == "put":
            self.task = asyncio.current_task()
            self._token = _held.set(self)

    async def __aexit__(self, *_: object) -> None:
        if self._token is not None:
            _held.reset(self._token)
        self.release()

    async def acquire(self) -> None:
        """Take a slot, after those who came before."""
        try:
            await acquire(self._semaphore, self._stall)
        except AcquireTimeoutError as error:
            reason = (
                f"no {self._kind.upper()} slot became free for {error.seconds:g} s; this call was made inside the source or a "
                "callback of another transfer, which holds a slot meanwhile: make it outside, or allow more max_connections"
            )
            raise NoResponseError(Failure(reason, kind="no_slot")) from None
        self.held = True

    def release(self) -> None:
        """Give the slot back, if it is held."""
        if self.held:
            self.held = False
            self._semaphore.release()


# The put slot that an upload holds while it asks the API for a URL.
_held: ContextVar[TransferSlot | None] = ContextVar("imgwire_async.put_slot", default=None)


async def without_slot(wait: Callable[[], Awaitable[T]]) -> T:
    """Return what `wait()` gives. The put slot that the running task holds, if any, is free for others meanwhile.

    When `wait` fails the slot is not taken again: the upload ends.
    """
    slot = _held.get()
    # A task that user code started in the midst of an upload has inherited the upload's context, not its slot.
    if slot is None or not slot.held or slot.task is not asyncio.current_task():
        return await wait()
    slot.release()
    result = await wait()
    await slot.acquire()
    return result
