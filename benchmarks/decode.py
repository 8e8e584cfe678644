"""Parse and decode a page of 100 image records: the time per record.

No code waits here, so the processor time of the thread is measured. Other work on the machine does not change
it.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

import orjson

from benchmarks import ours, peers, record
from benchmarks.job import Job, Sample

DECODERS: dict[str, Callable[[], Callable[[bytes], object]]] = {
    "orjson": lambda: orjson.loads,
    "json": lambda: json.loads,
    "ours": lambda: ours.decode_page,
    "msgspec": peers.msgspec_decoder,
    "pydantic": peers.pydantic_decoder,
}


def measure(job: Job) -> Sample:
    decode, page = DECODERS[job.kind](), record.page(7)
    decode(page)
    times: list[float] = []
    for _ in range(job.work.count):
        started_at = time.thread_time()
        decode(page)
        times.append(time.thread_time() - started_at)
    return {"seconds": statistics.median(times) / record.PAGE_SIZE}
