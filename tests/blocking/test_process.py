"""The blocking client in processes: Ctrl-C, exit without close(), forks.

Each script runs in a process of its own, with -X dev -W error.
"""

from __future__ import annotations

import importlib.util
import signal
import socket
import subprocess
import sys
import textwrap
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from imgwire_async.emulator import Emulator

from .conftest import Script, open_handlers, until

ENDLESS = float("inf")
GET = ("GET", "/api/v1/images/")
# Seconds. Far more than any of these processes needs, and far less than a process that waits for a timeout.
SOON = 10.0

# Python does not notice a fork by a C library. Like uWSGI, this fork holds the GIL. Other threads get time to
# become idle first: a thread that waits for the GIL at the moment of such a fork would stop the child at
# once.
C_FORK = """
import ctypes
def fork(*, _fork=ctypes.PyDLL(None).fork):
    time.sleep(0.1)
    return _fork()
os.fork = fork
"""

forks = pytest.mark.parametrize(
    "fork", [pytest.param("", id="os.fork", marks=pytest.mark.slow), pytest.param(C_FORK, id="C")]
)
needs_fork = pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system has no fork")


def stop_when_busy(emulator: Emulator, process: subprocess.Popen[str], *, again: bool = False) -> float:
    """Send SIGINT when the emulator has the script's request. Return the seconds until the script ends."""
    until(lambda: open_handlers(emulator) > 0, "the script's request")
    started_at = time.monotonic()
    process.send_signal(signal.SIGINT)
    if again:
        # A second SIGINT shortly after the first one is part of the test.
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
    process.wait(20)
    return time.monotonic() - started_at


# --- Ctrl-C -------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_ctrl_c_ends_the_call_at_once_and_the_client_goes_on(script: Script, emulator: Emulator) -> None:
    emulator.faults.add(*GET, stall=ENDLESS)
    process = script.start("""
        client = ImgwireClient()
        try:
            client.images.list()
        except KeyboardInterrupt:
            print(client.images.create(file_name="after.gif").image.original_filename)
    """)
    assert stop_when_busy(emulator, process) < SOON
    assert process.communicate() == ("after.gif\n", "")
    assert process.returncode == 0
    until(lambda: open_handlers(emulator) == 0, "the interrupted call was cancelled")


UNCAUGHT = {
    "with": """
        with ImgwireClient() as client:
            client.images.list()
    """,
    "pages": """
        with ImgwireClient() as client:
            for image in client.images.list_all():
                pass
    """,
    "upload": """
        with ImgwireClient() as client:
            client.images.upload(GIF, file_name="dot.gif", on_created=lambda image: client.images.list())
    """,
    "enter": """
        class Slow:
            def __enter__(self):
                self.client = ImgwireClient()
                self.client.images.list()
            def __exit__(self, *_):
                self.client.close()
        with Slow():
            pass
    """,
    "stream": """
        with ImgwireClient() as client:
            image = client.images.upload(GIF, file_name="dot.gif", wait=True)
            with client.images.stream(image) as chunks:
                next(chunks)
                client.images.list()
    """,
    "reader": """
        class Reader:
            name, size = "dot.gif", None
            def read(self, size=-1):
                client.images.list()
        with ImgwireClient() as client:
            client.images.upload(Reader(), mime_type="image/gif", content_length=5)
    """,
}


ONCE, TWICE = False, True


@pytest.mark.parametrize(
    ("what", "again"),
    [
        ("with", ONCE),
        ("pages", TWICE),
        pytest.param("upload", ONCE, marks=pytest.mark.slow),
        pytest.param("enter", TWICE, marks=pytest.mark.slow),
        pytest.param("reader", ONCE, marks=pytest.mark.slow),
        pytest.param("stream", TWICE, marks=pytest.mark.slow),
    ],
)
def test_an_uncaught_ctrl_c_ends_the_process(
    script: Script, emulator: Emulator, what: str, again: bool
) -> None:
    emulator.faults.add(*GET, stall=ENDLESS)
    process = script.start(UNCAUGHT[what])
    assert stop_when_busy(emulator, process, again=again) < SOON
    _, err = process.communicate()
    assert process.returncode in {-signal.SIGINT, 130}
    assert "KeyboardInterrupt" in err.splitlines()[-1]
    assert len([line for line in err.splitlines() if line.startswith("  File ")]) < 40
    assert "never awaited" not in err
    assert "Unclosed" not in err


