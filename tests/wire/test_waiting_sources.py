"""Sources that have no bytes yet, that misreport what they can do, or that hang in the kernel."""

from __future__ import annotations

import array
import asyncio
import ctypes
import gzip
import hashlib
import io
import mmap
import os
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from imgwire_async import (
    AsyncImgwireClient,
    SourceChangedError,
    UnsupportedImageError,
    UploadSizeError,
)
from imgwire_async.emulator import Emulator, RequestRecord

from .pictures import png
from .sources import noise

CHUNK_SIZE = 512 * 1024


def puts(emulator: Emulator) -> list[RequestRecord]:
    return [record for record in emulator.requests if record.host == "storage"]


def require_complete(emulator: Emulator, data: bytes) -> None:
    (put,) = puts(emulator)
    assert (put.status, put.body_length) == (200, len(data))
    assert put.body_sha256 == hashlib.sha256(data).hexdigest()


# --- sources without bytes yet ------------------------------------------------------------------------------


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "spooled"])
@pytest.mark.parametrize(
    "buffering",
    [
        pytest.param(-1, id="buffered"),
        pytest.param(0, id="raw"),
        pytest.param(64, id="small buffer", marks=pytest.mark.slow),
    ],
)
async def test_a_non_blocking_pipe_is_read_to_its_end(
    client: AsyncImgwireClient, emulator: Emulator, buffering: int, declared: bool
) -> None:
    data = noise(600_000)
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    go = threading.Event()

    def write() -> None:
        with os.fdopen(writing, "wb", buffering=0) as end:
            for start in range(0, len(data), 60_000):
                end.write(data[start : start + 60_000])
                # So that some reads find no bytes.
                go.wait(0.02)

    thread = threading.Thread(target=write)
    with os.fdopen(reading, "rb", buffering=buffering) as file:
        task = asyncio.ensure_future(
            client.images.upload(file, mime_type="image/png", content_length=len(data) if declared else None)
        )
        # The first read finds no bytes.
        await asyncio.sleep(0.05)
        assert not task.done()
        thread.start()
        await task
        thread.join(10)
    require_complete(emulator, data)


class NonBlockingFile(io.RawIOBase):
    """A raw file whose read returns None where the list has None: no bytes are there yet."""

    def __init__(self, chunks: list[bytes | None]) -> None:
        self.chunks = chunks

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        chunk = self.chunks.pop(0) if self.chunks else b""
        if chunk is None:
            return None
        buffer[: len(chunk)] = chunk
        return len(chunk)


