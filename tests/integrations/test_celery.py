"""The Celery example with a real worker, whose processes are forked after the client was created."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imgwire_async.emulator import Emulator

from .serving import GIF, needs, settings, started, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

# The configuration of the example, except that the broker is a folder.
FOLDERS = """
from pathlib import Path

from celery_app import app, delete, upload

here = Path(__file__).parent
app.conf.broker_transport_options = {
    "data_folder_in": str(here / "queue"),
    "data_folder_out": str(here / "queue"),
    "control_folder": str(here / "control"),
}
"""
WORKER = [
    "-m",
    "celery",
    "--app",
    "worker_app",
    "worker",
    "--pool",
    "prefork",
    "--concurrency",
    "2",
    "--loglevel",
    "INFO",
]


class Tasks:
    """Sends tasks from a process of its own, like a web application."""

    def __init__(self, emulator: Emulator, folder: Path, environment: dict[str, str]) -> None:
        self.emulator, self.folder = emulator, folder
        self._environment = environment

    def run(self, source: str) -> Any:
        head = "import json\nfrom worker_app import delete, upload\n"
        finished = subprocess.run(
            [sys.executable, "-c", head + source],
            cwd=self.folder,
            env=settings(self.emulator, **self._environment),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert finished.returncode == 0, finished.stderr
        return json.loads(finished.stdout)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tasks]:
    needs("celery")
    folder = tmp_path_factory.mktemp("celery")
    for name in ("queue", "control", "results"):
        (folder / name).mkdir()
    (folder / "worker_app.py").write_text(FOLDERS, "utf-8")
    environment = {
        "CELERY_BROKER_URL": "filesystem://",
        "CELERY_RESULT_BACKEND": f"file://{folder / 'results'}",
    }
    with Emulator() as emulator, started(WORKER, emulator, folder, **environment) as (process, log):
        until(lambda: process.poll() is not None or " ready." in log.read_text(), "the worker is ready", 40)
        assert process.poll() is None, log.read_text()
        yield Tasks(emulator, folder, environment)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, log.read_text()


def test_the_forked_processes_of_a_worker_upload_and_delete(tasks: Tasks) -> None:
    for number in range(8):
        (tasks.folder / f"{number}.gif").write_bytes(GIF)
    results = tasks.run(
        "results = [upload.delay(f'{n}.gif', f'key-{n}') for n in range(8)]\n"
        "print(json.dumps([result.get(timeout=40) for result in results]))"
    )
    images = tasks.emulator.images
    assert sorted(images[result["id"]].original_filename for result in results) == [
        f"{n}.gif" for n in range(8)
    ]
    assert {images[result["id"]].status for result in results} == {"READY"}
    assert (
        tasks.run(f"print(json.dumps(delete.delay({[a['id'] for a in results]!r}).get(timeout=40)))") is None
    )
    assert not tasks.emulator.images


def test_a_file_that_is_no_picture_fails_without_a_retry_and_with_a_reason(tasks: Tasks) -> None:
    (tasks.folder / "notes.txt").write_text("plain text", "utf-8")
    result = tasks.run(
        "error = upload.delay('notes.txt', 'key-notes').get(timeout=40, propagate=False)\n"
        "print(json.dumps([type(error).__name__, str(error)]))"
    )
    assert result[0] == "UnsupportedImageError"
    assert "notes.txt" in result[1]


def test_a_service_that_is_down_for_a_moment_makes_the_task_retry(tasks: Tasks) -> None:
    (tasks.folder / "late.gif").write_bytes(GIF)
    fault = tasks.emulator.faults.add("POST", "/api/v1/images/standard_upload", times=4, status=500)
    result = tasks.run("print(json.dumps(upload.delay('late.gif', 'key-late').get(timeout=50)))")
    # More failures than the client itself retries.
    assert fault.fired == 4
    assert list(tasks.emulator.images) == [result["id"]]
