"""Ctrl-C during an upload of both forms, in processes of their own with real signals."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imgwire_async import AsyncImgwireClient, Timeouts
from imgwire_async.batch import AsyncBatch
from imgwire_async.emulator import Emulator

from .gifs import write_gifs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for other processes"),
]

# Seconds. The uploads in progress take so long, and all processes end well before `LONG`.
SLOW = 1.0
LONG = 30.0
FILES = 60

HEAD = """
import asyncio, signal, sys, threading, time
# Tests that a shell runs in the background ignore Ctrl-C, and so would this process.
signal.signal(signal.SIGINT, signal.default_int_handler)
from imgwire_async import AsyncImgwireClient, ImgwireClient
from imgwire_async.batch import AsyncBatch, Batch

def say(*words):
    print(*words, flush=True)
"""

ASYNC = """
async def main():
    async with AsyncImgwireClient() as client, AsyncBatch(client, "journal", concurrency=4) as batch:
        try:
            async for result in batch.upload("photos"):
                say(result.status)
            say("not reached")
        finally:
            say("ended", batch.summary().uploaded)
"""

BLOCKING = """
def main():
    with ImgwireClient() as client, Batch(client, "journal", concurrency=4) as batch:
        try:
            for result in batch.upload("photos"):
                say(result.status)
            say("not reached")
        finally:
            say("ended", batch.summary().uploaded)
"""

RUNNERS = {
    "asyncio.run": ASYNC + "asyncio.run(main())",
    "uvloop": ASYNC
    + "import uvloop\nwith asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:\n    runner.run(main())",
    "no runner": ASYNC + "loop = asyncio.new_event_loop()\nloop.run_until_complete(main())",
    "blocking": BLOCKING + "main()",
}
runners = pytest.mark.parametrize("code", RUNNERS.values(), ids=RUNNERS)


class Process:
    """A script that uploads a folder in `cwd` to the emulator."""

    def __init__(self, code: str, cwd: Path, emulator: Emulator) -> None:
        self.emulator = emulator
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", HEAD + textwrap.dedent(code)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env=os.environ | {"IMGWIRE_API_KEY": emulator.api_key, "IMGWIRE_API_BASE_URL": emulator.base_url},
        )

    def press(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def wait_for_message(self) -> None:
        """Wait until the process has written how to go on."""
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        assert "Run the same program again" in line, line + self.process.stderr.read()

    def end(self) -> tuple[list[str], str, int]:
        out, err = self.process.communicate(timeout=60)
        return out.splitlines(), err, self.process.returncode


def until(condition: Callable[[], object], process: Process) -> None:
    end = time.monotonic() + LONG
    while not condition():
        assert process.process.poll() is None, process.end()
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def start(emulator: Emulator, folder: Path) -> Iterator[Callable[[str], Process]]:
    """Return a function that starts a script in a folder with pictures."""
    write_gifs(folder / "photos", FILES)
    processes: list[Process] = []

    def new(code: str) -> Process:
        processes.append(Process(code, folder, emulator))
        return processes[-1]

    yield new
    for process in processes:
        process.process.kill()
        process.process.communicate()


async def finish(emulator: Emulator, folder: Path) -> tuple[int, int]:
    """Run the upload to its end. Return the number of uploads, and that of images that have bytes."""
    emulator.faults.clear()
    async with (
        AsyncImgwireClient(
            emulator.api_key, base_url=emulator.base_url, timeout=Timeouts(stall=0.5)
        ) as client,
        AsyncBatch(client, folder / "journal") as batch,
    ):
        results = [result async for result in batch.upload(folder / "photos")]
        assert len([*batch.records(status="done")]) == FILES
        images = [image async for image in client.images.list_all()]
    return len(results), len([image for image in images if image.status != "PENDING"])


@runners
async def test_the_first_ctrl_c_yields_what_is_in_progress_and_then_interrupts(
    code: str, start: Callable[[str], Process], emulator: Emulator, folder: Path
) -> None:
    slow = emulator.faults.add("PUT", "*", stall=SLOW, times=None)
    process = start(code)
    await asyncio.to_thread(until, lambda: slow.fired >= 4, process)
    process.press()
    out, err, returncode = await asyncio.to_thread(process.end)
    yielded = out.count("done")
    assert 4 <= yielded <= 8
    assert out == ["done"] * yielded + [f"ended {yielded}"]
    assert err.count("Run the same program again") == 1
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert returncode == -signal.SIGINT
    # Nothing is in doubt, so the next run uploads exactly the rest.
    assert await finish(emulator, folder) == (FILES - yielded, FILES)


@pytest.mark.parametrize("runner", ["asyncio.run", "no runner", "blocking"])
async def test_the_second_ctrl_c_ends_everything_at_once(
    runner: str, start: Callable[[str], Process], emulator: Emulator, folder: Path
) -> None:
    stalled = emulator.faults.add("PUT", "*", stall=float("inf"), times=None)
    process = start(RUNNERS[runner])
    await asyncio.to_thread(until, lambda: stalled.fired >= 4, process)
    process.press()
    await asyncio.to_thread(process.wait_for_message)
    started_at = time.monotonic()
    process.press()
    out, err, returncode = await asyncio.to_thread(process.end)
    # The limit of the first Ctrl-C is 10 seconds.
    assert time.monotonic() - started_at < 8
    # Without a runner, Python abandons the tasks of the loop.
    assert out == ["ended 0"] or runner == "no runner"
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert returncode == -signal.SIGINT
    assert await finish(emulator, folder) == (FILES, FILES)


async def test_after_ten_seconds_uploads_that_have_not_ended_are_interrupted(
    start: Callable[[str], Process], emulator: Emulator, folder: Path
) -> None:
    stalled = emulator.faults.add("PUT", "*", stall=float("inf"), times=None)
    # Both forms at the same time, each with a journal of its own.
    processes = [start(RUNNERS["asyncio.run"]), start(BLOCKING.replace("journal", "other") + "main()")]
    await asyncio.to_thread(until, lambda: stalled.fired >= 8, processes[0])
    started_at = time.monotonic()
    for process in processes:
        process.press()
    for process in processes:
        out, err, _ = await asyncio.to_thread(process.end)
        assert out == ["ended 0"]
        assert err.rstrip().endswith("KeyboardInterrupt")
    assert 9.5 < time.monotonic() - started_at < 50


BREAK = """
with ImgwireClient() as client, Batch(client, "journal", concurrency=4) as batch:
    for result in batch.upload("photos"):
        say("loop")
        time.sleep(1)
        break
    say("after the loop")
