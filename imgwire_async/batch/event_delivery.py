"""Pass the events of a batch run to the callable of the user: at once, or many of them together.

With the asynchronous client the callable runs on the event loop at once. With the blocking client it runs in
the thread of the caller. Switching to this thread and back costs more than a small upload, so events are
gathered for some time and passed together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from imgwire_async import user_code
from imgwire_async.cancellation import is_being_cancelled

if TYPE_CHECKING:
    from imgwire_async.batch.reporter import BatchEvent

# The least interval in seconds between two switches to the thread of the caller.
_INTERVAL = 0.05
# With so many gathered events the run pauses, because the caller is busy with its own code for a long time.
_CAPACITY = 10_000


class EventDelivery:
    """The events of one run that `on_event` has not received yet. It belongs to the event loop of the run.

    `on_error` is called once, on the event loop, if `on_event` raises. Then all further events are dropped.
    """

    def __init__(
        self, on_event: Callable[[BatchEvent], object], on_error: Callable[[Exception], None]
    ) -> None:
        self._on_event = on_event
        self._on_error = on_error
        self._has_failed = False
        # Whether events are gathered. None before the first event.
        self._gathers: bool | None = None
        self._gathered: list[BatchEvent] = []
        # The position of the newest "progress" of each file in `_gathered`.
        self._progress: dict[str | None, int] = {}
        self._has_events = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        # Only one task delivers at a time, so that events keep their order.
        self._lock = asyncio.Lock()

    @property
    def is_full(self) -> bool:
        """Whether the run should pause until the caller has received events."""
        return not self._has_room.is_set()

    async def wait_until_room(self) -> None:
        """Wait until `is_full` is false."""
        await self._has_room.wait()

    def emit(self, event: BatchEvent) -> None:
        """Pass an event to `on_event`, or keep it until the next delivery."""
        if self._has_failed:
            return
        if self._must_gather():
            self._gather(event)
        elif (error := _call(self._on_event, (event,))) is not None:
            self._fail(error)

    async def pump(self) -> None:
        """Deliver gathered events until the task is cancelled. Return at once if none are gathered."""
        while self._must_gather() and not self._has_failed:
            await self._has_events.wait()
            await self.flush()
            await asyncio.sleep(_INTERVAL)

    async def flush(self) -> None:
        """Deliver all events that are gathered now, and wait until the caller has received them."""
        async with self._lock:
            events = self._gathered
            if not events:
                return
            self._clear()
            try:
                error = await user_code.run_callback(_call, self._on_event, events)
            except asyncio.CancelledError:
                # Without a cancellation of this task, the caller has gone, and nothing can receive events.
                if is_being_cancelled():
                    raise
                self._has_failed = True
                self._clear()
                return
            if error is not None:
                self._fail(error)

    def _must_gather(self) -> bool:
        if self._gathers is None:
            self._gathers = user_code.current_caller.get() is not None
        return self._gathers

    def _gather(self, event: BatchEvent) -> None:
        key = event.key
        if event.kind == "progress":
            position = self._progress.get(key)
            if position is not None:
                self._gathered[position] = event
                return
            self._progress[key] = len(self._gathered)
        elif key is not None:
            # A later "progress" of this file belongs behind this event.
            self._progress.pop(key, None)
        self._gathered.append(event)
        self._has_events.set()
        if len(self._gathered) >= _CAPACITY:
            self._has_room.clear()

    def _clear(self) -> None:
        self._gathered, self._progress = [], {}
        self._has_events.clear()
        self._has_room.set()

    def _fail(self, error: Exception) -> None:
        self._has_failed = True
        self._clear()
        self._on_error(error)


# To the code that reads the results, these would look like the end of the run, or like its cancellation.
_MISLEADING = (StopIteration, StopAsyncIteration, GeneratorExit, asyncio.CancelledError)


def _call(on_event: Callable[[BatchEvent], object], events: Iterable[BatchEvent]) -> Exception | None:
    """Call `on_event` with each event. Return the exception that it raises, or None."""
    try:
        for event in events:
            on_event(event)
    except _MISLEADING as error:
        wrapped = RuntimeError(f"on_event raised {type(error).__name__}")
        wrapped.__cause__ = error
        return wrapped
    except Exception as error:  # noqa: BLE001  # the run raises it
        return error
    return None
