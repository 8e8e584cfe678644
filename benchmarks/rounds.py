"""Run a case: every measurement in a process of its own, the ways to do it shuffled within each round."""

from __future__ import annotations

import importlib.util
import json
import random
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import answering, files, server
from benchmarks.cases import NEEDS_NGINX, Case
from benchmarks.job import Job, Place, Sample, Work
from benchmarks.server import Server

# What a way needs beside the package, by a word in its name.
_NEEDS = {
    "httpx": "httpx",
    "requests": "requests",
    "msgspec": "msgspec",
    "pydantic": "pydantic",
    "uvloop": "uvloop",
}


class Hall:
    """Servers and files of one run, made when a case first asks for them."""

    def __init__(self, stack: ExitStack, folder: str) -> None:
        self._stack = stack
        self._folder = folder
        self._answering: str | None = None
        self._server: Server | None = None

    def place_for(self, work: Work) -> Place:
        """Where this work finds what it needs."""
        if work.part in {"upload", "growth"}:
            files.make_many(self._folder, work.size, work.count if work.part == "upload" else 1)
        if work.part == "big":
            files.make(files.big(self._folder), work.size)
        if work.part == "blocking" and self._answering is None:
            self._answering = self._stack.enter_context(answering.running())
        if work.part in NEEDS_NGINX and self._server is None:
            self._server = self._stack.enter_context(server.running())
        found = self._server
        return Place(
            files=self._folder,
            answering=self._answering or "",
            http=found.http if found else "",
            https=found.https if found else "",
            cafile=found.cafile if found else "",
        )

    @property
    def server(self) -> Server:
        assert self._server is not None
        return self._server


@contextmanager
def hall() -> Generator[Hall]:
    """Servers and files, for the time of a run."""
    with ExitStack() as stack:
        yield Hall(stack, stack.enter_context(TemporaryDirectory(prefix="imgwire-bench-")))


def possible(kind: str) -> bool:
    """Whether this way of doing it can be run here."""
    if "eager tasks" in kind and sys.version_info < (3, 12):
        return False
    return all(importlib.util.find_spec(module) for word, module in _NEEDS.items() if word in kind)


def run(case: Case, rounds: int, hall: Hall) -> dict[str, list[Sample]]:
    """What each way took, one sample per round."""
    kinds = [kind for kind in (*case.kinds, *case.peers) if possible(kind)]
    place = hall.place_for(case.work)
    samples: dict[str, list[Sample]] = {kind: [] for kind in kinds}
    for number in range(rounds):
        for kind in random.Random(number).sample(kinds, len(kinds)):
            samples[kind].append(_measured(Job(kind, case.work, place), hall))
    return samples


def _measured(job: Job, hall: Hall) -> Sample:
    sends = job.work.part in {"upload", "big", "growth"}
    if sends:
        hall.server.arrived(reset=True)
    process = subprocess.run(
        [sys.executable, "-m", "benchmarks.child", job.to_json()],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if process.returncode:
        raise SystemExit(
            f"{job.work.part}, {job.kind}: the process ended with {process.returncode}, see above"
        )
    if sends:
        _require_all_arrived(job, hall.server)
    sample: Sample = json.loads(process.stdout)
    return sample


def _require_all_arrived(job: Job, server: Server) -> None:
    """Speed does not count when bytes are missing."""
    work = job.work
    warm = min(work.count, work.at_once) if work.part == "upload" else work.at_once
    puts = 1 if work.part == "big" else work.count + warm
    wanted = {"puts": puts, "bytes": puts * work.size, "chunked": 0}
    arrived = server.arrived()
    # Only our URLs are held to arrive byte for byte: the peers have their own ideas of quoting.
    if job.kind.startswith("ours"):
        wanted["requoted"] = 0
    wrong = {name: (value, arrived[name]) for name, value in wanted.items() if arrived[name] != value}
    if wrong:
        raise SystemExit(f"{work.part}, {job.kind}: not what was to arrive (wanted, found): {wrong}")
