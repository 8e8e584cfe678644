"""Run an example application on its real server, in processes of its own, and send requests to it."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import attrs
import pytest

from imgwire_async.emulator import Emulator

EXAMPLES = Path(__file__).parents[2] / "examples"
GIF = bytes.fromhex("47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b")


@attrs.frozen
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


@attrs.frozen
class Site:
    """A running application. `request` opens a new connection for each request."""

    host: str
    port: int
    emulator: Emulator
    process: subprocess.Popen[bytes]
    log: Path

    def request(
        self,
        method: str,
        target: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: dict[str, str] | None = None,
        timeout: float = 30,
    ) -> Response:
        connection = HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            connection.request(method, target, body, headers or {})
            response = connection.getresponse()
            return Response(
                response.status, {name.lower(): text for name, text in response.getheaders()}, response.read()
            )
        finally:
            connection.close()

    def upload(self, body: bytes | Iterable[bytes] = GIF, *, name: str = "hero.gif", **more: Any) -> Response:
        return self.request("POST", f"/pictures?name={urllib.parse.quote(name)}", body, **more)

    def send_form(self, body: bytes = GIF, *, name: str = "hero.gif") -> Response:
        head = f'--line\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'.encode()
        form = head + b"Content-Type: image/gif\r\n\r\n" + body + b"\r\n--line--\r\n"
        return self.request("POST", "/form", form, {"Content-Type": "multipart/form-data; boundary=line"})

    def pids(self) -> list[int]:
        """Return the ids of the started process and of all its descendants."""
        found = [self.process.pid]
        for pid in found:
            try:
                for task in Path(f"/proc/{pid}/task").iterdir():
                    found += map(int, (task / "children").read_text().split())
            except FileNotFoundError:
                # The process has ended meanwhile.
                pass
        return found

    @contextmanager
    def growth(self) -> Iterator[list[int]]:
        """Measure by how many bytes the memory of each process grows at its peak.

        The list is filled when the block ends.
        """
        growth_per_process: list[int] = []
        before = {}
        for pid in self.pids():
            # Resets the peak.
            Path(f"/proc/{pid}/clear_refs").write_text("5")
            before[pid] = memory(pid, "VmRSS")
        yield growth_per_process
        growth_per_process += [memory(pid, "VmHWM") - before[pid] for pid in before]


def memory(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def until(condition: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    """Wait until the condition holds. Fail after `seconds` seconds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"did not happen in time: {what}"
        time.sleep(0.01)


def needs(*modules: str) -> None:
    """Skip the test unless all `modules` are installed."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs {module}: install the dependency group `frameworks`")


def settings(emulator: Emulator, **more: str) -> dict[str, str]:
    """Return the environment variables of an application."""
    plain = {name: text for name, text in os.environ.items() if not name.startswith("COVERAGE_")}
    return {
        **plain,
        "IMGWIRE_API_KEY": emulator.api_key,
        "IMGWIRE_API_BASE_URL": emulator.base_url,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(EXAMPLES), os.environ.get("PYTHONPATH")])),
        "PYTHONDONTWRITEBYTECODE": "1",
        **more,
    }


@contextmanager
def started(command: list[str], emulator: Emulator, folder: Path, **more: str) -> Iterator[tuple[Any, Path]]:
    """Start a Python process that writes to a log, and end it in any case when the block is left."""
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env=settings(emulator, **more),
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process, log
    finally:
        if process.poll() is None:
            # The process has a session of its own, so this ends its workers, too.
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def serving(command: list[str], emulator: Emulator, folder: Path) -> Iterator[Site]:
    """Start an application with `command` on a free `{port}`. It must end by itself after SIGTERM."""
    port = free_port()
    with started([argument.format(port=port) for argument in command], emulator, folder) as (process, log):
        site = Site("127.0.0.1", port, emulator, process, log)

        def responds() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return bool(site.request("GET", "/pictures/none"))
            except OSError:
                return False

        until(responds, f"{command} responds; its log: {log}", 40)
        yield site
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in {0, -signal.SIGTERM}, log.read_text()
