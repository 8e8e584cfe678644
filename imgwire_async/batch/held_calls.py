"""Requests that wait while the service is not available, instead of failing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from imgwire_async import cancellation
from imgwire_async.batch.hold import HoldState, outcome_of
from imgwire_async.batch_errors import BatchError
from imgwire_async.errors import ImgwireError, RateLimitError

T = TypeVar("T")

# Called with the reason when requests begin to wait, and with None when the service responds again.
OnHeld: TypeAlias = Callable[[str | None], object]
_CANCELLED = (
    "the batch run ended early: other code cancelled its tasks, for example a shutdown that cancels asyncio.all_tasks(). "
    "Run it again"
)
# After so many failures, a request is not repeated if the service responds to other requests.
_MAX_FAILURES = 6


class HeldCalls:
    """Sends requests, and repeats those that fail for a transient reason, for as long as necessary.

    The tasks of one step of a run share it. While the service is not available, one of them at a time sends a
    request as a probe, with growing delays. A night without network does not end the run.

    A request that fails again and again, although the service responds to `check`, is not repeated for ever.
    """

    def __init__(self, check: Callable[[], Awaitable[object]], on_held: OnHeld | None = None) -> None:
        self._check = check
        self._on_held = on_held
        self._available = asyncio.Event()
        self._available.set()
        self._probe = asyncio.Lock()
        # The number of responses. It shows a task whether the service has responded since its failure.
        self._responses = 0

    async def run(self, send: Callable[[], Awaitable[T]]) -> T:
        """Call `send` until it does not fail for a transient reason. Return its result or raise its error."""
        await self._available.wait()
        responses = self._responses
        try:
            return await self._send(send)
        except ImgwireError as error:
            if not is_transient(error):
                raise
            first_error = error
        async with self._probe:
            try:
                return await self._repeat(send, first_error, responses)
            finally:
                self._resume()

    async def _repeat(self, send: Callable[[], Awaitable[T]], error: ImgwireError, responses: int) -> T:
        failures = 1
        while True:
            # Another task may have waited until the service was available again.
            if failures > 1 or self._responses == responses:
                self._hold(error)
                delay = HoldState(failed_probes=failures - 1).delay(random.random())
                await asyncio.sleep(max(delay, getattr(error, "retry_after", None) or 0.0))
            try:
                return await self._send(send)
            except ImgwireError as again:
                if not is_transient(again):
                    raise
                error = again
            failures += 1
            if failures > _MAX_FAILURES and not isinstance(error, RateLimitError) and await self._responds():
                raise error

    async def _responds(self) -> bool:
        """Return whether the service responds to another request."""
        try:
            await self._send(self._check)
        except ImgwireError as error:
            return not is_transient(error)
        return True

    async def _send(self, send: Callable[[], Awaitable[T]]) -> T:
        try:
            result = await send()
        except ImgwireError as error:
            self._responses += not is_transient(error)
            raise
        self._responses += 1
        return result

    def _hold(self, error: ImgwireError) -> None:
        if self._available.is_set():
            self._available.clear()
            if self._on_held is not None:
                is_limit = isinstance(error, RateLimitError)
                self._on_held("rate limit" if is_limit else outcome_of(error).value)

    def _resume(self) -> None:
        if not self._available.is_set():
            self._available.set()
            if self._on_held is not None:
                self._on_held(None)


def is_transient(error: ImgwireError) -> bool:
    """Return whether the same request may succeed later."""
    return isinstance(error, RateLimitError) or outcome_of(error).is_transient


async def run_for_all(items: Sequence[T], work: Callable[[T], Awaitable[object]], limit: int) -> None:
    """Call `work` with all items, at most `limit` at the same time. The first error ends all calls."""
    if not items:
        return
    waiting = iter(items)

    async def run() -> None:
        for item in waiting:
            await work(item)

    await run_together([asyncio.ensure_future(run()) for _ in range(min(limit, len(items)))])


async def run_together(tasks: list[asyncio.Task[Any]]) -> None:
    """Wait for tasks. If one of them fails, or the running task is cancelled, end all."""
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await cancellation.wait_all(tasks)


async def run_until(stop: asyncio.Event, work: Awaitable[object]) -> bool:
    """Await `work`, and cancel it when `stop` is set. Return whether it has ended by itself."""
    task = asyncio.ensure_future(work)
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            return False
        if cancellation.was_cancelled_elsewhere(task):
            raise BatchError(_CANCELLED)
        task.result()
        return True
    finally:
        task.cancel()
        stopped.cancel()
        await cancellation.wait_all([task, stopped])
