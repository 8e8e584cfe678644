"""An emulator in a process of its own, which keeps no bodies: for tests that measure this process, or send gigabytes.

`python -m wire.elsewhere SWITCHES` in `tests` prints where it listens; each line that it reads is answered with what arrived
since the last one.
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
class Arrived:
    """The PUTs that had one outcome."""

    status: int | None
    length: int
    sha256: str
    chunked: bool
    count: int


@attrs.frozen
class Elsewhere:
    base_url: str
    api_key: str
    _process: subprocess.Popen[str] = attrs.field(repr=False)

    def arrived(self) -> list[Arrived]:
        """What was PUT since the last time one asked; the emulator forgets it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return [Arrived(**each) for each in json.loads(self._process.stdout.readline())]


@contextmanager
def elsewhere(**switches: Any) -> Iterator[Elsewhere]:
    with subprocess.Popen(
        # Not as `tests.wire...`: installed packages of others have a folder `tests`, too.
        [sys.executable, "-m", "wire.elsewhere", json.dumps(switches)],
        cwd=ROOT / "tests",
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        yield Elsewhere(**json.loads(process.stdout.readline()), process=process)
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
                json.dumps([dict(zip(names, what, strict=True), count=n) for what, n in puts.items()]),
                flush=True,
            )
            emulator.reset()
            emulator.keep_bodies = False


if __name__ == "__main__":
    asyncio.run(_serve(json.loads(sys.argv[1])))
