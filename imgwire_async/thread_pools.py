"""The thread pools of each event loop: one for disk work, and one for user code that reads sources."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncGenerator

from imgwire_async import forks
from imgwire_async.thread_batcher import ThreadBatcher
from imgwire_async.threads import ThreadPool

# The maximum number of threads of each pool. Disk work has threads of its own, so that it waits neither for
# the application's work in the default executor nor for slow sources (a pipe, a file on a network drive).
DISK_THREADS = 8
_READER_THREADS = 40


class LoopPools:
    """The thread pools of one event loop.

    They are emptied when the loop ends, because their jobs refer to the loop and would keep it alive.
    """

    __slots__ = ("_end_hook", "batcher", "disk", "readers")

    def __init__(self) -> None:
        self.disk = ThreadPool(DISK_THREADS)
        self.readers = ThreadPool(_READER_THREADS)
        self.batcher = ThreadBatcher(self.disk)
        end_hook = self._clear_at_loop_end()
        self._end_hook: AsyncGenerator[None, None] | None = end_hook
        try:
            # The first step registers the generator with the loop, which closes it at shutdown.
            end_hook.__anext__().send(None)
        except StopIteration:
            pass

    async def _clear_at_loop_end(self) -> AsyncGenerator[None, None]:
        """Wait until the loop shuts down its async generators, then clear the pools."""
        try:
            yield
        finally:
            # Drop this reference to the generator, because the generator refers to the loop, too.
            self._end_hook = None
            for part in (self.batcher, self.disk, self.readers):
                part.clear()


_pools_by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopPools] = weakref.WeakKeyDictionary()
# Held while `_pools_by_loop` is changed or iterated over. The lock is reentrant, because a garbage collection
# at this point may run code that acquires it.
_pools_lock = threading.RLock()


def _after_fork() -> None:
    """Replace `_pools_by_loop` and its lock in a forked child.

    The threads of the pools do not exist in the child, and a thread of the parent may have held the lock.
    """
    global _pools_by_loop, _pools_lock  # noqa: PLW0603  # a process has one
    for pools in list(_pools_by_loop.values()):
        # Finalizing the pools would wake the parent's loop.
        forks.make_immortal(pools)
    _pools_by_loop = weakref.WeakKeyDictionary()
    _pools_lock = threading.RLock()


forks.run_in_child(_after_fork)


def of_running_loop() -> LoopPools:
    """Return the pools of the running loop. Create them on the first call."""
    forks.check()
    # This function is called for each small file. A dictionary is much faster than an anyio RunVar.
    loop = asyncio.get_running_loop()
    pools = _pools_by_loop.get(loop)
    if pools is None:
        pools = LoopPools()
        with _pools_lock:
            for other in list(_pools_by_loop):
                # Remove loops that were closed without shutting down their async generators.
                if other.is_closed():
                    _pools_by_loop.pop(other, None)
            _pools_by_loop[loop] = pools
    return pools
