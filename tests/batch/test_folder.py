"""The walk through a folder: which files it finds, and why it skips others."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from batch.journals import Child
from imgwire_async.batch.items import Entry, Identity, Skip
from imgwire_async.batch.sources import Folder, as_source
from imgwire_async.batch.sources import folder as folder_source
from imgwire_async.batch.sources.folder import FolderSource
from imgwire_async.batch.sources.folder_walk import FolderWalk
from imgwire_async.batch_errors import BatchError

posix = pytest.mark.skipif(os.name != "posix", reason="only POSIX has these files")


def write(folder: Path, *names: str) -> None:
    """Write files with one byte."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1")


def walk(files: Folder, own_paths: Iterable[Path] = ()) -> list[Entry | Skip]:
    """Return all items of a folder, in the order of their keys."""
    found: list[Entry | Skip] = []
    walker = FolderWalk(files.options, frozenset(own_paths))
    is_over = False
    while not is_over:
        items, is_over = walker.read()
        found += items
    return sorted(found, key=lambda item: item.key)


def keys(path: Path, **options: Any) -> list[str]:
    return [item.key for item in walk(folder_source(path, **options)) if isinstance(item, Entry)]


def skips(path: Path, **options: Any) -> dict[str, str]:
    return {item.key: item.reason for item in walk(folder_source(path, **options)) if isinstance(item, Skip)}


# --- files and keys -----------------------------------------------------------------------------------------


def test_the_key_is_the_prefix_and_the_path_below_the_folder(folder: Path) -> None:
    write(folder, "a.jpg", "x/b.jpg", "x/y/c.jpg")
    assert keys(folder) == ["a.jpg", "x/b.jpg", "x/y/c.jpg"]
    assert keys(folder, prefix="cam1/") == ["cam1/a.jpg", "cam1/x/b.jpg", "cam1/x/y/c.jpg"]


def test_a_file_has_its_path_as_text_its_size_and_its_time(folder: Path) -> None:
    path = folder / "x" / "a.jpg"
    path.parent.mkdir()
    path.write_bytes(b"123")
    os.utime(path, ns=(0, 1_700_000_000_123_456_700))
    (entry,) = walk(folder_source(folder))
    assert isinstance(entry, Entry)
    assert (entry.item.file, entry.identity) == (str(path), Identity(3, path.stat().st_mtime_ns))


def test_the_name_of_the_source_is_the_absolute_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    source = as_source(f"{folder.name}/../{folder.name}/")
    assert (source.name, source.prefix, source.may_repeat) == (str(folder), str(folder), False)
    other = as_source(folder_source(folder, prefix="cam1/", moved=True))
    assert (other.prefix, other.is_moved) == ("cam1/", True)


@posix
def test_names_that_are_no_utf8_stay_distinct(folder: Path) -> None:
    names = [b"a\xff.jpg", b"a\xfe.jpg", "a\ufffd.jpg".encode()]
    try:
        for name in names:
            (folder / os.fsdecode(name)).write_bytes(b"1")
    except OSError:
        pytest.skip("this file system accepts only UTF-8")
    found = walk(folder_source(folder))
    assert [item.key for item in found] == ["a\udcfe.jpg", "a\udcff.jpg", "a\ufffd.jpg"]
    assert all(isinstance(item, Entry) and Path(str(item.item.file)).read_bytes() == b"1" for item in found)


def test_names_that_differ_only_in_case_or_unicode_form_are_all_found(folder: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "é.jpg") for form in ("NFC", "NFD"))
    names = ["a.jpg", "A.jpg", composed, decomposed, "x/b.jpg", "X/b.jpg"]
    write(folder, *names)
    if len(list(folder.iterdir())) < 6:
        pytest.skip("this file system does not distinguish such names")
    assert set(keys(folder)) == set(names)


def test_names_with_odd_characters_are_found(folder: Path) -> None:
    names = ["a\nb.jpg", "%41.jpg", "a b.jpg", "[x]*?.jpg", "'\".jpg", "\\.jpg", "-rf", "~", "💥.jpg"]
    names = names if os.name == "posix" else ["%41.jpg", "a b.jpg", "💥.jpg"]
    write(folder, *names)
    assert set(keys(folder)) == set(names)


