"""Tests of `extract_archive(on_clash="rename")`, which renames entries whose names clash."""

from __future__ import annotations

import time
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgwire_async import ArchiveError, extract_archive
from imgwire_async.archive_entries import (
    MAX_NAME_BYTES,
    Entry,
    clash_key,
    require_distinct,
    with_distinct_names,
)

from .test_archives import file_tree, write_file, zip_bytes, zip_info

NFC, NFD = unicodedata.normalize("NFC", "zoë.png"), unicodedata.normalize("NFD", "zoë.png")


def entries(*names: str) -> list[Entry]:
    return [
        Entry(zipfile.ZipInfo(name), tuple(name.strip("/").split("/")), name.endswith("/")) for name in names
    ]


def rename(*names: str, existing: tuple[str, ...] = ()) -> list[str]:
    found = with_distinct_names(entries(*names), 1000, lambda parts: "/".join(parts) in existing)
    return ["/".join(entry.parts) + "/" * entry.is_directory for entry in found]


CLASHES: list[tuple[list[str], list[str]]] = [
    (["a.png", "A.PNG", "a.Png"], ["a.png", "A (2).PNG", "a (3).Png"]),
    (["a.png", "a.png", "a.png"], ["a.png", "a (2).png", "a (3).png"]),
    ([NFC, NFD], [NFC, NFD.removesuffix(".png") + " (2).png"]),
    (["straße", "STRASSE"], ["straße", "STRASSE (2)"]),
    (["a.png", "a.png.", "a.png "], ["a.png", "a (2).png", "a (3).png"]),
    # A number is skipped when another entry, before or after this one, has that name.
    (["a.png", "A.png", "a (2).png"], ["a.png", "A (3).png", "a (2).png"]),
    (["a (2).png", "a.png", "A.png"], ["a (2).png", "a.png", "A (3).png"]),
    (["a.png", "A.png", "A (2).PNG", "a (2).png"], ["a.png", "A (3).png", "A (2).PNG", "a (2) (2).png"]),
    # The entries in a rename directory get its new name. Names clash only within one directory.
    (["a/x", "A/x", "a/y", "A/z"], ["a/x", "A (2)/x", "a/y", "A (2)/z"]),
    (["v1.2/", "V1.2/", "V1.2/x"], ["v1.2/", "V1.2 (2)/", "V1.2 (2)/x"]),
    (["x/a/1", "X/A/1", "x/A/1"], ["x/a/1", "X (2)/A/1", "x/A (2)/1"]),
    (["a/x", "b/X"], ["a/x", "b/X"]),
    (["a", "a/b"], ["a", "a (2)/b"]),
    (["a/b", "a"], ["a/b", "a (2)"]),
    (["a/b/", "a/b"], ["a/b/", "a/b (2)"]),
    (["a/", "a/x", "a/"], ["a/", "a/x", "a/"]),
    # The number comes before the extension.
    (["a.tar.gz", "A.tar.gz"], ["a.tar.gz", "A.tar (2).gz"]),
    ([".hidden", ".HIDDEN"], [".hidden", ".HIDDEN (2)"]),
    (["no extension", "No Extension"], ["no extension", "No Extension (2)"]),
    (["Mr. Smith", "MR. SMITH"], ["Mr. Smith", "MR. SMITH (2)"]),
    ([], []),
]


@pytest.mark.parametrize(("names", "expected"), CLASHES, ids=ascii)
def test_the_first_of_clashing_names_is_kept_and_the_others_get_numbers(
    names: list[str], expected: list[str]
) -> None:
    assert rename(*names) == expected
    require_distinct(entries(*expected), 1000)


def test_a_number_is_skipped_when_the_target_has_that_name() -> None:
    assert rename("a.png", "A.png", existing=("A (2).png", "a.png")) == ["a.png", "A (3).png"]
    assert rename("a/x", "A/x", existing=("A (2)",)) == ["a/x", "A (3)/x"]


def test_a_name_that_becomes_too_long_is_cut_between_characters() -> None:
    for name in ("x" * 255, "é" * 125 + ".jpeg", "💥" * 63, "x" * 251 + ".png"):
        first, second = rename(name, name)
        assert first == name
        assert len(second.encode()) <= MAX_NAME_BYTES
        assert second.removesuffix(f" (2){Path(name).suffix}")[:3] == name[:3]
        assert clash_key(second) != clash_key(first)


def test_many_equal_names_are_renamed_quickly() -> None:
    assert rename(*["a.png"] * 3000)[-1] == "a (3000).png"


def test_many_names_that_become_equal_when_cut_are_renamed_quickly() -> None:
    names = [f"{'x' * 247}{number:04}.png" for number in range(1000)]
    started_at = time.process_time()
    found = with_distinct_names(entries(*names, *names), 0, lambda _: False)
    assert time.process_time() - started_at < 2
    assert len({entry.parts for entry in found}) == 2000


