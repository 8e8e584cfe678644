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

    The caller may cancel the future if it no longer needs the result. If the operation ends after that,
    `dispose` is called with the result in a worker thread.
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
    """Run a disk operation whose result must be disposed of, such as an open file. Return the result.

    If the task is cancelled during the operation, `dispose` is called with the result in a worker thread.
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

    Several such operations run together in a worker thread, because switching threads for each one would cost
    more than the operation itself.
    """
    return cast(
        "T", await thread_pools.of_running_loop().batcher.submit(functools.partial(function, *args, **kwargs))
    )


async def run_batched_or_dispose(
    dispose: Callable[[T], object], function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run a disk operation like `run_batched`, if its result must be disposed of. Return the result.

    If the task is cancelled during the operation, `dispose` is called with the result in a worker thread.
    """
    bound = functools.partial(function, *args, **kwargs)
    return cast("T", await thread_pools.of_running_loop().batcher.submit(bound, dispose=dispose))


async def run_cleanup(function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """Run a disk operation that must be done even if asyncio or an anyio scope cancels the task.

    The task waits until the operation is done. If the task is cancelled, it waits for at most `CANCEL_GRACE`
    seconds, and a slower operation continues in its thread.
    """
    future = submit(functools.partial(function, *args, **kwargs))
    if is_being_cancelled():
        await wait_all([future], timeout=CANCEL_GRACE)
        if future.done():
            future.result()
    else:
        await wait_shielded(future)
