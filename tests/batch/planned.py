"""Plan a million files of a finished run in a process of its own.

It prints the seconds of the processor and the bytes of memory.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from batch.journals import begin, row
from imgwire_async.batch.items import Identity
from imgwire_async.batch.journal import open_journal
from imgwire_async.batch.journal_schema import PUT, values_of

CHUNK = 500


def memory() -> int:
    """Return the maximum memory of this process in bytes."""
    status = Path("/proc/self/status").read_text("ascii")
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def key_of(number: int) -> str:
    return f"2024/{number // 1_000:06}/IMG_{number:08}.jpg"


def write(path: Path, count: int) -> None:
    """Write the journal of a finished run."""
    journal = open_journal(path)
    begin(journal)
    for start in range(0, count, 10_000):
        values = [
            values_of(
                row(
                    key=key_of(number),
                    identity=Identity(100_000, mtime_ns=1_700_000_000_000_000_000 + number),
                    image_id=f"0f8fad5b-d9cb-469f-a165-{number:012}",
                    cdn_url=f"https://cdn.example.com/0f8fad5b-d9cb-469f-a165-{number:012}.jpg",
                    idempotency_key="imgwire-batch-1-" + "0" * 64,
                    finished_at=1.7e9,
                    attempts=1,
                )
            )
            for number in range(start, min(start + 10_000, count))
        ]
        journal.run(lambda connection, values=values: connection.executemany(PUT, values) and None)
    journal.close()


def plan(path: Path, count: int) -> None:
    """Decide on all files, and print seconds and bytes."""
    before = memory()
    started_at = time.process_time()
    journal = open_journal(path)
    owner = begin(journal)
    done = 0
    for start in range(0, count, CHUNK):
        numbers = range(start, min(start + CHUNK, count))
        found = {
            key_of(number): Identity(100_000, mtime_ns=1_700_000_000_000_000_000 + number)
            for number in numbers
        }
        done += len(journal.done_before(owner, found))
    assert done == count
    journal.close()
    print(time.process_time() - started_at, memory() - before)


if __name__ == "__main__":
    {"write": write, "plan": plan}[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
