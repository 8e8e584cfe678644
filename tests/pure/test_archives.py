"""Tests of `extract_archive` with valid, hostile and corrupt archives."""

from __future__ import annotations

import io
import os
import stat
import struct
import tempfile
import unicodedata
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imgwire_async import ArchiveError, extract_archive
from imgwire_async.archive_entries import Entry, validated_entries
from imgwire_async.archives import Budget

Content = str | zipfile.ZipInfo


def zip_bytes(*entries: tuple[Content, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in entries:
            # `zipfile` warns about a name that occurs twice.
            with warnings.catch_warnings(action="ignore"):
                archive.writestr(name, data)
    return out.getvalue()


def zip_info(name: str, *, mode: int = 0, system: int = 3) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    entry.create_system = system
    return entry


def raw_name(name: bytes, data: bytes = b"x", *, utf8: bool = False) -> bytes:
    """Return an archive with one entry whose name is exactly these bytes.

    `zipfile` would not write such a name.
    """
    flags = 0x800 if utf8 else 0
    crc = zlib.crc32(data)
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, flags, 0, 0, 33, crc, len(data), len(data), len(name), 0)
    head = local + name + data
    central = struct.pack(
        "<4s4B4H3L5H2L", b"PK\1\2", 20, 3, 20, 0, flags, 0, 0, 33, crc, len(data), len(data), len(name), 0, 0, 0, 0, 0, 0
    ) + name  # fmt: skip
    return head + central + end(1, len(central), len(head))


def end(entries: int, size: int, offset: int) -> bytes:
    return struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, entries % 2**16, entries % 2**16, size, offset, 0)


@pytest.fixture
def sandbox(tmp_path: Path) -> Path:
    """Return a directory with a target directory inside. Only the target may change."""
    (tmp_path / "target").mkdir()
    return tmp_path