@pytest.mark.long
def test_after_ctrl_c_in_a_step_the_next_call_gets_its_own_response(
    script: Script, emulator: Emulator
) -> None:
    emulator.faults.add("POST", "/api/v1/images/standard_upload", times=3, stall=ENDLESS)
    process = script.start("""
        client = ImgwireClient()
        results = client.images.upload_many([GIF, GIF, GIF])
        try:
            next(results)
        except KeyboardInterrupt:
            results.close()
            print(list(results), client.images.list().data, client.images.create(file_name="a.gif").image.purpose)
    """)
    until(lambda: open_handlers(emulator) == 3)
    assert stop_when_busy(emulator, process) < SOON
    assert process.communicate() == ("[] [] None\n", "")


@pytest.mark.long
def test_ctrl_c_inside_a_reader_of_the_user_raises_keyboard_interrupt(
    script: Script, emulator: Emulator
) -> None:
    out = script.run("""
        client = ImgwireClient()

        def chunks():
            yield GIF[:10]
            signal.raise_signal(signal.SIGINT)
            yield GIF[10:]

        try:
            client.images.upload(chunks(), file_name="a.gif", content_length=len(GIF))
        except KeyboardInterrupt:
            print("interrupted", client.images.upload(GIF, file_name="b.gif", wait=True).status)
    """)
    assert out == (0, "interrupted READY\n", "")
    until(lambda: open_handlers(emulator) == 0)


# --- the end of the process without close() -----------------------------------------------------------------

FORGOTTEN = {
    "idle, and dropped": """
        with open("dot.gif", "wb") as file:
            file.write(GIF)
        clients = [ImgwireClient() for _ in range(3)]
        [client.images.list() for client in clients]
        clients[0].images.upload("dot.gif")
        def work():
            ImgwireClient().images.list()
        work()
        sys.exit(0)
    """,
    "half-way": """
        client = ImgwireClient()
        for _ in range(3):
            client.images.create(file_name="a.gif")
        pages = client.images.list_pages(limit=1)
        next(pages)
        next(pages)
        images = client.images.list_all(limit=1)
        next(images)
        results = client.images.upload_many(iter([GIF] * 50))
        image = next(results).unwrap()
        stream = client.images.stream(client.images.wait_until_ready(image))
        chunks = stream.__enter__()
        next(chunks)
    """,
    "closed late": """
        import atexit
        client = ImgwireClient()
        client.images.list()
        atexit.register(client.close)
        class Holder:
            def __init__(self):
                self.client = ImgwireClient()
                self.client.images.list()
            def __del__(self):
                self.client.close()
        holder = Holder()
    """,
    "daemon thread between calls": """
        client = ImgwireClient()
        once = threading.Event()
        def poll():
            while True:
                client.images.list()
                once.set()
        threading.Thread(target=poll, daemon=True).start()
        once.wait()
    """,
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", [pytest.param(how, marks=() if how == "half-way" else pytest.mark.slow) for how in FORGOTTEN]
)
def test_a_client_that_was_never_closed_does_not_delay_the_exit(script: Script, how: str) -> None:
    started_at = time.monotonic()
    assert script.run(FORGOTTEN[how]) == (0, "", "")
    assert time.monotonic() - started_at < 20


@pytest.mark.long
def test_a_daemon_thread_during_a_call_ends_without_output(script: Script, emulator: Emulator) -> None:
    emulator.faults.add(*GET, stall=ENDLESS)
    started_at = time.monotonic()
    assert script.run("""
        client = ImgwireClient()
        sent = threading.Event()
        def call():
            with client.capture():
                client.with_options(hooks=Hooks(on_request=lambda _: sent.set())).images.list()
        from imgwire_async import Hooks
        threading.Thread(target=call, daemon=True).start()
        sent.wait()
    """) == (0, "", "")
    assert time.monotonic() - started_at < 20
    until(lambda: open_handlers(emulator) == 0)


@pytest.mark.long
def test_a_call_during_interpreter_shutdown_is_rejected(script: Script) -> None:
    late = """
        import atexit

        @atexit.register  # registered before the import of the package, so it runs after the event loop has ended
        def late():
            for use in (client.images.list, lambda: next(client.images.list_all()), lambda: next(pages)):
                try:
                    use()
                except RuntimeError as error:
                    print(error)
            client.close()
            print(client.closed)
    """
    code, out, err = script.run(
        """
        client = ImgwireClient()
        client.images.create(file_name="a.gif")
        pages = client.images.list_pages(limit=1)
        next(pages)
    """,
        first=late,
    )
    assert (code, err) == (0, "")
    assert out == "ImgwireClient cannot be used any more: the interpreter is shutting down\n" * 3 + "True\n"