def test_directories_count_towards_max_files_with_rename() -> None:
    with pytest.raises(ArchiveError, match="3 directories"):
        with_distinct_names(entries("a/x", "A/x", "b/"), 2, lambda _: False)


NAMES = st.lists(
    st.sampled_from(["a", "A", "ä", "a\u0308", "a (2)", "A (2)", "a.b", "a.B.", "ß", "ss", "a (2) (2)"]),
    min_size=1,
    max_size=3,
)


@settings(max_examples=30)
@given(st.lists(st.tuples(NAMES, st.booleans()), max_size=12))
def test_renamed_entries_never_clash_and_keep_their_directory(
    names: list[tuple[list[str], bool]],
) -> None:
    before = [Entry(zipfile.ZipInfo("x"), tuple(parts), is_directory) for parts, is_directory in names]
    after = with_distinct_names(before, 1000, lambda _: False)
    require_distinct(after, 1000)
    assert after == with_distinct_names(before, 1000, lambda _: False)
    assert [(len(e.parts), e.is_directory) for e in after] == [(len(e.parts), e.is_directory) for e in before]
    pairs = list(zip(before, after, strict=True))
    new_directories = {old.parts: new.parts for old, new in pairs if old.is_directory}
    # Entries of one directory stay together.
    for old, new in pairs:
        if old.parts[:-1] in new_directories:
            assert new.parts[:-1] == new_directories[old.parts[:-1]]


# --- on the disk --------------------------------------------------------------------------------------


def test_everything_is_extracted_and_the_real_paths_are_returned(tmp_path: Path) -> None:
    contents = [("p.jpg", b"1"), ("P.JPG", b"2"), ("p.jpg", b"3"), ("q/x", b"4"), ("Q/x", b"5"), ("q", b"6")]
    archive = write_file(tmp_path / "it.zip", zip_bytes(*contents))
    target = tmp_path / "target"
    names = ["p.jpg", "P (2).JPG", "p (3).jpg", "q/x", "Q (2)/x", "q (3)"]
    # The second extraction returns the same names.
    for overwrite in (False, True):
        paths = extract_archive(archive, target, on_clash="rename", overwrite=overwrite)
        assert paths == [target / name for name in names]
        assert [path.read_bytes() for path in paths] == [data for _, data in contents]
    assert len([path for path in target.rglob("*") if path.is_file()]) == 6


def test_existing_files_in_the_target_are_kept(tmp_path: Path) -> None:
    archive = write_file(tmp_path / "it.zip", zip_bytes(("a.png", b"1"), ("A.png", b"2")))
    (tmp_path / "target").mkdir()
    write_file(tmp_path / "target" / "A (2).png", b"mine")
    paths = extract_archive(archive, tmp_path / "target", on_clash="rename")
    assert [path.name for path in paths] == ["a.png", "A (3).png"]
    assert (tmp_path / "target" / "A (2).png").read_bytes() == b"mine"
    before = file_tree(tmp_path)
    # The archive's own names exist now, and only clashing names get numbers.
    with pytest.raises(FileExistsError):
        extract_archive(archive, tmp_path / "target", on_clash="rename")
    assert file_tree(tmp_path) == before


def test_a_numbered_name_is_not_written_through_a_link(tmp_path: Path) -> None:
    archive = write_file(tmp_path / "it.zip", zip_bytes(("a", b"1"), ("A", b"2")))
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "A (2)").symlink_to(tmp_path / "outside")
    extract_archive(archive, tmp_path / "target", on_clash="rename")
    assert not (tmp_path / "outside").exists()
    with pytest.raises(ArchiveError, match="link"):
        extract_archive(archive, tmp_path / "target", on_clash="rename", overwrite=True)


@pytest.mark.parametrize("name", ["../a", "CON", "c:x", "a\\b"])
def test_hostile_names_are_rejected_with_rename_too(tmp_path: Path, name: str) -> None:
    archive = write_file(tmp_path / "it.zip", zip_bytes((name, b"1"), ("b", b"2"), ("B", b"3")))
    with pytest.raises(ArchiveError):
        extract_archive(archive, tmp_path / "target", on_clash="rename")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("names", [("a", "A"), ("a", "a"), ("a", "a/b")])
def test_the_error_for_clashing_names_suggests_rename(tmp_path: Path, names: tuple[str, ...]) -> None:
    archive = write_file(tmp_path / "it.zip", zip_bytes(*[(zip_info(name), b"1") for name in names]))
    for options in ({}, {"on_clash": "refuse"}):
        given: Any = options
        with pytest.raises(ArchiveError, match='on_clash="rename"'):
            extract_archive(archive, tmp_path / "target", **given)


@pytest.mark.parametrize(
    ("value", "error"), [("replace", ValueError), ("", ValueError), (None, TypeError), (True, TypeError)]
)
def test_an_unknown_on_clash_value_is_rejected(tmp_path: Path, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match='"refuse" or "rename"'):
        extract_archive(tmp_path / "it.zip", tmp_path, on_clash=value)
