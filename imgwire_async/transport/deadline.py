"""The deadline, which is the time limit for one awaited operation with all its requests and delays."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, TypeVar

from imgwire_async.errors import APITimeoutError
from imgwire_async.exchange import Exchange

T = TypeVar("T")

_current: ContextVar[Deadline[Any] | None] = ContextVar("imgwire_async.deadline", default=None)


class Deadline(AbstractAsyncContextManager[T]):
    """A time limit of `seconds` seconds for the body of an `async with`.

    Raises `APITimeoutError(which="deadline")` when the limit is exceeded. A deadline inside another deadline
    of the same task has no effect. The timer starts before the context manager `scope` is entered, and stops
    before `scope` is left. `async with` returns the value that entering `scope` returns.
    """

    def __init__(self, name: str, seconds: float, scope: AbstractAsyncContextManager[T]) -> None:
        self._name = name
        self._scope = scope
        self._seconds = seconds
        self._task: asyncio.Task[object] | None = None
        self._token: Token[Deadline[Any] | None] | None = None
        self._failed_exchange: Exchange | None = None
        self._failure_reason = ""
        self._interrupted_exchange: Exchange | None = None
        self._activity = ""

    async def __aenter__(self) -> T:
        if current() is None:
            await self._start_timer()
        try:
            # Entering the scope may take long, because the first call reads the file in the option `ssl`.
            return await self._scope.__aenter__()
        except BaseException as error:
            await self._stop_timer(type(error), error, error.__traceback__)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._stop_timer(kind, error, traceback)
        except BaseException as new_error:
            await self._scope.__aexit__(type(new_error), new_error, new_error.__traceback__)
            raise
        await self._scope.__aexit__(kind, error, traceback)

    async def _start_timer(self) -> None:
        self._task = task = asyncio.current_task()
        self._cancel_requests = 0 if task is None else task.cancelling()
        # Use the clock of `asyncio.timeout`.
        self._started_at = asyncio.get_running_loop().time()
        self._timer = asyncio.timeout(self._seconds)
        await self._timer.__aenter__()
        self._token = _current.set(self)

    async def _stop_timer(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is None:
            return
        _current.reset(self._token)
        self._task = None
        try:
            await self._timer.__aexit__(kind, error, traceback)
        except TimeoutError as expired:
            raise self._error() from expired

    @property
    def task(self) -> asyncio.Task[object] | None:
        """The task that runs the operation, or None before and after the operation."""
        return self._task

    @property
    def has_expired(self) -> bool:
        """Whether the task is being cancelled by this deadline, and by no other code."""
        task = self._task
        return task is not None and self._timer.expired() and task.cancelling() <= self._cancel_requests + 1

    def note_failure(self, exchange: Exchange, reason: str) -> None:
        """Remember the last failed attempt for the error message."""
        self._failed_exchange, self._failure_reason = exchange, reason

    def note_interrupted(self, exchange: Exchange, activity: str) -> None:
        """Remember the interrupted exchange for the error message.

        `activity` precedes the exchange in the message, for example "busy with".
        """
        self._interrupted_exchange, self._activity = exchange, activity

    def _error(self) -> APITimeoutError:
        elapsed = asyncio.get_running_loop().time() - self._started_at
        failed, interrupted = self._failed_exchange, self._interrupted_exchange
        failure = f"; its last attempt failed: {failed}: {self._failure_reason}" if failed else ""
        interruption = f"; it was {self._activity} {interrupted}" if interrupted else ""
        return APITimeoutError(
            f"{self._name}: the deadline of {self._seconds:g} s passed after {elapsed:.2f} s{failure}{interruption}. "
            "Allow more time with Timeouts(deadline=...), or find out what is slow.",
            which="deadline",
            exchange=interrupted or failed,
        )


def note_failure(exchange: Exchange, reason: str) -> None:
    """Remember the last failed attempt of the current operation, for the message of its deadline error."""
    deadline = current()
    if deadline is not None:
        deadline.note_failure(exchange, reason)


def note_interrupted(exchange: Exchange, activity: str = "busy with") -> None:
    """Remember the exchange that was cancelled, for the message of the current operation's deadline error.

    `activity` precedes the exchange in the message. If the deadline was not the cause of the cancellation,
    the exchange is not used.
    """
    deadline = current()
    if deadline is not None:
        deadline.note_interrupted(exchange, activity)


def has_expired() -> bool:
    """Return whether the current operation is being cancelled by its deadline, and by no other code.

    If so, the operation may still return a result that has arrived already.
    """
    deadline = current()
    return deadline is not None and deadline.has_expired


def current() -> Deadline[Any] | None:
    """Return the deadline of the current task, or None."""
    deadline = _current.get()
    # A task that user code started inside the operation inherits the context variable, but not the deadline.
    return deadline if deadline is not None and deadline.task is asyncio.current_task() else None
