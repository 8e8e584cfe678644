"""The input of a measuring process, and the sample that it returns."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

# "seconds" is the time for one unit of work (a file, a record, a call). A part may add other figures.
Sample = Mapping[str, float]


@dataclass(frozen=True)
class Endpoints:
    """The addresses of servers and the path of the files, the same for all measurements of a run."""

    files: str = ""
    json_server: str = ""
    http: str = ""
    https: str = ""
    cafile: str = ""


@dataclass(frozen=True)
class Work:
    """The amount of work and its conditions."""

    part: str
    count: int = 1
    at_once: int = 1
    # The size of each file in bytes.
    size: int = 0
    tls: bool = False
    # Whether the server waits 30 ms before each response.
    latency: bool = False


@dataclass(frozen=True)
class Job:
    """One measurement: a kind and its work."""

    kind: str
    work: Work
    endpoints: Endpoints = field(default_factory=Endpoints)

    @property
    def base(self) -> str:
        """The API's base URL."""
        return self.origin + ("/slow" if self.work.latency else "")

    @property
    def origin(self) -> str:
        return self.endpoints.https if self.work.tls else self.endpoints.http

    @property
    def cafile(self) -> str | None:
        return self.endpoints.cafile if self.work.tls else None

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        data = json.loads(text)
        return cls(data["kind"], Work(**data["work"]), Endpoints(**data["endpoints"]))


class Stopwatch:
    """The wall time and processor time of this process since the stopwatch was created."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def per_unit(self, count: int) -> dict[str, float]:
        """Return both times divided by the number of units of work."""
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return {"seconds": wall / count, "cpu_seconds": cpu / count}


def peak_memory() -> float:
    """Return the peak memory of this process in MB; 0 if the system does not report it."""
    # Not `ru_maxrss`, which includes the peak of the parent process.
    try:
        status = Path("/proc/self/status").read_text("utf-8")
    except OSError:
        return 0.0
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024
