"""One call of `upload`, from its first step to its end."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from imgwire_async import cancellation
from imgwire_async.batch.interrupts import Watch
from imgwire_async.batch.results import BatchResult
from imgwire_async.batch.run import BatchRun

_LEFT = (
    "the `with` block of the batch was left while another task read the results of its upload. The next run goes on where "
    "this one stopped"
)


class ActiveRun:
    """The run of one call of `upload`, on one event loop.

    The generator of `upload` calls `begin`, `next` and `end`. The batch calls `end` too, because the
    generator may have been dropped. Closing a generator later does no harm.
    """

    def __init__(self, watch: Watch) -> None:
        self.watch: Watch = watch
        self._run: BatchRun | None = None
        self._resources = AsyncExitStack()
        self._closing: asyncio.Task[None] | None = None
        self._must_stop = False

    def stop(self) -> None:
        """Start no new file, and end the run when the uploads in progress have ended."""
        self._must_stop = True
        if self._run is not None:
            self._run.stop()

    async def begin(self, run: BatchRun, display: AbstractAsyncContextManager[object] | None) -> None:
        """Start the run and its display, if there is one."""
        self._run = run
        if self._must_stop:
            run.stop()
        if display is not None:
            await self._resources.enter_async_context(display)
        await self._resources.enter_async_context(run)

    async def next(self) -> BatchResult | None:
        """Return the next result, or None at the end.

        Raises `RuntimeError` if the batch has ended the run.
        """
        self._require_running()
        assert self._run is not None
        try:
            return await anext(self._run)
        except StopAsyncIteration:
            self._require_running()
            return None

    def _require_running(self) -> None:
        if self.is_ending:
            raise RuntimeError(_LEFT)

    @property
    def is_ending(self) -> bool:
        """Whether `end` was called."""
        return self._closing is not None

    async def wait_for_end(self) -> None:
        """Wait until the run has ended, after `end` was called. Errors belong to the caller of `end`."""
        assert self._closing is not None
        await cancellation.wait_all([self._closing])

    async def end(self) -> None:
        """End the run and wait until it has released everything. Any number of tasks may call it."""
        if self._closing is None:
            self.watch.end()
            self._closing = asyncio.ensure_future(self._resources.aclose())
        await self.wait_for_end()
        self._closing.result()