@posix
def test_a_key_that_is_too_long_is_a_skip(folder: Path) -> None:
    write(folder, "a.jpg", "é.jpg")
    assert keys(folder, prefix="p" * 4_091) == ["p" * 4_091 + "a.jpg"]
    assert skips(folder, prefix="p" * 4_091) == {"p" * 4_091 + "é.jpg": "its key has more than 4,096 bytes"}


@posix
def test_a_path_that_is_too_long_for_the_system_is_a_skip(folder: Path) -> None:
    depth = 0
    descriptor = os.open(folder, os.O_RDONLY)
    # Each folder is made inside an open one, because its whole path is too long for any call.
    while depth < 20:
        os.mkdir("d" * 250, dir_fd=descriptor)
        inner = os.open("d" * 250, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor, depth = inner, depth + 1
    os.close(descriptor)
    write(folder, "a.jpg")
    assert keys(folder) == ["a.jpg"]
    (reason,) = skips(folder).values()
    assert reason == "its path is too long for the system"


# --- skips --------------------------------------------------------------------------------------------------


def test_empty_and_hidden_files_are_skips(folder: Path) -> None:
    write(folder, ".a.jpg", ".git/x.jpg", "b.jpg")
    (folder / "empty.jpg").touch()
    assert keys(folder) == ["b.jpg"]
    assert skips(folder) == {
        ".a.jpg": "a hidden file; hidden=True uploads it",
        ".git/": "a hidden folder; hidden=True uploads it",
        "empty.jpg": "an empty file",
    }
    assert keys(folder, hidden=True) == [".a.jpg", ".git/x.jpg", "b.jpg"]


@posix
def test_links_are_skips(folder: Path) -> None:
    write(folder, "a.jpg", "x/b.jpg")
    (folder / "file").symlink_to("a.jpg")
    (folder / "folder").symlink_to("x")
    (folder / "broken").symlink_to("missing")
    (folder / "loop").symlink_to("loop")
    assert keys(folder) == ["a.jpg", "x/b.jpg"]
    assert skips(folder) == {
        "broken": "a broken link, its target does not exist",
        "file": "a link; follow_links=True follows it",
        "folder": "a link to a folder; follow_links=True follows it",
        "loop": "a link that leads back to itself",
    }


@posix
def test_links_are_followed_on_request(folder: Path) -> None:
    write(folder / "photos", "a.jpg", "x/b.jpg")
    write(folder / "other", "c.jpg", "y/d.jpg")
    (folder / "photos" / "file").symlink_to("../other/c.jpg")
    (folder / "photos" / "folder").symlink_to("../other")
    (folder / "photos" / "broken").symlink_to("missing")
    (folder / "photos" / "pipe").symlink_to("/dev/null")
    photos = folder / "photos"
    assert keys(photos, follow_links=True) == ["a.jpg", "file", "folder/c.jpg", "folder/y/d.jpg", "x/b.jpg"]
    assert skips(photos, follow_links=True) == {
        "broken": "a broken link, its target does not exist",
        "pipe": "a link to a device",
    }


@posix
def test_a_loop_of_links_ends(folder: Path) -> None:
    write(folder, "x/a.jpg", "y/b.jpg")
    (folder / "x" / "up").symlink_to("..")
    (folder / "x" / "self").symlink_to(".")
    (folder / "x" / "to_y").symlink_to("../y")
    (folder / "y" / "to_x").symlink_to("../x")
    found = keys(folder, follow_links=True)
    assert found == ["x/a.jpg", "x/to_y/b.jpg", "y/b.jpg", "y/to_x/a.jpg"]
    reason = "a link to a folder in which it is itself, so it has no end"
    assert set(skips(folder, follow_links=True).values()) == {reason}


@posix
def test_pipes_sockets_and_devices_are_skips(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(folder / "socket"))
        assert skips(folder) == {"pipe": "a pipe", "socket": "a socket"}
    found = skips(Path("/dev"), include="/null")
    assert found.get("null") == "a device"


def in_child(function: Any) -> str:
    """Run a function in a process of its own, without the permissions of root, and return its text."""

    def run(report: Any) -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65_534)
            os.setuid(65_534)
        report(function().encode())

    child = Child(run)
    text = child.read_all().decode()
    assert child.wait() == 0, text
    return text


