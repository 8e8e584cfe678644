"""The neutral server: nginx (C, one worker) with a few lines of Lua, plain HTTP and TLS, so that the client is what is measured.

It counts what arrives: the number of PUTs, their bytes, bodies without a length, URLs that came changed.
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
# A key that everybody knows; the tests use it for loopback, too.
CERTIFICATE = HERE.parent / "tests/data/loopback.pem"


@dataclass(frozen=True)
class Server:
    """Where the neutral server listens."""

    http: str
    https: str
    cafile: str

    def arrived(self, *, reset: bool = False) -> dict[str, int]:
        """What all PUTs since the last reset delivered together."""
        with urllib.request.urlopen(f"{self.http}/stats{'?reset=1' if reset else ''}") as answer:
            found: dict[str, int] = json.load(answer)
            return found


def missing() -> str | None:
    """What has to be installed before the server can run, as a sentence; None when all is there."""
    if _program("nginx") and _program("curl") and (MODULES / "ngx_http_lua_module.so").exists():
        return None
    return f"These need nginx with Lua, and curl: apt-get install {PACKAGES}"


def _program(name: str) -> str | None:
    # Debian keeps servers where not every user's PATH leads.
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


@contextmanager
def running() -> Generator[Server]:
    """The server, while the block runs. Look at `missing` first."""
    with tempfile.TemporaryDirectory(prefix="imgwire-bench-") as name:
        folder = Path(name)
        (folder / "one.json").write_bytes(record.one())
        (folder / "minted.json").write_bytes(record.minted())
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
            server.arrived()
        except urllib.error.URLError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("nginx did not start; its own message is above") from None
            time.sleep(0.05)
        else:
            return
