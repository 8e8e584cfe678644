"""How much may be under way at once, per loop.

Two kinds: a *call* slot is one HTTP exchange with the API, a *transfer* slot one PUT or GET of bytes. Whoever needs both takes
the transfer slot first. One kind for both would deadlock: every upload holds its slot while it asks for a URL.
"""

from __future__ import annotations

import asyncio

import attrs

# Left for the application's own files and sockets, and for this library's journals and listeners.
_RESERVED = 32


@attrs.frozen
class Slots:
    """The two semaphores of one loop, and the sizes they were made with."""

    calls: asyncio.Semaphore
    transfers: asyncio.Semaphore
    call_limit: int
    transfer_limit: int


def open_file_limit() -> int | None:
    """How many files this process may have open, or None where nobody says."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def fitting(max_connections: int, open_files: int | None) -> int:
    """`max_connections`, or fewer where sockets and open files would not fit the process's limit.

    One unit is a call's socket, a transfer's socket and the file it reads, and a socket that idles to the transfers' other
    host: a pool counts only those in use.
    """
    if open_files is None:
        return max_connections
    return max(1, min(max_connections, (open_files - _RESERVED) // 4))


def make_slots(max_connections: int, *, shared_limit: int) -> Slots:
    """Slots for the running loop. `shared_limit` is the size of a connector that both kinds share, 0 when it has none."""
    calls = transfers = fitting(max_connections, open_file_limit())
    if shared_limit and shared_limit < calls + transfers:  # waiting happens in our queue, where no clock runs
        calls = max(1, min(calls, shared_limit // 2))
        transfers = max(1, min(transfers, shared_limit - calls))
    return Slots(asyncio.Semaphore(calls), asyncio.Semaphore(transfers), calls, transfers)
