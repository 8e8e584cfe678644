"""Run calls of blocking clients on the loop thread, and their user code in the callers' threads.

Each call is a task on the loop thread. Its caller waits for items in an inbox, which is a queue. The loop
thread puts two kinds of items into it. The first kind is user code that the task needs (readers, callbacks,
hooks, API key callables). The caller's thread runs this code. The second kind is the finished call, which is
the last item. So a call that needs no user code wakes each thread only once.

User code in the caller's thread cannot block the loop, may use objects that are bound to that thread, and can
be interrupted with Ctrl-C.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from imgwire_async import forks, user_code
from imgwire_async._loop_thread import (
    EXIT_TIMEOUT,
    POLL_INTERVAL,
    LoopThread,
    loop_thread,
    process,
    shutdown_error,
)

R = TypeVar("R")
T = TypeVar("T")

_END: Any = object()


class _LoopCall(Generic[R]):
    """One coroutine that runs on the loop for a caller, and its result.

    `abandoned` is True when the caller no longer waits for the result.
    """

    __slots__ = ("abandoned", "coroutine", "task")

    def __init__(self, coroutine: Coroutine[Any, Any, R]) -> None:
        self.coroutine = coroutine
        self.abandoned = False
        self.task: asyncio.Task[R] | None = None

    def result(self) -> R:
        """Return the result of the finished task, or raise its exception."""
        task, self.task = self.task, None
        assert task is not None
        try:
            return task.result()
        except asyncio.CancelledError:
            raise (
                shutdown_error()
                if process.exiting
                else RuntimeError("the call was cancelled: the loop thread has ended")
            ) from None
        finally:
            # The traceback of the exception refers to this frame. If the frame still referred to `task`, both
            # would form a reference cycle.
            del task


class _WorkItem:
    """A user function to run in the caller's thread, and the future that receives its result."""

    __slots__ = ("function", "future")

    def __init__(self, future: asyncio.Future[Any], function: Callable[[], Any]) -> None:
        self.future = future
        self.function = function

    def run(self) -> Callable[[], None]:
        """Run the user function. Return a function that the loop calls to set the result of the future."""
        # This call may hold a slot while the user function starts another transfer. That transfer could wait
        # for this slot without end, so `inside_user_code` limits its wait.
        token = user_code.inside_user_code.set(True)
        try:
            return partial(_set_result, self.future, self.function(), None)
        except Exception as error:  # noqa: BLE001  # raised by the future
            return partial(_set_result, self.future, None, error)
        finally:
            user_code.inside_user_code.reset(token)


def _set_result(future: asyncio.Future[Any], value: object, error: Exception | None) -> None:
    # The future is already done if the task that waited for it was cancelled while the user function ran.
    if future.done():
        return
    if error is None:
        future.set_result(value)
    elif isinstance(error, StopIteration):
        # A future rejects a StopIteration. So it is replaced by a RuntimeError, as Python does in a
        # coroutine.
        wrapped = RuntimeError("user code raised StopIteration")
        wrapped.__cause__ = error
        future.set_exception(wrapped)
    else:
        future.set_exception(error)


