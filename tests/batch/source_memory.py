"""Measure the memory of a plan or a run over a source, in a process of its own.

`python -m batch.source_memory plan KIND PATH JOURNAL` in `tests` prints the number of files, and the bytes by
which the memory has grown after the first thousand. `upload` does the same for a run.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from pathlib import Path

from wire.resource_usage import memory

from imgwire_async import AsyncImgwireClient
from imgwire_async.batch import AsyncBatch

from .source_cases import files_of

# After so many files all modules are loaded, and all buffers have their size.
WARM_UP = 1_000


async def measure(command: str, kind: str, path: Path, journal: Path) -> tuple[int, int]:
    """Return the number of files, and by how many bytes the memory has grown."""
    count = before = 0
    async with AsyncImgwireClient() as client, AsyncBatch(client, journal) as batch:
        files = files_of(kind, path)
        async for file in batch.plan(files) if command == "plan" else batch.upload(files):
            assert getattr(file, "error", None) is None, file
            count += 1
            if count == WARM_UP:
                gc.collect()
                # This resets the peak.
                Path("/proc/self/clear_refs").write_text("5")
                before = memory("VmRSS")
        return count, memory("VmHWM") - before


if __name__ == "__main__":
    command, kind, path, journal = sys.argv[1:]
    print(*asyncio.run(measure(command, kind, Path(path), Path(journal))))
