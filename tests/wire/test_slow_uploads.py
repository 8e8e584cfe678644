"""Slow tests of uploads: many files, big files, every emulator switch, full disks and missing permissions.

Memory is measured in a process of its own, with the emulator in another.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imgwire_async import AsyncImgwireClient, Image, RetryPolicy
from imgwire_async.emulator import Emulator

from .emulator_process import ROOT, EmulatorProcess, emulator_process
from .pictures import png
from .sources import KNOWN, UNKNOWN, noise

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MIB = 2**20


@pytest.fixture
def storage() -> Iterator[EmulatorProcess]:
    with emulator_process() as process:
        yield process


def measure(storage: EmulatorProcess, what: str, **settings_of_run: Any) -> dict[str, Any]:
    """Run uploads in a process of their own, and return the resources that they used."""
    settings = {"base_url": storage.base_url, "api_key": storage.api_key, **settings_of_run}
    completed = subprocess.run(
        [sys.executable, "-m", "wire.resource_usage", what, json.dumps(settings)],
        cwd=ROOT / "tests",
        text=True,
        capture_output=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr[-4000:]
    found: dict[str, Any] = json.loads(completed.stdout)
    print(what, settings_of_run, found)
    return found


# --- many ---------------------------------------------------------------------------------------------------


def folder_of(folder: Path, count: int, padding: int) -> Path:
    for number in range(count):
        (folder / f"{number}.png").write_bytes(png(number + 1, 1, padding=padding))
    return folder


def test_many_small_files_need_little_memory_and_few_open_files(
    storage: EmulatorProcess, tmp_path: Path
) -> None:
    found = measure(
        storage,
        "many",
        folder=str(folder_of(tmp_path, 50, 1_000)),
        warm_up=1_000,
        count=4_000,
        concurrency=32,
        open_file_limit=128,
    )
    assert found["done"] == 4_000
    # 3 kB per file.
    assert found["growth"] < 12 * MIB
    assert found["open_files"] < 100
    arrived = storage.received_puts()
    assert sum(puts.count for puts in arrived) == 5_000
    assert {(puts.status, puts.chunked) for puts in arrived} == {(200, False)}
    assert {puts.sha256 for puts in arrived} == {
        hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()
    }


@pytest.mark.parametrize("unknown_size", [False, True], ids=["paths", "spooled"])
def test_open_files_stay_below_the_limit_at_any_concurrency(
    storage: EmulatorProcess, tmp_path: Path, unknown_size: bool
) -> None:
    found = measure(
        storage,
        "many",
        folder=str(folder_of(tmp_path, 10, 700_000)),
        warm_up=50,
        count=500,
        concurrency=400,
        open_file_limit=128,
        unknown_size=unknown_size,
    )
    assert (found["done"], found["open_files"] < 128) == (500, True)
    assert {puts.status for puts in storage.received_puts()} == {200}


# --- big ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["path", "async iterator", "spooled"])
def test_a_file_of_one_gibibyte_needs_little_memory(
    storage: EmulatorProcess, tmp_path: Path, kind: str
) -> None:
    size = 2**30
    path = tmp_path / "big.bin"
    with path.open("wb") as file:
        # A sparse file: it is read as zeros and uses no disk space.
        file.truncate(size)
    found = measure(storage, "one", kind=kind, path=str(path), size=size)
    assert found["growth"] < 16 * MIB
    digest = hashlib.sha256()
    for _ in range(size // MIB):
        digest.update(bytes(MIB))
    big = [puts for puts in storage.received_puts() if puts.length == size]
    assert [(puts.status, puts.sha256, puts.chunked) for puts in big] == [(200, digest.hexdigest(), False)]


BIG_KINDS = [
    "path",
    "bytes",
    "open file",
    "anyio",
    "aiofiles",
    "UploadFile on disk",
    "fsspec file",
    "obstore local reader",
    "own source",
    "request.content",
    "body part",
    "generator",
    "async generator",
    "pipe",
    "FIFO",
]


@pytest.mark.parametrize("kind", BIG_KINDS)
async def test_70_megabytes_of_every_kind_arrive_completely(
    storage: EmulatorProcess, tmp_path: Path, kind: str
) -> None:
    # More than any buffer holds, and more than the emulator keeps of a body.
    data = noise(70_000_000)
    async with AsyncImgwireClient(storage.api_key, base_url=storage.base_url) as client:
        async with {**KNOWN, **UNKNOWN}[kind](data, tmp_path) as file:
            await client.images.upload(file, mime_type="image/png")
    (put,) = storage.received_puts()
    assert (put.status, put.length, put.chunked) == (200, len(data), False)
    assert put.sha256 == hashlib.sha256(data).hexdigest()
    # pytest would keep the files of three runs.
    for path in tmp_path.iterdir():
        path.unlink()


# --- errors of the operating system -------------------------------------------------------------------------


def run(
    code: str, storage: EmulatorProcess, *before: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own; `before` is the command that starts Python."""
    script = "import asyncio, os\nfrom imgwire_async import AsyncImgwireClient\n" + textwrap.dedent(code)
    settings = {"IMGWIRE_API_KEY": storage.api_key, "IMGWIRE_API_BASE_URL": storage.base_url}
    return subprocess.run(
        [*before, sys.executable, "-c", script],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
        env={**os.environ, **settings, **environment},
        timeout=60,
    )


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can become a user without permission to read the file"
)
def test_a_file_without_read_permission_raises_permission_error(
    storage: EmulatorProcess, tmp_path: Path
) -> None:
    path, ordinary = tmp_path / "secret.png", tmp_path / "ordinary.png"
    path.write_bytes(png())
    ordinary.write_bytes(png(padding=2_000))
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    path.chmod(0)
    completed = run(
        """
        async def main():
            async with AsyncImgwireClient() as client:
                await client.images.upload(os.environ["OPEN"])  # imports all modules
                os.setuid(65534)
                try:
                    await client.images.upload(os.environ["SECRET"])
                except PermissionError as error:
                    print("PermissionError", error.filename)
                results = [result async for result in client.images.upload_many([os.environ["SECRET"], b"x"])]
                print(sorted(type(result.error).__name__ for result in results))

        asyncio.run(main())
        """,
        storage,
        SECRET=str(path),
        OPEN=str(ordinary),
    )
    path.chmod(0o600)
    assert completed.stdout == f"PermissionError {path}\n['PermissionError', 'UnsupportedImageError']\n", (
        completed.stderr
    )
    assert sum(puts.count for puts in storage.received_puts()) == 1