@pytest.mark.long
def test_the_first_call_may_come_in_an_exit_handler_where_threads_may_still_be_started(
    script: Script,
) -> None:
    code, out, err = script.run("""
        import atexit
        client = ImgwireClient()  # imports the bridge, so its exit handler runs after this one
        @atexit.register
        def late():
            try:
                print(client.images.list().data)
            except RuntimeError as error:
                print(error)
    """)
    assert (code, err) == (0, "")
    assert out == "[]\n" or "new thread at interpreter shutdown" in out


@pytest.mark.slow
def test_a_blocked_event_loop_delays_the_exit_only_briefly(script: Script) -> None:
    started_at = time.monotonic()
    code, out, _ = script.run("""
        from imgwire_async import _bridge
        client = ImgwireClient()
        client.images.list()
        stuck = threading.Event()
        _bridge.loop_thread().post(lambda: (stuck.set(), time.sleep(30)))
        stuck.wait()
        print("end")
    """)
    assert (code, out) == (
        0,
        "end\n",
    )  # the standard library may warn of the abandoned loop
    assert time.monotonic() - started_at < 20


# --- clocks -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "jump", [pytest.param(0, id="frozen", marks=pytest.mark.slow), pytest.param(1e9, id="forwards and back")]
)
def test_a_frozen_or_changed_clock_stops_no_call(script: Script, emulator: Emulator, jump: float) -> None:
    for after in (1, 3):
        emulator.faults.add(*GET, after=after, status=429, headers={"Retry-After": "1"})
    started_at = time.monotonic()
    assert script.run(f"""
        client = ImgwireClient()
        client.images.list()
        clock, shows = time.monotonic, time.monotonic() + {jump}
        time.monotonic = lambda: shows
        client.images.list()
        pages = client.images.list_pages()
        next(pages)
        pages.close()
        time.monotonic = clock
        client.images.list()
        client.images.list()
        print("end")
    """) == (0, "end\n", "")
    assert time.monotonic() - started_at < 25


# --- fork ---------------------------------------------------------------------------------------------------

FORKED = {
    "before any call": """
        client = ImgwireClient()
        pid = os.fork()
        client.images.list()
        if pid == 0:
            sys.exit(0)
    """,
    "after calls, several times": """
        client = ImgwireClient()
        for _ in range(3):
            client.images.list()
            pid = os.fork()
            client.images.list()
            if pid == 0:
                sys.exit(0)
            assert os.waitpid(pid, 0)[1] == 0
        pid = os.fork()
        if pid == 0:
            client.images.list()
            sys.exit(0)
    """,
    "while a thread is in a call": """
        from imgwire_async import Hooks, NotFoundError
        client = ImgwireClient()
        client.images.list()
        sent, results = threading.Event(), []
        def call():
            try:
                client.with_options(hooks=Hooks(on_request=lambda _: sent.set())).custom_domain.retrieve()
            except NotFoundError as error:
                results.append(error)
        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        sent.wait()
        pid = os.fork()
        client.images.list()
        if pid == 0:
            sys.exit(0)
        thread.join()
        assert len(results) == 1
    """,
    "while threads make calls": """
        client = ImgwireClient()
        client.images.list()
        stop = threading.Event()
        def poll():
            while not stop.is_set():
                client.images.upload(GIF, file_name="a.gif")
        thread = threading.Thread(target=poll)
        thread.start()
        pid = os.fork()
        client.images.list()
        if pid == 0:
            sys.exit(0)
        stop.set()
        thread.join()
    """,
    "inside a callback": """
        client = ImgwireClient()
        pids = []
        try:
            client.images.upload(GIF, file_name="a.gif", on_created=lambda image: pids.append(os.fork()))
        except RuntimeError as error:
            assert "forked during" in str(error), error
            assert pids == [0]
            client.images.list()
            sys.exit(0)
        pid = pids[0]
        assert pid
    """,
    "while a file object is being uploaded": """
        import io

        client = ImgwireClient()
        pids = []
        file = io.BytesIO(GIF)
        try:
            client.images.upload(file, on_created=lambda image: pids.append(os.fork()))
        except RuntimeError as error:
            assert "forked during" in str(error), error
            file.seek(0)
            client.images.upload(file)
            sys.exit(0)
        pid = pids[0]
        assert pid
    """,
    "with iterators half-way": """
        client = ImgwireClient()
        [client.images.create(file_name="a.gif") for _ in range(3)]
        pages = client.images.list_pages(limit=1)
        next(pages)
        dropped = client.images.list_pages(limit=1)
        next(dropped)
        pid = os.fork()
        if pid == 0:
            try:
                next(pages)
            except RuntimeError as error:
                assert "parent process" in str(error), error
            client.images.list()
            sys.exit(0)
        assert len(list(pages)) == 2
        next(dropped)
        dropped.close()
    """,
    "and the child calls nothing": """
        with open("dot.gif", "wb") as file:
            file.write(GIF)
        client = ImgwireClient()
        client.images.upload("dot.gif")
        pid = os.fork()
        if pid == 0:
            sys.exit(0)
    """,
    "while another thread holds every lock": """
        from imgwire_async import _bridge
        client = ImgwireClient()
        shared = client._shared
        held, done = threading.Event(), threading.Event()
        def hold():
            with _bridge.process.start_lock, shared.sessions._lock, shared.rate_gate._lock:
                held.set()
                done.wait()
        threading.Thread(target=hold, daemon=True).start()
        held.wait()
        pid = os.fork()
        done.set()
        client.images.list()
        if pid == 0:
            shared.rate_gate.close(0.1, 0)
            client.images.list()
            sys.exit(0)
    """,
}


