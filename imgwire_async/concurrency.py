"""The limit of open files, and a way to acquire a semaphore that cannot deadlock."""

from __future__ import annotations

import asyncio

from imgwire_async import user_code

# The timeout in seconds inside user code when `Timeouts.stall` is None.
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
    """Acquire a semaphore. Inside user code, raise `AcquireTimeoutError` after `stall` seconds.

    The source or a callback of a transfer may start another transfer. That one waits here while the first
    transfer holds the semaphore. When all transfers wait in this way, nothing is ever released: a deadlock.
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
