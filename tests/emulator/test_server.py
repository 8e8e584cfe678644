"""Starting and stopping an emulator: in the event loop, in a thread, in a process."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from yarl import URL

from imgwire_async.emulator import Emulator
from imgwire_async.emulator.__main__ import main

from .raw_client import PNG, RawClient, without_slow_step_warnings


def get_json(emulator: Emulator, path: str = "/api/v1/images/") -> tuple[int, Any]:
    connection = http.client.HTTPConnection(emulator.base_url.removeprefix("http://"), timeout=10)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {emulator.api_key}"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_an_emulator_in_a_thread_can_be_used_from_other_threads() -> None:
    with Emulator(ready_polls=0) as emulator:
        assert get_json(emulator) == (200, [])
        emulator.faults.add("GET", "*", status=503, body={"detail": "no"}, times=5)
        with ThreadPoolExecutor(5) as pool:
            assert {status for status, _ in pool.map(lambda _: get_json(emulator), range(5))} == {503}
        emulator.clock.advance(5)
        assert len(emulator.requests) == 6
        emulator.reset()
        assert len(emulator.requests) == 0
        assert get_json(emulator)[0] == 200
    assert not [thread for thread in threading.enumerate() if thread.name == "imgwire-emulator"]
    with pytest.raises(OSError):
        get_json(emulator)


def test_a_threaded_emulator_stops_soon_with_open_connections() -> None:
    with Emulator() as emulator:
        emulator.faults.add("GET", "*", stall=float("inf"), after=1)
        host, _, port = emulator.base_url.removeprefix("http://").partition(":")
        lines = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
        with (
            socket.create_connection((host, int(port))) as idle,
            socket.create_connection((host, int(port))) as stalled,
        ):
            idle.sendall(lines)
            assert idle.recv(12) == b"HTTP/1.1 404"
            stalled.sendall(lines)
            while len(emulator.requests) < 2:
                time.sleep(0.001)
            start = time.monotonic()
            emulator.__exit__(None, None, None)
            assert time.monotonic() - start < 10
            # A second exit does nothing.
            emulator.__exit__(None, None, None)


async def test_an_emulator_in_the_loop_stops_soon_with_open_connections() -> None:
    async with Emulator() as emulator:
        emulator.faults.add("*", "*", stall=float("inf"), times=None)
        host, _, port = emulator.base_url.removeprefix("http://").partition(":")
        connections = [await asyncio.open_connection(host, int(port)) for _ in range(3)]
        for _, writer in connections:
            writer.write(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        while len(emulator.requests) < 3:
            await asyncio.sleep(0.001)
        start = time.monotonic()
    assert time.monotonic() - start < 10
    for _, writer in connections:
        writer.close()


async def test_an_emulator_can_be_restarted_but_not_entered_twice() -> None:
    emulator = Emulator()
    async with emulator:
        with pytest.raises(RuntimeError):
            await emulator.__aenter__()
        with pytest.raises(RuntimeError):
            emulator.__enter__()
        key = emulator.api_key
    async with emulator:
        assert emulator.api_key == key
        assert (await asyncio.to_thread(get_json, emulator))[0] == 200


async def test_a_port_in_use_raises_an_os_error(emulator: Emulator) -> None:
    port = int(emulator.base_url.rpartition(":")[2])
    with pytest.raises(OSError):
        async with Emulator(port=port):
            pass
    second = Emulator(port=port)
    for _ in range(2):
        with pytest.raises(OSError), second:
            pass


async def test_ports_can_be_chosen() -> None:
    async with Emulator() as first:
        urls = (first.base_url, first.storage_url, first.cdn_url)
    port, storage_port, cdn_port = (int(url.rpartition(":")[2]) for url in urls)
    async with Emulator(port=port, storage_port=storage_port, cdn_port=cdn_port) as second:
        assert (second.base_url, second.storage_url, second.cdn_url) == urls


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2", "::1"])
async def test_the_host_can_be_chosen(host: str, caplog: pytest.LogCaptureFixture) -> None:
    emulator = Emulator(host=host)
    try:
        await emulator.__aenter__()
    except OSError as error:
        pytest.skip(f"this machine does not listen on {host}: {error}")
    try:
        async with ClientSession() as session:
            client = RawClient(emulator, session)
            image = await client.upload()
            assert (await client.get(image["cdn_url"])).body == PNG
    finally:
        await emulator.__aexit__(None, None, None)
    name = f"[{host}]" if ":" in host else host
    assert all(url.startswith(f"http://{name}:") for url in (emulator.base_url, image["cdn_url"]))
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_listening_on_all_addresses_warns_and_uses_the_clients_host_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Emulator(host="0.0.0.0") as emulator, ClientSession() as session:
        client = RawClient(emulator, session)
        assert emulator.base_url.startswith("http://127.0.0.1:")
        named = {"Host": emulator.base_url.replace("http://127.0.0.1", "localhost")}
        response = await client.request(
            "POST", "/images/standard_upload", headers=named, json={"file_name": "a.png"}
        )
        assert URL(response.json["upload_url"]).origin() == URL(emulator.storage_url).with_host("localhost")
        assert (await client.put(response.json["upload_url"], PNG, None)).status == 200
        path = f"/images/{response.json['image']['id']}"
        for _ in range(2):
            cdn_urls = [
                (await client.request("GET", path, headers=headers)).json["cdn_url"]
                for headers in (named, {})
            ]
        assert [str(URL(url).host) for url in cdn_urls] == ["localhost", "127.0.0.1"]
        assert (await client.get(cdn_urls[0])).body == PNG
        by_url = {"url": cdn_urls[0], "file_name": "again.png"}
        assert (
            await client.request("POST", "/images/upload_via_url", headers=named, json=by_url)
        ).status == 200
        assert (await client.request("GET", "/images/", headers={"Host": "a b"})).status == 200
    assert [record.levelname for record in caplog.records if record.levelno >= logging.WARNING] == ["WARNING"]


@pytest.mark.parametrize(
    ("host", "message"),
    [("", "host: ''"), ("a b", "host: 'a b'"), ("nowhere.invalid", "host 'nowhere.invalid'")],
)
async def test_the_error_names_a_wrong_host(host: str, message: str) -> None:
    with pytest.raises((ValueError, OSError), match=message):
        async with Emulator(host=host):
            pass


async def test_keys_can_be_chosen() -> None:
    async with Emulator(api_key="sk_local", client_key="ck_local") as emulator, ClientSession() as session:
        client = RawClient(emulator, session)
        assert (await client.request("GET", "/images/", key="sk_local")).status == 200
        assert (await client.request("GET", "/images/", key="ck_local")).api_error == (
            403,
            "OperationNotAllowedError",
        )
        emulator.reset()
        assert (emulator.api_key, emulator.client_key) == ("sk_local", "ck_local")


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ({"api_key": ""}, "api_key"),
        ({"client_key": "two words"}, "client_key"),
        ({"api_key": "secret\n"}, "api_key"),
        ({"api_key": "secret", "client_key": "secret"}, "client_key"),
    ],
)
def test_wrong_keys_are_rejected_and_not_shown(keys: dict[str, str], name: str) -> None:
    with pytest.raises(ValueError, match=name) as caught:
        Emulator(**keys)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "switch",
    [
        {"idempotency": "maybe"},
        {"deleted_keys": "lost"},
        {"list_order": "name"},
        {"second_put": "ignored"},
        {"naive_dates": "local"},
        {"expired_status": 410},
        {"ready_polls": -1},
        {"ready_after": -1},
        {"url_lifetime": -1},
        {"rate_limit": 0},
    ],
)
def test_a_switch_rejects_other_values(switch: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Emulator(**switch)


async def test_malformed_requests_are_not_logged(
    client: RawClient, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    host, _, port = emulator.base_url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET / HTTP/9\r\n\r\n")
    assert b" 400 " in await reader.readline()
    writer.close()
    assert caplog.records == []


@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_the_process_prints_its_urls_and_stops_cleanly(number: signal.Signals) -> None:
    command = [
        sys.executable,
        "-X",
        "dev",
        "-W",
        "error",
        "-m",
        "imgwire_async.emulator",
        "--ready-polls",
        "0",
        "--no-bodies",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().strip() for _ in range(6)]
        variables = dict(line.removeprefix("export ").split("=", 1) for line in lines[:2])
        connection = http.client.HTTPConnection(
            variables["IMGWIRE_API_BASE_URL"].removeprefix("http://"), timeout=10
        )
        connection.request(
            "GET", "/api/v1/images/", headers={"Authorization": f"Bearer {variables['IMGWIRE_API_KEY']}"}
        )
        assert connection.getresponse().status == 200
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
        connection.close()
    assert (process.returncode, out, without_slow_step_warnings(err)) == (0, "", "")
    assert lines[-1] == "Press Ctrl-C to stop."
    # A shell passes exported variables to its programs.
    assert all(line.startswith("export IMGWIRE_") for line in lines[:2])


def test_the_process_reports_wrong_arguments_and_ports_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--rate-limit", "0"])
    with pytest.raises(SystemExit):
        main(["--port", "65536"])
    assert "from 0 (any free port) to 65535" in capsys.readouterr().err
    assert caught.value.code == 2
    with Emulator() as emulator:
        assert main(["--port", emulator.base_url.rpartition(":")[2]]) == 1
    assert "imgwire emulator:" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option", ["a=b", "ftp://a.example/x=a.png", "https://a.example/x=missing.png", "https://a.example"]
)
def test_the_process_reports_a_url_without_a_file(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--url", option])
    assert caught.value.code == 2
    assert "--url" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.slow
def test_the_process_accepts_host_keys_ports_and_urls(tmp_path: Path) -> None:
    (tmp_path / "a=b.png").write_bytes(PNG)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        cdn_port = free.getsockname()[1]
    url = "https://pictures.example/x?size=2"
    command = [
        sys.executable, "-X", "dev", "-W", "error", "-m", "imgwire_async.emulator", "--api-key", "sk_local",
        "--client-key", "ck_local", "--cdn-port", str(cdn_port), "--host", "0.0.0.0", "--url", f"{url}={tmp_path}/a=b.png",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().strip() for _ in range(6)]
        origin = lines[0].partition("=")[2]
        connection = http.client.HTTPConnection(origin.removeprefix("http://"), timeout=10)
        headers = {"Authorization": "Bearer sk_local", "Content-Type": "application/json"}
        connection.request("POST", "/api/v1/images/upload_via_url", json.dumps({"url": url}), headers)
        response = connection.getresponse()
        image = json.loads(response.read())
        connection.close()
        process.terminate()
        _, err = process.communicate(timeout=10)
    assert lines[1:3] == ["export IMGWIRE_API_KEY=sk_local", "client key  ck_local"]
    assert (response.status, URL(image["cdn_url"]).port) == (200, cdn_port)
    assert err.startswith("WARNING: ")
    assert without_slow_step_warnings(err).count("\n") == 1


@pytest.mark.slow
def test_a_running_emulator_does_not_keep_the_process_alive() -> None:
    code = "from imgwire_async.emulator import Emulator\nemulator = Emulator()\nemulator.__enter__()\n"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