HARDEST = "while another thread holds every lock"


def forked_by(how: str, fork: str) -> Any:
    """Return one case.

    By default only some cases run: Python's fork in different situations, and C's fork in the hardest one.
    """
    usual = how == HARDEST if fork else how in {"while a thread is in a call", "with iterators half-way"}
    return pytest.param(
        how, fork, id=f"{how}-{'C' if fork else 'os.fork'}", marks=() if usual else pytest.mark.slow
    )


# C forks no process in which a thread waits for the GIL at that moment (see above).
FORKS = [
    forked_by(how, fork)
    for how in FORKED
    for fork in ("", C_FORK)
    if not (fork and how == "while threads make calls")
]


@pytest.mark.long
@needs_fork
@pytest.mark.parametrize(("how", "fork"), FORKS)
def test_both_processes_can_use_the_client_after_a_fork(
    script: Script, emulator: Emulator, how: str, fork: str
) -> None:
    emulator.faults.add("GET", "/api/v1/custom_domain/", stall=1.0)
    started_at = time.monotonic()
    code, out, err = script.run(
        fork
        + textwrap.dedent(FORKED[how])
        + textwrap.dedent("""
        code = os.waitpid(pid, 0)[1]
        client.images.list()
        print("child", code)
    """)
    )
    assert (code, out, without_noise(err)) == (0, "child 0\n", "")
    assert time.monotonic() - started_at < 20


def without_noise(err: str) -> str:
    """Return stderr without the warning that Python 3.13 sometimes prints about threads of the parent."""
    return err.replace("detach_thread: failed detaching thread\n", "")


@pytest.mark.slow
@needs_fork
@pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="needs uvloop")
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="policies are deprecated")
def test_a_forked_child_exits_cleanly_when_the_application_uses_uvloop(script: Script) -> None:
    assert script.run("""
        import asyncio, uvloop
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        client = ImgwireClient()
        client.images.list()
        pid = os.fork()
        if pid == 0:
            sys.exit(0)
        print("child", os.waitpid(pid, 0)[1])
    """) == (0, "child 0\n", "")


@pytest.mark.slow
@needs_fork
@forks
def test_a_signal_handler_may_fork_while_its_thread_waits_for_a_response(
    script: Script, emulator: Emulator, fork: str
) -> None:
    emulator.faults.add(*GET, stall=1.0)
    assert script.run(
        fork
        + textwrap.dedent("""
        from imgwire_async import Hooks
        client = ImgwireClient()
        pids = []
        signal.signal(signal.SIGALRM, lambda *_: pids.append(os.fork()))
        soon = Hooks(on_request=lambda _: signal.setitimer(signal.ITIMER_REAL, 0.1))
        try:
            client.with_options(hooks=soon).images.list()
        except RuntimeError as error:
            assert "forked during" in str(error), error
            client.images.list()
            sys.exit(0)
        print("child", os.waitpid(pids[0], 0)[1])
    """)
    ) == (0, "child 0\n", "")