@posix
def test_what_may_not_be_read_is_a_skip() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        check_permissions(folder)


def check_permissions(folder: Path) -> None:
    write(folder, "a.jpg", "locked.jpg", "x/b.jpg", "y/c.jpg")
    (folder / "locked.jpg").chmod(0)
    # Nobody may list one folder, and nobody may use the names in the other one.
    (folder / "x").chmod(0o300 if os.geteuid() else 0o733)
    (folder / "y").chmod(0o600 if os.geteuid() else 0o744)
    try:
        found = in_child(lambda: repr((keys(folder), skips(folder))))
    finally:
        for name in "xy":
            (folder / name).chmod(0o700)
    reason = "no permission to read it"
    assert found == repr((["a.jpg"], {"locked.jpg": reason, "x/": reason, "y/c.jpg": reason}))


# --- include and exclude ------------------------------------------------------------------------------------


def test_files_that_patterns_leave_out_do_not_count(folder: Path) -> None:
    write(folder, "a.jpg", "b.png", "raw/c.jpg", "x/raw/d.jpg", "x/.e.jpg", "x/f.jpg", "x/.DS_Store")
    (folder / "empty.txt").touch()
    options = {"include": ["*.jpg"], "exclude": "raw/"}
    assert keys(folder, **options) == ["a.jpg", "x/f.jpg"]
    assert set(skips(folder, **options)) == {"x/.e.jpg"}


@posix
def test_a_folder_without_matches_is_not_read(folder: Path) -> None:
    write(folder, "2024/a.jpg", "2023/b.jpg", "raw/c.jpg")
    for name in ("2023", "raw"):
        (folder / name).chmod(0)
    try:
        found = walk(folder_source(folder, include=["2024/**", "raw/*"], exclude="raw/**"))
    finally:
        for name in ("2023", "raw"):
            (folder / name).chmod(0o700)
    assert [item.key for item in found] == ["2024/a.jpg"]


# --- own files ----------------------------------------------------------------------------------------------


def test_the_files_of_the_journal_are_left_out(folder: Path) -> None:
    own = [folder / "x" / "j", folder / "x" / "j-wal", folder / "out.csv"]
    write(folder, "x/j", "x/j-wal", "x/j.0123abcd.part", "out.csv", "out.csv.89abcdef.part", "j", "x/jj")
    write(folder, "x/j.part", "x/out.csv")
    found = walk(folder_source(folder), own)
    assert [item.key for item in found] == ["j", "x/j.part", "x/jj", "x/out.csv"]


@posix
def test_the_files_of_the_journal_are_left_out_behind_links(folder: Path) -> None:
    write(folder, "real/j", "real/a.jpg")
    (folder / "root").symlink_to("real")
    (folder / "real" / "link").symlink_to("../real")
    (folder / "real" / "j2").symlink_to("j")
    found = walk(folder_source(folder / "root", follow_links=True), [folder / "real" / "j"])
    assert [item.key for item in found if isinstance(item, Entry)] == ["a.jpg"]


# --- what changes during the walk ---------------------------------------------------------------------------


def test_a_folder_that_is_deleted_during_the_walk_is_a_skip(folder: Path) -> None:
    write(folder, "x/a.jpg")
    walker = FolderWalk(folder_source(folder).options, frozenset())
    # The walk has seen the folder, but has not gone into it.
    walker._begin()
    opened = walker._open[0]
    assert opened.entries is not None
    assert walker._read_entries(opened, opened.entries, float("inf"))
    (folder / "x").rename(folder / "y")
    items, is_over = walker.read()
    assert is_over
    assert items == [Skip("x/", "it was moved or deleted while the folder was read")]


