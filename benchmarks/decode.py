"""A page of 100 image records from bytes to objects: seconds per record, parsing included.

Nothing waits here, so it is the thread's processor time that counts: what else runs on the machine is left out.
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
        began = time.thread_time()
        decode(page)
        times.append(time.thread_time() - began)
    return {"seconds": statistics.median(times) / record.PAGE_SIZE}
