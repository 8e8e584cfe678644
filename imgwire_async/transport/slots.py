"""Slots, which limit the concurrent requests of one event loop.

There are three kinds. A *call* slot is for one request to the API, a *put* slot for one PUT of bytes, and a
*get* slot for one GET of bytes. A task acquires slots only in the order get, put, call: the source of an
upload may be a download, and an upload fetches its URL from the API. If all requests shared one kind of slot,
the tasks that hold all slots could wait for each other forever.
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
TransferKind: TypeAlias = Literal["put", "get"]

# How many open files `cap_by_open_files` leaves to the application.
_RESERVED_FILES = 32


@attrs.frozen
class Slots:
    """The semaphores of one event loop, and their limits."""

    calls: asyncio.Semaphore
    puts: asyncio.Semaphore
    gets: asyncio.Semaphore
    call_limit: int
    # The limit of `puts` and of `gets`, for each of them separately.
    transfer_limit: int


def cap_by_open_files(max_connections: int, open_files: int | None) -> int:
    """Return `max_connections`, or a smaller number if the process may not open enough files.

    `open_files` is the number of files that the process may open, or None without a limit. Each unit of
    `max_connections` may need six open files: the socket of an API call, the socket and the source
    file of a PUT, the socket and the target file of a GET, and an idle socket to another host.
    """
    if open_files is None:
        return max_connections
    return max(1, min(max_connections, (open_files - _RESERVED_FILES) // 6))


def make_slots(limit: int, *, shared_limit: int) -> Slots:
    """Create the slots of the running loop.

    `limit` is the number of slots of each kind. `shared_limit` is the connection limit of a user's connector,
    which all kinds share, or 0 if there is no such limit.
    """
    calls = transfers = limit
    # Requests have to wait for a slot and not for a connection of the connector, because the connect timeout
    # includes a wait for a connection.
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
    """One put or get slot, held inside an `async with`.

    A transfer that starts inside the source or a callback of another transfer waits for a slot while the
    outer transfer holds one. If all slots are held by such outer transfers, no slot is ever released. So such
    a wait raises `NoResponseError` after `stall` seconds, or after 60 seconds if `stall` is None.
    """

    __slots__ = ("_kind", "_semaphore", "_sessions", "_stall_seconds", "_token", "is_held", "task")

    def __init__(self, sessions: Sessions, kind: TransferKind, stall: float | None) -> None:
        self._sessions = sessions
        self._kind: TransferKind = kind
        self._stall_seconds = stall
        self._token: Token[TransferSlot | None] | None = None
        self.task: asyncio.Task[object] | None = None
        self.is_held: bool = False

    async def __aenter__(self) -> None:
        sessions = await self._sessions.get()
        self._semaphore = sessions.slots.puts if self._kind == "put" else sessions.slots.gets
        await self.acquire()
        if self._kind == "put":
            self.task = asyncio.current_task()
            self._token = _held_slot.set(self)

    async def __aexit__(self, *_: object) -> None:
        if self._token is not None:
            _held_slot.reset(self._token)
        self.release()

    async def acquire(self) -> None:
        """Wait for a slot and acquire it. Tasks get slots in the order in which they started to wait."""
        try:
            await acquire(self._semaphore, self._stall_seconds)
        except AcquireTimeoutError as error:
            reason = (
                f"no {self._kind.upper()} slot became free for {error.seconds:g} s; this call was made inside the source or a "
                "callback of another transfer, which holds a slot until it ends: make the call outside of it, or increase max_connections"
            )
            raise NoResponseError(Failure(reason, kind="no_slot")) from None
        self.is_held = True

    def release(self) -> None:
        """Release the slot if it is held."""
        if self.is_held:
            self.is_held = False
            self._semaphore.release()


# The put slot that the current upload uses.
_held_slot: ContextVar[TransferSlot | None] = ContextVar("imgwire_async.put_slot", default=None)


async def without_slot(wait: Callable[[], Awaitable[T]]) -> T:
    """Release the put slot of the current task, await `wait()`, and acquire the slot again.

    Returns the result of `wait()`. If the current task has no put slot, only `wait()` is awaited. If `wait()`
    raises an exception, the upload ends, so the slot is not acquired again.
    """
    slot = _held_slot.get()
    # A task that user code started inside an upload inherits the context variable, but not the slot.
    if slot is None or not slot.is_held or slot.task is not asyncio.current_task():
        return await wait()
    slot.release()
    result = await wait()
    await slot.acquire()
    return result