def test_files_that_are_deleted_during_the_walk_are_skips(folder: Path) -> None:
    write(folder, *(f"{number}.jpg" for number in range(50)))
    walker = FolderWalk(folder_source(folder).options, frozenset())
    walker._begin()
    opened = walker._open[0]
    assert opened.entries is not None
    entries = [*opened.entries]
    (folder / entries[7].name).unlink()
    walker._read_entries(opened, iter(entries), float("inf"))
    (skip,) = [item for item in walker._items if isinstance(item, Skip)]
    assert skip == Skip(entries[7].name, "it was moved or deleted while the folder was read")
    walker.close()


def test_a_source_folder_that_is_moved_during_the_walk_is_an_error(folder: Path) -> None:
    photos = folder / "photos"
    write(photos, "x/a.jpg")
    walker = FolderWalk(folder_source(photos).options, frozenset())
    walker._begin()
    opened = walker._open[0]
    assert opened.entries is not None
    walker._read_entries(opened, opened.entries, float("inf"))
    photos.rename(folder / "moved")
    # Another folder of that name is not the same one.
    photos.mkdir()
    with pytest.raises(BatchError, match=r"was moved, deleted or unmounted .* moved=True"):
        walker.read()
    walker.close()


# --- a wrong folder -----------------------------------------------------------------------------------------


async def read_first(files: Any) -> None:
    source = as_source(files)
    try:
        await source.read()
    finally:
        await source.aclose()


def test_a_folder_that_does_not_exist_is_an_error(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no such folder: .*missing"):
        asyncio.run(read_first(folder / "missing"))
    with pytest.raises(FileNotFoundError, match="~ is not expanded"):
        asyncio.run(read_first("~/missing"))


def test_a_file_in_place_of_the_folder_is_an_error(folder: Path) -> None:
    write(folder, "a.jpg")
    with pytest.raises(NotADirectoryError, match="this is a file: pass a list of paths"):
        asyncio.run(read_first(str(folder / "a.jpg")))


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("a.zip", r"archive\(path\)"),
        ("a.tar.gz", r"archive\(path\)"),
        ("a.TGZ", r"archive\(path\)"),
        ("a.csv", r"manifest\(path\)"),
        ("a.parquet", r"manifest\(path\)"),
    ],
)
def test_the_error_for_a_file_of_another_source_names_that_source(
    folder: Path, name: str, advice: str
) -> None:
    write(folder, name)
    with pytest.raises(NotADirectoryError, match=f"this is a file: .*{advice}"):
        asyncio.run(read_first(folder / name))


