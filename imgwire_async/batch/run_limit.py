"""Measure a run in windows, and set its limit of simultaneous uploads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import attrs

from imgwire_async.batch.adaptive import WINDOW_SECONDS, AdaptiveState, Window, first_state, next_state
from imgwire_async.batch.reporter import Reporter
from imgwire_async.batch.run_work import Throughput, Work
from imgwire_async.concurrency import open_file_limit


@attrs.frozen
class LimitRange:
    """The first limit of a run, and its maximum. They are equal if the user has set the limit."""

    first: int
    maximum: int

    @property
    def is_fixed(self) -> bool:
        """Whether the limit stays."""
        return self.first == self.maximum


def limit_range(max_connections: int, concurrency: int | None) -> tuple[LimitRange, AdaptiveState]:
    """Return the limits of a run, and the first state of the search for the best limit."""
    state = first_state(max_connections, open_files=open_file_limit(), highest=concurrency)
    if concurrency is not None:
        return LimitRange(state.maximum, state.maximum), state
    return LimitRange(state.limit, state.maximum), state


@attrs.define(eq=False)
class Meter:
    """Measures a run every quarter of a second. A task of its own runs it.

    Args:
        throughput: The uploads in progress.
        reporter: Receives the bytes, the progress of files, and the limit.
        rejections: Returns the number of responses with status 429 so far.
        set_limit: Sets the limit, None if the limit stays.
        on_window: Called after each window.
    """

    throughput: Throughput
    reporter: Reporter
    rejections: Callable[[], int]
    state: AdaptiveState
    set_limit: Callable[[int], None] | None
    on_window: Callable[[], None]
    _before: tuple[float, int, int, float, int] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._before = self._read()

    async def run(self) -> None:
        """Measure until the task is cancelled."""
        while True:
            await asyncio.sleep(WINDOW_SECONDS)
            self.report()
            if self.set_limit is not None:
                self._adapt(self.set_limit)
            self.on_window()

    def report(self) -> None:
        """Report the bytes sent since the last call, and the progress of files."""
        total, moved = self.throughput.take_unreported()
        if total:
            self.reporter.add_bytes(total)
        if self.reporter.is_listening:
            for work in moved:
                self._report_progress(work)

    def _report_progress(self, work: Work) -> None:
        size, sent = work.entry.identity.size, work.reported_bytes
        # The full size means that the storage has accepted the file.
        self.reporter.progress(work.key, sent if size is None else min(sent, max(0, size - 1)), size)

    def _adapt(self, set_limit: Callable[[int], None]) -> None:
        before, now = self._before, self._read()
        self._before = now
        seconds = now[0] - before[0]
        if seconds <= 0:
            return
        window = Window(
            seconds,
            files=now[1] - before[1],
            bytes_sent=now[2] - before[2],
            in_use=(now[3] - before[3]) / seconds,
            rejections=now[4] - before[4],
        )
        limit = self.state.limit
        self.state = next_state(self.state, window)
        if self.state.limit != limit:
            set_limit(self.state.limit)
            self.reporter.concurrency(self.state.limit)

    def _read(self) -> tuple[float, int, int, float, int]:
        """Return the time, files, bytes, integral of uploads in progress, and rejections so far."""
        throughput = self.throughput
        return (
            time.monotonic(),
            throughput.files,
            throughput.useful_bytes(),
            throughput.area(),
            self.rejections(),
        )
