"""Run disk operations of the package in worker threads."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from imgwire_async import thread_pools
from imgwire_async.cancellation import is_being_cancelled, wait_all, wait_shielded
from imgwire_async.threads import CANCEL_GRACE
from imgwire_async.user_code import finish_on_cancel

P = ParamSpec("P")
T = TypeVar("T")


def submit(function: Callable[[], T], dispose: Callable[[T], object] | None = None) -> asyncio.Future[T]:
    """Start a short disk operation in a worker thread and return its future.

    The caller may cancel the future if it no longer needs the result. A result that comes after the
    cancellation is passed to `dispose` in a worker thread.
    """
    return thread_pools.of_running_loop().disk.submit(function, dispose)


async def run(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a short disk operation in a worker thread and return its result.

    `finish_on_cancel` describes what happens if the task is cancelled.
    """
    return await finish_on_cancel(submit(functools.partial(function, *args, **kwargs)))


async def run_or_dispose(
    dispose: Callable[[T], object], function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run a disk operation, and return its result, which must be disposed of (an open file, for example).

    If the task is cancelled during the operation, the result is passed to `dispose` in a worker thread.
    """
    future = submit(functools.partial(function, *args, **kwargs), dispose)
    try:
        return await finish_on_cancel(future)
    except asyncio.CancelledError:
        if future.done() and not future.cancelled() and future.exception() is None:
            await wait_all([submit(functools.partial(dispose, future.result()))], timeout=CANCEL_GRACE)
        raise


async def run_batched(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a disk operation that takes well below a millisecond, and return its result.

    Several of these operations run in one batch in a worker thread.
    """
    return cast(
        "T", await thread_pools.of_running_loop().batcher.submit(functools.partial(function, *args, **kwargs))
    )


async def run_batched_or_dispose(
    dispose: Callable[[T], object], function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run a disk operation like `run_batched`, and return its result, which must be disposed of.

    If the task is cancelled during the operation, the result is passed to `dispose` in a worker thread.
    """
    bound = functools.partial(function, *args, **kwargs)
    return cast("T", await thread_pools.of_running_loop().batcher.submit(bound, dispose=dispose))


async def run_cleanup(function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """Run a disk operation that must be done even while asyncio or an anyio scope cancels the task.

    The function waits until the operation is done, but after a cancellation for at most `CANCEL_GRACE`
    seconds. A slower operation continues in its thread.
    """
    future = submit(functools.partial(function, *args, **kwargs))
    if is_being_cancelled():
        await wait_all([future], timeout=CANCEL_GRACE)
        if future.done():
            future.result()
    else:
        await wait_shielded(future)
