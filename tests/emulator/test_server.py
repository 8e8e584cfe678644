"""Starting and stopping: in the loop, in a thread, in a process."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from imgwire_async.emulator import Emulator
from imgwire_async.emulator.__main__ import main

from .asking import Asker


def ask_plainly(emulator: Emulator, path: str = "/api/v1/images/") -> tuple[int, Any]:
    connection = http.client.HTTPConnection(emulator.base_url.removeprefix("http://"), timeout=10)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {emulator.api_key}"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_in_a_thread_it_answers_and_takes_orders_from_others() -> None:
    with Emulator(ready_polls=0) as emulator:
        assert ask_plainly(emulator) == (200, [])
        emulator.faults.add("GET", "*", status=503, body={"detail": "no"}, times=5)
        with ThreadPoolExecutor(5) as pool:
            assert {status for status, _ in pool.map(lambda _: ask_plainly(emulator), range(5))} == {503}
        emulator.clock.advance(5)
        assert len(emulator.requests) == 6
        emulator.reset()
        assert len(emulator.requests) == 0
        assert ask_plainly(emulator)[0] == 200
    assert not [thread for thread in threading.enumerate() if thread.name == "imgwire-emulator"]
    with pytest.raises(OSError):
        ask_plainly(emulator)


def test_the_end_is_prompt_with_stalled_and_idle_connections() -> None:
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
            emulator.__exit__(None, None, None)  # twice does nothing


async def test_the_end_is_prompt_in_the_loop_too() -> None:
    async with Emulator() as emulator:
        emulator.faults.add("*", "*", stall=float("inf"), times=None)
        host, _, port = emulator.base_url.removeprefix("http://").partition(":")
        peers = [await asyncio.open_connection(host, int(port)) for _ in range(3)]
        for _, writer in peers:
            writer.write(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        while len(emulator.requests) < 3:
            await asyncio.sleep(0.001)
        start = time.monotonic()
    assert time.monotonic() - start < 10
    for _, writer in peers:
        writer.close()


async def test_one_emulator_runs_once_at_a_time_and_again() -> None:
    emulator = Emulator()
    async with emulator:
        with pytest.raises(RuntimeError):
            await emulator.__aenter__()
        with pytest.raises(RuntimeError):
            emulator.__enter__()
        key = emulator.api_key
    async with emulator:
        assert emulator.api_key == key
        assert (await asyncio.to_thread(ask_plainly, emulator))[0] == 200


async def test_a_taken_port_is_told_to_who_asked(emulator: Emulator) -> None:
    port = int(emulator.base_url.rpartition(":")[2])
    with pytest.raises(OSError):
        async with Emulator(port=port):
            pass
    second = Emulator(port=port)
    for _ in range(2):
        with pytest.raises(OSError), second:
            pass


async def test_ports_may_be_chosen() -> None:
    async with Emulator() as first:
        ports = [int(url.rpartition(":")[2]) for url in (first.base_url, first.storage_url)]
    async with Emulator(port=ports[0], storage_port=ports[1]) as second:
        assert (second.base_url, second.storage_url) == (first.base_url, first.storage_url)


@pytest.mark.parametrize(
    "wrong",
    [
        {"idempotency": "maybe"},
        {"second_put": "ignored"},
        {"expired_status": 410},
        {"ready_polls": -1},
        {"ready_after": -1},
        {"url_lifetime": -1},
        {"rate_limit": 0},
    ],
)
def test_a_switch_has_its_values(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Emulator(**wrong)


async def test_malformed_requests_make_no_noise(
    ask: Asker, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    host, _, port = emulator.base_url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET / HTTP/9\r\n\r\n")
    assert b" 400 " in await reader.readline()
    writer.close()
    assert caplog.records == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_as_a_process_it_says_where_it_is_and_ends_cleanly(number: signal.Signals) -> None:
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
        told = dict(line.removeprefix("export ").split("=", 1) for line in lines[:2])
        connection = http.client.HTTPConnection(
            told["IMGWIRE_API_BASE_URL"].removeprefix("http://"), timeout=10
        )
        connection.request(
            "GET", "/api/v1/images/", headers={"Authorization": f"Bearer {told['IMGWIRE_API_KEY']}"}
        )
        assert connection.getresponse().status == 200
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
        connection.close()
    assert (process.returncode, out, err) == (0, "", "")
    assert lines[-1] == "Stop with Ctrl-C."
    assert all(line.startswith("export IMGWIRE_") for line in lines[:2])  # so that a shell hands them on


def test_wrong_arguments_and_taken_ports_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as wrong:
        main(["--rate-limit", "0"])
    assert wrong.value.code == 2
    with Emulator() as emulator:
        assert main(["--port", emulator.base_url.rpartition(":")[2]]) == 1
    assert "imgwire emulator:" in capsys.readouterr().err


def test_a_forgotten_emulator_does_not_hold_the_process() -> None:
    code = "from imgwire_async.emulator import Emulator\nemulator = Emulator()\nemulator.__enter__()\n"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=10, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
