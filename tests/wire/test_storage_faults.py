"""Faults of the storage during an upload of five megabytes.

All bytes arrive, or the upload raises. An incomplete body never gets a 200.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from imgwire_async import (
    AsyncImgwireClient,
    Hooks,
    Image,
    ResponseEvent,
    RetryPolicy,
    Timeouts,
    UploadItem,
    UploadNotReplayableError,
    UploadRejectedError,
    UploadStalledError,
)
from imgwire_async.emulator import Emulator, RequestRecord

from .sources import async_chunks_of, chunks_of, noise

DATA = noise(5_000_000)
SHA256 = hashlib.sha256(DATA).hexdigest()
ONCE = {"async generator": async_chunks_of, "generator": chunks_of}

FAULTS: dict[str, dict[str, Any]] = {
    "RST before anything": {"reset": "before"},
    "RST at 0": {"reset": 0},
    "RST at 1 kB": {"reset": 1_000},
    "RST at half": {"reset": len(DATA) // 2},
    "RST before the last byte": {"reset": len(DATA) - 1},
    "RST after the last byte": {"reset": len(DATA)},
    "RST after commit": {"reset": "after_commit"},
    "503": {"status": 503},
    "early 503": {"status": 503, "early": True},
    "early 413": {"status": 413, "early": True, "body": "<Code>EntityTooLarge</Code>"},
    "early 503, closed": {"status": 503, "early": True, "headers": {"Connection": "close"}},
    "early 413, closed": {"status": 413, "early": True, "headers": {"Connection": "close"}, "body": "<Code>EntityTooLarge</Code>"},
}  # fmt: skip


def puts(emulator: Emulator) -> list[RequestRecord]:
    return [record for record in emulator.requests if record.host == "storage"]


@pytest.fixture
def file(tmp_path: Path, kind: str) -> Iterator[Any]:
    """Yield a new source of the kind under test."""
    path = tmp_path / "picture.bin"
    with ExitStack() as stack:
        if kind in {"path", "file"}:
            path.write_bytes(b"#" * 1_000 + DATA if kind == "file" else DATA)
        if kind == "file":
            opened = stack.enter_context(path.open("rb"))
            opened.seek(1_000)
            yield opened
        else:
            yield {"path": path, "bytes": DATA, **{name: create(DATA) for name, create in ONCE.items()}}[kind]


def require_no_incomplete_body(emulator: Emulator) -> None:
    """Assert that each PUT with status 200, and each stored picture, has all bytes."""
    for put in puts(emulator):
        if put.status == 200:
            assert (put.body_length, put.body_sha256) == (len(DATA), SHA256)
    for image in emulator.images.values():
        assert image.stored is None or image.stored.sha256 == SHA256


@pytest.mark.world
@pytest.mark.parametrize(
    "fault",
    [pytest.param(name, marks=pytest.mark.slow if name == "early 413, closed" else ()) for name in FAULTS],
)
@pytest.mark.parametrize(
    ("kind", "reused"),
    [
        ("path", False),
        ("async generator", True),
        *(
            pytest.param(kind, reused, marks=pytest.mark.slow)
            for kind, reused in [
                ("path", True),
                ("bytes", False),
                ("file", False),
                *((kind, False) for kind in ONCE),
            ]
        ),
    ],
)
async def test_an_upload_arrives_completely_or_raises(
    client: AsyncImgwireClient, emulator: Emulator, file: Any, kind: str, fault: str, reused: bool
) -> None:
    """On a new connection, and on one that was used before."""
    quick = client.with_options(retries=RetryPolicy(backoff=0.01))
    if reused:
        await quick.images.upload(DATA, mime_type="image/png")
    emulator.faults.add("PUT", "/uploads/*", **FAULTS[fault])
    upload = quick.images.upload(
        file, mime_type="image/png", content_length=len(DATA) if kind in ONCE else None
    )
    if fault.startswith("early 413"):
        with pytest.raises(UploadRejectedError, match="EntityTooLarge") as rejected:
            await upload
        assert rejected.value.status == 413
    elif kind in ONCE and fault != "RST after commit":
        with pytest.raises(UploadNotReplayableError, match="read only once") as once:
            await upload
        assert once.value.__cause__ is not None
    else:
        image = await upload
        stored = emulator.images[image.id].stored
        assert stored is not None
        assert stored.sha256 == SHA256
    require_no_incomplete_body(emulator)
    sent = puts(emulator)[1:] if reused else puts(emulator)
    assert not reused or puts(emulator)[0].connection == sent[0].connection
    is_retried = kind not in ONCE and fault != "RST after commit" and "413" not in fault
    assert len(sent) == (2 if is_retried else 1)


def connections_to(origin: str) -> int:
    """Return how many established connections to `origin` this process has, from /proc/net/tcp."""
    port = int(origin.rpartition(":")[2])
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()]
    return sum(row[2].endswith(f":{port:04X}") and row[3] == "01" for row in rows)


@pytest.mark.world
@pytest.mark.parametrize(
    "ending",
    [
        "cancel",
        pytest.param("stall", marks=pytest.mark.slow),
        pytest.param("deadline", marks=pytest.mark.slow),
    ],
)
async def test_no_connection_stays_open_to_a_storage_that_stalls(
    client: AsyncImgwireClient, emulator: Emulator, ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Bytes buffered for a peer that does not read must not keep its socket open."""
    timeouts = {"cancel": Timeouts(), "stall": Timeouts(stall=0.3), "deadline": Timeouts(deadline=0.5)}
    impatient = client.with_options(timeout=timeouts[ending], retries=0)
    await client.images.upload(b"x", mime_type="image/png")
    assert connections_to(emulator.storage_url) == 1
    emulator.faults.add("PUT", "/uploads/*", times=None, stall=float("inf"))
    for number in range(3):
        upload = asyncio.ensure_future(impatient.images.upload(DATA * 4, mime_type="image/png"))
        while ending == "cancel" and len(puts(emulator)) < number + 2:
            await asyncio.sleep(0.005)
        if ending == "cancel":
            upload.cancel()
        await asyncio.wait({upload})
        assert upload.cancelled() or isinstance(upload.exception(), TimeoutError)
    async with asyncio.timeout(10):
        while connections_to(emulator.storage_url):
            await asyncio.sleep(0.005)
    gc.collect()
    assert caplog.text == "", "asyncio must not log a warning"