async def test_an_empty_read_of_a_non_blocking_buffered_file_is_not_its_end(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    whole = io.BufferedReader(NonBlockingFile([b"x" * 100, None, b"y" * 8]))
    await client.images.upload(whole, mime_type="image/png", content_length=108)
    require_complete(emulator, b"x" * 100 + b"y" * 8)
    emulator.reset()
    with pytest.raises(TypeError, match=r"must yield bytes, not NoneType: .*set_blocking"):
        await client.images.upload(
            io.BufferedReader(NonBlockingFile([b"x" * 100, None, None, b"y" * 8])), mime_type="image/png"
        )
    assert len(emulator.requests) == 0


async def test_an_empty_read_is_not_the_end_if_at_eof_says_so(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    class Reader:
        def __init__(self, *chunks: bytes) -> None:
            self.chunks = list(chunks)

        async def read(self, size: int = -1, /) -> bytes:
            return self.chunks.pop(0) if self.chunks else b""

        def at_eof(self) -> bool:
            return not self.chunks

    await client.images.upload(Reader(b"one", b"", b"", b"two"), mime_type="image/png")
    require_complete(emulator, b"onetwo")
    endless = Reader(b"one")
    endless.at_eof = lambda: False  # type: ignore[method-assign]
    with pytest.raises(OSError, match="not at its end"):
        await client.images.upload(endless, mime_type="image/png")


async def test_a_gzip_stream_over_a_non_blocking_file_is_never_truncated(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    packed = gzip.compress(noise(50_000))
    file = io.BufferedReader(NonBlockingFile([packed[:20_000], None, packed[20_000:]]), 60_000)
    with pytest.raises((EOFError, TypeError, OSError)):
        await client.images.upload(gzip.GzipFile(fileobj=file), mime_type="image/png")
    assert puts(emulator) == []


# --- files that misreport what they can do ------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        OSError("no"),
        ValueError("no"),
        NotImplementedError(),
        io.UnsupportedOperation("no"),
        AttributeError("no"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("method", ["seekable", "tell", "seek"])
async def test_a_file_whose_seek_fails_is_read_as_a_stream(
    client: AsyncImgwireClient, emulator: Emulator, method: str, error: Exception
) -> None:
    def fail(*_: object) -> Any:
        raise error

    data = noise(100_000)
    file = io.BytesIO(data)
    file_without_positions = type(
        "File",
        (),
        {name: getattr(file, name) for name in ("read", "seek", "tell", "seekable")}
        | {method: staticmethod(fail)},
    )()
    await client.images.upload(file_without_positions, mime_type="image/png")
    require_complete(emulator, data)


async def test_a_file_that_can_only_seek_to_its_end_raises(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    class File(io.BytesIO):
        def seek(self, position: int, whence: int = 0, /) -> int:
            if whence == io.SEEK_END:
                return super().seek(position, whence)
            raise OSError("only to the end")

    with pytest.raises(OSError, match="only to the end"):
        await client.images.upload(File(noise(100)), mime_type="image/png")
    assert len(emulator.requests) == 0


@pytest.mark.parametrize("kind", ["path", "file"])
async def test_a_file_that_reports_size_0_is_read_anyway(
    client: AsyncImgwireClient, emulator: Emulator, kind: str
) -> None:
    path = Path("/proc/self/limits")
    if not path.exists():
        pytest.skip("no /proc here")
    with path.open("rb") as file:
        await client.images.upload(path if kind == "path" else file, mime_type="image/png")
    require_complete(emulator, path.read_bytes())


async def test_a_spooled_temporary_file_stays_in_memory(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    data = png()
    with tempfile.SpooledTemporaryFile() as file:
        file.write(data)
        file.seek(0)
        await client.images.upload(file)
        assert file._rolled is False  # type: ignore[attr-defined]  # not public
    require_complete(emulator, data)


# --- buffers ------------------------------------------------------------------------------------------------


def memory_map(data: bytes) -> mmap.mmap:
    mapping = mmap.mmap(-1, len(data))
    mapping.write(data)
    return mapping


BUFFERS: dict[str, Callable[[bytes], Any]] = {
    "array of bytes": lambda data: array.array("B", data),
    "array of numbers": lambda data: array.array("I", data),
    "mmap": memory_map,
    "ctypes": lambda data: (ctypes.c_ubyte * len(data)).from_buffer_copy(data),
    "ctypes structure": lambda data: (
        type("S", (ctypes.BigEndianStructure,), {"_fields_": [("x", ctypes.c_uint32)]}) * (len(data) // 4)
    ).from_buffer_copy(data),
    "memoryview of numbers": lambda data: memoryview(data).cast("I"),
    "memoryview of rows": lambda data: memoryview(data).cast("B", shape=[4, len(data) // 4]),
    "every second number": lambda data: memoryview(
        b"".join(data[start : start + 4] + b"----" for start in range(0, len(data), 4))
    ).cast("I")[::2],
    "nothing": lambda data: array.array("B"),
}


@pytest.mark.parametrize("kind", BUFFERS)
async def test_an_object_with_the_buffer_protocol_is_uploaded_as_bytes(
    client: AsyncImgwireClient, emulator: Emulator, kind: str
) -> None:
    data = png(padding=112_000)
    data += bytes(-len(data) % 4)
    file = BUFFERS[kind](data)
    started_at = time.monotonic()
    await client.images.upload(file, mime_type="image/png")
    assert time.monotonic() - started_at < 5
    require_complete(emulator, b"" if kind == "nothing" else data)
    if isinstance(file, mmap.mmap):
        # Raises BufferError if the SDK still has a view of the memory.
        file.close()


@pytest.mark.parametrize("file", [[1, 2, 3], range(5), deque(["a", "b"]), [1.5]], ids=repr)
async def test_an_iterable_of_other_objects_is_rejected_at_its_first_item(
    client: AsyncImgwireClient, emulator: Emulator, file: Any
) -> None:
    with pytest.raises(TypeError, match="a source must yield bytes, not "):
        await client.images.upload(file, mime_type="image/png")
    assert len(emulator.requests) == 0


async def test_a_large_item_is_split_into_chunks(client: AsyncImgwireClient, emulator: Emulator) -> None:
    data, sent = noise(5_000_000), list[int]()

    async def chunks() -> AsyncIterator[bytes]:
        yield data

    await client.images.upload(
        chunks(),
        mime_type="image/png",
        content_length=len(data),
        on_progress=lambda now: sent.append(now.sent),
    )
    require_complete(emulator, data)
    assert max(later - before for before, later in zip([0, *sent], sent, strict=False)) <= 2 * CHUNK_SIZE


# --- replaced files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [100_000, 3_000_000])
@pytest.mark.parametrize("change", ["renamed", "written over"])
async def test_two_files_of_equal_size_and_time_are_never_mixed(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path, change: str, size: int
) -> None:
    path, other = tmp_path / "a.png", tmp_path / "b.png"
    one, two = png() + b"1" * size, png() + b"2" * size
    path.write_bytes(one)
    other.write_bytes(two)
    os.utime(path, ns=(0, 10**18))
    os.utime(other, ns=(0, 10**18))

    def replace_file(_: object) -> None:
        if change == "renamed":
            other.replace(path)
        else:
            path.write_bytes(two)
            os.utime(path, ns=(0, 10**18))

    results = [result async for result in client.images.upload_many([path], on_created=replace_file)]
    stored = [put.body_sha256 for put in puts(emulator) if put.status == 200]
    if results[0].error is None:
        assert stored in ([hashlib.sha256(one).hexdigest()], [hashlib.sha256(two).hexdigest()])
    else:
        assert isinstance(results[0].error, SourceChangedError)
        assert stored == []


async def test_a_new_file_mode_before_the_put_is_no_change(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(data := png(padding=3_000_000))
    await client.images.upload(path, on_created=lambda _: path.chmod(0o600))
    require_complete(emulator, data)


# --- raw pictures -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["path", "bytes", "file", "stream", "declared stream"])
async def test_a_raw_picture_that_begins_like_a_tiff_is_rejected_before_any_request(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path, kind: str
) -> None:
    # Its only directory is at the end. The photometric interpretation is that of a colour filter array.
    entry = (262).to_bytes(2, "little") + b"\3\0\1\0\0\0" + (32803).to_bytes(4, "little")
    data = b"II*\0" + (50_000).to_bytes(4, "little") + bytes(49_992) + b"\1\0" + entry + bytes(4)
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    options = {"content_length": len(data)} if kind == "declared stream" else {}
    files: dict[str, Callable[[], Any]] = {
        "path": lambda: path,
        "bytes": lambda: data,
        "file": lambda: io.BytesIO(data),
        "stream": lambda: iter([data]),
        "declared stream": lambda: iter([data]),
    }
    file = files[kind]()
    with pytest.raises(UnsupportedImageError, match="a camera's raw picture"):
        await client.images.upload(file, **options)
    assert len(emulator.requests) == 0
    await client.images.upload(files[kind](), mime_type="image/tiff", **options)
    require_complete(emulator, data)


# --- disks that hang ----------------------------------------------------------------------------------------

_LEASE = """
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, lambda *_: None)
holding = os.open(sys.argv[1], os.O_RDWR)
fcntl.fcntl(holding, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def unopenable_file(path: Path) -> Iterator[Path]:
    """A file whose open hangs: another process holds a lease on it and ignores the kernel's signal."""
    path.write_bytes(png(padding=10_000))
    with subprocess.Popen(
        [sys.executable, "-c", _LEASE, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            if process.stdout.readline() != "held\n":
                pytest.skip("no leases on this file system")
            yield path
        finally:
            process.stdin.close()


async def test_an_open_that_hangs_delays_neither_a_deadline_nor_a_cancellation(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path
) -> None:
    with unopenable_file(tmp_path / "hanging.png") as hanging:
        started_at = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.images.upload(hanging)
        task = asyncio.ensure_future(client.images.upload(hanging))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - started_at < 5


@pytest.mark.slow
async def test_files_that_hang_do_not_delay_other_files(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path
) -> None:
    healthy = tmp_path / "healthy.png"
    healthy.write_bytes(data := png(padding=10_000))
    with unopenable_file(tmp_path / "hanging.png") as hanging:
        hanging_uploads = [asyncio.ensure_future(client.images.upload(hanging)) for _ in range(30)]
        await asyncio.sleep(0.1)
        async with asyncio.timeout(20):
            for _ in range(3):
                await client.images.upload(healthy)
        for task in hanging_uploads:
            task.cancel()
        await asyncio.wait(hanging_uploads, timeout=10)
        assert all(task.cancelled() for task in hanging_uploads)
    assert {put.body_sha256 for put in puts(emulator)} == {hashlib.sha256(data).hexdigest()}


@pytest.mark.long
def test_a_process_can_end_while_a_disk_hangs(tmp_path: Path) -> None:
    """A blocking open of a FIFO without a writer hangs like that of a file on a broken network disk."""
    os.mkfifo(tmp_path / "fifo")
    code = """
        import asyncio, os, sys
        from imgwire_async import disk_work, user_code

        async def main():
            for run in (disk_work.run, user_code.run_reader):
                try:
                    async with asyncio.timeout(0.1):
                        await run(os.open, sys.argv[1], os.O_RDONLY)
                except TimeoutError:
                    print("left")

        asyncio.run(main())
        print("ended", flush=True)
    """
    started_at = time.monotonic()
    completed = subprocess.run(
        [sys.executable, "-W", "always", "-c", textwrap.dedent(code), tmp_path / "fifo"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (completed.stdout, completed.stderr, completed.returncode) == ("left\nleft\nended\n", "", 0)
    assert time.monotonic() - started_at < 20


async def test_a_fifo_is_not_closed_before_its_bytes_are_read(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    task = asyncio.ensure_future(client.images.upload(fifo, mime_type="image/png"))
    writer = await asyncio.to_thread(os.open, fifo, os.O_WRONLY)
    os.write(writer, b"all of it")
    # The bytes are lost, or the writer gets SIGPIPE, if the SDK closed the FIFO meanwhile.
    os.close(writer)
    await task
    require_complete(emulator, b"all of it")


# --- tasks cancelled by other code --------------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [0, 1, 2, 3, 5])
async def test_an_upload_continues_when_all_other_tasks_are_cancelled(
    client: AsyncImgwireClient, emulator: Emulator, tmp_path: Path, rounds: int
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(padding=3_000_000))
    many = [asyncio.ensure_future(client.images.upload(path)) for _ in range(40)]
    for _ in range(rounds):
        await asyncio.sleep(0)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        file_name: str = task.get_coro().cr_code.co_filename  # type: ignore[union-attr]  # always a coroutine
        if f"{os.sep}imgwire_async{os.sep}" in file_name and "emulator" not in file_name:
            task.cancel()
    async with asyncio.timeout(20):
        image = await client.images.upload(path)
        assert emulator.images[image.id].stored is not None
        for outcome in await asyncio.gather(*many, return_exceptions=True):
            assert isinstance(outcome, asyncio.CancelledError)


async def test_a_wrong_size_is_detected_when_the_last_item_was_split(
    client: AsyncImgwireClient, emulator: Emulator
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield bytes(3 * CHUNK_SIZE)

    with pytest.raises(UploadSizeError):
        await client.images.upload(chunks(), mime_type="image/png", content_length=3 * CHUNK_SIZE - 1)
    assert all(put.status is None for put in puts(emulator))
