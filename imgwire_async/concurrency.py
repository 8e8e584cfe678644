"""Read how many files the process may open, and acquire semaphores without a deadlock."""

from __future__ import annotations

import asyncio

from imgwire_async import user_code

# How many seconds `acquire` waits at most while a callback or source of the user is running, if
# `Timeouts.stall` is None.
_DEFAULT_TIMEOUT = 60.0


class AcquireTimeoutError(Exception):
    """A semaphore was not acquired within `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"a semaphore was not acquired within {seconds:g} s")
        self.seconds: float = seconds


def open_file_limit() -> int | None:
    """Return the maximum number of open files of this process, or None when the system does not limit it."""
    try:
        import resource
    except ImportError:
        # Windows has no such module.
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


async def acquire(semaphore: asyncio.Semaphore, stall: float | None) -> None:
    """Acquire a semaphore. While a source or callback of the user is running, limit the wait.

    The limit is `stall` seconds, or 60 seconds if `stall` is None. After this time the function raises
    `AcquireTimeoutError`. Outside of sources and callbacks the wait has no limit.

    The limit ends a deadlock. The source or a callback of an upload may start a second upload. The second
    upload waits here for the semaphore. The first upload holds the semaphore and waits for the second upload.
    If all uploads that hold the semaphore wait like this, no upload ever releases it. Downloads can deadlock
    in the same way.
    """
    if not semaphore.locked() or not user_code.inside_user_code.get():
        await semaphore.acquire()
        return
    seconds = _DEFAULT_TIMEOUT if stall is None else stall
    timeout = asyncio.timeout(seconds)
    try:
        async with timeout:
            await semaphore.acquire()
    except TimeoutError:
        if not timeout.expired():
            raise
        raise AcquireTimeoutError(seconds) from None