def write_file(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def file_tree(path: Path) -> dict[str, bytes | None]:
    return {
        child.relative_to(path).as_posix(): child.read_bytes() if child.is_file() else None
        for child in sorted(path.rglob("*"))
    }


def assert_rejected(sandbox: Path, data: bytes, match: str, **options: int) -> None:
    """Assert that the archive is rejected, and that the sandbox is unchanged."""
    archive = write_file(sandbox / "it.zip", data)
    before = file_tree(sandbox)
    with pytest.raises(ArchiveError, match=match):
        extract_archive(archive, sandbox / "target", **options)  # type: ignore[arg-type]
    assert file_tree(sandbox) == before


# --- valid archives -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_everything_is_extracted_in_order(sandbox: Path, method: int) -> None:
    entries: list[tuple[Content, bytes]] = [
        ("zoë.png", b"1" * 300_000),
        ("album/", b""),
        ("album/a b.jpg", b""),
        ("album/deep/ü/x.gif", bytes(range(256)) * 1500),
        ("empty/", b""),
        ("./dotted//x.png", b"2"),
    ]
    archive = write_file(sandbox / "it.zip", zip_bytes(*entries, method=method))
    target = sandbox / "target"
    paths = extract_archive(archive, target)
    names = ["zoë.png", "album/a b.jpg", "album/deep/ü/x.gif", "dotted/x.png"]
    assert paths == [target / name for name in names]
    assert [path.read_bytes() for path in paths] == [
        data for name, data in entries if not str(name).endswith("/")
    ]
    assert (target / "empty").is_dir()
    assert sorted(path.name for path in target.iterdir()) == ["album", "dotted", "empty", "zoë.png"]


def test_a_missing_target_is_created_with_its_parents(sandbox: Path) -> None:
    archive = write_file(sandbox / "it.zip", zip_bytes(("a.png", b"1")))
    assert extract_archive(str(archive), str(sandbox / "new" / "er")) == [sandbox / "new" / "er" / "a.png"]


def test_an_empty_archive_extracts_no_files(sandbox: Path) -> None:
    assert extract_archive(write_file(sandbox / "it.zip", zip_bytes()), sandbox / "target") == []


def test_a_relative_target_returns_relative_paths(sandbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(sandbox)
    write_file(sandbox / "it.zip", zip_bytes(("a.png", b"1")))
    assert extract_archive("it.zip", "target") == [Path("target/a.png")]


def test_the_umask_sets_the_permissions_of_extracted_files(sandbox: Path) -> None:
    archive = write_file(sandbox / "it.zip", zip_bytes((zip_info("a/b.png", mode=0o104777), b"1")))
    before = os.umask(0o027)
    try:
        (path,) = extract_archive(archive, sandbox / "target")
    finally:
        os.umask(before)
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o640, 0o750)


@pytest.mark.parametrize(
    "name", ["console.png", "a.con", "nullify", "com10.gif", "..png", "a..b", "☃ 👨‍👩‍👧.png", "a\u202fPM.png"]
)
def test_unusual_but_harmless_names_are_extracted(sandbox: Path, name: str) -> None:
    archive = write_file(sandbox / "it.zip", zip_bytes((name, b"1")))
    assert extract_archive(archive, sandbox / "target") == [sandbox / "target" / name]


# --- hostile names ---

HOSTILE = {
    "../x": "leads out", "a/../../x": "leads out", "..": "leads out", "a/..": "leads out", "../": "leads out",
    "/x": "absolute", "//host/share/x": "absolute", "C:/x": "absolute", "c:x": "absolute", "/": "absolute",
    "a\\b": "backslash", "..\\x": "backslash", "\\\\host\\x": "backslash",
    "CON": "device", "nul.png": "device", "a/Aux.tar.gz": "device", "com1": "device", "LPT9.jpg": "device",
    "prn .x": "device", "conin$": "device", "com¹.png": "device", "CON/x": "device",
    "a\nb": "control", "a\x7f": "control", "a\x1b[2J": "control", "a\u2028b": "control", "a\x85b": "control",
    "x\u202egnp.exe": "text direction", "./": "no name", ".": "no name", " ": "spaces and dots", "...": "spaces and dots",
    "a/ /b": "spaces and dots", "x" * 256: "too long", "é" * 128: "too long", "x/" * 33 + "y": "too long",
    "/".join(["y" * 200] * 6): "too long",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_hostile_name_rejects_the_whole_archive(sandbox: Path, name: str) -> None:
    assert_rejected(
        sandbox, zip_bytes(("good.png", b"1"), (name, b"2" if not name.endswith("/") else b"")), HOSTILE[name]
    )


@pytest.mark.parametrize(
    ("name", "match"),
    [
        (b"a\0../b", "control"),
        (b"\0", "control"),
        (b"", "no name"),
        (b"a\\..\\..\\b", "backslash"),
        (b"\x01", "control"),
    ],
)
def test_the_raw_name_is_validated_when_zipfile_changes_it(sandbox: Path, name: bytes, match: str) -> None:
    assert_rejected(sandbox, raw_name(name), match)


def test_a_name_that_is_not_utf8_is_corrupt(sandbox: Path) -> None:
    assert_rejected(sandbox, raw_name(b"\xff\xfe", utf8=True), "corrupt")


def test_a_name_in_the_extra_field_is_validated_too(sandbox: Path) -> None:
    entry = zip_info("good.png")
    second = b"../evil"
    field = struct.pack("<BL", 1, zlib.crc32(b"good.png")) + second
    entry.extra = struct.pack("<HH", 0x7075, len(field)) + field
    data = zip_bytes((entry, b"1"))
    if zipfile.ZipFile(io.BytesIO(data)).namelist() == ["good.png"]:
        pytest.skip("this Python does not read that field")
    assert_rejected(sandbox, data, "leads out")


def ascii_id(names: object) -> str:
    return ascii(names)


@pytest.mark.parametrize(
    "names",
    [
        ("a.png", "a.png"),
        ("a.png", "A.PNG"),
        ("stra\u00dfe", "STRASSE"),
        (unicodedata.normalize("NFC", "zoë.png"), unicodedata.normalize("NFD", "zoë.png")),
        (unicodedata.normalize("NFC", "ZOË"), unicodedata.normalize("NFD", "zoë")),
        ("a/x", "A/y"),
        ("a", "a/b"),
        ("a/b", "a"),
        ("a/b/", "a/b"),
        ("a.png", "a.png."),
        ("a.png", "a.png "),
        ("a//b", "a/./b"),
        ("x/a/1", "x/A/1"),
    ],
    ids=ascii_id,
)
def test_names_that_clash_on_some_file_system_reject_the_archive(
    sandbox: Path, names: tuple[str, str]
) -> None:
    data = zip_bytes(*[(zip_info(name), b"" if name.endswith("/") else b"1") for name in names])
    assert_rejected(sandbox, data, "name of another|twice|as a file and as a directory")


def test_a_directory_may_occur_twice(sandbox: Path) -> None:
    archive = write_file(sandbox / "it.zip", zip_bytes(("a/", b""), ("a/x", b"1"), (zip_info("a/"), b"")))
    assert extract_archive(archive, sandbox / "target") == [sandbox / "target" / "a" / "x"]


# --- types of entries ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "match"),
    [
        (stat.S_IFLNK | 0o777, "is a symbolic link"),
        (stat.S_IFIFO | 0o644, "not a regular file"),
        (stat.S_IFCHR | 0o644, "not a regular file"),
        (stat.S_IFBLK, "not a regular file"),
        (stat.S_IFSOCK, "not a regular file"),
        (stat.S_IFDIR | 0o755, "not a regular file"),
    ],
)
@pytest.mark.parametrize("system", [0, 3])
def test_links_and_devices_are_rejected(sandbox: Path, mode: int, match: str, system: int) -> None:
    assert_rejected(sandbox, zip_bytes((zip_info("a", mode=mode, system=system), b"/etc/passwd")), match)


def test_a_link_with_the_name_of_a_directory_is_rejected(sandbox: Path) -> None:
    assert_rejected(
        sandbox, zip_bytes((zip_info("a/", mode=stat.S_IFLNK | 0o777), b"..")), "is a symbolic link"
    )


@pytest.mark.parametrize("flag", [0x1, 0x40, 0x2000])
def test_encrypted_entries_are_rejected(sandbox: Path, flag: int) -> None:
    data = bytearray(zip_bytes(("a.png", b"123")))
    at = data.index(b"PK\1\2") + 8
    data[at : at + 2] = struct.pack("<H", flag)
    assert_rejected(sandbox, bytes(data), "encrypted")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_methods_with_unbounded_memory_are_rejected(sandbox: Path, method: int) -> None:
    assert_rejected(sandbox, zip_bytes(("a", bytes(1000)), method=method), f"method {method}")


# --- limits --------------------------------------------------------------------------------------------


def test_more_than_max_files_entries_are_rejected(sandbox: Path) -> None:
    data = zip_bytes(*[(f"{n}", b"") for n in range(4)])
    assert_rejected(sandbox, data, "4 entries", max_files=3)
    assert len(extract_archive(sandbox / "it.zip", sandbox / "target", max_files=4)) == 4


def test_directories_count_towards_max_files(sandbox: Path) -> None:
    assert_rejected(sandbox, zip_bytes(("a/b/c/d/x", b"")), "4 directories", max_files=3)


def test_more_than_max_bytes_are_rejected(sandbox: Path) -> None:
    data = zip_bytes(("a", bytes(600)), ("b", bytes(401)))
    assert_rejected(sandbox, data, "max_bytes=1000", max_bytes=1000)
    assert len(extract_archive(sandbox / "it.zip", sandbox / "target", max_bytes=1001)) == 2


def test_a_zip_bomb_is_rejected(sandbox: Path) -> None:
    assert_rejected(sandbox, zip_bytes(("a", bytes(10_000_000)), method=zipfile.ZIP_DEFLATED), "bomb")


def test_a_small_content_may_have_any_compression_ratio(sandbox: Path) -> None:
    archive = write_file(sandbox / "it.zip", zip_bytes(("a", bytes(1_000_000)), method=zipfile.ZIP_DEFLATED))
    assert extract_archive(archive, sandbox / "target")


def with_declared_size(data: bytes, size: int) -> bytes:
    """Return the same archive with another declared size of its one entry."""
    changed = bytearray(data)
    for at in (data.index(b"PK\3\4") + 22, data.index(b"PK\1\2") + 24):
        changed[at : at + 4] = struct.pack("<L", size)
    return bytes(changed)


@pytest.mark.parametrize("declared", [0, 10, 10_000_000, 0x7FFFFFFF])
def test_declared_sizes_are_not_trusted(sandbox: Path, declared: int) -> None:
    data = zip_bytes(("a", b"x" * 2_000_000), method=zipfile.ZIP_DEFLATED)
    assert_rejected(sandbox, with_declared_size(data, declared), "corrupt|but declares|bomb")


def test_overlapping_entries_are_rejected(sandbox: Path) -> None:
    data = zip_bytes(("a", bytes(100_000)), ("b", b"1"))
    at = data.rindex(b"PK\1\2") + 42
    assert_rejected(sandbox, data[:at] + struct.pack("<L", 0) + data[at + 4 :], "shares its bytes")


def test_a_huge_central_directory_is_not_read(sandbox: Path) -> None:
    central = raw_name(b"x")[32:-22]
    table = central * 200_000
    assert_rejected(sandbox, table + end(200_000, len(table), 0), "central directory", max_files=10)


def test_the_budget_counts_extracted_bytes() -> None:
    budget = Budget(max_bytes=10, max_expanded=20)
    budget.spend(10)
    with pytest.raises(ArchiveError, match="max_bytes=10"):
        budget.spend(1)
    with pytest.raises(ArchiveError, match="bomb"):
        Budget(max_bytes=100, max_expanded=20).spend(21)


# --- corrupt archives ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [b"", b"no zip", b"PK\3\4" + bytes(100), b"PK\5\6" + b"\xff" * 18, b"<html>" * 5000]
)
def test_a_file_that_is_not_an_archive_is_rejected(sandbox: Path, data: bytes) -> None:
    assert_rejected(sandbox, data, "not a ZIP file")


