"""Show the progress of a batch run while it runs."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

import attrs

from imgwire_async.batch.progress_text import Rate
from imgwire_async.batch.progress_views import View, choose_view
from imgwire_async.batch.reporter import Reporter
from imgwire_async.cancellation import wait_all
from imgwire_async.logs import logger

if TYPE_CHECKING:
    from typing import Self

# A terminal that does not take output delays the end of a run by so many seconds.
_END_TIMEOUT = 1.0


class Display:
    """The display of one run, for an `async with` block.

    A thread of its own reads the counts of the run and writes them, so that a terminal that does not take
    output never blocks the event loop. The thread ends with the block, and at the exit of the process. An
    error of the terminal ends only the display.

    Args:
        reporter: The counts of the run.
        choose: Returns the place that shows the progress. It runs in the thread of the display.
    """

    def __init__(self, reporter: Reporter, *, choose: Callable[[], View] = choose_view) -> None:
        self._reporter = reporter
        self._choose = choose
        self._must_end = threading.Event()
        self._thread: threading.Thread | None = None
        self._has_ended: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._has_ended = loop.create_future()
        # The output of a notebook belongs to the cell in the context.
        run = contextvars.copy_context().run
        self._thread = threading.Thread(
            target=run, args=(self._run, loop, self._has_ended), name="imgwire_async progress", daemon=True
        )
        atexit.register(self._end_at_exit)
        self._thread.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._must_end.set()
        if self._has_ended is not None:
            await wait_all([self._has_ended], timeout=_END_TIMEOUT)
            if self._has_ended.done() and self._thread is not None:
                # The thread has nothing left to do.
                self._thread.join(_END_TIMEOUT)
        atexit.unregister(self._end_at_exit)

    def _end_at_exit(self) -> None:
        """Restore the terminal if the process ends during the run."""
        self._must_end.set()
        if self._thread is not None:
            self._thread.join(_END_TIMEOUT)

    def _run(self, loop: asyncio.AbstractEventLoop, has_ended: asyncio.Future[None]) -> None:
        """Show the progress until the end. Runs in the thread of the display."""
        try:
            self._show_until_end()
        except Exception as error:  # noqa: BLE001  # the run must not fail because of its display
            logger.warning(
                "the progress of the batch is no longer shown: %s: %s", type(error).__name__, error
            )
        finally:
            # The loop may be closed already.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_set_result, has_ended)

    def _show_until_end(self) -> None:
        view, rate = self._choose(), Rate()
        try:
            while not self._must_end.is_set():
                status = self._reporter.status()
                rate = rate.after(status.summary)
                view.show(status, rate)
                self._must_end.wait(view.interval)
        finally:
            view.close(attrs.evolve(self._reporter.status(), has_ended=True), rate)


def _set_result(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
