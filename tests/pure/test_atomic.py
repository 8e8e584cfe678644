"""Tests of files that appear complete or not at all."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imgwire_async.atomic import PartFile, check_target, new_file, part_path, rename_no_replace


def test_the_target_does_not_exist_before_publish(tmp_path: Path) -> None:
    target = tmp_path / "a"
    part = PartFile(target, overwrite=False)
    part.begin()
    part.write([b"12", b"3"])
    assert not target.exists()
    part.publish()
    part.discard()
    assert target.read_bytes() == b"123"
    assert list(tmp_path.iterdir()) == [target]


def test_a_second_begin_discards_written_chunks(tmp_path: Path) -> None:
    part = PartFile(tmp_path / "a", overwrite=False)
    for chunks in ([b"a longer first try"], [b"123"]):
        part.begin()
        part.write(chunks)
    part.publish()
    assert (tmp_path / "a").read_bytes() == b"123"


def test_discard_removes_the_file_and_later_calls_do_nothing(tmp_path: Path) -> None:
    part = PartFile(tmp_path / "a", overwrite=True)
    part.begin()
    part.discard()
    part.begin()
    part.write([b"1"])
    part.publish()
    part.discard()
    assert list(tmp_path.iterdir()) == []


def test_publish_without_begin_does_nothing(tmp_path: Path) -> None:
    PartFile(tmp_path / "a", overwrite=True).publish()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_created_meanwhile_is_replaced_only_with_overwrite(tmp_path: Path, overwrite: bool) -> None:
    target = tmp_path / "a"
    part = PartFile(target, overwrite=overwrite)
    part.begin()
    part.write([b"new"])
    target.write_bytes(b"old")
    if overwrite:
        part.publish()
    else:
        with pytest.raises(FileExistsError) as caught:
            part.publish()
        assert caught.value.filename == str(target)
    part.discard()
    assert target.read_bytes() == (b"new" if overwrite else b"old")
    assert list(tmp_path.iterdir()) == [target]


def test_one_of_several_concurrent_publish_calls_succeeds(tmp_path: Path) -> None:
    target, winners = tmp_path / "a", list[int]()
    barrier = threading.Barrier(8)

    def publish(number: int) -> None:
        part = PartFile(target, overwrite=False)
        part.begin()
        part.write([b"%d" % number])
        barrier.wait()
        try:
            part.publish()
            winners.append(number)
        except FileExistsError:
            part.discard()

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [target.read_bytes()] == [b"%d" % number for number in winners]
    assert list(tmp_path.iterdir()) == [target]


class Hanging(type(Path())):  # type: ignore[misc]  # the class of this system's paths
    """A path on a disk that hangs at each access until `resumed` is set."""

    accessed = threading.Event()
    resumed = threading.Event()

    def __fspath__(self) -> str:
        self.accessed.set()
        assert self.resumed.wait(30)
        return str(self)


@pytest.fixture
def hanging(tmp_path: Path) -> Hanging:
    Hanging.accessed.clear()
    Hanging.resumed.clear()
    return Hanging(tmp_path / "a")


def hanging_thread(call: Callable[[], object]) -> threading.Thread:
    """Start a thread, and return it when `call` hangs in it."""
    thread = threading.Thread(target=call)
    thread.start()
    assert Hanging.accessed.wait(30)
    return thread


def test_a_begin_that_hangs_removes_its_file_after_discard(tmp_path: Path, hanging: Hanging) -> None:
    part = PartFile(hanging, overwrite=True)
    thread = hanging_thread(part.begin)
    assert part.abandon()
    # `discard` does not wait for the hanging thread.
    part.discard()
    assert thread.is_alive()
    hanging.resumed.set()
    thread.join()
    part.write([b"1"])
    part.publish()
    assert (list(tmp_path.iterdir()), part.published) == ([], False)


def test_a_write_that_hangs_removes_its_file_after_discard(tmp_path: Path) -> None:
    part = PartFile(tmp_path / "a", overwrite=True)
    part.begin()
    started, resume = threading.Event(), threading.Event()

    def chunks() -> Iterator[bytes]:
        started.set()
        assert resume.wait(30)
        yield b"1"

    thread = threading.Thread(target=part.write, args=[chunks()])
    thread.start()
    assert started.wait(30)
    part.discard()
    resume.set()
    thread.join()
    part.publish()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_publish_that_hangs_during_the_rename_leaves_the_complete_file(
    tmp_path: Path, hanging: Hanging, overwrite: bool
) -> None:
    hanging.resumed.set()
    part = PartFile(hanging, overwrite=overwrite)
    part.begin()
    part.write([b"whole"])
    hanging.accessed.clear()
    hanging.resumed.clear()
    thread = hanging_thread(part.publish)
    part.discard()
    assert not part.published
    hanging.resumed.set()
    thread.join()
    assert part.published
    assert not part.abandon()
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"whole"]


def test_discard_ignores_a_file_that_cannot_be_removed(tmp_path: Path) -> None:
    part = PartFile(tmp_path / "gone" / "a", overwrite=True)
    (tmp_path / "gone").mkdir()
    part.begin()
    (tmp_path / "gone").rename(tmp_path / "moved")
    (tmp_path / "gone").write_bytes(b"a file where the folder was")
    part.discard()
    assert not part.abandon()


def test_without_hard_links_an_empty_file_reserves_the_name(tmp_path: Path) -> None:
    """Test with a directory as the source, since `os.link` fails for a directory, too."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    with pytest.raises(OSError, match="directory"):
        # A directory cannot replace the file that reserves the name.
        rename_no_replace(source, target)
    assert list(tmp_path.iterdir()) == [source]


def test_a_missing_parent_raises_file_not_found_error(tmp_path: Path) -> None:
    new_file(tmp_path / "a").close()
    with pytest.raises(FileNotFoundError):
        rename_no_replace(tmp_path / "a", tmp_path / "gone" / "b")


@pytest.mark.parametrize("name", ["a", "x" * 255, "é" * 127, "☃" * 85, ".hidden", "a.tar.gz"])
def test_a_part_path_is_unique_and_not_too_long(tmp_path: Path, name: str) -> None:
    names = {part_path(tmp_path / name) for _ in range(10)}
    assert len(names) == 10
    for path in names:
        assert path.parent == tmp_path
        assert path.suffix == ".part"
        assert len(os.fsencode(path.name)) <= 255
        new_file(path).close()


def test_a_target_that_can_be_written_passes_the_check(tmp_path: Path) -> None:
    check_target(tmp_path / "a", overwrite=False)
    (tmp_path / "a").write_bytes(b"")
    check_target(tmp_path / "a", overwrite=True)
    (tmp_path / "link").symlink_to("a")
    check_target(tmp_path / "link", overwrite=True)


def test_a_target_that_cannot_be_written_fails_the_check(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "d").mkdir()
    (tmp_path / "link").symlink_to("d")
    for name, overwrite, error in (
        ("a", False, FileExistsError),
        ("d", True, IsADirectoryError),
        ("link", True, IsADirectoryError),
        ("a/b", True, NotADirectoryError),
        ("none/b", True, FileNotFoundError),
    ):
        with pytest.raises(error):
            check_target(tmp_path / name, overwrite=overwrite)
