"""TLS on all three hosts: trust, the file of the CA, and how connections end."""

from __future__ import annotations

import asyncio
import os
import shlex
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import ClientConnectorCertificateError, ClientSession

from imgwire_async.emulator import Emulator

from .raw_client import PNG, RawClient, without_slow_step_warnings

pytest.importorskip("trustme", reason="https needs trustme")


@pytest.fixture
def switches() -> dict[str, object]:
    return {"tls": True}


def address(origin: str) -> tuple[str, int]:
    host, _, port = origin.removeprefix("https://").partition(":")
    return host, int(port)


def read_until_end(
    emulator: Emulator, origin: str, data: bytes, server_name: str = "127.0.0.1"
) -> tuple[bytes, bool]:
    """Send `data` on a TLS socket.

    Return all received bytes, and whether the connection ended with close_notify.
    """
    assert emulator.ssl_context is not None
    with (
        socket.create_connection(address(origin), timeout=10) as tcp,
        emulator.ssl_context.wrap_socket(tcp, server_hostname=server_name, suppress_ragged_eofs=False) as tls,
    ):
        tls.sendall(data)
        response = b""
        try:
            while chunk := tls.recv(65536):
                response += chunk
        except ssl.SSLEOFError:
            return response, False
        return response, True


async def test_all_hosts_and_their_urls_use_https(client: RawClient, emulator: Emulator) -> None:
    created = await client.create()
    image = await client.upload()
    assert (await client.get(image["cdn_url"])).body == PNG
    token = (await client.request("POST", "/images/upload_token")).json
    urls = [
        emulator.base_url,
        emulator.storage_url,
        emulator.cdn_url,
        created["upload_url"],
        image["cdn_url"],
    ]
    assert [url.partition(":")[0] for url in urls] == ["https"] * 5, token


async def test_a_redirect_uses_https(client: RawClient, emulator: Emulator) -> None:
    response = await client.request("GET", "/images", lenient=True)
    assert (response.status, response.headers["Location"]) == (307, f"{emulator.base_url}/api/v1/images/")


async def test_an_archive_url_uses_https(client: RawClient) -> None:
    image = await client.upload()
    job = (await client.request("POST", "/images/downloads", json={"image_ids": [image["id"]]})).json
    for _ in range(3):
        job = (await client.request("GET", f"/images/downloads/{job['id']}")).json
    assert job["download_url"].startswith("https://")
    assert (await client.get(job["download_url"])).body.startswith(b"PK")


async def test_the_certificate_includes_the_chosen_host() -> None:
    async with Emulator(tls=True, host="127.0.0.2") as emulator, ClientSession() as session:
        assert emulator.base_url.startswith("https://127.0.0.2:")
        assert (
            await session.get(f"{emulator.base_url}/health", ssl=emulator.ssl_context or True)
        ).status == 200


async def test_a_client_without_the_ca_does_not_connect(emulator: Emulator) -> None:
    async with ClientSession() as session:
        with pytest.raises(ClientConnectorCertificateError):
            await session.get(emulator.base_url)
    assert len(emulator.requests) == 0


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "::1"])
async def test_the_certificate_includes_all_loopback_names(emulator: Emulator, name: str) -> None:
    request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    response, close_notify = await asyncio.to_thread(
        read_until_end, emulator, emulator.base_url, request, name
    )
    assert response.startswith(b"HTTP/1.1 404 ")
    assert close_notify


@pytest.mark.parametrize("close_notify", [True, False])
@pytest.mark.parametrize("size", [100, 3_000_000])
async def test_a_cut_ends_with_or_without_close_notify(
    emulator: Emulator, close_notify: bool, size: int
) -> None:
    emulator.faults.add(
        "GET", "*", status=200, body=bytes(size + 1), headers={"X": "y"}, cut=size, close_notify=close_notify
    )
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    response, ended_with_close_notify = await asyncio.to_thread(
        read_until_end, emulator, emulator.cdn_url, request
    )
    assert len(response.partition(b"\r\n\r\n")[2]) == size
    assert ended_with_close_notify is close_notify


