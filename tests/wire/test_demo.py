"""The demo, run as on the command line: `python examples/demo.py [FOLDER]`."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PICTURES = ROOT.parent / "shared" / "pictures"

pytestmark = pytest.mark.skipif(importlib.util.find_spec("rich") is None, reason="needs rich")
with_pictures = pytest.mark.skipif(not PICTURES.is_dir(), reason="needs ../shared/pictures")


@pytest.fixture(scope="module", autouse=True)
def reports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let the demo write its reports into a folder that pytest removes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("reports")))
        yield


# Several tests check the output of the same run.
@functools.cache
def demo(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    # Without coverage, which would take longer than the demo itself.
    environment = {name: text for name, text in os.environ.items() if not name.startswith("COVERAGE_")}
    return subprocess.run(
        [sys.executable, "-W", "error", ROOT / "examples" / "demo.py", *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        env=environment | {"PYTHONIOENCODING": "utf-8"},
    )


def rows(output: str) -> list[str]:
    return [line for line in output.splitlines() if "http://127.0.0.1:" in line and " × " in line]


@pytest.mark.slow
def test_without_a_folder_the_demo_uploads_pictures_of_its_own() -> None:
    process = demo()
    assert (process.returncode, process.stderr) == (0, "")
    assert len(rows(process.stdout)) == 10
    assert re.search(r"^10 of 10 files arrived, .* files per second$", process.stdout, re.MULTILINE)


@pytest.mark.slow
def test_the_demos_own_pictures_have_five_formats() -> None:
    types = {re.split(r"  +", row)[1] for row in rows(demo().stdout)}
    assert types == {"png", "bmp", "gif", "tiff", "icon"}


@pytest.mark.slow
def test_a_second_run_has_nothing_to_do_and_the_last_line_names_the_report() -> None:
    *_, second_run, last = demo().stdout.splitlines()
    assert re.fullmatch(r"Second run: nothing to do, 10 done before, in .* s", second_run)
    report = Path(last.removeprefix("Report: "))
    text = report.read_text("utf-8")
    assert text.startswith("# Report of a batch run")
    assert "| done | 10 |" in text


@pytest.mark.slow
@with_pictures
def test_a_folder_of_photos_is_uploaded_completely() -> None:
    process = demo(PICTURES / "photos")
    assert process.returncode == 0
    assert len(rows(process.stdout)) == 23


@pytest.mark.slow
@with_pictures
def test_rejected_files_are_listed_and_the_exit_code_is_3() -> None:
    process = demo(PICTURES / "odd")
    assert process.returncode == 3
    assert len(rows(process.stdout)) == 18
    rejected = process.stdout.partition("5 files were rejected:")[2].strip().splitlines()[:5]
    assert [line.split()[0] for line in rejected] == [
        ".DS_Store",
        "drawing.svg",
        "empty.jpg",
        "notes.jpg",
        "truncated.jpg",
    ]
    assert re.search(r"QUARANTINE: .*no end of image", rejected[-1])


@pytest.mark.slow
@with_pictures
def test_file_names_are_printed_as_in_the_folder() -> None:
    output = demo(PICTURES / "odd").stdout
    for path in (PICTURES / "odd" / "album 2023").rglob("*.*"):
        assert path.relative_to(PICTURES / "odd").as_posix() in output


@pytest.mark.slow
def test_a_folder_without_files_is_reported() -> None:
    process = demo(ROOT / "no such folder")
    assert process.returncode == 2
    assert "is not a folder" in process.stderr


@pytest.mark.slow
def test_a_file_with_an_undecodable_name_is_uploaded(tmp_path: Path) -> None:
    picture = bytes.fromhex(
        "47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b"
    )
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9 [red]\n.gif")).write_bytes(picture)
    process = demo(tmp_path)
    assert process.returncode == 0, process.stderr
    assert "caf\N{REPLACEMENT CHARACTER} [red]\N{REPLACEMENT CHARACTER}.gif" in process.stdout
