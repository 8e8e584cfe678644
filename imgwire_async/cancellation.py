"""Wait for tasks that must end, and find out whether the running task itself is being cancelled."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection
from typing import Any

import anyio

from imgwire_async.threads import CANCEL_GRACE, consume_exception


async def wait_all(tasks: Collection[asyncio.Future[Any]], *, timeout: float = math.inf) -> None:
    """Wait until all `tasks` are done, even when the running task is cancelled during the wait.

    Results and exceptions of `tasks` are ignored. After `timeout` seconds the wait ends, and unfinished tasks
    continue to run. If the running task was cancelled during the wait, the last `CancelledError` is raised
    after the wait.
    """
    # Use the clock of the loop, as `asyncio.wait` does. A test may have replaced `time.monotonic`, so that
    # the two clocks differ.
    now = asyncio.get_running_loop().time
    unfinished: set[asyncio.Future[Any]] = {task for task in tasks if not task.done()}
    cancelled: asyncio.CancelledError | None = None
    end = now() + timeout
    while unfinished and (seconds := end - now()) > 0:
        # Without the shield, a cancelled anyio scope would cancel this wait again in every iteration of the
        # event loop.
        with anyio.CancelScope(shield=True):
            try:
                await asyncio.wait(unfinished, timeout=None if seconds == math.inf else seconds)
            except asyncio.CancelledError as error:
                cancelled = error
        unfinished = {task for task in unfinished if not task.done()}
    for task in tasks:
        if task in unfinished:
            task.add_done_callback(consume_exception)
        else:
            consume_exception(task)
    if cancelled is not None:
        raise cancelled


async def wait_shielded(future: asyncio.Future[Any]) -> None:
    """Wait for a future. If the running task is cancelled, wait at most `CANCEL_GRACE` seconds more.

    A cancelled anyio scope does not interrupt the wait.
    """
    with anyio.CancelScope(shield=True):
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError:
            await wait_all([future], timeout=CANCEL_GRACE)
            raise


def is_being_cancelled() -> bool:
    """Return whether the running task is being cancelled.

    If it is not, a `CancelledError` that is raised in it comes from another task or future that it has
    awaited.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def is_own_cancellation(error: BaseException) -> bool:
    """Return whether `error` is the cancellation of the running task itself."""
    return isinstance(error, asyncio.CancelledError) and is_being_cancelled()


def was_cancelled_elsewhere(task: asyncio.Future[Any]) -> bool:
    """Return whether `task` was cancelled and the current task is not being cancelled."""
    return task.cancelled() and not is_being_cancelled()
