"""https on all three hosts: who trusts it, what the CA's file is, and endings that TLS sees."""

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


def got_by_hand(
    emulator: Emulator, origin: str, data: bytes, server_name: str = "127.0.0.1"
) -> tuple[bytes, bool]:
    """What a plain TLS socket reads after it sent `data`, and whether it ended with close_notify."""
    assert emulator.ssl_context is not None
    with (
        socket.create_connection(address(origin), timeout=10) as tcp,
        emulator.ssl_context.wrap_socket(
            tcp, server_hostname=server_name, suppress_ragged_eofs=False
        ) as secure,
    ):
        secure.sendall(data)
        response = b""
        try:
            while piece := secure.recv(65536):
                response += piece
        except ssl.SSLEOFError:
            return response, False
        return response, True


async def test_all_three_hosts_and_what_they_hand_out_are_https(
    client: RawClient, emulator: Emulator
) -> None:
    made = await client.create()
    image = await client.upload()
    assert (await client.get(image["cdn_url"])).body == PNG
    token = (await client.request("POST", "/images/upload_token")).json
    urls = [emulator.base_url, emulator.storage_url, emulator.cdn_url, made["upload_url"], image["cdn_url"]]
    assert [url.partition(":")[0] for url in urls] == ["https"] * 5, token


async def test_a_slash_too_many_leads_to_https_again(client: RawClient, emulator: Emulator) -> None:
    response = await client.request("GET", "/images", lenient=True)
    assert (response.status, response.headers["Location"]) == (307, f"{emulator.base_url}/api/v1/images/")


async def test_the_link_to_an_archive_is_https(client: RawClient) -> None:
    image = await client.upload()
    job = (await client.request("POST", "/images/downloads", json={"image_ids": [image["id"]]})).json
    for _ in range(3):
        job = (await client.request("GET", f"/images/downloads/{job['id']}")).json
    assert job["download_url"].startswith("https://")
    assert (await client.get(job["download_url"])).body.startswith(b"PK")


async def test_the_certificate_is_for_the_chosen_host_too() -> None:
    async with Emulator(tls=True, host="127.0.0.2") as emulator, ClientSession() as session:
        assert emulator.base_url.startswith("https://127.0.0.2:")
        assert (
            await session.get(f"{emulator.base_url}/health", ssl=emulator.ssl_context or True)
        ).status == 200


async def test_nobody_trusts_it_by_accident(emulator: Emulator) -> None:
    async with ClientSession() as session:
        with pytest.raises(ClientConnectorCertificateError):
            await session.get(emulator.base_url)
    assert len(emulator.requests) == 0


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "::1"])
async def test_the_certificate_is_for_every_name_of_loopback(emulator: Emulator, name: str) -> None:
    request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    response, polite = await asyncio.to_thread(got_by_hand, emulator, emulator.base_url, request, name)
    assert response.startswith(b"HTTP/1.1 404 ")
    assert polite


@pytest.mark.parametrize("polite", [True, False])
@pytest.mark.parametrize("size", [100, 3_000_000])
async def test_a_cut_says_goodbye_or_not(emulator: Emulator, polite: bool, size: int) -> None:
    emulator.faults.add(
        "GET", "*", status=200, body=bytes(size + 1), headers={"X": "y"}, cut=size, close_notify=polite
    )
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    response, said = await asyncio.to_thread(got_by_hand, emulator, emulator.cdn_url, request)
    assert len(response.partition(b"\r\n\r\n")[2]) == size
    assert said is polite


async def test_a_stalled_upload_is_seen_soon(emulator: Emulator) -> None:
    """The kernels and TLS at both ends take little of a body that nobody reads."""
    emulator.faults.add("PUT", "*", stall=float("inf"))

    def push() -> int:
        assert emulator.ssl_context is not None
        with socket.socket() as tcp:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
            tcp.settimeout(1)
            tcp.connect(address(emulator.storage_url))
            with emulator.ssl_context.wrap_socket(tcp, server_hostname="127.0.0.1") as secure:
                secure.sendall(b"PUT /uploads/x HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
                sent = 0
                with pytest.raises(TimeoutError):
                    while sent < 10**8:
                        sent += secure.send(bytes(16 * 1024))
                return sent

    assert await asyncio.to_thread(push) < 2**20


async def test_what_speaks_no_tls_and_what_says_nothing_are_let_go(emulator: Emulator) -> None:
    reader, writer = await asyncio.open_connection(*address(emulator.base_url))
    silent, silence = await asyncio.open_connection(*address(emulator.base_url))
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"HTTP" not in await reader.read()
    await emulator.__aexit__(None, None, None)
    try:
        assert await silent.read() == b""
    except ConnectionResetError:
        pass
    for each in (writer, silence):
        each.close()


async def test_the_file_of_the_ca_is_there_while_it_runs(emulator: Emulator) -> None:
    path = emulator.ca_path
    assert path is not None
    assert ssl.create_default_context(cafile=path).cert_store_stats()["x509_ca"] == 1
    await emulator.__aexit__(None, None, None)
    assert not path.exists()
    assert emulator.ca_path is None


def test_without_tls_there_is_nothing_to_trust() -> None:
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
def test_the_file_of_the_ca_goes_with_its_process_and_not_with_a_child(code: str) -> None:
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
def test_what_a_process_prints_lets_another_shell_in(tmp_path: Path) -> None:
    folder = tmp_path / "with blanks"
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
def test_without_trustme_it_says_what_to_install() -> None:
    code = (
        "import sys\nsys.modules['trustme'] = None\nfrom imgwire_async.emulator import Emulator\nEmulator()\n"
        "try: Emulator(tls=True)\nexcept ImportError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert 'pip install "imgwire-async[emulator]"' in done.stdout
