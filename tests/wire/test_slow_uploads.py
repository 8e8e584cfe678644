"""What takes long: many files, big files, every switch of the emulator, and machines that refuse.

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
    with emulator_process() as there:
        yield there


def haul(storage: EmulatorProcess, what: str, **given: Any) -> dict[str, Any]:
    """What the uploads took, from a process of their own."""
    settings = {"base_url": storage.base_url, "api_key": storage.api_key, **given}
    done = subprocess.run(
        [sys.executable, "-m", "wire.resource_usage", what, json.dumps(settings)],
        cwd=ROOT / "tests",
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout)
    print(what, given, found)
    return found


# --- many ---------------------------------------------------------------------------------------------------------------


def folder_of(where: Path, count: int, padding: int) -> Path:
    for number in range(count):
        (where / f"{number}.png").write_bytes(png(number + 1, 1, padding=padding))
    return where


def test_many_small_files_need_little_memory_and_few_open_files(
    storage: EmulatorProcess, tmp_path: Path
) -> None:
    found = haul(
        storage,
        "many",
        folder=str(folder_of(tmp_path, 50, 1_000)),
        warm_up=1_000,
        count=4_000,
        concurrency=32,
        open_file_limit=128,
    )
    assert found["done"] == 4_000
    assert found["growth"] < 12 * MIB  # 3 kB a file
    assert found["open_files"] < 100
    arrived = storage.received_puts()
    assert sum(each.count for each in arrived) == 5_000
    assert {(each.status, each.chunked) for each in arrived} == {(200, False)}
    assert {each.sha256 for each in arrived} == {
        hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()
    }


@pytest.mark.parametrize("unknown_size", [False, True], ids=["paths", "spooled"])
def test_open_files_stay_below_the_limit_at_any_concurrency(
    storage: EmulatorProcess, tmp_path: Path, unknown_size: bool
) -> None:
    found = haul(
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


# --- big ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["path", "async iterator", "spooled"])
def test_a_file_of_one_gibibyte_needs_little_memory(
    storage: EmulatorProcess, tmp_path: Path, kind: str
) -> None:
    size = 2**30
    path = tmp_path / "big.bin"
    with path.open("wb") as file:
        file.truncate(size)  # a hole: it is read as zeros and takes no place
    found = haul(storage, "one", kind=kind, path=str(path), size=size)
    assert found["growth"] < 16 * MIB
    digest = hashlib.sha256()
    for _ in range(size // MIB):
        digest.update(bytes(MIB))
    big = [puts for puts in storage.received_puts() if puts.length == size]
    assert [(each.status, each.sha256, each.chunked) for each in big] == [(200, digest.hexdigest(), False)]


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
    data = noise(70_000_000)  # more than any buffer, and than the emulator keeps
    async with AsyncImgwireClient(storage.api_key, base_url=storage.base_url) as client:
        async with {**KNOWN, **UNKNOWN}[kind](data, tmp_path) as file:
            await client.images.upload(file, mime_type="image/png")
    (put,) = storage.received_puts()
    assert (put.status, put.length, put.chunked) == (200, len(data), False)
    assert put.sha256 == hashlib.sha256(data).hexdigest()
    for path in tmp_path.iterdir():  # before pytest keeps three runs of them
        path.unlink()


# --- machines that refuse -------------------------------------------------------------------------------------------------


def run(
    code: str, storage: EmulatorProcess, *before: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A script in a process of its own, with a client for the emulator; `before` is the command that starts it."""
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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody who may not read the file")
def test_a_file_without_read_permission_raises_permission_error(
    storage: EmulatorProcess, tmp_path: Path
) -> None:
    path, ordinary = tmp_path / "secret.png", tmp_path / "ordinary.png"
    path.write_bytes(png())
    ordinary.write_bytes(png(padding=2_000))
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    path.chmod(0)
    done = run(
        """
        async def main():
            async with AsyncImgwireClient() as client:
                await client.images.upload(os.environ["OPEN"])  # all is imported
                os.setuid(65534)
                try:
                    await client.images.upload(os.environ["SECRET"])
                except PermissionError as error:
                    print("PermissionError", error.filename)
                results = [each async for each in client.images.upload_many([os.environ["SECRET"], b"x"])]
                print(sorted(type(each.error).__name__ for each in results))

        asyncio.run(main())
        """,
        storage,
        SECRET=str(path),
        OPEN=str(ordinary),
    )
    path.chmod(0o600)
    assert done.stdout == f"PermissionError {path}\n['PermissionError', 'UnsupportedImageError']\n", (
        done.stderr
    )
    assert sum(puts.count for puts in storage.received_puts()) == 1


