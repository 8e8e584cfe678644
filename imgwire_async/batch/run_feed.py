"""The files that are ready to be uploaded: their rows are on the disk, and the gate is open."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Iterable

from imgwire_async.batch.items import MAX_BYTES
from imgwire_async.batch.run_gate import Gate
from imgwire_async.batch.run_work import Work

# With fewer ready files the rows of more files are written.
_LOW = 128


class Feed:
    """An async iterator of the files to upload, for `UploadRun`. It belongs to the event loop of the run.

    `in_flight` is the number of files that were taken and whose result is not known yet.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._ready: deque[Work] = deque()
        # The bytes of these files that are in memory.
        self._bytes = 0
        self._changed = asyncio.Event()
        self._drained = asyncio.Event()
        self.in_flight: int = 0
        # Set when the run begins no more files, and when there are none.
        self.is_stopped: bool = False
        self._is_complete = False

    def __aiter__(self) -> Feed:
        return self

    async def __anext__(self) -> Work:
        while not self.is_stopped:
            seconds = math.inf
            if self._ready:
                seconds = self._gate.seconds_until_begin()
                if seconds <= 0:
                    return self._begin()
            elif self._is_complete:
                break
            await self._wait(seconds)
        raise StopAsyncIteration

    def _begin(self) -> Work:
        work = self._ready.popleft()
        self._bytes -= work.entry.bytes_in_memory
        work.is_probe = self._gate.begin()
        self.in_flight += 1
        if self._has_room:
            self._drained.set()
        return work

    async def _wait(self, seconds: float) -> None:
        """Wait for some time, or until something has changed."""
        self._changed.clear()
        timer = None
        if seconds < math.inf:
            timer = asyncio.get_running_loop().call_later(seconds, self._changed.set)
        try:
            await self._changed.wait()
        finally:
            if timer is not None:
                timer.cancel()

    # --- for the run ----------------------------------------------------------------------------------------

    def add(self, works: Iterable[Work]) -> None:
        """Add files whose rows are on the disk."""
        for work in works:
            self._ready.append(work)
            self._bytes += work.entry.bytes_in_memory
        self._changed.set()

    def end(self) -> None:
        """Note that the result of a file is known."""
        self.in_flight -= 1
        self.wake()

    def wake(self) -> None:
        """Check again whether a file may begin."""
        self._changed.set()
        self._drained.set()

    def stop(self) -> None:
        """Begin no more files."""
        self.is_stopped = True
        self.wake()

    def complete(self) -> None:
        """Note that no more files follow. Only called while no file is in flight."""
        self._is_complete = True
        self.wake()

    async def wait_for_room(self) -> None:
        """Wait until few files are ready, or the run has stopped."""
        while not self._has_room and not self.is_stopped:
            await self._wait_until_drained()

    @property
    def _has_room(self) -> bool:
        return len(self._ready) < _LOW and self._bytes < MAX_BYTES

    async def wait_until_idle(self) -> None:
        """Wait until no file is ready or in flight, or the run has stopped."""
        while (self._ready or self.in_flight) and not self.is_stopped:
            await self._wait_until_drained()

    async def _wait_until_drained(self) -> None:
        self._drained.clear()
        await self._drained.wait()

    def take_back(self) -> list[Work]:
        """Remove and return the files that did not begin."""
        left = [*self._ready]
        self._ready.clear()
        self._bytes = 0
        return left
