"""The display works in terminals, notebooks and the log, restores the terminal, and never blocks the loop."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from imgwire_async.batch.progress import Display
from imgwire_async.batch.progress_text import Rate
from imgwire_async.batch.progress_views import LogView, choose_view
from imgwire_async.batch.reporter import Reporter, RunStatus
from imgwire_async.results import BatchSummary

PROGRAM = Path(__file__).with_name("displayed.py")
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
# Each of these starts a process, which imports rich.
on_posix = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")


class RecordingView:
    """A place that keeps what it shows."""

    interval = 0.01

    def __init__(self) -> None:
        self.shown: list[RunStatus] = []
        self.last: RunStatus | None = None
        self.threads: set[int] = set()

    def show(self, status: RunStatus, rate: Rate) -> None:
        self.shown.append(status)
        self.threads.add(threading.get_ident())

    def close(self, status: RunStatus, rate: Rate) -> None:
        assert self.last is None, "closed twice"
        self.last = status


def display_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "imgwire_async progress"]


# --- the thread ---------------------------------------------------------------------------------------------


async def test_a_thread_of_its_own_shows_the_run_until_its_end() -> None:
    view, reporter = RecordingView(), Reporter()
    async with Display(reporter, choose=lambda: view):
        reporter.found(3)
        async with asyncio.timeout(10):
            while not view.shown or view.shown[-1].summary.found != 3:
                await asyncio.sleep(0.01)
    assert view.threads.isdisjoint({threading.get_ident()})
    assert view.last is not None
    assert view.last.has_ended
    assert not any(status.has_ended for status in view.shown)
    assert display_threads() == []


async def test_the_display_ends_when_the_run_fails() -> None:
    view = RecordingView()
    with pytest.raises(ValueError, match="the run"):
        async with Display(Reporter(), choose=lambda: view):
            raise ValueError("the run")
    assert view.last is not None
    assert display_threads() == []


async def test_a_run_goes_on_when_its_display_fails(caplog: pytest.LogCaptureFixture) -> None:
    class BrokenView(RecordingView):
        def show(self, status: RunStatus, rate: Rate) -> None:
            raise OSError("the terminal is gone")

    view = BrokenView()
    async with Display(Reporter(), choose=lambda: view):
        async with asyncio.timeout(10):
            while display_threads():
                await asyncio.sleep(0.01)
    assert view.last is not None
    assert "no longer shown: OSError: the terminal is gone" in caplog.text


@pytest.mark.long
async def test_a_display_that_hangs_delays_the_end_of_a_run_only_a_little() -> None:
    goes_on = threading.Event()

    class HangingView(RecordingView):
        def show(self, status: RunStatus, rate: Rate) -> None:
            goes_on.wait(60)

    started_at = time.monotonic()
    async with Display(Reporter(), choose=HangingView):
        pass
    assert time.monotonic() - started_at < 6
    goes_on.set()


# --- the log ------------------------------------------------------------------------------------------------


async def test_without_a_terminal_the_end_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "imgwire_async")
    reporter = Reporter()
    async with Display(reporter, choose=LogView):
        reporter.found(2)
        reporter.uploaded("a", "img", 1, 1)
        reporter.uploaded("b", "img", 1, 1)
        reporter.counted()
    (record,) = [record for record in caplog.records if record.name == "imgwire_async"]
    assert record.levelno == logging.INFO
    assert re.fullmatch(r"2 files: 2 uploaded; 0 B in 0:0\d", record.getMessage())


def test_a_log_line_comes_every_ten_seconds_but_not_at_the_beginning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "imgwire_async")
    view = LogView()
    for elapsed in (0.0, 10.0, 20.0):
        view.show(RunStatus(BatchSummary(found=3, left=1, counted=True, elapsed=elapsed)), Rate())
    lines = [record.getMessage() for record in caplog.records]
    assert view.interval == 10
    assert lines == ["66 %, 2 of 3 files, 0 B sent, 0.0 files/s, 0 B/s"] * 2


@pytest.mark.slow
def test_a_process_without_a_terminal_uses_the_log() -> None:
    program = (
        "from imgwire_async.batch.progress_views import choose_view; print(type(choose_view()).__name__)"
    )
    for arguments in ([], ["-c", "import sys; sys.stderr = None"]):
        code = (arguments[1] + ";" if arguments else "") + program
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        assert done.stdout.strip() == "LogView"


# --- a terminal ---------------------------------------------------------------------------------------------


@contextmanager
def program(
    end: str, *, stdout_is_terminal: bool = True, is_suspended: bool = False, **environment: str
) -> Generator[tuple[subprocess.Popen[bytes], int], None]:
    """Start the program in a terminal. Provide its process and the other end of the terminal."""
    import pty
    import termios

    ours, theirs = pty.openpty()
    if is_suspended:
        # Ctrl-S does the same.
        termios.tcflow(theirs, termios.TCOOFF)
    process = subprocess.Popen(
        [sys.executable, PROGRAM, end],
        stdin=theirs,
        stdout=theirs if stdout_is_terminal else subprocess.PIPE,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"} | environment,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        os.close(ours)


def read_until(ours: int, text: str = "") -> str:
    """Return what the program writes until `text` appears, or until its end."""
    output = b""
    while not text or text.encode() not in output:
        try:
            chunk = os.read(ours, 65536)
        except OSError:
            # Linux reports the end of a terminal as an error.
            break
        if not chunk:
            break
        output += chunk
    return output.decode()


def require_restored(output: str) -> None:
    assert HIDE in output, output
    assert output.rindex(SHOW) > output.rindex(HIDE), "the cursor stays hidden"


@pytest.mark.long
@on_posix
def test_a_terminal_shows_the_lines_and_the_output_of_the_application() -> None:
    pytest.importorskip("rich")
    with program("success") as (process, ours):
        output = read_until(ours)
        assert process.wait(30) == 0
    require_restored(output)
    assert "files, still counting" in output
    assert "a line of the application" in output
    assert "400 files: 40 uploaded, 360 not finished; 40.0 kB in 0:0" in output


@on_posix
@pytest.mark.slow
@pytest.mark.parametrize(("end", "status"), [("error", 1), ("exit", 3)])
def test_the_terminal_is_restored_when_the_run_fails_or_the_process_exits(end: str, status: int) -> None:
    pytest.importorskip("rich")
    with program(end) as (process, ours):
        output = read_until(ours)
        assert process.wait(30) == status
    require_restored(output)


@on_posix
@pytest.mark.slow
def test_the_terminal_is_restored_after_ctrl_c() -> None:
    pytest.importorskip("rich")
    with program("wait") as (process, ours):
        output = read_until(ours, "READY")
        process.send_signal(signal.SIGINT)
        output += read_until(ours)
        assert process.wait(30) == -signal.SIGINT
    require_restored(output)
    assert "KeyboardInterrupt" in output[output.rindex(SHOW) :]


@on_posix
@pytest.mark.slow
def test_output_to_a_file_does_not_go_to_the_terminal() -> None:
    pytest.importorskip("rich")
    with program("success", stdout_is_terminal=False) as (process, ours):
        output = read_until(ours)
        assert process.stdout is not None
        assert process.stdout.read().decode().strip() == "a line of the application"
    assert "a line of the application" not in output
    require_restored(output)


@on_posix
@pytest.mark.slow
def test_a_terminal_without_utf_8_gets_a_bar_of_ascii() -> None:
    pytest.importorskip("rich")
    with program("wait", PYTHONIOENCODING="ascii") as (_, ours):
        output = read_until(ours, " %")
        assert "##" in output


@on_posix
@pytest.mark.slow
@pytest.mark.parametrize(("end", "term"), [("no rich", "xterm"), ("log", "dumb")])
def test_without_rich_or_in_a_dumb_terminal_the_log_has_the_end(end: str, term: str) -> None:
    with program(end, TERM=term) as (process, ours):
        output = read_until(ours)
        assert process.wait(30) == 0
    assert "\x1b" not in output
    assert "imgwire_async INFO 400 files: 40 uploaded, 360 not finished" in output


@on_posix
@pytest.mark.slow
def test_a_terminal_that_takes_no_output_does_not_block_the_loop() -> None:
    pytest.importorskip("rich")
    with program("stuck", stdout_is_terminal=False, is_suspended=True) as (process, _):
        assert process.stdout is not None
        lines = [process.stdout.readline().decode() for _ in range(2)]
        assert lines[1].startswith("longest pause "), lines
        assert float(lines[1].split()[2]) < 1


# --- a notebook ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_notebook_shows_the_lines_in_its_cell() -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    source = f"import sys; sys.path.insert(0, {str(PROGRAM.parent)!r}); import displayed; await displayed.run('success')"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    nbclient.NotebookClient(notebook, timeout=60).execute()
    outputs = notebook.cells[0].outputs
    texts = [output["data"]["text/plain"] for output in outputs if output["output_type"] == "display_data"]
    assert len(texts) == 1, outputs
    assert texts[0].startswith("400 files: 40 uploaded, 360 not finished")


def test_the_view_is_chosen_without_an_error_here() -> None:
    assert choose_view().interval > 0