def small_disk(where: Path) -> list[str]:
    """The start of a command that finds one megabyte of disk there, in a mount namespace of its own."""
    mount = f'mount -t tmpfs -o size=1m tmpfs "{where}" && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", mount, "sh"]
    try:
        tried = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if tried.returncode != 0:
        pytest.skip(f"no mount namespace of one's own here: {tried.stderr.strip()}")
    return command


@pytest.mark.parametrize("size", [1_200_000, 5_000_000])
def test_the_error_for_a_full_disk_names_the_folder_and_what_to_do(
    storage: EmulatorProcess, tmp_path: Path, size: int
) -> None:
    done = run(
        f"""
        async def pieces(size):
            for _ in range(size // 1000):
                yield bytes(1000)

        async def main():
            async with AsyncImgwireClient() as client:
                try:
                    await client.images.upload(pieces({size}), mime_type="image/png")
                except OSError as error:
                    print(error)
                print([name for name in os.listdir("/proc/self/fd") if os.environ["TMPDIR"] in str(os.path.realpath("/proc/self/fd/" + name))])
                await client.images.upload(pieces({size}), mime_type="image/png", content_length={size})

        asyncio.run(main())
        """,
        storage,
        *small_disk(tmp_path),
        TMPDIR=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    said, left = done.stdout.splitlines()
    assert "No space left on device" in said
    assert str(tmp_path) in said
    assert "set TMPDIR to another directory, or give content_length=" in said
    assert left == "[]"
    (put,) = storage.received_puts()
    assert (put.status, put.length) == (200, size)


# --- every switch of the emulator -----------------------------------------------------------------------------------------

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

# What goes wrong on the way.
WAYS: dict[str, list[tuple[str, str, dict[str, Any]]]] = {
    "nothing": [],
    "503": [("PUT", "/uploads/*", {"status": 503})],
    "RST in the PUT": [("PUT", "/uploads/*", {"reset": 700_000})],
    "PUT answer lost": [("PUT", "/uploads/*", {"reset": "after_commit"})],
    "mint answer lost": [("POST", "*/standard_upload", {"reset": "after_commit"})],
    "mint answer lost, then 503": [
        ("POST", "*/standard_upload", {"reset": "after_commit"}),
        ("PUT", "/uploads/*", {"status": 503}),
    ],
    "429 of the API": [("POST", "*/standard_upload", {"status": 429, "headers": {"Retry-After": "0"}})],
}


def way_id(switches: dict[str, Any]) -> str:
    return ",".join(f"{name}={value}" for name, value in switches.items()) or "defaults"


@pytest.mark.parametrize("switches", SWITCHES, ids=way_id)
async def test_an_upload_arrives_completely_with_every_emulator_switch(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path
) -> None:
    """Once, whatever is in the way: one record that is READY with all its bytes; others are PENDING without any."""
    path = tmp_path / "picture.png"
    path.write_bytes(BIG)
    quick = client.with_options(retries=RetryPolicy(backoff=0.01))
    for way, faults in WAYS.items():
        emulator.reset()
        for method, target, fault in faults:
            emulator.faults.add(method, target, **fault)
        image = await quick.images.upload(path, wait=True)
        assert (image.status, image.size_bytes, image.width) == ("READY", len(BIG), 3), way
        stored = emulator.images[image.id].stored
        assert stored is not None
        assert stored.sha256 == hashlib.sha256(BIG).hexdigest(), way
        others = [each for each in emulator.images.values() if each.id != image.id]
        assert all(each.stored is None for each in others), way
        assert len(others) <= 1, way
        refused = [put.target for put in emulator.requests if put.status in {400, 403}]
        assert len(set(refused)) == len(refused), "no refused URL is used again"


@pytest.mark.parametrize("switches", SWITCHES, ids=way_id)
async def test_an_expired_url_is_replaced_with_every_emulator_switch(
    client: AsyncImgwireClient, emulator: Emulator, switches: dict[str, Any]
) -> None:
    aged: list[str] = []

    def age(image: Image) -> None:
        if not aged:
            emulator.clock.advance(switches.get("url_lifetime", 900.0) + 1)
        aged.append(image.id)

    image = await client.images.upload(BIG, on_created=age, wait=True)
    assert (image.status, image.size_bytes) == ("READY", len(BIG))
    first, *rest = [put for put in emulator.requests if put.host == "storage"]
    assert first.status == switches.get("expired_status", 403)
    assert [put.status for put in rest] == [200]
    assert aged[-1] == image.id


@pytest.mark.parametrize("switches", SWITCHES, ids=way_id)
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