def test_a_truncated_archive_is_rejected(sandbox: Path) -> None:
    data = zip_bytes(("a", os.urandom(5000)), ("b", b"2"))
    for length in range(0, len(data), 97):
        assert_rejected(sandbox, data[:length], "corrupt")


def test_a_wrong_checksum_is_rejected_and_leaves_no_files(sandbox: Path) -> None:
    data = zip_bytes(("good", b"fine"), ("bad", b"correct"))
    assert_rejected(sandbox, data.replace(b"correct", b"corrupt"), "corrupt at 'bad'")


@given(st.data())
def test_a_damaged_archive_is_rejected_or_extracted_inside_the_target(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = bytearray(zip_bytes(("a.png", b"1" * 50), ("b/c.png", b"2" * 50), method=zipfile.ZIP_DEFLATED))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    sandbox = tmp_path_factory.mktemp("damaged")
    (sandbox / "target").mkdir()
    archive = write_file(sandbox / "it.zip", bytes(whole))
    try:
        paths = extract_archive(archive, sandbox / "target", max_bytes=10_000)
    except ArchiveError:
        assert file_tree(sandbox / "target") == {}
    else:
        assert all(path.is_relative_to(sandbox / "target") and path.is_file() for path in paths)
    assert sorted(path.name for path in sandbox.iterdir()) == ["it.zip", "target"]


def assert_inside(entries: Iterable[Entry], root: Path) -> None:
    seen: set[str] = set()
    for entry in entries:
        path = entry.path_in(root)
        assert os.path.normpath(path) == str(path)
        assert path.is_relative_to(root)
        assert path != root
        if not entry.is_directory:
            key = unicodedata.normalize("NFC", "/".join(entry.parts)).lower()
            assert key not in seen
            seen.add(key)


NAMES = st.text(
    st.sampled_from("aAbé\u0301ßſKK/\\.: \0\n\x1f\u202e\u200d💥con1$nul~"), max_size=12
) | st.lists(st.sampled_from(["..", ".", "", "a", "A", "CON", "c:", "\\", "ü", "u\u0308"]), max_size=4).map(
    "/".join
)


@given(st.lists(NAMES, max_size=4))
@example(["a", "a/b"])
def test_no_name_leads_out_of_the_target(
    tmp_path_factory: pytest.TempPathFactory, names: Iterable[str]
) -> None:
    infos = []
    for at, name in enumerate(names):
        entry = zipfile.ZipInfo("x")
        entry.orig_filename, entry.filename = name, name.partition("\0")[0]
        entry.header_offset = at * 1000
        infos.append(entry)
    try:
        entries = validated_entries(infos, 100)
    except ArchiveError as error:
        message = str(error)
    else:
        message = ""
        assert_inside(entries, tmp_path_factory.getbasetemp() / "root")
    assert message.isascii()
    assert message.isprintable()


# --- existing files in the target --------------------------------------------------------------------


def test_an_existing_file_raises_before_any_file_is_written(sandbox: Path) -> None:
    archive = write_file(sandbox / "it.zip", zip_bytes(("new", b"1"), ("sub/old", b"2")))
    (sandbox / "target" / "sub").mkdir()
    write_file(sandbox / "target" / "sub" / "old", b"mine")
    before = file_tree(sandbox)
    with pytest.raises(FileExistsError) as caught:
        extract_archive(archive, sandbox / "target")
    assert caught.value.filename == str(sandbox / "target" / "sub" / "old")
    assert file_tree(sandbox) == before


def test_overwrite_replaces_an_existing_file(sandbox: Path) -> None:
    archive = write_file(sandbox / "it.zip", zip_bytes(("new", b"1"), ("old", b"2")))
    write_file(sandbox / "target" / "old", b"mine")
    write_file(sandbox / "target" / "other", b"stays")
    extract_archive(archive, sandbox / "target", overwrite=True)
    assert file_tree(sandbox / "target") == {"new": b"1", "old": b"2", "other": b"stays"}


@pytest.fixture
def ordinary_user_directory() -> Iterator[Path]:
    """Return a directory of an ordinary user. Tests that run as root could write everywhere."""
    with tempfile.TemporaryDirectory() as name:
        if os.geteuid() != 0:
            yield Path(name)
            return
        os.chown(name, 65534, -1)
        os.seteuid(65534)
        try:
            yield Path(name)
        finally:
            os.seteuid(0)


def test_a_failure_during_the_last_move_undoes_all_moves(ordinary_user_directory: Path) -> None:
    target = ordinary_user_directory / "target"
    target.mkdir()
    archive = write_file(
        ordinary_user_directory / "it.zip", zip_bytes(("old", b"2"), ("new/a", b"3"), ("locked/x", b"4"))
    )
    write_file(target / "old", b"mine")
    (target / "locked").mkdir(mode=0o555)
    before = file_tree(ordinary_user_directory)
    with pytest.raises(PermissionError):
        extract_archive(archive, target, overwrite=True)
    assert file_tree(ordinary_user_directory) == before


def test_a_read_only_target_raises_permission_error(ordinary_user_directory: Path) -> None:
    archive = write_file(ordinary_user_directory / "it.zip", zip_bytes(("a", b"1")))
    (ordinary_user_directory / "target").mkdir(mode=0o555)
    with pytest.raises(PermissionError):
        extract_archive(archive, ordinary_user_directory / "target")


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["link", "link/x", "sub/link/x", "link/"])
def test_nothing_is_written_through_a_link_in_the_target(sandbox: Path, name: str, overwrite: bool) -> None:
    outside = sandbox / "outside"
    outside.mkdir()
    (sandbox / "target" / "sub").mkdir()
    (sandbox / "target" / "link").symlink_to(outside)
    (sandbox / "target" / "sub" / "link").symlink_to(outside)
    assert_rejected(
        sandbox,
        zip_bytes(("good", b"1"), (name, b"" if name.endswith("/") else b"2")),
        "link",
        overwrite=overwrite,
    )