@pytest.mark.world
@pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="from 3.12 on aiohttp's writer takes its first step at once"
)
async def test_an_upload_fails_if_other_code_cancels_its_writer_task(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    """Code that cancels all tasks also cancels aiohttp's writer task, and aiohttp does not notice."""
    cancelled: list[str] = []

    def cancel_writers(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
        # The second request is the PUT.
        if coroutine.__name__ == "write_bytes" and len(emulator.requests) == 1 and not cancelled:
            cancelled.append(task.get_name())
            task.cancel()
        return task

    loop = asyncio.get_running_loop()
    loop.set_task_factory(cancel_writers)
    try:
        async with asyncio.timeout(10):
            with pytest.raises(UploadStalledError, match="accepted no byte"):
                await client.with_options(timeout=Timeouts(stall=0.3)).images.upload(
                    DATA, mime_type="image/png"
                )
    finally:
        loop.set_task_factory(None)
    assert cancelled
    assert (await client.images.upload(DATA, mime_type="image/png")).id in emulator.images


# --- URLs that expire after one second ----------------------------------------------------------------------


@pytest.mark.world
@pytest.mark.parametrize("switches", [{"url_lifetime": 1.0}])
async def test_no_expired_url_is_used_twice(client: AsyncImgwireClient, emulator: Emulator) -> None:
    """50 files, two at the same time. The emulator's clock advances only with a PUT or a callback."""
    created = 0

    def expire_some_urls(_: Image) -> None:
        nonlocal created
        created += 1
        # Longer than the lifetime of the URL.
        if created % 5 == 0:
            emulator.clock.advance(1.5)

    def advance_clock(event: ResponseEvent) -> None:
        if event.kind == "storage":
            emulator.clock.advance(0.3)

    quick = client.with_options(hooks=Hooks(on_response=advance_clock))
    files = [
        UploadItem(noise(1_000 + number), mime_type="image/png", file_name=f"{number}.png")
        for number in range(50)
    ]
    results = [
        result async for result in quick.images.upload_many(files, concurrency=2, on_created=expire_some_urls)
    ]
    arrived: dict[str, str] = {}
    for result in results:
        stored = emulator.images[result.unwrap().id].stored
        assert stored is not None
        arrived[result.unwrap().original_filename] = stored.sha256
    assert arrived == {f"{n}.png": hashlib.sha256(noise(1_000 + n)).hexdigest() for n in range(50)}
    rejected = [put.target for put in puts(emulator) if put.status == 403]
    assert len(rejected) >= 10, "every fifth URL had expired"
    assert len({put.target for put in puts(emulator)}) == len(puts(emulator)) == 50 + len(rejected)


@pytest.mark.long
@pytest.mark.world
@pytest.mark.parametrize("switches", [{"url_lifetime": 1.0}])
async def test_no_url_expires_while_files_wait_for_a_slot(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    """Twelve files of 0.3 s share two slots. A URL is requested only when its PUT can start."""
    emulator.faults.add("PUT", "/uploads/*", times=None, slow=200_000)
    many = client.images.upload_many(
        [UploadItem(noise(60_000 + n), mime_type="image/png") for n in range(12)], concurrency=2
    )
    assert {(result.error, result.attempts) async for result in many} == {(None, 1)}
    assert {put.status for put in puts(emulator)} == {200}