class CallerChannel:
    """The connection between a caller's thread and the loop thread.

    The channel is used for one call (`once`), or for all calls of an iterator or a `with` block. In the tasks
    that run for the caller, `user_code.current_caller` is this channel. The caller's thread uses `run` and
    `end`. The loop thread uses `is_waiting` and the methods below it.
    """

    def __init__(self, thread: LoopThread, *, once: bool = False) -> None:
        self._thread = thread
        self._once = once
        self._inbox: SimpleQueue[_WorkItem | _LoopCall[Any]] = SimpleQueue()
        self._pending: set[asyncio.Future[Any]] = set()
        self._call: _LoopCall[Any] | None = None
        self._closed = False

    def run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Run a coroutine on the loop and return its result.

        While this method waits for the result, it runs the user code that the coroutine needs.
        """
        call = _LoopCall(coroutine)
        try:
            posted = self._thread.post(self._begin, call)
            if posted:
                self._serve(call)
        except BaseException:
            # An exception such as KeyboardInterrupt (Ctrl-C) has ended the wait. So cancel the task, but do
            # not wait until it has ended.
            call.abandoned = True
            if not self._thread.post(self._interrupt, call, urgent=True):
                _close_if_not_started(coroutine)
            raise
        if not posted:
            coroutine.close()
            if self._thread.forked:
                raise RuntimeError(
                    "this iterator or `with` block was started in the parent process; start it again in the forked child"
                )
            raise shutdown_error()
        return call.result()

    def _serve(self, call: _LoopCall[Any]) -> None:
        """Run work items from the inbox until `call` arrives there, which means that it is done."""
        while True:
            item = self._next_item()
            if item is call:
                return
            if isinstance(item, _WorkItem) and not item.future.cancelled():
                set_result = item.run()
                if not self._thread.post(set_result):
                    raise self._thread.ended_error()

    def _next_item(self) -> _WorkItem | _LoopCall[Any]:
        while True:
            with suppress(Empty):
                return self._inbox.get(timeout=POLL_INTERVAL)
            if self._thread.has_ended:
                # The thread may have put an item into the inbox before it ended.
                with suppress(Empty):
                    return self._inbox.get_nowait()
                raise self._thread.ended_error()
            self._thread.wake()

    def end(self, cleanup: Coroutine[Any, Any, object], owner: object, *, wait: bool) -> None:
        """Close the channel: cancel the running task, then run `cleanup` on the loop.

        If `wait` is true, wait for `cleanup` up to `EXIT_TIMEOUT` seconds. On the loop thread itself this
        method never waits. `owner` is the async object that `cleanup` closes. In a forked child, `owner`
        stays unclosed.
        """
        call = _LoopCall(cleanup)
        call.abandoned = not wait or self._thread.is_current
        if not self._thread.post(self._end, call, urgent=True):
            cleanup.close()
            if self._thread.forked:
                forks.make_immortal(owner)
            return
        # This `while` loop ends soon, because a closed channel puts only this call into the inbox.
        while not call.abandoned:
            try:
                if self._inbox.get(timeout=EXIT_TIMEOUT) is call:
                    call.result()
                    return
            except Empty:
                call.abandoned = True

    # The loop thread uses the methods below.

    @property
    def is_waiting(self) -> bool:
        """Whether the caller's thread waits for a call now. Such a thread runs a new function at once."""
        return self._call is not None

    def __call__(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> asyncio.Future[Any]:
        """Let the caller's thread run `function` and return the future of its result.

        Between two items of an iterator, the caller's thread runs the caller's own code. So `function` runs
        only when the caller requests the next item.
        """
        future: asyncio.Future[Any] = self._thread.loop.create_future()
        if self._closed:
            future.cancel()
        else:
            self._pending.add(future)
            future.add_done_callback(self._pending.discard)
            self._inbox.put(_WorkItem(future, partial(function, *args, **kwargs)))
        return future

    def _begin(self, call: _LoopCall[Any]) -> None:
        if call.abandoned:
            call.coroutine.close()
        else:
            self._start_after_previous(call)

    def _start_after_previous(self, call: _LoopCall[Any]) -> None:
        previous = self._call
        # If the previous call was interrupted, its task may not have ended yet. So wait for the end of that
        # task.
        if previous is not None and previous.task is not None:
            previous.task.add_done_callback(lambda _: self._start_after_previous(call))
            return
        # This code runs in a copy of the caller's `contextvars` context, so `current_caller` is set for the
        # new task and not for the caller.
        user_code.current_caller.set(self)
        self._call = call
        call.task = self._thread.loop.create_task(call.coroutine)
        self._thread.tasks.add(call.task)
        call.task.add_done_callback(partial(self._finish, call))

    def _finish(self, call: _LoopCall[Any], task: asyncio.Task[Any]) -> None:
        self._thread.tasks.discard(task)
        self._call = None
        if self._once:
            self._close()
        if not call.abandoned:
            self._inbox.put(call)
        elif not task.cancelled():
            # Retrieve the exception of an abandoned call, so that asyncio does not log it.
            task.exception()

    def _interrupt(self, call: _LoopCall[Any]) -> None:
        self._cancel_pending()
        self._closed = self._closed or self._once
        # The call has no task if it was interrupted before it was posted, or if it still waits for the end of
        # the previous call.
        if call.task is None:
            call.coroutine.close()
        elif self._call is call:
            call.task.cancel()

    def _end(self, call: _LoopCall[Any]) -> None:
        self._close()
        if self._call is not None and self._call.task is not None:
            self._call.task.cancel()
        self._start_after_previous(call)

    def _close(self) -> None:
        self._closed = True
        self._cancel_pending()

    def _cancel_pending(self) -> None:
        """Cancel the futures of user code that has not run yet.

        The caller no longer waits for the call, so its thread will not run this user code.
        """
        for future in list(self._pending):
            future.cancel()


def _close_if_not_started(coroutine: Coroutine[Any, Any, object]) -> None:
    """Close a coroutine that never ran, so that Python does not warn about it.

    A coroutine that has already run is not closed here. It belongs to the loop of the parent process, because
    the process was forked during the call.
    """
    if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
        coroutine.close()


# The blocking client uses the functions below.


def call(method: Callable[..., Coroutine[Any, Any, R]], /, *args: Any, **kwargs: Any) -> R:
    """Run a coroutine function on the loop thread and return its result."""
    channel = CallerChannel(loop_thread(), once=True)
    # The coroutine is created here, so that a wrong argument raises an exception in the caller's frame.
    return channel.run(method(*args, **kwargs))


def run_close(method: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `method`, a coroutine function that closes an async object. Wait until it has ended, if possible.

    Usually `method` runs on the loop thread, and this function waits. On the loop thread itself, the
    coroutine becomes a task, and this function does not wait. Before the first call and at exit there is no
    loop. In this case the coroutine runs in the current thread up to its first wait, and no further.
    """
    forks.check()
    thread = process.thread
    coroutine = method()
    if thread is None:
        with suppress(StopIteration):
            coroutine.send(None)
    elif thread.is_current:
        thread.tasks.add(task := thread.loop.create_task(coroutine))
        task.add_done_callback(thread.tasks.discard)
    else:
        CallerChannel(thread, once=True).run(coroutine)


def iterate(source: AsyncGenerator[T, None]) -> Generator[T, None, None]:
    """Yield the items of an async generator. Each item needs one call to the loop thread."""
    channel = CallerChannel(loop_thread())
    closed = False
    try:
        yield from _items(channel, source)
    except GeneratorExit:
        closed = True
        raise
    finally:
        channel.end(_aclose(source), source, wait=closed)


async def _aclose(source: AsyncGenerator[Any, None]) -> None:
    try:
        await source.aclose()
    except RuntimeError:
        # If `ag_running` is true, the garbage collector has already made the loop close this generator.
        if not getattr(source, "ag_running", False):
            raise


@contextmanager
def enter(manager: AbstractAsyncContextManager[AsyncIterator[T]]) -> Generator[Iterator[T], None, None]:
    """Use an async context manager in a plain `with` block. Its async iterator becomes a plain iterator."""
    channel = CallerChannel(loop_thread())
    items = channel.run(_await(manager.__aenter__))
    try:
        yield _items(channel, items)
    except GeneratorExit:
        # The `with` block was abandoned before its end, possibly by the garbage collector.
        channel.end(_await(manager.__aexit__, None, None, None), manager, wait=True)
        raise
    except Exception as error:
        if not channel.run(_await(manager.__aexit__, type(error), error, error.__traceback__)):
            raise
    except BaseException:
        # An exception like KeyboardInterrupt would stop the loop. So pass a CancelledError to `__aexit__`
        # instead.
        cancelled = asyncio.CancelledError()
        channel.run(_await(manager.__aexit__, type(cancelled), cancelled, None))
        raise
    else:
        channel.run(_await(manager.__aexit__, None, None, None))


async def _await(method: Callable[..., Awaitable[T]], *args: Any) -> T:
    return await method(*args)


def _items(channel: CallerChannel, source: AsyncIterator[T]) -> Iterator[T]:
    while (item := channel.run(_next(source))) is not _END:
        yield item


async def _next(source: AsyncIterator[T]) -> T:
    return await anext(source, _END)
