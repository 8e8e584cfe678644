"""What one process is asked to measure, and what it says."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

# "seconds" for one unit of work (a file, a record, a call), and whatever else a part measures beside it.
Sample = Mapping[str, float]


@dataclass(frozen=True)
class Place:
    """Where servers and files are; the same for all measurements of a run."""

    files: str = ""
    answering: str = ""
    http: str = ""
    https: str = ""
    cafile: str = ""


@dataclass(frozen=True)
class Work:
    """How much is done, and under which conditions."""

    part: str
    count: int = 1
    at_once: int = 1
    size: int = 0  # bytes of each file
    tls: bool = False
    latency: bool = False  # 30 ms before each answer


@dataclass(frozen=True)
class Job:
    """One kind of work, for one process."""

    kind: str
    work: Work
    place: Place = field(default_factory=Place)

    @property
    def base(self) -> str:
        """The API's base URL."""
        return self.origin + ("/slow" if self.work.latency else "")

    @property
    def origin(self) -> str:
        return self.place.https if self.work.tls else self.place.http

    @property
    def cafile(self) -> str | None:
        return self.place.cafile if self.work.tls else None

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        data = json.loads(text)
        return cls(data["kind"], Work(**data["work"]), Place(**data["place"]))


class Stopwatch:
    """Wall and processor time of this process from its making on."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def per_unit(self, count: int) -> dict[str, float]:
        """Both, shared out over so many units of work."""
        wall, cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu
        return {"seconds": wall / count, "cpu_seconds": cpu / count}


def peak_memory() -> float:
    """The most memory that this process has held so far, in MB; 0 where the system does not tell."""
    # Not `ru_maxrss`: that of a child begins with its parent's.
    try:
        status = Path("/proc/self/status").read_text("utf-8")
    except OSError:
        return 0.0
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024
