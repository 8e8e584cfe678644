"""A program with a display, for the tests of real terminals. Its argument says how the run ends."""

from __future__ import annotations

import asyncio
import logging
import sys
import time

from imgwire_async.batch.progress import Display
from imgwire_async.batch.reporter import Reporter


async def run(end: str) -> None:
    reporter = Reporter()
    reporter.concurrency(4)
    async with Display(reporter):
        for number in range(40):
            reporter.found(10)
            reporter.uploaded(str(number), "img", 1000, 1)
            reporter.done(str(number), "img")
            reporter.add_bytes(1000)
            await asyncio.sleep(0.01)
            if number == 20:
                print("a line of the application")
                if end == "log":
                    print("a line for the error stream", file=sys.stderr)
        reporter.counted()
        if end == "error":
            raise ValueError("the run failed")
        if end == "wait":
            print("READY", flush=True)
            await asyncio.sleep(60)
        if end == "exit":
            sys.exit(3)
        if end == "stuck":
            await show_that_the_loop_runs()
        reporter.ended()


async def show_that_the_loop_runs() -> None:
    """Fill the terminal, from which nothing reads, and write the longest pause of the loop to stdout."""
    longest, end = 0.0, time.monotonic() + 1.5
    while (before := time.monotonic()) < end:
        await asyncio.sleep(0.01)
        longest = max(longest, time.monotonic() - before)
    print(f"longest pause {longest:.3f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "no rich":
        sys.modules["rich"] = None  # type: ignore[assignment]  # makes the import fail
    if sys.argv[1] in {"no rich", "log"}:
        logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
    asyncio.run(run(sys.argv[1]))
