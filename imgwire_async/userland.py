"""Runs other people's code, and the disk, where each belongs.

Callbacks of an async client run on the loop; readers and iterators, which may block, in a worker thread. Whoever waits for
a call in another thread can ask for all of it by setting `in_caller`.
"""

from __future__ import annotations

import asyncio
import functools
import math
import time
import weakref
from collections.abc import Awaitable, Callable, Collection, Coroutine
from contextvars import ContextVar
from typing import Any, ParamSpec, Protocol, TypeVar, cast

import anyio
import anyio.lowlevel
import anyio.to_thread

from imgwire_async.hops import Hops

P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U")


class Caller(Protocol):
    """Whoever waits in another thread for what runs here; called with a function, it runs that there."""

    @property
    def attentive(self) -> bool:
        """Whether it waits right now, and so runs at once what it is given."""
        ...

    def __call__(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> asyncio.Future[Any]: ...


# Set for the length of a call whose caller waits in another thread.
in_caller: ContextVar[Caller | None] = ContextVar("imgwire_async.in_caller", default=None)

# Set where user code runs that a transfer waits for: its source or a callback. What it calls here must not wait for ever.
inside_user_code: ContextVar[bool] = ContextVar("imgwire_async.inside_user_code", default=False)

# Disk work has threads of its own, so that it never queues behind what the application does in the default executor.
DISK_THREADS = 8
_disk: anyio.lowlevel.RunVar[anyio.CapacityLimiter] = anyio.lowlevel.RunVar("imgwire_async.disk")
_hops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Hops] = weakref.WeakKeyDictionary()
_readers: anyio.lowlevel.RunVar[anyio.CapacityLimiter] = anyio.lowlevel.RunVar("imgwire_async.readers")


def _limiter(variable: anyio.lowlevel.RunVar[anyio.CapacityLimiter], threads: int) -> anyio.CapacityLimiter:
    try:
        return variable.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(threads)
        variable.set(limiter)
        return limiter


async def disk(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a short disk operation of our own in a worker thread and return its result."""
    return await anyio.to_thread.run_sync(
        lambda: function(*args, **kwargs), limiter=_limiter(_disk, DISK_THREADS)
    )


async def glance(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Like `disk`, for work that takes well below a millisecond, as a rule: several such share their way into a thread."""
    return cast("T", await _hops_here().look(functools.partial(function, *args, **kwargs)))


async def glance_through(function: Callable[[], T], finish: Callable[[T], U]) -> U:
    """`glance`, and what `finish` makes of it on the loop, as soon as it is back."""
    return cast("U", await _hops_here().look(function, finish))


def _hops_here() -> Hops:
    loop = asyncio.get_running_loop()  # asked for each small file, and much quicker than a RunVar
    hops = _hops.get(loop)
    if hops is None:
        hops = _hops[loop] = Hops(_limiter(_disk, DISK_THREADS))
    return hops


async def tidy(function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """Run disk work that has to be done even though the task is being cancelled, once or again, by asyncio or by a scope."""
    task = asyncio.ensure_future(disk(function, *args, **kwargs))
    with anyio.CancelScope(shield=True):
        await asyncio.shield(task)


async def settled(tasks: Collection[asyncio.Future[Any]], *, patience: float = math.inf) -> None:
    """Return once all `tasks` are over, whatever came of them and however often this task is cancelled meanwhile.

    The last cancellation is raised then. What is not over after `patience` seconds is left to itself.
    """
    left: set[asyncio.Future[Any]] = {task for task in tasks if not task.done()}
    cancelled: asyncio.CancelledError | None = None
    end = time.monotonic() + patience
    while left and (seconds := end - time.monotonic()) > 0:
        with anyio.CancelScope(shield=True):  # it would cancel anew in every round of the loop
            try:
                await asyncio.wait(left, timeout=None if seconds == math.inf else seconds)
            except asyncio.CancelledError as error:
                cancelled = error
        left = {task for task in left if not task.done()}
    for task in tasks:
        if task in left:
            task.add_done_callback(seen)
        else:
            seen(task)
    if cancelled is not None:
        raise cancelled


def is_being_cancelled() -> bool:
    """Whether somebody cancels the running task; else a `CancelledError` comes out of what it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def seen(task: asyncio.Future[Any]) -> None:
    """Take note of what came of a future that nobody else asks: its error is no news to asyncio then."""
    if not task.cancelled():
        task.exception()


async def read(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a user's reader, which may block: in the waiting caller's thread if there is one, else in a worker thread."""
    hop = in_caller.get()
    if hop is not None:
        return cast("T", await hop(function, *args, **kwargs))
    # Slow readers (a pipe, a network file) must not take the threads that our own disk work needs.
    return await anyio.to_thread.run_sync(lambda: function(*args, **kwargs), limiter=_limiter(_readers, 40))


async def call(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a user's callback: in the waiting caller's thread if there is one, else right here on the loop."""
    hop = in_caller.get()
    if hop is not None:
        return cast("T", await hop(function, *args, **kwargs))
    return function(*args, **kwargs)


def absent() -> Caller | None:
    """The caller in another thread that what runs here belongs to, if it does not wait just now: it may be long in coming."""
    caller = in_caller.get()
    return None if caller is None or caller.attentive else caller


async def back() -> None:
    """Return as soon as the caller in another thread, if there is one, waits for what runs here."""
    caller = absent()
    if caller is not None:
        await caller(_nothing)


def _nothing() -> None:
    """Do nothing: that the caller runs this shows that it is back."""


def asked(function: Callable[[], T]) -> asyncio.Future[T] | None:
    """What the caller in another thread will answer, asked for at once; None when there is no such caller."""
    caller = in_caller.get()
    return None if caller is None else caller(function)


async def answer(
    function: Callable[[], T | Awaitable[T]], answer_to_come: asyncio.Future[Any] | None = None
) -> T:
    """Run a user's callable that may be a coroutine function, unless it was asked already, and return its answer."""
    result: T | Awaitable[T] = await (call(function) if answer_to_come is None else answer_to_come)
    if not isinstance(result, Awaitable):
        return result
    if in_caller.get() is None:
        return await cast("Awaitable[T]", result)
    if isinstance(result, Coroutine):
        result.close()
    raise TypeError("the callable returned an awaitable, which only AsyncImgwireClient can wait for")
