"""A process that runs a batch, for tests that kill it.

`python -m batch.run_process SETTINGS` in `tests` prints "begin", one JSON line for each result that the run
yields, and its summary at the end. The address and the key of the emulator are in the environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs

from imgwire_async import AsyncImgwireClient, RetryPolicy, Timeouts
from imgwire_async.batch import AsyncBatch
from imgwire_async.emulator import Emulator

from .source_cases import files_of

TESTS = Path(__file__).parents[1]
# Seconds. The storage of the tests delays bytes for a much shorter time.
STALL = 2.0
RETRIES = RetryPolicy(backoff=0.02)
# Seconds until a process that makes no progress is an error.
_PATIENCE = 60.0


def quick_client(key: Any = None, base_url: str | None = None, **settings: Any) -> AsyncImgwireClient:
    """Return a client that gives up soon, so that faults cost little time."""
    settings = {"timeout": Timeouts(stall=STALL, attempt=10.0), "retries": RETRIES} | settings
    return AsyncImgwireClient(key, base_url=base_url, **settings)


async def run(settings: dict[str, Any]) -> None:
    """Run a batch with the arguments in `settings`."""
    async with quick_client() as client:
        async with AsyncBatch(client, settings["journal"], **settings.get("batch", {})) as batch:
            print("begin", flush=True)
            kind, path = settings.get("source", ["folder", settings["folder"]])
            async for result in batch.upload(files_of(kind, Path(path)), **settings.get("upload", {})):
                error = None if result.error is None else f"{type(result.error).__name__}: {result.error}"
                print(json.dumps([result.key, result.status, result.image_id, error]), flush=True)
            print(json.dumps(attrs.asdict(batch.summary())), flush=True)


class RunProcess:
    """The process of a run. `lines` contains what it has printed so far."""

    def __init__(self, emulator: Emulator, settings: dict[str, Any], **popen: Any) -> None:
        environment = {
            **os.environ, "IMGWIRE_API_KEY": emulator.api_key, "IMGWIRE_API_BASE_URL": emulator.base_url,
        }  # fmt: skip
        self.process: subprocess.Popen[str] = subprocess.Popen(
            # Not `tests.batch...`, because some installed packages have a folder `tests`, too.
            [sys.executable, "-m", "batch.run_process", json.dumps(settings)],
            cwd=TESTS,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **popen,
        )
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._ended: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self.lines)),
            threading.Thread(target=self._read, args=(self.process.stderr, self.errors)),
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream: Any, lines: list[str]) -> None:
        with stream:
            lines.extend(stream)

    def wait_for(self, is_reached: Callable[[], bool]) -> bool:
        """Wait until `is_reached` returns True, or the process ends. Return whether it still runs."""
        end = time.monotonic() + _PATIENCE
        while self.process.poll() is None and not is_reached():
            assert time.monotonic() < end, f"no progress: {self.lines[-3:]} {self.errors[-20:]}"
            time.sleep(0.001)
        return self.process.poll() is None

    def kill(self) -> None:
        """Kill the process if it still runs, and wait for its end."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        self.wait()

    def wait(self) -> int:
        """Wait for the end of the process, and return its exit code."""
        try:
            code = self.process.wait(_PATIENCE)
        finally:
            self.process.kill()
            for reader in self._readers:
                reader.join()
        return code

    @property
    def results(self) -> list[tuple[str, str, str | None, str | None]]:
        """The results that the process has printed: key, status, ID of the image, and error."""
        return [
            tuple(json.loads(line)) for line in self.lines if line.startswith("[") and line.endswith("\n")
        ]

    @property
    def summary(self) -> dict[str, Any]:
        """The summary that the process has printed at its end."""
        assert self.lines, self.errors
        assert self.lines[-1].startswith("{"), (self.lines[-1], self.errors[-20:])
        summary: dict[str, Any] = json.loads(self.lines[-1])
        return summary


@contextlib.contextmanager
def run_process(
    emulator: Emulator,
    folder: Path,
    journal: Path,
    *,
    limit: Callable[[], object] | None = None,
    **settings: Any,
) -> Iterator[RunProcess]:
    """Start a run in a process of its own, and kill it at the end of the block if it still runs.

    The process calls `limit` before it starts. `source` is a kind and a path of `source_cases.files_of`.
    """
    values = {"folder": str(folder), "journal": str(journal), **settings}
    process = RunProcess(emulator, values, preexec_fn=limit)
    try:
        yield process
    finally:
        process.kill()


if __name__ == "__main__":
    asyncio.run(run(json.loads(sys.argv[1])))
