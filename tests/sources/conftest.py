"""Fixtures of the tests of sources that need packages and servers of their own (`nox -s sources`)."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from imgwire_async import AsyncImgwireClient, RetryPolicy, Timeouts
from imgwire_async.emulator import Emulator

from .s3_server import KEY, SECRET, S3Server


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    folder, seen, repeated = Path(__file__).parent, set(), []
    for item in items:
        if folder not in item.path.parents:
            continue
        if importlib.util.find_spec("s3fs") is None:
            item.add_marker(pytest.mark.skip(reason="s3fs is not installed; `nox -s sources` installs it"))
        if item.path.name == "test_every_bucket.py":
            # Some of these tests name the other sources, and would run over the same bucket for each of them.
            name = getattr(item, "originalname", item.name)
            if name in seen:
                repeated.append(item)
            seen.add(name)
    if repeated:
        config.hook.pytest_deselected(items=repeated)
        items[:] = [item for item in items if item not in repeated]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(ready_polls=0) as emulator:
        yield emulator


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[AsyncImgwireClient]:
    settings: Any = {"timeout": Timeouts(stall=30), "retries": RetryPolicy(backoff=0.01)}
    async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url, **settings) as client:
        yield client


@pytest.fixture
async def s3() -> AsyncIterator[S3Server]:
    """An S3 server that fails on demand."""
    async with S3Server() as server:
        yield server


@pytest.fixture(scope="session")
def nanio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run nanio, an S3 server of another author that checks every signature, and yield its origin."""
    if importlib.util.find_spec("nanio") is None:
        pytest.skip("nanio is not installed; `nox -s sources` installs it")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("nanio")
    command = [Path(sys.executable).with_name("nanio"), "serve", "--host", "127.0.0.1", "--port", str(port)]
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(
            [*command, "--no-access-log", "--data-dir", str(folder / "data")],
            env={**os.environ, "NANIO_ACCESS_KEY": KEY, "NANIO_SECRET_KEY": SECRET},
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            while not _listens(port):
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _listens(port: int) -> bool:
    with contextlib.closing(socket.socket()) as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0
