"""Create event loops by name."""

from __future__ import annotations

import asyncio
import sys


def runner(name: str = "") -> asyncio.Runner:
    """Return a runner with asyncio's event loop, with "uvloop", or with "eager tasks" (Python 3.12)."""
    if name == "uvloop":
        import uvloop

        return asyncio.Runner(loop_factory=uvloop.new_event_loop)
    if name == "eager tasks":
        return asyncio.Runner(loop_factory=_eager)
    return asyncio.Runner()


def _eager() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    if sys.version_info >= (3, 12):
        loop.set_task_factory(asyncio.eager_task_factory)
    return loop
