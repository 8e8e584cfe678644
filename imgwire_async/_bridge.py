"""The bridge: threads that may block on this side, the one loop thread of this process on the other.

A call is a task on the loop thread and an inbox at which its caller waits: one wake-up to get there, one to come back. User
code (readers, callbacks, hooks, key callables) that the task needs comes through the same inbox and runs in the caller, so
the loop never blocks, thread-bound objects work, and so does Ctrl-C.
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
from imgwire_async._loop_thread import PATIENCE, PULSE, LoopThread, loop_thread, process, shut

R = TypeVar("R")
T = TypeVar("T")

_END: Any = object()


class _Step(Generic[R]):
    """One crossing: what the loop shall do, and what came of it."""

    __slots__ = ("coroutine", "left", "task")

    def __init__(self, coroutine: Coroutine[Any, Any, R]) -> None:
        self.coroutine = coroutine
        self.left = False
        self.task: asyncio.Task[R] | None = None

    def outcome(self) -> R:
        task, self.task = self.task, None
        assert task is not None
        try:
            return task.result()
        except asyncio.CancelledError:
            raise (
                shut()
                if process.exiting
                else RuntimeError("the call was cancelled: the loop thread has ended")
            ) from None
        finally:
            del task  # or it would hold its error, that its traceback, and that this frame


class _Errand:
    """A piece of user code on its way to the caller, and the future that waits for its outcome."""

    __slots__ = ("answer", "work")

    def __init__(self, answer: asyncio.Future[Any], work: Callable[[], Any]) -> None:
        self.answer = answer
        self.work = work

    def run(self) -> Callable[[], None]:
        """Run it here; what comes back tells the future and is for the loop thread."""
        inside = user_code.inside_user_code.set(True)  # what it calls here must not wait for ever
        try:
            return partial(_settle, self.answer, self.work(), None)
        except Exception as error:  # noqa: BLE001  # the user's own: goes to whoever asked
            return partial(_settle, self.answer, None, error)
        finally:
            user_code.inside_user_code.reset(inside)


def _settle(answer: asyncio.Future[Any], value: object, error: Exception | None) -> None:
    if answer.done():  # whoever asked was cancelled meanwhile
        return
    if error is None:
        answer.set_result(value)
    elif isinstance(error, StopIteration):  # no future takes it; a coroutine makes the same of it
        wrapped = RuntimeError("user code raised StopIteration")
        wrapped.__cause__ = error
        answer.set_exception(wrapped)
    else:
        answer.set_exception(error)


class Line:
    """Between a caller and the loop: for one call, or for an iterator or a `with` block as long as it lives.

    `run` and `end` belong to the caller; everything with an underscore to the loop thread. It is what
    `user_code.current_caller` holds meanwhile.
    """

    def __init__(self, thread: LoopThread, *, once: bool = False) -> None:
        self._thread = thread
        self._once = once
        self._inbox: SimpleQueue[_Errand | _Step[Any]] = SimpleQueue()
        self._waiting: set[asyncio.Future[Any]] = set()
        self._step: _Step[Any] | None = None
        self._left = False

    def run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """What the coroutine returns or raises; runs it on the loop, and here what it asks for."""
        step = _Step(coroutine)
        try:
            begun = self._thread.post(self._begin, step)
            if begun:
                self._attend(step)
        except BaseException:  # Ctrl-C among others: cancel, do not wait
            step.left = True
            if not self._thread.post(self._interrupt, step, urgent=True):
                _close_unbegun(coroutine)
            raise
        if not begun:
            coroutine.close()
            if self._thread.lost:
                raise RuntimeError("this was begun in the parent process; begin anew in the forked child")
            raise shut()
        return step.outcome()

    def _attend(self, step: _Step[Any]) -> None:
        """Do the errands until the step is done. The outcome of an earlier step, which was left, is none of this one's."""
        while True:
            item = self._next_item()
            if item is step:
                return
            if isinstance(item, _Errand) and not item.answer.cancelled():
                tell = item.run()
                if not self._thread.post(tell):
                    raise self._thread.ended()

    def _next_item(self) -> _Errand | _Step[Any]:
        while True:
            with suppress(Empty):
                return self._inbox.get(timeout=PULSE)
            if self._thread.gone:
                with suppress(Empty):
                    return self._inbox.get_nowait()  # what it had put last
                raise self._thread.ended()
            self._thread.wake()

    def end(self, last: Coroutine[Any, Any, object], of: object, *, wait: bool) -> None:
        """Nobody comes here any more: end all that runs, then `last`. Waits for it, if told so and it can, for a moment."""
        step = _Step(last)
        step.left = not wait or self._thread.is_here
        if not self._thread.post(self._end, step, urgent=True):
            last.close()
            if self._thread.lost:
                forks.make_immortal(of)
            return
        while not step.left:  # not for long: nothing new is put there but the step
            try:
                if self._inbox.get(timeout=PATIENCE) is step:
                    step.outcome()
                    return
            except Empty:
                step.left = True

    # --- on the loop thread -------------------------------------------------------------------------------------------

    @property
    def is_waiting(self) -> bool:
        """Whether the caller is inside a step now, and so does at once what it is asked for."""
        return self._step is not None

    def __call__(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> asyncio.Future[Any]:
        """Let the caller run a function; between the steps of an iterator it waits for the next one."""
        answer: asyncio.Future[Any] = self._thread.loop.create_future()
        if self._left:
            answer.cancel()
        else:
            self._waiting.add(answer)
            answer.add_done_callback(self._waiting.discard)
            self._inbox.put(_Errand(answer, partial(function, *args, **kwargs)))
        return answer

    def _begin(self, step: _Step[Any]) -> None:
        if step.left:
            step.coroutine.close()
        else:
            self._follow(step)

    def _follow(self, step: _Step[Any]) -> None:
        before = self._step
        if before is not None and before.task is not None:  # it was interrupted and has not ended yet
            before.task.add_done_callback(lambda _: self._follow(step))
            return
        user_code.current_caller.set(self)  # in the copy of the caller's context that this callback runs in
        self._step = step
        step.task = self._thread.loop.create_task(step.coroutine)
        self._thread.tasks.add(step.task)
        step.task.add_done_callback(partial(self._finish, step))

    def _finish(self, step: _Step[Any], task: asyncio.Task[Any]) -> None:
        self._thread.tasks.discard(task)
        self._step = None
        if self._once:
            self._leave()
        if not step.left:
            self._inbox.put(step)
        elif not task.cancelled():
            task.exception()  # seen

    def _interrupt(self, step: _Step[Any]) -> None:
        self._refuse_errands()
        self._left = self._left or self._once
        if step.task is None:  # interrupted before it was posted, or it waits for the one before
            step.coroutine.close()
        elif self._step is step:
            step.task.cancel()

    def _end(self, step: _Step[Any]) -> None:
        self._leave()
        if self._step is not None and self._step.task is not None:
            self._step.task.cancel()
        self._follow(step)

    def _leave(self) -> None:
        self._left = True
        self._refuse_errands()

    def _refuse_errands(self) -> None:
        """Whoever waits for the caller is cancelled: it is gone, or was interrupted in the midst."""
        for answer in list(self._waiting):
            answer.cancel()


def _close_unbegun(coroutine: Coroutine[Any, Any, object]) -> None:
    """Close a coroutine that never ran, so that nobody is told of it. One that did run is none of this process's business."""
    if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
        coroutine.close()


# --- what the twin is made of -----------------------------------------------------------------------------------------


def call(method: Callable[..., Coroutine[Any, Any, R]], /, *args: Any, **kwargs: Any) -> R:
    """What the coroutine function returns or raises."""
    line = Line(loop_thread(), once=True)
    return line.run(method(*args, **kwargs))  # made here, so that a wrong argument is told here


def finish(method: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a last coroutine function on the loop thread, and wait for it where that can be done.

    Without a loop, before the first call and at exit, there is nothing to wait for; on the loop thread itself it ends later.
    """
    forks.check()
    thread = process.thread
    coroutine = method()
    if thread is None:
        with suppress(StopIteration):
            coroutine.send(None)
    elif thread.is_here:
        thread.tasks.add(task := thread.loop.create_task(coroutine))
        task.add_done_callback(thread.tasks.discard)
    else:
        Line(thread, once=True).run(coroutine)


def walk(source: AsyncGenerator[T, None]) -> Generator[T, None, None]:
    """The items of an async generator, one crossing each."""
    line = Line(loop_thread())
    closed = False
    try:
        yield from _items(line, source)
    except GeneratorExit:
        closed = True
        raise
    finally:
        line.end(_closed(source), source, wait=closed)


async def _closed(source: AsyncGenerator[Any, None]) -> None:
    try:
        await source.aclose()
    except RuntimeError:
        if not getattr(source, "ag_running", False):
            raise
        # The collector found it first, and its loop is closing it already.


@contextmanager
def hold(manager: AbstractAsyncContextManager[AsyncIterator[T]]) -> Generator[Iterator[T], None, None]:
    """An async context manager of an async iterator, as a plain one of an iterator."""
    line = Line(loop_thread())
    items = line.run(_called(manager.__aenter__))
    try:
        yield _items(line, items)
    except GeneratorExit:  # dropped half-way, perhaps by the collector
        line.end(_called(manager.__aexit__, None, None, None), manager, wait=True)
        raise
    except Exception as error:
        if not line.run(_called(manager.__aexit__, type(error), error, error.__traceback__)):
            raise
    except BaseException:
        # Ctrl-C and its like would end the loop itself; to what runs there they are a cancellation.
        cancelled = asyncio.CancelledError()
        line.run(_called(manager.__aexit__, type(cancelled), cancelled, None))
        raise
    else:
        line.run(_called(manager.__aexit__, None, None, None))


async def _called(method: Callable[..., Awaitable[T]], *args: Any) -> T:
    return await method(*args)


def _items(line: Line, source: AsyncIterator[T]) -> Iterator[T]:
    while (item := line.run(_next(source))) is not _END:
        yield item


async def _next(source: AsyncIterator[T]) -> T:
    return await anext(source, _END)
