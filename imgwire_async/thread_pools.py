"""The thread pools of each event loop: one for disk work, and one for user code that reads sources."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncGenerator

from imgwire_async import forks
from imgwire_async.thread_batcher import ThreadBatcher
from imgwire_async.threads import ThreadPool

# The maximum numbers of threads of the two pools. Disk work has a pool of its own. So it waits neither for
# the application's work in asyncio's default executor nor for slow sources (a pipe, a file on a network
# drive).
DISK_THREADS = 8
_READER_THREADS = 40


class LoopPools:
    """The thread pools of one event loop.

    When the loop ends, the pools drop their jobs, because the jobs refer to the loop and would keep it alive.
    """

    __slots__ = ("_end_hook", "batcher", "disk", "readers")

    def __init__(self) -> None:
        self.disk: ThreadPool = ThreadPool(DISK_THREADS)
        self.readers: ThreadPool = ThreadPool(_READER_THREADS)
        self.batcher: ThreadBatcher = ThreadBatcher(self.disk)
        end_hook = self._clear_at_loop_end()
        self._end_hook: AsyncGenerator[None, None] | None = end_hook
        try:
            # The first step registers the generator with the loop. The loop closes all registered generators
            # when it shuts down.
            end_hook.__anext__().send(None)
        except StopIteration:
            pass

    async def _clear_at_loop_end(self) -> AsyncGenerator[None, None]:
        """Wait until the loop closes this generator at its shutdown, then clear the pools."""
        try:
            yield
        finally:
            # Drop the reference to the generator, because the generator refers to the loop and would keep it
            # alive.
            self._end_hook = None
            for part in (self.batcher, self.disk, self.readers):
                part.clear()


_pools_by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopPools] = weakref.WeakKeyDictionary()
# Held while `_pools_by_loop` is changed or iterated over. The lock is reentrant, because a garbage collection
# can happen while it is held, and a finalizer may need the pools.
_pools_lock = threading.RLock()


def _after_fork() -> None:
    """Replace the pools and the lock in a forked child.

    The worker threads do not exist in the child. The old lock may stay locked forever, because another thread
    of the parent may have held it during the fork.
    """
    global _pools_by_loop, _pools_lock  # noqa: PLW0603  # a process has one
    for pools in list(_pools_by_loop.values()):
        # Keep the old pools alive, because their finalizers would wake the parent's loop.
        forks.make_immortal(pools)
    _pools_by_loop = weakref.WeakKeyDictionary()
    _pools_lock = threading.RLock()


forks.run_in_child(_after_fork)


def of_running_loop() -> LoopPools:
    """Return the pools of the running loop. Create them on the first call."""
    forks.check()
    # This function is called for each small file. So it uses a dictionary, which is much faster than an anyio
    # RunVar.
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
