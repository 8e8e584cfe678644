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

    A caller that no longer needs the result cancels the future. A result that comes after that is passed to
    `dispose`, in a thread.
    """
    return thread_pools.of_running_loop().disk.submit(function, dispose)


async def run(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a short disk operation in a worker thread and return its result.

    `finish_on_cancel` describes what a cancellation does.
    """
    return await finish_on_cancel(submit(functools.partial(function, *args, **kwargs)))


async def run_or_dispose(
    dispose: Callable[[T], object], function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run a disk operation whose result must be disposed of, such as an open file.

    When the task is cancelled meanwhile, the result is passed to `dispose`, in a thread.
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

    Several such operations run in one batch in a worker thread.
    """
    return cast(
        "T", await thread_pools.of_running_loop().batcher.submit(functools.partial(function, *args, **kwargs))
    )


async def run_batched_or_dispose(
    dispose: Callable[[T], object], function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run a very short disk operation like `run_batched`, if its result must be disposed of.

    When the task is cancelled meanwhile, the result is passed to `dispose`, in a thread.
    """
    bound = functools.partial(function, *args, **kwargs)
    return cast("T", await thread_pools.of_running_loop().batcher.submit(bound, dispose=dispose))


async def run_cleanup(function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """Run disk work that must be done even while asyncio or an anyio scope cancels the task.

    The function waits for the work, but after a cancellation for at most `CANCEL_GRACE` seconds. Work that
    takes longer goes on in its thread.
    """
    future = submit(functools.partial(function, *args, **kwargs))
    if is_being_cancelled():
        await wait_all([future], timeout=CANCEL_GRACE)
        if future.done():
            future.result()
    else:
        await wait_shielded(future)
