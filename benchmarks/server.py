"""The server of the benchmarks: nginx with one worker and handlers in Lua, over HTTP and TLS.

It is fast enough that the client is what is measured. It counts the PUTs, their bytes, bodies without a
Content-Length, and URLs that the client changed.
"""

from __future__ import annotations

import json
import shutil
import socket
import string
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import record

HERE = Path(__file__).parent
MODULES = Path("/usr/lib/nginx/modules")
PACKAGES = "nginx libnginx-mod-http-lua curl"
# A certificate whose key is public. The tests use it for loopback addresses.
CERTIFICATE = HERE.parent / "tests/data/loopback.pem"


@dataclass(frozen=True)
class Server:
    """The addresses of a running server."""

    http: str
    https: str
    cafile: str

    def received(self, *, reset: bool = False) -> dict[str, int]:
        """Return the counts of all PUTs since the last reset."""
        with urllib.request.urlopen(f"{self.http}/stats{'?reset=1' if reset else ''}") as response:
            found: dict[str, int] = json.load(response)
            return found


def missing() -> str | None:
    """Return a sentence that says what has to be installed for the server; None if nothing is missing."""
    if _program("nginx") and _program("curl") and (MODULES / "ngx_http_lua_module.so").exists():
        return None
    return f"These need nginx with Lua, and curl: apt-get install {PACKAGES}"


def _program(name: str) -> str | None:
    # On Debian, servers are in folders that are not on every user's PATH.
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


@contextmanager
def running() -> Generator[Server]:
    """Run the server during the block. Call `missing` first."""
    with tempfile.TemporaryDirectory(prefix="imgwire-bench-") as name:
        folder = Path(name)
        (folder / "one.json").write_bytes(record.one())
        (folder / "pending.json").write_bytes(record.pending())
        for number in range(1, record.PAGES + 1):
            (folder / f"page{number}.json").write_bytes(record.page(number))
        http, https = _free_ports()
        conf = string.Template((HERE / "nginx.conf").read_text("utf-8")).substitute(
            folder=folder, here=HERE, modules=MODULES, pem=CERTIFICATE, http=http, https=https
        )
        (folder / "nginx.conf").write_text(conf, "utf-8")
        program = _program("nginx")
        assert program, missing()
        process = subprocess.Popen(
            [program, "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]
        )
        try:
            server = Server(f"http://127.0.0.1:{http}", f"https://127.0.0.1:{https}", str(CERTIFICATE))
            _wait_for(server, process)
            yield server
        finally:
            process.terminate()
            process.wait()


def _free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        return one.getsockname()[1], two.getsockname()[1]


def _wait_for(server: Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            server.received()
        except urllib.error.URLError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("nginx did not start; its own message is above") from None
            time.sleep(0.05)
        else:
            return