@pytest.mark.long
@needs_fork
def test_children_of_multiprocessing_make_their_own_connections(script: Script, emulator: Emulator) -> None:
    assert script.run("""
        import multiprocessing
        client = ImgwireClient()

        def work(number):
            return len(client.images.list().data)

        if __name__ == "__main__":
            client.images.list()
            with multiprocessing.get_context("fork").Pool(4) as pool:
                print(pool.map(work, range(8)))
                pool.close()
                pool.join()
            print(work(0))
    """) == (0, f"{[0] * 8}\n0\n", "")
    connections = {request.connection for request in emulator.requests}
    assert len(connections) <= 5


@pytest.mark.long
@needs_fork
def test_a_fork_inside_a_running_loop_does_not_affect_the_loop(script: Script) -> None:
    assert script.run("""
        import asyncio, multiprocessing

        def work():
            async def child():
                return len((await client.images.list()).data)
            assert asyncio.run(child()) == 0

        async def main():
            await client.images.list()
            process = multiprocessing.get_context("fork").Process(target=work)
            process.start()
            await asyncio.to_thread(process.join)
            await client.images.list()
            print("child", process.exitcode)

        client = AsyncImgwireClient()
        asyncio.run(main())
    """) == (0, "child 0\n", "")


@pytest.mark.long
@needs_fork
@forks
def test_a_forked_child_does_not_touch_the_event_loops_of_its_parent(script: Script, fork: str) -> None:
    code, out, err = script.run(
        fork
        + textwrap.dedent("""
        import asyncio, gc
        client, dropped = AsyncImgwireClient(), AsyncImgwireClient()
        ended, idle = asyncio.new_event_loop(), asyncio.new_event_loop()
        for loop in (ended, idle):
            loop.run_until_complete(client.images.list())
            loop.run_until_complete(dropped.images.list())
        ended.run_until_complete(ended.shutdown_asyncgens())
        ended.close()

        running = threading.Event()
        async def run_in_thread():
            await client.images.list()
            over, loop = asyncio.Event(), asyncio.get_running_loop()
            ends.append(lambda: loop.call_soon_threadsafe(over.set))
            running.set()
            await over.wait()
            await client.images.list()
        ends = []
        thread = threading.Thread(target=asyncio.run, args=(run_in_thread(),), daemon=True)
        thread.start()
        running.wait()

        pid = os.fork()
        if pid == 0:
            del dropped
            gc.collect()
            print(len(asyncio.run(client.images.list()).data), flush=True)
            sys.exit(0)
        print("child", os.waitpid(pid, 0)[1])
        idle.run_until_complete(client.images.list())
        idle.run_until_complete(dropped.images.list())
        ends.pop()()
        thread.join()
        idle.run_until_complete(idle.shutdown_asyncgens())
        idle.close()
    """)
    )
    assert (code, out, without_noise(err)) == (0, "0\nchild 0\n", "")


@pytest.mark.slow
@needs_fork
@pytest.mark.skipif(importlib.util.find_spec("gunicorn") is None, reason="needs gunicorn")
def test_gunicorn_workers_share_what_was_loaded_before_the_fork(
    tmp_path: Path, emulator: Emulator, script: Script
) -> None:
    (tmp_path / "app.py").write_text(
        """
import os
from imgwire_async import ImgwireClient

client = ImgwireClient()
client.images.list()  # in the master process, before it forks

def application(environ, start_response):
    body = f"{os.getpid()} {len(client.images.list().data)}".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
""",
        "utf-8",
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = script.start(
        f"""
        from gunicorn.app.wsgiapp import run
        sys.argv = ["gunicorn", "--preload", "--workers", "3", "--bind", "127.0.0.1:{port}", "--log-level", "error", "app"]
        run()
        """,
        "-W",
        "ignore",
    )

    def fetch() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as response:
            return str(response.read(), "utf-8")

    def ready() -> bool:
        try:
            return bool(fetch())
        except OSError:
            return False

    until(ready, "gunicorn listens", 20)
    results = [fetch().split() for _ in range(8)]
    assert {count for _, count in results} == {"0"}
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0


@pytest.mark.long
@needs_fork
@pytest.mark.skipif(sys.version_info < (3, 12), reason="older Pythons don't warn")
def test_python_warns_about_a_fork_after_the_first_call_and_not_before(script: Script) -> None:
    assert script.run("""
        import warnings
        client = ImgwireClient()

        def forked():
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                pid = os.fork()
                if pid == 0:
                    os._exit(0)
                os.waitpid(pid, 0)
            return [warning.category.__name__ for warning in caught]

        print(forked())
        client.images.list()
        print(forked())
    """) == (0, "[]\n['DeprecationWarning']\n", "")
