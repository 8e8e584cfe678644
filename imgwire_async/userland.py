"""Runs other people's code, and the disk, where each belongs.

Callbacks of an async client run on the loop; readers and iterators, which may block, in a worker thread. One who waits for
a call in another thread can ask for all of it by setting `in_caller`.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import math
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Coroutine, Generator
from contextvars import ContextVar
from typing import Any, ParamSpec, Protocol, TypeVar, cast

import anyio

from imgwire_async import forks
from imgwire_async.hops import Hops
from imgwire_async.threads import CANCEL_GRACE, ThreadPool, seen

P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U")


class Caller(Protocol):
    """One who waits in another thread for what runs here; called with a function, it runs that there."""

    @property
    def attentive(self) -> bool:
        """Whether it waits right now, and so runs at once what it is given."""
        ...

    def __call__(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> asyncio.Future[Any]: ...


# Set for the length of a call whose caller waits in another thread.
in_caller: ContextVar[Caller | None] = ContextVar("imgwire_async.in_caller", default=None)

# Set where user code runs that a transfer waits for: its source or a callback. What it calls here must not wait for ever.
inside_user_code: ContextVar[bool] = ContextVar("imgwire_async.inside_user_code", default=False)


@contextlib.contextmanager
def in_user_code() -> Generator[None, None, None]:
    """Set `inside_user_code` for the length of a `with`, in this task alone. Never held over a `yield` of a generator."""
    token = inside_user_code.set(True)
    try:
        yield
    finally:
        inside_user_code.reset(token)


# Disk work has places of its own, so that it queues neither behind what the application does in the default executor nor
# behind slow readers (a pipe, a network file).
DISK_THREADS = 8
_READER_THREADS = 40


class _Threads:
    """The ways into threads of one loop. `_keeper` clears them when the loop ends, for what waits there would keep it."""

    __slots__ = ("_keeper", "disk", "hops", "readers")

    def __init__(self) -> None:
        self.disk = ThreadPool(DISK_THREADS)
        self.readers = ThreadPool(_READER_THREADS)
        self.hops = Hops(self.disk)
        keeper = self._keep()
        self._keeper: AsyncGenerator[None, None] | None = keeper
        try:
            keeper.__anext__().send(None)  # the loop knows it from now on
        except StopIteration:
            pass

    async def _keep(self) -> AsyncGenerator[None, None]:
        """Suspended until the loop shuts its async generators down."""
        try:
            yield
        finally:
            self._keeper = None  # it keeps the loop, too
            for part in (self.hops, self.disk, self.readers):
                part.forget()


_by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Threads] = weakref.WeakKeyDictionary()
# Held to change the table, or to go through it. The same thread may come twice: a collection may run anything.
_by_loop_lock = threading.RLock()


def _after_fork() -> None:
    """Begin anew: a fork takes no thread along, and another thread of the parent may have held the lock."""
    global _by_loop, _by_loop_lock  # noqa: PLW0603  # a process has one
    for threads in list(_by_loop.values()):
        forks.keep_for_good(threads)  # to end it would wake the parent's loop
    _by_loop = weakref.WeakKeyDictionary()
    _by_loop_lock = threading.RLock()


forks.after_fork(_after_fork)


def _threads() -> _Threads:
    forks.check()
    loop = asyncio.get_running_loop()  # asked for each small file, and much quicker than a RunVar
    found = _by_loop.get(loop)
    if found is None:
        found = _Threads()
        with _by_loop_lock:
            for other in list(_by_loop):
                if other.is_closed():  # without having shut anything down
                    _by_loop.pop(other, None)
            _by_loop[loop] = found
    return found


def submit_disk(function: Callable[[], T], late: Callable[[T], object] | None = None) -> asyncio.Future[T]:
    """Return the future of a short disk operation of our own, run in a worker thread.

    To need its result no more, cancel the future; a result that comes after that is given to `late`, in a thread.
    """
    return _threads().disk.submit(function, late)


async def disk(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a short disk operation of our own in a worker thread and return its result; see `finish_on_cancel` for cancellation."""
    return await finish_on_cancel(submit_disk(functools.partial(function, *args, **kwargs)))


