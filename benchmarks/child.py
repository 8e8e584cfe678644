"""The process of one measurement: `python -m benchmarks.child JOB` prints the sample as JSON."""

from __future__ import annotations

import importlib
import json
import sys

from benchmarks.job import Job


def main(text: str) -> None:
    job = Job.from_json(text)
    part = importlib.import_module(f"benchmarks.{job.work.part}")
    print(json.dumps(part.measure(job)))


if __name__ == "__main__":
    main(sys.argv[1])
