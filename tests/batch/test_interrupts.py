"""Ctrl-C during a run: when the signal handler is installed, what it calls, and when it is removed.

The scripts are processes of their own, which get real signals. `test_ctrl_c.py` tests whole batches.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator

import pytest

from imgwire_async.batch.interrupts import Watch


@pytest.fixture(autouse=True)
def _python_handles_ctrl_c() -> Iterator[None]:
    """Give SIGINT to Python. A process that a shell starts in the background ignores the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


# Tests that a shell runs in the background ignore Ctrl-C, and so would these processes.
SCRIPT = """
import asyncio, signal, threading
from imgwire_async.batch.interrupts import Watch
signal.signal(signal.SIGINT, signal.default_int_handler)

async def run(watch_limit=10.0, ends=True):
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    watch = Watch(lambda: loop.call_soon_threadsafe(stopped.set), loop, limit=watch_limit)
    watch.begin()
    print("ready", flush=True)
    try:
        await stopped.wait()
        print("stopped", flush=True)
        await asyncio.sleep(0 if ends else 20)
    except asyncio.CancelledError:
        print("cancelled", flush=True)
        raise
    finally:
        watch.end()
    watch.deliver()
    await asyncio.sleep(0)
    print("not reached", flush=True)
"""


class Process:
    """A script that prints "ready" and then waits for Ctrl-C."""

    def __init__(self, code: str) -> None:
        text = SCRIPT + textwrap.dedent(code)
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", text],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.wait_for("ready")

    def wait_for(self, line: str) -> None:
        assert self.process.stdout is not None
        found = self.process.stdout.readline().rstrip()
        assert found == line, (found, self.process.communicate())

    def press(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def end(self) -> tuple[str, str, int]:
        out, err = self.process.communicate(timeout=30)
        return out, err, self.process.returncode


needs_signals = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no SIGINT for other processes"
)


@needs_signals
@pytest.mark.slow
def test_the_first_ctrl_c_stops_the_run_and_asyncio_run_then_raises_keyboard_interrupt() -> None:
    process = Process("asyncio.run(run())")
    process.press()
    out, err, code = process.end()
    assert out == "stopped\n"
    assert "Run the same program again" in err
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert code != 0


@needs_signals
@pytest.mark.slow
def test_the_second_ctrl_c_interrupts_at_once() -> None:
    process = Process("asyncio.run(run(ends=False))")
    process.press()
    process.wait_for("stopped")
    process.press()
    out, err, _ = process.end()
    assert out == "cancelled\n"
    assert err.rstrip().endswith("KeyboardInterrupt")


@needs_signals
@pytest.mark.slow
def test_a_run_that_does_not_end_within_the_limit_is_interrupted() -> None:
    process = Process("asyncio.run(run(watch_limit=0.2, ends=False))")
    started_at = time.monotonic()
    process.press()
    process.wait_for("stopped")
    out, err, _ = process.end()
    assert out == "cancelled\n"
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert time.monotonic() - started_at < 10


@needs_signals
@pytest.mark.slow
def test_the_limit_interrupts_a_main_thread_that_waits_for_another_thread() -> None:
    process = Process("""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    watch = Watch(lambda: None, loop, limit=0.2)
    watch.begin()
    try:
        print("ready", flush=True)
        threading.Lock().acquire() and threading.Event().wait(20)
    except KeyboardInterrupt:
        print("interrupted")
    watch.end()
    watch.deliver()
    print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
    loop.call_soon_threadsafe(loop.stop)
    """)
    process.press()
    assert process.end()[0] == "interrupted\nTrue\n"


@needs_signals
@pytest.mark.slow
def test_two_runs_stop_at_one_ctrl_c_and_the_last_one_passes_it_on() -> None:
    process = Process("""
    async def main():
        events = [asyncio.Event(), asyncio.Event()]
        loop = asyncio.get_running_loop()
        watches = [Watch(lambda e=e: loop.call_soon_threadsafe(e.set), loop) for e in events]
        for watch in watches:
            watch.begin()
        print("ready", flush=True)
        for event, watch in zip(events, watches):
            await event.wait()
            watch.end()
            watch.deliver()
            print("ended", flush=True)
        await asyncio.sleep(0)
        print("not reached")
    asyncio.run(main())
    """)
    process.press()
    out, err, _ = process.end()
    assert out == "ended\nended\n"
    assert err.rstrip().endswith("KeyboardInterrupt")