def small_disk(folder: Path) -> list[str]:
    """Return a command prefix that mounts a disk of one megabyte at `folder`, in its own namespace."""
    mount = f'mount -t tmpfs -o size=1m tmpfs "{folder}" && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", mount, "sh"]
    try:
        tried = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if tried.returncode != 0:
        pytest.skip(f"a mount namespace cannot be created here: {tried.stderr.strip()}")
    return command


@pytest.mark.parametrize("size", [1_200_000, 5_000_000])
def test_the_error_for_a_full_disk_names_the_folder_and_what_to_do(
    storage: EmulatorProcess, tmp_path: Path, size: int
) -> None:
    completed = run(
        f"""
        async def chunks(size):
            for _ in range(size // 1000):
                yield bytes(1000)

        async def main():
            async with AsyncImgwireClient() as client:
                try:
                    await client.images.upload(chunks({size}), mime_type="image/png")
                except OSError as error:
                    print(error)
                print([name for name in os.listdir("/proc/self/fd") if os.environ["TMPDIR"] in str(os.path.realpath("/proc/self/fd/" + name))])
                await client.images.upload(chunks({size}), mime_type="image/png", content_length={size})

        asyncio.run(main())
        """,
        storage,
        *small_disk(tmp_path),
        TMPDIR=str(tmp_path),
    )
    assert completed.returncode == 0, completed.stderr
    message, open_files = completed.stdout.splitlines()
    assert "No space left on device" in message
    assert str(tmp_path) in message
    assert "set TMPDIR to another directory, or pass content_length=" in message
    assert open_files == "[]"
    (put,) = storage.received_puts()
    assert (put.status, put.length) == (200, size)


# --- every switch of the emulator ---------------------------------------------------------------------------

