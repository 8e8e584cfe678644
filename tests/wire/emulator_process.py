"""An emulator in its own process, which keeps no bodies.

It is for tests that measure this process, or that upload gigabytes.

`python -m wire.emulator_process SWITCHES` in `tests` prints the address of the emulator. For each line on its
stdin it prints the PUTs that it has received since the previous line.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from imgwire_async.emulator import Emulator

ROOT = Path(__file__).parents[2]


@attrs.frozen
class ReceivedPuts:
    """The number of PUTs with the same status, length, digest and encoding."""

    status: int | None
    length: int
    sha256: str
    chunked: bool
    count: int


@attrs.frozen
class EmulatorProcess:
    """A running emulator process."""

    base_url: str
    api_key: str
    _process: subprocess.Popen[str] = attrs.field(repr=False)

    def received_puts(self) -> list[ReceivedPuts]:
        """Return the PUTs received since the previous call. The emulator then forgets them."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return [ReceivedPuts(**puts) for puts in json.loads(self._process.stdout.readline())]


@contextmanager
def emulator_process(**switches: Any) -> Iterator[EmulatorProcess]:
    """Start an emulator in a new process, and stop it at the end."""
    with subprocess.Popen(
        # Not `tests.wire...`, because some installed packages have a folder `tests`, too.
        [sys.executable, "-m", "wire.emulator_process", json.dumps(switches)],
        cwd=ROOT / "tests",
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        yield EmulatorProcess(**json.loads(process.stdout.readline()), process=process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(10) == 0


async def _serve(switches: dict[str, Any]) -> None:
    async with Emulator(**switches) as emulator:
        emulator.keep_bodies = False
        print(json.dumps({"base_url": emulator.base_url, "api_key": emulator.api_key}), flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            puts = Counter(
                (put.status, put.body_length, put.body_sha256, put.header("Transfer-Encoding") is not None)
                for put in emulator.requests
                if put.host == "storage"
            )
            names = ("status", "length", "sha256", "chunked")
            print(
                json.dumps([dict(zip(names, group, strict=True), count=n) for group, n in puts.items()]),
                flush=True,
            )
            emulator.reset()
            emulator.keep_bodies = False


if __name__ == "__main__":
    asyncio.run(_serve(json.loads(sys.argv[1])))