# --- the handler --------------------------------------------------------------------------------------------


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture(autouse=True)
def same_handler() -> Iterator[None]:
    """Fail a test that leaves another handler behind."""
    before = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) is before


def do_nothing() -> None:
    pass


def test_the_handler_is_installed_for_the_time_of_the_run(loop: asyncio.AbstractEventLoop) -> None:
    before = signal.getsignal(signal.SIGINT)
    one, other = Watch(do_nothing, loop), Watch(do_nothing, loop)
    one.begin()
    other.begin()
    installed = signal.getsignal(signal.SIGINT)
    one.end()
    assert signal.getsignal(signal.SIGINT) is installed is not before
    other.end()
    other.end()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_handler_of_the_application_stays(loop: asyncio.AbstractEventLoop) -> None:
    presses: list[int] = []

    def handler(number: int, frame: object) -> None:
        presses.append(number)

    before = signal.signal(signal.SIGINT, handler)
    try:
        watch = Watch(do_nothing, loop)
        watch.begin()
        signal.raise_signal(signal.SIGINT)
        watch.end()
        watch.deliver()
    finally:
        signal.signal(signal.SIGINT, before)
    assert presses == [signal.SIGINT]
    assert not watch.is_pressed


def test_a_handler_that_replaces_ours_during_the_run_stays(loop: asyncio.AbstractEventLoop) -> None:
    def handler(number: int, frame: object) -> None:
        raise AssertionError

    before = signal.getsignal(signal.SIGINT)
    watch = Watch(do_nothing, loop)
    watch.begin()
    signal.signal(signal.SIGINT, handler)
    watch.end()
    assert signal.getsignal(signal.SIGINT) is handler
    signal.signal(signal.SIGINT, before)


def test_another_thread_installs_no_handler(loop: asyncio.AbstractEventLoop) -> None:
    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=Watch(do_nothing, loop).begin)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_run_that_another_thread_ends_leaves_a_handler_that_calls_the_former_one(
    loop: asyncio.AbstractEventLoop,
) -> None:
    watch = Watch(do_nothing, loop)
    watch.begin()
    thread = threading.Thread(target=watch.end)
    thread.start()
    thread.join()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    # The next run of the main thread removes it.
    other = Watch(do_nothing, loop)
    other.begin()
    other.end()


def test_python_gets_its_handler_back_when_the_run_ends_after_asyncio_runner(
    loop: asyncio.AbstractEventLoop,
) -> None:
    watch = Watch(do_nothing, loop)

    async def main() -> None:
        watch.begin()

    asyncio.run(main())
    watch.end()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_is_passed_on_only_once(loop: asyncio.AbstractEventLoop) -> None:
    presses: list[str] = []
    watch = Watch(lambda: presses.append("stop"), loop)
    watch.begin()
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    watch.end()
    watch.deliver()
    assert presses == ["stop"]


def test_a_stopped_run_raises_keyboard_interrupt_at_its_end(loop: asyncio.AbstractEventLoop) -> None:
    watch = Watch(do_nothing, loop)
    watch.begin()
    signal.raise_signal(signal.SIGINT)
    watch.end()
    with pytest.raises(KeyboardInterrupt):
        watch.deliver()
    watch.deliver()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_gets_ctrl_c_as_without_a_run(loop: asyncio.AbstractEventLoop) -> None:
    watch = Watch(do_nothing, loop)
    watch.begin()
    pid = os.fork()
    if pid == 0:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            os._exit(3)
        os._exit(1)
    _, status = os.waitpid(pid, 0)
    watch.end()
    assert os.waitstatus_to_exitcode(status) == 3