SWITCHES: list[dict[str, Any]] = [
    {},
    {"ready_after": 0.3},
    {"ready_polls": 0},
    {"ready_polls": 3},
    {"idempotency": "conflict"},
    {"idempotency": "same_dead_url"},
    {"idempotency": "ignored"},
    {"signed_content_type": False},
    {"url_lifetime": 1.0},
    {"null_sizes_while_pending": True},
    {"expired_status": 400},
    {"second_put": "refused"},
    {"second_put": "refused", "idempotency": "same_dead_url"},
    {"second_put": "refused", "idempotency": "ignored"},
    {"rate_limit": 20},
]

BIG = png(padding=1_500_000)

# The faults planned before an upload.
FAULTS: dict[str, list[tuple[str, str, dict[str, Any]]]] = {
    "none": [],
    "503": [("PUT", "/uploads/*", {"status": 503})],
    "RST in the PUT": [("PUT", "/uploads/*", {"reset": 700_000})],
    "PUT response lost": [("PUT", "/uploads/*", {"reset": "after_commit"})],
    "create response lost": [("POST", "*/standard_upload", {"reset": "after_commit"})],
    "create response lost, then 503": [
        ("POST", "*/standard_upload", {"reset": "after_commit"}),
        ("PUT", "/uploads/*", {"status": 503}),
    ],
    "429 of the API": [("POST", "*/standard_upload", {"status": 429, "headers": {"Retry-After": "0"}})],
}


def switches_id(switches: dict[str, Any]) -> str:
    return ",".join(f"{name}={value}" for name, value in switches.items()) or "defaults"


@pytest.mark.parametrize("switches", SWITCHES, ids=switches_id)
async def test_an_upload_arrives_completely_with_every_emulator_switch(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path
) -> None:
    """One record is READY with all bytes. Any other record is PENDING without bytes."""
    path = tmp_path / "picture.png"
    path.write_bytes(BIG)
    quick = client.with_options(retries=RetryPolicy(backoff=0.01))
    for name, faults in FAULTS.items():
        emulator.reset()
        for method, target, fault in faults:
            emulator.faults.add(method, target, **fault)
        image = await quick.images.upload(path, wait=True)
        assert (image.status, image.size_bytes, image.width) == ("READY", len(BIG), 3), name
        stored = emulator.images[image.id].stored
        assert stored is not None
        assert stored.sha256 == hashlib.sha256(BIG).hexdigest(), name
        others = [other for other in emulator.images.values() if other.id != image.id]
        assert all(other.stored is None for other in others), name
        assert len(others) <= 1, name
        rejected = [put.target for put in emulator.requests if put.status in {400, 403}]
        assert len(set(rejected)) == len(rejected), "no rejected URL is used again"


@pytest.mark.parametrize("switches", SWITCHES, ids=switches_id)
async def test_an_expired_url_is_replaced_with_every_emulator_switch(
    client: AsyncImgwireClient, emulator: Emulator, switches: dict[str, Any]
) -> None:
    created: list[str] = []

    def expire_first_url(image: Image) -> None:
        if not created:
            emulator.clock.advance(switches.get("url_lifetime", 900.0) + 1)
        created.append(image.id)

    image = await client.images.upload(BIG, on_created=expire_first_url, wait=True)
    assert (image.status, image.size_bytes) == ("READY", len(BIG))
    first, *rest = [put for put in emulator.requests if put.host == "storage"]
    assert first.status == switches.get("expired_status", 403)
    assert [put.status for put in rest] == [200]
    assert created[-1] == image.id


@pytest.mark.parametrize("switches", SWITCHES, ids=switches_id)
async def test_each_of_many_files_is_stored_once_with_every_emulator_switch(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    quick = client.with_options(retries=RetryPolicy(max_retries=6, backoff=0.01))
    for after in (2, 5, 11):
        emulator.faults.add("PUT", "/uploads/*", after=after, status=503)
        emulator.faults.add("PUT", "/uploads/*", after=after + 1, reset=500)
        emulator.faults.add("PUT", "/uploads/*", after=after + 2, reset="after_commit")
    files = [png(width, 1, padding=1_000) for width in range(1, 21)]
    widths = [
        result.unwrap().width async for result in quick.images.upload_many(files, concurrency=4, wait=True)
    ]
    assert sorted(widths) == list(range(1, 21))
    assert sum(image.stored is not None for image in emulator.images.values()) == 20