@pytest.mark.parametrize(
    ("url", "advice"),
    [("s3://key:secret@bucket", r"cloud\(url\)"), ("https://example.com/a?secret", r"urls\(\[url\]\)")],
)
def test_a_url_in_place_of_a_folder_is_an_error_that_names_the_source_for_it(url: str, advice: str) -> None:
    with pytest.raises(ValueError, match=advice) as caught:
        as_source(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "options", "error", "message"),
    [
        ("", {}, ValueError, "path must not be empty"),
        (7, {}, TypeError, "path must be a str or os.PathLike, not int"),
        ("a\0", {}, ValueError, "NUL"),
        (".", {"prefix": None}, TypeError, "prefix must be text"),
        (".", {"hidden": "no"}, TypeError, "hidden must be a bool"),
        (".", {"follow_links": 2}, TypeError, "follow_links must be a bool"),
        (".", {"moved": ""}, TypeError, "moved must be a bool"),
        (".", {"include": "["}, ValueError, "the pattern"),
        (".", {"exclude": 7}, TypeError, "exclude must be a pattern"),
    ],
)
def test_a_wrong_argument_is_an_error(path: Any, options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        folder_source(path, **options)


# --- one run ------------------------------------------------------------------------------------------------


def test_a_folder_can_be_read_by_several_runs(folder: Path) -> None:
    write(folder, "a.jpg", "b.jpg")
    files = folder_source(folder)

    async def read() -> list[list[str]]:
        first, second = files.start(frozenset()), files.start(frozenset())
        again = second.again()
        assert again is not None
        return [[item.key async for item in source] for source in (first, second, again)]

    assert [sorted(found) for found in asyncio.run(read())] == [["a.jpg", "b.jpg"]] * 3


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux lists open files")
def test_closing_a_source_early_closes_its_folders(folder: Path) -> None:
    write(folder, *(f"x/y/{number}.jpg" for number in range(1_200)))

    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # the number only

    async def read() -> tuple[int, int, int]:
        source = as_source(folder)
        await source.read()
        before = open_files()
        await source.aclose()
        await source.aclose()
        return before, open_files(), len(await source.read())

    before, after, left = asyncio.run(read())
    assert before - after == 1
    assert left == 0


def test_a_cancelled_read_loses_nothing(folder: Path) -> None:
    write(folder, *(f"{number % 10}/{number}.jpg" for number in range(2_000)))

    async def read() -> set[str]:
        source = as_source(folder)
        found: list[str] = []
        while True:
            task = asyncio.ensure_future(source.read())
            await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            items = await source.read()
            found += [item.key for item in items]
            if not items:
                assert len(found) == len(set(found))
                return set(found)

    assert len(asyncio.run(read())) == 2_000


def test_many_folders_in_one_folder_are_walked(folder: Path) -> None:
    for number in range(2_500):
        (folder / str(number)).mkdir()
    write(folder, "7/a.jpg", "2400/b.jpg")
    assert keys(folder) == ["2400/b.jpg", "7/a.jpg"]


def test_a_walk_that_hangs_is_left_alone(folder: Path) -> None:
    write(folder, "a.jpg", "x/b.jpg")

    async def check() -> float:
        source = FolderSource(folder_source(folder), frozenset())
        started_at = time.monotonic()
        # The lock stands for a disk that does not respond.
        with source._walk._lock:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await source.read()
            await source.aclose()
            seconds = time.monotonic() - started_at
        while source._walk._open or source._reading is None or not source._reading.done():
            await asyncio.sleep(0.01)
        return seconds

    assert asyncio.run(asyncio.wait_for(check(), 10)) < 3


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux lists open files")
def test_a_walk_waits_while_too_many_files_are_open(folder: Path) -> None:
    for number in range(20):
        write(folder, f"{number}/a.jpg")

    def run(report: Any) -> None:
        import resource

        walker = FolderWalk(folder_source(folder).options, frozenset())
        opened = [os.open("/", os.O_RDONLY)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (opened[0] + 20,) * 2)
        with contextlib.suppress(OSError):
            while True:
                opened.append(os.open("/", os.O_RDONLY))
        timer = threading.Timer(0.3, lambda: [os.close(descriptor) for descriptor in opened])
        timer.start()
        items, is_over = [], False
        while not is_over:
            more, is_over = walker.read()
            items += more
        report(f"{len(items)} {sum(isinstance(item, Skip) for item in items)}".encode())

    child = Child(run)
    assert (child.read_all(), child.wait()) == (b"20 0", 0)


WALK = """
import asyncio, sys
from pathlib import Path
from imgwire_async.batch.sources import as_source

def memory():
    status = Path("/proc/self/status").read_text("ascii")
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])

async def walk(path):
    source, count = as_source(path), 0
    await source.read()
    before = memory()
    while items := await source.read():
        count += len(items)
    await source.aclose()
    print(count, memory() - before)

asyncio.run(walk(sys.argv[1]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux reports the maximum memory")
def test_the_walk_needs_the_same_memory_for_any_number_of_files(folder: Path) -> None:
    for number in range(20_000):
        parent = folder / f"{number // 30}" if number < 10_000 else folder / "many"
        parent.mkdir(exist_ok=True)
        (parent / f"IMG_{number:08}.jpg").write_bytes(b"1")
    output = subprocess.run(
        [sys.executable, "-c", WALK, str(folder)], check=True, capture_output=True, text=True
    ).stdout
    count, growth = map(int, output.split())
    # The first chunk was read before.
    assert 19_000 <= count < 20_000
    assert growth < 4 * 2**20