async def disk_or_late(
    late: Callable[[T], object], function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Like `disk`, where a result must be taken care of: when the task is cancelled meanwhile, `late` gets it, in a thread."""
    future = submit_disk(functools.partial(function, *args, **kwargs), late)
    try:
        return await finish_on_cancel(future)
    except asyncio.CancelledError:
        if future.done() and not future.cancelled() and future.exception() is None:
            await settled([submit_disk(functools.partial(late, future.result()))], patience=CANCEL_GRACE)
        raise


async def finish_on_cancel(future: asyncio.Future[T]) -> T:
    """Return what a future of `submit_disk` or `submit_read` gives; once the task is cancelled, end soon.

    That is with the thread, as who cancels is likely to close the file next, but after a moment at the latest: a disk or a
    reader that hangs shall not hold a deadline up.
    """
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        try:
            if absent() is None:  # one who is absent does not read either
                await settled([future], patience=CANCEL_GRACE)
        finally:
            future.cancel()  # what comes now is late
        raise


async def glance(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Like `disk`, for work that takes well below a millisecond, as a rule: several such share their way into a thread."""
    return cast("T", await _threads().hops.look(functools.partial(function, *args, **kwargs)))


async def glance_or_late(
    late: Callable[[T], object], function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Like `glance`, where a result must be taken care of: when the task is cancelled meanwhile, `late` gets it, in a thread."""
    return cast("T", await _threads().hops.look(functools.partial(function, *args, **kwargs), late=late))


async def tidy(function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """Run disk work that has to be done even though the task is being cancelled, once or again, by asyncio or by a scope.

    It is waited for; once the task is cancelled, for no longer than a moment. What hangs goes on in its thread.
    """
    future = submit_disk(functools.partial(function, *args, **kwargs))
    if is_being_cancelled():
        await settled([future], patience=CANCEL_GRACE)
        if future.done():
            future.result()
    else:
        await _undisturbed(future)


async def _undisturbed(future: asyncio.Future[Any]) -> None:
    with anyio.CancelScope(shield=True):
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError:
            await settled([future], patience=CANCEL_GRACE)
            raise


async def settled(tasks: Collection[asyncio.Future[Any]], *, patience: float = math.inf) -> None:
    """Return once all `tasks` are over, whatever came of them and however often this task is cancelled meanwhile.

    The last cancellation is raised then. What is not over after `patience` seconds is left to itself.
    """
    # The clock of `asyncio.wait`: another one may stand still, or run ahead.
    now = asyncio.get_running_loop().time
    left: set[asyncio.Future[Any]] = {task for task in tasks if not task.done()}
    cancelled: asyncio.CancelledError | None = None
    end = now() + patience
    while left and (seconds := end - now()) > 0:
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


def is_own_cancellation(error: BaseException) -> bool:
    """Return whether an error that the running task got means that somebody cancels that task."""
    return isinstance(error, asyncio.CancelledError) and is_being_cancelled()


def was_cancelled_elsewhere(task: asyncio.Future[Any]) -> bool:
    """Return whether other code cancelled what the running task waited for, while nobody cancels the running task."""
    return task.cancelled() and not is_being_cancelled()


def submit_read(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
    """Return the future of a user's reader, which may block: in the waiting caller's thread if there is one, else in a worker thread."""
    hop = in_caller.get()
    if hop is not None:
        return cast("asyncio.Future[T]", hop(function, *args, **kwargs))
    context = contextvars.copy_context()
    return _threads().readers.submit(lambda: context.run(function, *args, **kwargs))


async def read(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a user's reader and return what it gives; see `submit_read` for where, `finish_on_cancel` for cancellation."""
    return await finish_on_cancel(submit_read(function, *args, **kwargs))


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
