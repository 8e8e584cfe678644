"""A file appears whole or not at all, and nothing that exists is lost."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imgwire_async.atomic import PartFile, check_target, new_file, part_path, rename_no_replace


def test_nothing_shows_under_the_target_before_it_is_published(tmp_path: Path) -> None:
    target = tmp_path / "a"
    part = PartFile(target, overwrite=False)
    part.begin()
    part.write([b"12", b"3"])
    assert not target.exists()
    part.publish()
    part.discard()
    assert target.read_bytes() == b"123"
    assert list(tmp_path.iterdir()) == [target]


def test_beginning_again_forgets_what_was_written(tmp_path: Path) -> None:
    part = PartFile(tmp_path / "a", overwrite=False)
    for pieces in ([b"a longer first try"], [b"123"]):
        part.begin()
        part.write(pieces)
    part.publish()
    assert (tmp_path / "a").read_bytes() == b"123"


def test_a_discarded_file_leaves_nothing_and_late_calls_do_nothing(tmp_path: Path) -> None:
    part = PartFile(tmp_path / "a", overwrite=True)
    part.begin()
    part.discard()
    part.begin()
    part.write([b"1"])
    part.publish()
    part.discard()
    assert list(tmp_path.iterdir()) == []


def test_publishing_what_never_began_does_nothing(tmp_path: Path) -> None:
    PartFile(tmp_path / "a", overwrite=True).publish()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_that_came_meanwhile_stays_unless_told_otherwise(tmp_path: Path, overwrite: bool) -> None:
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


def test_of_many_that_publish_at_once_one_wins(tmp_path: Path) -> None:
    target, won = tmp_path / "a", list[int]()
    barrier = threading.Barrier(8)

    def publish(number: int) -> None:
        part = PartFile(target, overwrite=False)
        part.begin()
        part.write([b"%d" % number])
        barrier.wait()
        try:
            part.publish()
            won.append(number)
        except FileExistsError:
            part.discard()

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [target.read_bytes()] == [b"%d" % number for number in won]
    assert list(tmp_path.iterdir()) == [target]


class Hanging(type(Path())):  # type: ignore[misc]  # the class of this system's paths
    """A path of a disk that hangs whenever it is asked, until it wakes."""

    asked = threading.Event()
    awake = threading.Event()

    def __fspath__(self) -> str:
        self.asked.set()
        assert self.awake.wait(30)
        return str(self)


@pytest.fixture
def hanging(tmp_path: Path) -> Hanging:
    Hanging.asked.clear()
    Hanging.awake.clear()
    return Hanging(tmp_path / "a")


def late(call: Callable[[], object]) -> threading.Thread:
    """A thread in which `call` hangs."""
    thread = threading.Thread(target=call)
    thread.start()
    assert Hanging.asked.wait(30)
    return thread


def test_a_file_that_is_made_late_is_removed_by_who_made_it(tmp_path: Path, hanging: Hanging) -> None:
    part = PartFile(hanging, overwrite=True)
    thread = late(part.begin)
    assert part.abandon()
    part.discard()  # does not hang, too
    assert thread.is_alive()
    hanging.awake.set()
    thread.join()
    part.write([b"1"])
    part.publish()
    assert (list(tmp_path.iterdir()), part.published) == ([], False)


def test_what_is_written_late_is_removed_by_who_wrote_it(tmp_path: Path) -> None:
    part = PartFile(tmp_path / "a", overwrite=True)
    part.begin()
    begun, go = threading.Event(), threading.Event()

    def pieces() -> Iterator[bytes]:
        begun.set()
        assert go.wait(30)
        yield b"1"

    thread = threading.Thread(target=part.write, args=[pieces()])
    thread.start()
    assert begun.wait(30)
    part.discard()
    go.set()
    thread.join()
    part.publish()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_that_takes_its_place_late_is_whole_and_leaves_nothing_beside(
    tmp_path: Path, hanging: Hanging, overwrite: bool
) -> None:
    hanging.awake.set()
    part = PartFile(hanging, overwrite=overwrite)
    part.begin()
    part.write([b"whole"])
    hanging.asked.clear()
    hanging.awake.clear()
    thread = late(part.publish)
    part.discard()
    assert not part.published
    hanging.awake.set()
    thread.join()
    assert part.published
    assert not part.abandon()
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"whole"]


def test_a_file_that_cannot_be_removed_is_no_error(tmp_path: Path) -> None:
    part = PartFile(tmp_path / "gone" / "a", overwrite=True)
    (tmp_path / "gone").mkdir()
    part.begin()
    (tmp_path / "gone").rename(tmp_path / "moved")
    (tmp_path / "gone").write_bytes(b"a file where the folder was")
    part.discard()
    assert not part.abandon()


def test_without_hard_links_the_name_is_taken_first(tmp_path: Path) -> None:
    """A directory has no hard links either: it stands for a file of a system without them."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    with pytest.raises(OSError, match="directory"):
        rename_no_replace(source, target)  # a directory cannot take the place of the file that holds the name
    assert list(tmp_path.iterdir()) == [source]


def test_a_place_whose_parent_went_away_is_told(tmp_path: Path) -> None:
    new_file(tmp_path / "a").close()
    with pytest.raises(FileNotFoundError):
        rename_no_replace(tmp_path / "a", tmp_path / "gone" / "b")


@pytest.mark.parametrize("name", ["a", "x" * 255, "é" * 127, "☃" * 85, ".hidden", "a.tar.gz"])
def test_the_name_beside_is_another_and_not_too_long(tmp_path: Path, name: str) -> None:
    names = {part_path(tmp_path / name) for _ in range(10)}
    assert len(names) == 10
    for each in names:
        assert each.parent == tmp_path
        assert each.suffix == ".part"
        assert len(os.fsencode(each.name)) <= 255
        new_file(each).close()


def test_a_free_place_is_fine(tmp_path: Path) -> None:
    check_target(tmp_path / "a", overwrite=False)
    (tmp_path / "a").write_bytes(b"")
    check_target(tmp_path / "a", overwrite=True)
    (tmp_path / "link").symlink_to("a")
    check_target(tmp_path / "link", overwrite=True)


def test_a_place_that_is_not_free_is_told(tmp_path: Path) -> None:
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
