"""The deadline: one clock around one awaited operation, however many exchanges and pauses it holds."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, TypeVar

from imgwire_async.errors import APITimeoutError
from imgwire_async.exchange import Exchange

T = TypeVar("T")

_running: ContextVar[Operation[Any] | None] = ContextVar("imgwire_async.operation", default=None)


class Operation(AbstractAsyncContextManager[T]):
    """`async with Operation("POST /images/...", seconds, scope):` raises `APITimeoutError(which="deadline")` when time is up.

    Inside another operation of the same task it does nothing: the outer clock counts. `scope` is entered after the clock was
    started, is left after it was stopped, and gives what it gives.
    """

    def __init__(self, name: str, seconds: float, scope: AbstractAsyncContextManager[T]) -> None:
        self._name = name
        self._scope = scope
        self._seconds = seconds
        self._task: asyncio.Task[object] | None = None
        self._token: Token[Operation[Any] | None] | None = None
        self.exchange: Exchange | None = None
        self.trouble: str = ""
        self.under_way: Exchange | None = None
        self.doing: str = ""

    async def __aenter__(self) -> T:
        if current() is None:
            await self._start_clock()
        try:
            return await self._scope.__aenter__()  # may take long: the first call reads the file of ssl=
        except BaseException as error:
            await self._stop_clock(type(error), error, error.__traceback__)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._stop_clock(kind, error, traceback)
        except BaseException as other:
            await self._scope.__aexit__(type(other), other, other.__traceback__)
            raise
        await self._scope.__aexit__(kind, error, traceback)

    async def _start_clock(self) -> None:
        self._task = task = asyncio.current_task()
        self._cancelling = 0 if task is None else task.cancelling()
        self._began = asyncio.get_running_loop().time()  # by which its clock counts, too
        self._clock = asyncio.timeout(self._seconds)
        await self._clock.__aenter__()
        self._token = _running.set(self)

    async def _stop_clock(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is None:
            return
        _running.reset(self._token)
        self._task = None
        try:
            await self._clock.__aexit__(kind, error, traceback)
        except TimeoutError as expired:
            raise self._error() from expired

    @property
    def owner(self) -> asyncio.Task[object] | None:
        """The task that runs the operation, while it runs."""
        return self._task

    @property
    def ran_out(self) -> bool:
        """Whether the clock cancels the operation, and nobody else does."""
        task = self._task
        return task is not None and self._clock.expired() and task.cancelling() <= self._cancelling + 1

    def note(self, exchange: Exchange, trouble: str) -> None:
        """Remember the last failed attempt, for the message when time is up."""
        self.exchange, self.trouble = exchange, trouble

    def _error(self) -> APITimeoutError:
        elapsed = asyncio.get_running_loop().time() - self._began
        last = f"; its last try failed: {self.exchange}: {self.trouble}" if self.exchange else ""
        now = f"; it was {self.doing} {self.under_way}" if self.under_way else ""
        return APITimeoutError(
            f"{self._name}: the deadline of {self._seconds:g} s passed after {elapsed:.2f} s{last}{now}. "
            "Allow more with Timeouts(deadline=...), or find out why it takes so long.",
            which="deadline",
            exchange=self.under_way or self.exchange,
        )


def note_failure(exchange: Exchange, reason: str) -> None:
    """Remember the last failed attempt of the running operation, for the message when its time is up."""
    operation = current()
    if operation is not None:
        operation.note(exchange, reason)


def interrupted(exchange: Exchange, doing: str = "busy with") -> None:
    """Note the exchange that was under way, or in the queue, when the running operation was cancelled; its clock may have done it."""
    operation = current()
    if operation is not None:
        operation.under_way, operation.doing = exchange, doing


def ran_out() -> bool:
    """Whether the clock of the running operation cancels it, and nobody else does: what succeeded all the same may be returned."""
    operation = current()
    return operation is not None and operation.ran_out


def current() -> Operation[Any] | None:
    """The operation whose clock counts for the running task, or None."""
    operation = _running.get()
    # A task that user code started in the midst of an operation is its own master.
    return operation if operation is not None and operation.owner is asyncio.current_task() else None
