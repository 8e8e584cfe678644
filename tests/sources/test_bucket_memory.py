"""The memory of plans and runs does not grow with the number of objects of a bucket."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from batch.gifs import gif

from imgwire_async.emulator import Emulator

from .s3_server import S3Server

TESTS = Path(__file__).parents[1]
PLANNED = 100_000
# A request to a bucket takes botocore milliseconds, so these are fewer files than for other sources.
UPLOADED = int(os.environ.get("BATCH_TESTS_FILES", "2500"))
# It would be the same for ten times as many objects.
MAX_GROWTH = 24 * 2**20

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process from /proc"),
]


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    # With a loop of its own, so that a thread serves the uploads.
    with Emulator(ready_polls=0) as made:
        made.keep_bodies = False
        yield made


@pytest.mark.parametrize(("command", "count"), [("plan", PLANNED), ("upload", UPLOADED)])
async def test_the_memory_is_the_same_for_many_objects(
    emulator: Emulator, s3: S3Server, tmp_path: Path, command: str, count: int
) -> None:
    s3.objects = {f"photos/{number // 1_000:03}/{number:06}.gif": gif(number) for number in range(count)}
    arguments = [command, "s3", f"{s3.origin.rpartition(':')[2]}/box", str(tmp_path / "j")]
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "batch.source_memory", *arguments],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)]),
            "IMGWIRE_API_KEY": emulator.api_key,
            "IMGWIRE_API_BASE_URL": emulator.base_url,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()[-2_000:]
    found, growth = map(int, output.split())
    assert found == count
    assert growth < MAX_GROWTH
    if command == "plan":
        # One request for each 1,000 keys.
        assert len(s3.requests) == PLANNED / 1_000