say("not reached")
"""


async def test_a_loop_that_is_left_after_ctrl_c_is_interrupted_at_the_end_of_the_block(
    start: Callable[[str], Process], emulator: Emulator, folder: Path
) -> None:
    process = start(BREAK)
    assert process.process.stdout is not None
    assert await asyncio.to_thread(process.process.stdout.readline) == "loop\n"
    process.press()
    out, err, _ = await asyncio.to_thread(process.end)
    assert out == ["after the loop"]
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert (await finish(emulator, folder))[1] == FILES


OTHER_HANDLERS = {
    # A handler that does nothing, so that the run goes on to its end.
    "signal.signal": (
        "signal.signal(signal.SIGINT, lambda *_: say('own handler'))\n" + BLOCKING + "main()",
        True,
    ),
    "add_signal_handler": (
        ASYNC
        + """
async def server():
    task = asyncio.ensure_future(main())
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, lambda: (say("own handler"), task.cancel()))
    await asyncio.gather(task, return_exceptions=True)
asyncio.run(server())
""",
        False,
    ),
    # Python interrupts the main thread, and the run goes on in its thread.
    "another thread": (
        BLOCKING
        + """
thread = threading.Thread(target=main)
thread.start()
try:
    thread.join()
except KeyboardInterrupt:
    say("own handler")
thread.join()
""",
        True,
    ),
}


@pytest.mark.parametrize(("code", "goes_on"), OTHER_HANDLERS.values(), ids=OTHER_HANDLERS)
async def test_another_handler_gets_ctrl_c_alone(
    code: str, goes_on: bool, start: Callable[[str], Process], emulator: Emulator, folder: Path
) -> None:
    slow = emulator.faults.add("PUT", "*", stall=SLOW, times=4)
    process = start(code)
    await asyncio.to_thread(until, lambda: slow.fired >= 4, process)
    process.press()
    out, err, returncode = await asyncio.to_thread(process.end)
    assert out.count("own handler") == 1
    assert (out.count("done"), returncode) == ((FILES, 0) if goes_on else (0, 0))
    assert "Run the same program again" not in err
    assert (await finish(emulator, folder))[1] == FILES