async def test_a_client_notices_a_stalled_upload_soon(emulator: Emulator) -> None:
    """The kernels and TLS buffer only a small part of a body that the server does not read."""
    emulator.faults.add("PUT", "*", stall=float("inf"))

    def push() -> int:
        assert emulator.ssl_context is not None
        with socket.socket() as tcp:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
            tcp.settimeout(1)
            tcp.connect(address(emulator.storage_url))
            with emulator.ssl_context.wrap_socket(tcp, server_hostname="127.0.0.1") as tls:
                tls.sendall(b"PUT /uploads/x HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
                sent = 0
                with pytest.raises(TimeoutError):
                    while sent < 10**8:
                        sent += tls.send(bytes(16 * 1024))
                return sent

    assert await asyncio.to_thread(push) < 2**20


async def test_clients_without_tls_and_silent_clients_are_disconnected(emulator: Emulator) -> None:
    reader, writer = await asyncio.open_connection(*address(emulator.base_url))
    silent_reader, silent_writer = await asyncio.open_connection(*address(emulator.base_url))
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"HTTP" not in await reader.read()
    await emulator.__aexit__(None, None, None)
    try:
        assert await silent_reader.read() == b""
    except ConnectionResetError:
        pass
    for connection in (writer, silent_writer):
        connection.close()


async def test_the_ca_file_exists_while_the_emulator_runs(emulator: Emulator) -> None:
    path = emulator.ca_path
    assert path is not None
    assert ssl.create_default_context(cafile=path).cert_store_stats()["x509_ca"] == 1
    await emulator.__aexit__(None, None, None)
    assert not path.exists()
    assert emulator.ca_path is None


def test_an_emulator_without_tls_has_no_ca() -> None:
    with Emulator() as emulator:
        assert (emulator.ca_path, emulator.ssl_context) == (None, None)
        assert emulator.base_url.startswith("http://")


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [
        pytest.param("", marks=pytest.mark.slow),
        "\nif os.fork() == 0: sys.exit()\nos.wait(); print(emulator.ca_path.exists())",
    ],
)
def test_the_ca_file_is_removed_by_its_process_and_not_by_a_child(code: str) -> None:
    code = f"import os, sys\nfrom imgwire_async.emulator import Emulator\nemulator = Emulator(tls=True)\nemulator.__enter__()\nprint(emulator.ca_path){code}\n"
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    path, *rest = done.stdout.split()
    assert not Path(path).exists()
    assert rest in ([], ["True"])


UPLOAD = """
import asyncio
from imgwire_async import AsyncImgwireClient

async def main():
    async with AsyncImgwireClient() as client:
        print((await client.images.upload(bytes.fromhex("%s"), wait=True)).status)

asyncio.run(main())
"""


@pytest.mark.slow
def test_the_printed_exports_let_another_shell_connect(tmp_path: Path) -> None:
    folder = tmp_path / "with spaces"
    folder.mkdir()
    command = [sys.executable, "-X", "dev", "-W", "error", "-m", "imgwire_async.emulator", "--tls"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(folder)}
    ) as process:  # fmt: skip
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(10)]
        exports = "".join(line for line in lines if line.startswith("export "))
        shell = f"{exports}exec {shlex.quote(sys.executable)} -c {shlex.quote(UPLOAD % PNG.hex())}"
        done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, timeout=30, check=False)
        process.terminate()
        out, err = process.communicate(timeout=10)
    assert (done.returncode, done.stdout, done.stderr) == (0, "READY\n", "")
    assert (process.returncode, out, without_slow_step_warnings(err)) == (0, "", "")
    path = next(line for line in lines if line.startswith("CA ")).removeprefix("CA ").strip()
    assert Path(path).parent == folder
    assert not Path(path).exists()
    assert f"ssl={path!r}" in "".join(lines)
    assert lines[-1] == "Press Ctrl-C to stop.\n"


@pytest.mark.slow
def test_the_error_without_trustme_says_what_to_install() -> None:
    code = (
        "import sys\nsys.modules['trustme'] = None\nfrom imgwire_async.emulator import Emulator\nEmulator()\n"
        "try: Emulator(tls=True)\nexcept ImportError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert 'pip install "imgwire-async[emulator]"' in done.stdout
