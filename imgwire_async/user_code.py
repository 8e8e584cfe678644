"""Run user code: on the event loop, in a worker thread, or in the thread of a waiting caller.

With the asynchronous client, callbacks run on the loop and readers (files, iterators) in a worker thread,
because they may block. The blocking client sets `current_caller`, so that both run in the thread of its
caller.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import ContextVar
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from imgwire_async import thread_pools
from imgwire_async.cancellation import wait_all
from imgwire_async.threads import CANCEL_GRACE

P = ParamSpec("P")
T = TypeVar("T")


class Caller(Protocol):
    """A caller of the blocking client, whose thread waits for the event loop and can run functions for it."""

    @property
    def is_waiting(self) -> bool:
        """Whether its thread waits for the loop now, so that it runs a function at once."""
        ...

    def __call__(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> asyncio.Future[Any]:
        """Run `function` in the caller's thread and return the future of its result."""
        ...


# The caller of the blocking client for whom the current task runs. None with the asynchronous client.
current_caller: ContextVar[Caller | None] = ContextVar("imgwire_async.current_caller", default=None)

# Whether user code runs (a source or a callback) that a transfer waits for. A call from there must not wait
# without a limit.
inside_user_code: ContextVar[bool] = ContextVar("imgwire_async.inside_user_code", default=False)


@contextlib.contextmanager
def in_user_code() -> Generator[None, None, None]:
    """Set `inside_user_code` for the length of a `with` block, in the running task alone.

    The block must not contain a `yield` of a generator.
    """
    token = inside_user_code.set(True)
    try:
        yield
    finally:
        inside_user_code.reset(token)


def submit_reader(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
    """Start a reader of the user, which may block, and return its future.

    It runs in the thread of the waiting caller if there is one, else in a worker thread.
    """
    caller = current_caller.get()
    if caller is not None:
        return cast("asyncio.Future[T]", caller(function, *args, **kwargs))
    context = contextvars.copy_context()
    return thread_pools.of_running_loop().readers.submit(lambda: context.run(function, *args, **kwargs))


async def run_reader(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a reader of the user, as `submit_reader` does, and return its result.

    `finish_on_cancel` describes what a cancellation does.
    """
    return await finish_on_cancel(submit_reader(function, *args, **kwargs))


async def run_callback(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a callback of the user and return its result.

    It runs in the thread of the waiting caller if there is one, else here on the loop.
    """
    caller = current_caller.get()
    if caller is not None:
        return cast("T", await caller(function, *args, **kwargs))
    return function(*args, **kwargs)


async def call_maybe_async(
    function: Callable[[], T | Awaitable[T]], submitted: asyncio.Future[Any] | None = None
) -> T:
    """Run a callable of the user, which may be a coroutine function, and return its result.

    `submitted` is the future of a run that was started before by `submit_to_caller`; the function is not run
    again then.
    """
    result: T | Awaitable[T] = await (run_callback(function) if submitted is None else submitted)
    if not isinstance(result, Awaitable):
        return result
    if current_caller.get() is None:
        return await cast("Awaitable[T]", result)
    if isinstance(result, Coroutine):
        result.close()
    raise TypeError("the callable returned an awaitable, which only AsyncImgwireClient can wait for")


def submit_to_caller(function: Callable[[], T]) -> asyncio.Future[T] | None:
    """Start `function` in the thread of the waiting caller and return its future.

    Returns None when there is no such caller.
    """
    caller = current_caller.get()
    return None if caller is None else caller(function)


def busy_caller() -> Caller | None:
    """Return the caller for whom the current task runs if its thread is busy elsewhere, else None.

    Such a caller runs functions only when it waits for the loop again, which may be much later.
    """
    caller = current_caller.get()
    return None if caller is None or caller.is_waiting else caller


async def wait_for_caller() -> None:
    """Wait until the caller for whom the current task runs, if there is one, waits for the loop again."""
    caller = busy_caller()
    if caller is not None:
        # The caller runs this function as soon as it waits for the loop.
        await caller(_do_nothing)


def _do_nothing() -> None:
    """Do nothing."""


async def finish_on_cancel(future: asyncio.Future[T]) -> T:
    """Return the result of work in a thread.

    When the task is cancelled, the function waits up to `CANCEL_GRACE` seconds for the thread. It waits
    because cancelled code is likely to close the file next. The wait is short, because a disk or a reader
    that hangs must not delay a deadline.
    """
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        try:
            # A busy caller does not run the function now, so there is nothing to wait for.
            if busy_caller() is None:
                await wait_all([future], timeout=CANCEL_GRACE)
        finally:
            # A result that comes from now on is disposed of.
            future.cancel()
        raise
