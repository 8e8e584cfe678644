"""Run user code: on the event loop, in a worker thread, or in the thread of a waiting caller.

With the asynchronous client, callbacks run on the event loop. Readers (functions that read the user's files
and iterators) run in a worker thread, because they may block. The blocking client sets `current_caller`, so
that its callbacks and readers run in the thread of its caller.
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
        """Whether the caller's thread waits for the loop now. Such a thread runs a new function at once."""
        ...

    def __call__(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> asyncio.Future[Any]:
        """Run `function` in the caller's thread and return the future of its result."""
        ...


# The caller that waits for the current task, with the blocking client. None with the asynchronous client.
current_caller: ContextVar[Caller | None] = ContextVar("imgwire_async.current_caller", default=None)

# Whether the current task runs user code (a source or a callback) for a transfer that may hold a slot. If
# this user code starts another transfer, the second transfer must not wait for a slot without limit, because
# the first one may not release its slot before.
inside_user_code: ContextVar[bool] = ContextVar("imgwire_async.inside_user_code", default=False)


@contextlib.contextmanager
def in_user_code() -> Generator[None, None, None]:
    """Set `inside_user_code` to True for the running task during a `with` block.

    The block must not contain a `yield`, because the code that receives the yielded item would see the
    changed value.
    """
    token = inside_user_code.set(True)
    try:
        yield
    finally:
        inside_user_code.reset(token)


def submit_reader(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
    """Start a function that reads from a user's source and may block. Return the future of its result.

    The function runs in the caller's thread with the blocking client, and in a worker thread with the
    asynchronous client.
    """
    caller = current_caller.get()
    if caller is not None:
        return cast("asyncio.Future[T]", caller(function, *args, **kwargs))
    context = contextvars.copy_context()
    return thread_pools.of_running_loop().readers.submit(lambda: context.run(function, *args, **kwargs))


async def run_reader(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a function that reads from a user's source, and return its result.

    `submit_reader` chooses the thread. `finish_on_cancel` describes what happens if the task is cancelled.
    """
    return await finish_on_cancel(submit_reader(function, *args, **kwargs))


async def run_callback(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a callback of the user and return its result.

    The callback runs in the caller's thread with the blocking client, and on the event loop with the
    asynchronous client.
    """
    caller = current_caller.get()
    if caller is not None:
        return cast("T", await caller(function, *args, **kwargs))
    return function(*args, **kwargs)


async def call_maybe_async(
    function: Callable[[], T | Awaitable[T]], submitted: asyncio.Future[Any] | None = None
) -> T:
    """Call a function or coroutine function of the user, and return its result.

    `submitted` is the future that `submit_to_caller` returned for the same function. If `submitted` is given,
    the function is not called again, and its result is awaited.
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
    """Start `function` in the caller's thread and return the future of its result.

    With the asynchronous client, return None and start nothing.
    """
    caller = current_caller.get()
    return None if caller is None else caller(function)


def busy_caller() -> Caller | None:
    """Return the `Caller` of the blocking client if its thread is busy, which means not waiting for the loop.

    With the asynchronous client the result is always None. A busy caller runs functions only when it
    waits for the loop again, and that may be much later.
    """
    caller = current_caller.get()
    return None if caller is None or caller.is_waiting else caller


async def wait_for_caller() -> None:
    """Wait until the caller's thread waits for the loop. Return at once with the asynchronous client."""
    caller = busy_caller()
    if caller is not None:
        # The caller runs this empty function as soon as its thread waits for the loop again.
        await caller(_do_nothing)


def _do_nothing() -> None:
    """Return at once. `wait_for_caller` submits this function to see when the caller runs functions."""


async def finish_on_cancel(future: asyncio.Future[T]) -> T:
    """Wait for the future of work in a thread, and return its result.

    If the task is cancelled, wait up to `CANCEL_GRACE` seconds for the work to end. The cancelled code is
    likely to close the file next, and the thread should not use it at the same time. The wait is short,
    because a disk or a source that hangs must not delay a deadline.
    """
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        try:
            # Do not wait for a busy caller, because it does not run the function soon.
            if busy_caller() is None:
                await wait_all([future], timeout=CANCEL_GRACE)
        finally:
            # Cancel the future, so that a later result of the thread is disposed of.
            future.cancel()
        raise
