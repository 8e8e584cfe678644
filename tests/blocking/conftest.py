from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import leaks
import pytest

from imgwire_async import ImgwireClient
from imgwire_async.emulator import Emulator

GIF = bytes.fromhex("47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b")


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator
        assert leaks.leaks_to_hosts(emulator.requests) == []


@pytest.fixture
def client(emulator: Emulator) -> Iterator[ImgwireClient]:
    with ImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
        yield client


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as pool:
        yield pool


def until(condition: Callable[[], object], what: str = "", seconds: float = 30.0) -> None:
    """Wait until the condition holds. Fail after some seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"never came: {what or condition}"
        time.sleep(0.005)


def open_handlers(emulator: Emulator) -> int:
    """Return the number of requests that the emulator is handling."""
    return sum(len(listener._host_server._tasks) for listener in emulator._servers.listeners)


def held(client: Any) -> int:
    """Return the number of connections that calls of this client hold in all event loops."""
    sessions = list(client._shared.sessions._by_loop.values())
    connectors = {session.connector for here in sessions for session in (here.api, here.uploads)}
    return sum(len(connector._acquired) for connector in connectors if connector is not None)


# Tests that a shell runs in the background ignore Ctrl-C, and so would the scripts that they start.
_INTERRUPTIBLE = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"


class Script:
    """Runs Python scripts in processes of their own, with warnings as errors and a client's settings."""

    def __init__(self, emulator: Emulator, folder: Path) -> None:
        self._settings = {"IMGWIRE_API_KEY": emulator.api_key, "IMGWIRE_API_BASE_URL": emulator.base_url}
        self._folder = folder
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, source: str, *options: str, first: str = "") -> subprocess.Popen[str]:
        path = self._folder / f"script{len(self.processes)}.py"
        path.write_text(_INTERRUPTIBLE + textwrap.dedent(first) + _HEAD + textwrap.dedent(source), "utf-8")
        process = subprocess.Popen(
            # Since Python 3.12, a fork of a process with threads causes a warning, which the docs explain.
            [
                sys.executable,
                "-X",
                "dev",
                "-W",
                "error",
                "-W",
                "ignore:This process:DeprecationWarning",
                *options,
                path,
            ],
            env={**os.environ, **self._settings},
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def run(self, source: str, *options: str, first: str = "") -> tuple[int, str, str]:
        """Return exit code, stdout and stderr. `first` runs before the package is imported."""
        process = self.start(source, *options, first=first)
        out, err = process.communicate(timeout=30)
        # In dev mode asyncio reports slow steps. They are due to a busy machine and to the import of aiohttp.
        return (
            process.returncode,
            out,
            re.sub(r"^Executing <.* took \d+\.\d+ seconds\n", "", err, flags=re.MULTILINE),
        )

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            # A child of the script that hangs keeps the pipes open, which would make the tests hang.
            if hasattr(os, "killpg"):
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


_HEAD = f"""\
import os, signal, sys, threading, time
from imgwire_async import AsyncImgwireClient, ImgwireClient
GIF = bytes.fromhex("{GIF.hex()}")
"""


@pytest.fixture
def script(emulator: Emulator, tmp_path: Path) -> Iterator[Script]:
    scripts = Script(emulator, tmp_path)
    yield scripts
    scripts.end()


def result(future: Future[Any]) -> Any:
    return future.result(timeout=20)
