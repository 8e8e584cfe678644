"""Bounds of what may be under way at once, and waits for a place that end where they could last for ever."""

from __future__ import annotations

import asyncio

from imgwire_async import user_code

_NESTED_WAIT = 60.0  # seconds, where no stall clock is set


class AcquireTimeoutError(Exception):
    """No place became free in `seconds`, asked for inside the source or a callback of a transfer that holds one meanwhile."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"nothing became free for {seconds:g} s")
        self.seconds: float = seconds


def open_file_limit() -> int | None:
    """Return how many files this process may have open, or None where nobody says."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


async def acquire(semaphore: asyncio.Semaphore, stall: float | None) -> None:
    """Take a place, after those who came before. Inside user code, raise `AcquireTimeoutError` after `stall` seconds.

    A transfer that is begun inside the source or a callback of another one waits while the other holds a place. When all are
    held in that way, nobody would ever give one back.
    """
    if not semaphore.locked() or not user_code.inside_user_code.get():
        await semaphore.acquire()
        return
    seconds = _NESTED_WAIT if stall is None else stall
    clock = asyncio.timeout(seconds)
    try:
        async with clock:
            await semaphore.acquire()
    except TimeoutError:
        if not clock.expired():
            raise
        raise AcquireTimeoutError(seconds) from None