def test_a_dangling_link_in_the_target_is_not_followed(sandbox: Path) -> None:
    (sandbox / "target" / "a").symlink_to(sandbox / "nowhere")
    assert_rejected(sandbox, zip_bytes(("a", b"1")), "is a link", overwrite=True)
    assert not (sandbox / "nowhere").exists()


def test_the_target_itself_may_be_a_link(sandbox: Path) -> None:
    (sandbox / "link").symlink_to(sandbox / "target")
    extract_archive(write_file(sandbox / "it.zip", zip_bytes(("a", b"1"))), sandbox / "link")
    assert file_tree(sandbox / "target") == {"a": b"1"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_directories_and_files_do_not_replace_each_other(sandbox: Path, overwrite: bool) -> None:
    (sandbox / "target" / "a").mkdir()
    write_file(sandbox / "target" / "b", b"")
    os.mkfifo(sandbox / "target" / "c")
    for name, error in (
        ("a", IsADirectoryError),
        ("b/x", NotADirectoryError),
        ("b/", NotADirectoryError),
        ("c", FileExistsError),
    ):
        archive = write_file(sandbox / "it.zip", zip_bytes((name, b"")))
        with pytest.raises(error):
            extract_archive(archive, sandbox / "target", overwrite=overwrite)
    assert set(file_tree(sandbox / "target")) == {"a", "b", "c"}


def test_a_target_that_is_a_file_raises_not_a_directory_error(sandbox: Path) -> None:
    archive = write_file(sandbox / "it.zip", zip_bytes(("a", b"1")))
    for target in (archive, archive / "sub"):
        with pytest.raises(NotADirectoryError):
            extract_archive(archive, target)


def test_a_created_target_is_removed_when_the_archive_is_corrupt(sandbox: Path) -> None:
    archive = write_file(sandbox / "it.zip", zip_bytes(("a", b"right")).replace(b"right", b"wrong"))
    with pytest.raises(ArchiveError):
        extract_archive(archive, sandbox / "new" / "er")
    assert not (sandbox / "new").exists()


# --- arguments ----------------------------------------------------------------------------------------


def test_a_missing_archive_raises_file_not_found_error(sandbox: Path) -> None:
    with pytest.raises(FileNotFoundError):
        extract_archive(sandbox / "none.zip", sandbox / "new")
    with pytest.raises(IsADirectoryError):
        extract_archive(sandbox, sandbox / "new")
    assert not (sandbox / "new").exists()


@pytest.mark.parametrize(
    ("value", "error"), [(True, TypeError), ("1", TypeError), (1.0, TypeError), (-1, ValueError)]
)
@pytest.mark.parametrize("name", ["max_files", "max_bytes"])
def test_limits_must_be_whole_numbers(
    sandbox: Path, name: str, value: object, error: type[Exception]
) -> None:
    with pytest.raises(error, match=name):
        extract_archive(sandbox / "none.zip", sandbox, **{name: value})  # type: ignore[arg-type]
