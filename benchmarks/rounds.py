"""Run a case: each measurement in a process of its own, in random order within a round."""

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

from benchmarks import files, json_server, server
from benchmarks.cases import NEEDS_NGINX, Case
from benchmarks.job import Endpoints, Job, Sample, Work
from benchmarks.server import Server

# The module that a kind needs, by a text in its name.
_NEEDS = {
    "httpx": "httpx",
    "requests": "requests",
    "msgspec": "msgspec",
    "pydantic": "pydantic",
    "uvloop": "uvloop",
}


class Environment:
    """The servers and files of one run, created when a case first needs them."""

    def __init__(self, stack: ExitStack, folder: str) -> None:
        self._stack = stack
        self._folder = folder
        self._json_server: str | None = None
        self._server: Server | None = None

    def endpoints_for(self, work: Work) -> Endpoints:
        """Return the addresses and paths that this work needs."""
        if work.part in {"upload", "batch", "growth"} and work.size:
            files.make_many(self._folder, work.size, 1 if work.part == "growth" else work.count)
        if work.part == "big":
            files.make(files.big(self._folder), work.size)
        if work.part == "blocking" and self._json_server is None:
            self._json_server = self._stack.enter_context(json_server.running())
        if work.part in NEEDS_NGINX and self._server is None:
            self._server = self._stack.enter_context(server.running())
        found = self._server
        return Endpoints(
            files=self._folder,
            json_server=self._json_server or "",
            http=found.http if found else "",
            https=found.https if found else "",
            cafile=found.cafile if found else "",
        )

    @property
    def server(self) -> Server:
        assert self._server is not None
        return self._server


@contextmanager
def environment() -> Generator[Environment]:
    """Provide servers and files during a run."""
    with ExitStack() as stack:
        yield Environment(stack, stack.enter_context(TemporaryDirectory(prefix="imgwire-bench-")))


def possible(kind: str) -> bool:
    """Return whether this kind can run on this machine."""
    if "eager tasks" in kind and sys.version_info < (3, 12):
        return False
    return all(importlib.util.find_spec(module) for word, module in _NEEDS.items() if word in kind)


def run(case: Case, rounds: int, environment: Environment) -> dict[str, list[Sample]]:
    """Return the samples of each kind, one per round."""
    kinds = [kind for kind in (*case.kinds, *case.peers) if possible(kind)]
    endpoints = environment.endpoints_for(case.work)
    samples: dict[str, list[Sample]] = {kind: [] for kind in kinds}
    for number in range(rounds):
        for kind in random.Random(number).sample(kinds, len(kinds)):
            samples[kind].append(_measured(Job(kind, case.work, endpoints), environment))
    return samples


def _measured(job: Job, environment: Environment) -> Sample:
    sends = job.work.part in {"upload", "big", "growth"}
    if sends:
        environment.server.received(reset=True)
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
        _require_all_received(job, environment.server)
    sample: Sample = json.loads(process.stdout)
    return sample


def _require_all_received(job: Job, server: Server) -> None:
    """End the program if the server did not receive all bytes."""
    work = job.work
    warm = min(work.count, work.at_once) if work.part == "upload" else work.at_once
    puts = 1 if work.part == "big" else work.count + warm
    expected = {"puts": puts, "bytes": puts * work.size, "chunked": 0}
    received = server.received()
    # Only this package must send URLs unchanged. Other libraries quote them in their own way.
    if job.kind.startswith("ours"):
        expected["requoted"] = 0
    wrong = {name: (value, received[name]) for name, value in expected.items() if received[name] != value}
    if wrong:
        raise SystemExit(
            f"{work.part}, {job.kind}: the server did not receive what was expected (expected, received): {wrong}"
        )
