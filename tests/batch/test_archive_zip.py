"""The members of ZIP archives: which are listed and read, and what hostile archives cause."""

from __future__ import annotations

import bz2
import os
import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from imgwire_async import ArchiveError, SourceChangedError
from imgwire_async.batch.sources import archive

from .archives import RawZip, contents, listed, read, write_zip

FILES = {
    "a.gif": b"GIF89a",
    "b/c.gif": os.urandom(50_000),
    "b/large.gif": os.urandom(530_000) + bytes(9),
}


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
async def test_members_of_each_method_are_read(tmp_path: Path, method: int) -> None:
    path = write_zip(tmp_path / "a", FILES, method)
    assert await listed(path) == ({name: len(data) for name, data in FILES.items()}, None)
    assert await contents(path) == FILES


async def test_64_bit_fields_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with zipfile.ZipFile(path, "w") as file:
        for name, data in FILES.items():
            with file.open(zipfile.ZipInfo(name), "w", force_zip64=True) as member:
                member.write(data)
    assert await contents(path) == FILES
    large = struct.pack("<HHQQQ", 1, 24, 6, 6, 0)
    fields = {"size": 2**32 - 1, "packed": 2**32 - 1, "offset": 2**32 - 1}
    path.write_bytes(RawZip().add("a.gif", b"GIF89a", extra=large, **fields).data())
    assert await contents(path) == {"a.gif": b"GIF89a"}
    path.write_bytes(RawZip().add("a.gif", b"GIF89a", **fields).data())
    assert await listed(path) == ({"a.gif": "its header is broken"}, None)


async def test_a_64_bit_end_record_is_read(tmp_path: Path) -> None:
    raw = RawZip().add("a.gif", b"GIF89a")
    entries = raw.entries[0]
    start = len(raw.body)
    record = struct.pack("<4sQHHLLQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(entries), start)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, start + len(entries), 1)
    end = struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 2**32 - 1, 2**32 - 1, 0)
    path = tmp_path / "a"
    for before in (b"", b"a program that unpacks itself"):
        path.write_bytes(before + raw.body + entries + record + locator + end)
        assert await contents(path) == {"a.gif": b"GIF89a"}
    path.write_bytes(raw.body + entries + bytes(56) + locator + end)
    assert "has a broken list of its members" in str((await listed(path))[1])


async def test_data_before_and_after_an_archive_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.exe"
    path.write_bytes(
        RawZip().add("a.gif", b"GIF89a").data(before=b"MZ" + bytes(700), after=b"a comment PK\5\6")
    )
    assert await contents(path) == {"a.gif": b"GIF89a"}


@pytest.mark.parametrize(
    ("name", "flags", "system", "key"),
    [
        ("é.gif".encode(), 0x800, 3, "é.gif"),
        ("é.gif".encode(), 0, 3, "é.gif"),
        ("é.gif".encode("cp437"), 0, 3, "é.gif"),
        ("é.gif".encode("cp437"), 0, 0, "é.gif"),
        (b"\xff.gif", 0x800, 3, "\udcff.gif"),
        (b"./a//b.gif", 0, 3, "a/b.gif"),
        (b"a b\\c.gif", 0, 0, "a b\\c.gif"),
    ],
)
async def test_a_key_is_the_name_of_the_member(
    tmp_path: Path, name: bytes, flags: int, system: int, key: str
) -> None:
    path = tmp_path / "a"
    path.write_bytes(RawZip().add(name, b"GIF89a", flags=flags, system=system).data())
    assert await listed(path, "p/") == ({f"p/{key}": 6}, None)
    assert await contents(path) == {key: b"GIF89a"}


async def test_a_name_in_an_extra_field_is_used_only_for_the_name_with_its_crc(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for raw, key in ((b"\x82.gif", "ü.gif"), (b"\x83.gif", "â.gif")):
        field = b"\1" + struct.pack("<L", zlib.crc32(b"\x82.gif")) + "ü.gif".encode()
        extra = struct.pack("<HH", 0x7075, len(field)) + field
        path.write_bytes(RawZip().add(raw, b"GIF89a", system=0, extra=extra).data())
        assert await listed(path) == ({key: 6}, None)


@pytest.mark.parametrize(
    ("name", "fields", "reason"),
    [
        ("/etc/a.gif", {}, "its path is absolute"),
        ("C:\\a.gif", {}, "its path is absolute"),
        ("../a.gif", {}, "its path leads out of the archive"),
        ("a\\..\\b.gif", {}, "its path leads out of the archive"),
        ("a\0.gif", {}, "its name contains a NUL character"),
        (".", {}, "it has no name"),
        (".a.gif", {}, "a hidden file"),
        (".git/a.gif", {}, "in a hidden folder"),
        ("__MACOSX/._a.gif", {}, "an extra file of macOS, no picture"),
        ("a", {"mode": 0o120777}, "a link"),
        ("a", {"mode": 0o020644}, "a device"),
        ("a", {"mode": 0o010644}, "a pipe"),
        ("a", {"flags": 1}, "it is encrypted"),
        ("a", {"method": 9}, "it is compressed with method 9, which cannot be read"),
        ("a", {"size": 10**6}, "its sizes cannot be true"),
        ("a", {"method": 8, "size": 10**6}, "its sizes cannot be true"),
        ("a", {"packed": 10**6}, "it shares its bytes with another member"),
        ("a", {"offset": 10**6}, "it shares its bytes with another member"),
    ],
)
async def test_a_member_that_is_no_safe_file_is_skipped_with_the_reason(
    tmp_path: Path, name: str, fields: dict[str, int], reason: str
) -> None:
    path = tmp_path / "a"
    path.write_bytes(RawZip().add(name, b"GIF89a", **fields).data())
    assert await listed(path) == ({name: reason}, None)


async def test_folders_are_left_out_and_empty_files_are_skipped(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a", {"f/": b"", "f/empty": b""})
    assert await listed(path) == ({"f/empty": "an empty file"}, None)
    path.write_bytes(RawZip().data())
    assert await listed(path) == ({}, None)


async def test_a_key_that_is_too_long_is_skipped_under_a_short_key(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a", {"a" * 5_000: b"GIF89a", "b" * 4_096: b"GIF89a"})
    found, error = await listed(path)
    assert error is None
    (short, reason), (key, size) = found.items()
    assert len(short) < 1_100
    assert reason == "its key has more than 4,096 bytes"
    assert (key, size) == ("b" * 4_096, 6)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"crc": 1}, "is damaged: its CRC is wrong"),
        ({"size": 5}, "has more bytes than the list of members says"),
        ({"size": 7}, "is cut off"),
        ({"method": 8, "size": 5}, "has more bytes than the list of members says"),
        ({"method": 8, "size": 7}, "is cut off"),
        ({"method": 8, "packed": 3}, "is cut off"),
    ],
)
async def test_a_member_with_wrong_values_fails_with_the_reason(
    tmp_path: Path, fields: dict[str, int], text: str
) -> None:
    path = tmp_path / "a.zip"
    raw = RawZip().add("a.gif", b"GIF89a", **fields).add("b.gif", b"GIF89b")
    path.write_bytes(raw.data())
    found = await contents(path)
    assert str(found["a.gif"]).startswith(f"{path}/a.gif: the member {text}")
    assert isinstance(found["a.gif"], ArchiveError)
    assert found["b.gif"] == b"GIF89b"


async def test_a_member_whose_own_header_differs_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    data = bytearray(RawZip().add("a.gif", b"GIF89a").data())
    data[8] = 8
    path.write_bytes(data)
    assert "another method in its header" in str((await contents(path))["a.gif"])
    data[0] = 0
    path.write_bytes(b"MZ" + data)
    assert "has a broken header" in str((await contents(path))["a.gif"])


async def test_damaged_data_of_each_method_fails(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        data = bytearray(write_zip(path, {"a": os.urandom(5_000)}, method).read_bytes())
        data[31:1_000] = bytes(value ^ 0x5A for value in data[31:1_000])
        path.write_bytes(data)
        assert isinstance((await contents(path))["a"], ArchiveError)


async def test_lzma_that_demands_much_memory_fails(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for dictionary, is_refused in ((2**32 - 1, True), (65 * 2**20, True), (64 * 2**20, False)):
        head = b"\x09\x14\x05\x00" + bytes([0x5D]) + struct.pack("<L", dictionary)
        raw = RawZip().add("a", head + bytes(2_000), method=14, size=2**32 - 2)
        path.write_bytes(raw.data())
        assert ("needs too much memory" in str((await contents(path))["a"])) is is_refused


async def test_a_bomb_of_overlapping_members_is_skipped(tmp_path: Path) -> None:
    """All members of such a bomb share one block of compressed bytes."""
    path = tmp_path / "a"
    raw = RawZip().add("0.gif", bytes(10**6), method=8)
    entry = raw.entries[0]
    raw.entries += [entry.replace(b"0.gif", b"%d.gif" % number) for number in range(1, 9)]
    raw.add("other.gif", b"GIF89a")
    path.write_bytes(raw.data())
    found, error = await listed(path)
    assert error is None
    assert found.pop("other.gif") == 6
    assert {*found.values()} == {"it shares its bytes with another member"}
    assert len(found) == 9


async def test_members_in_another_order_than_their_bytes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    raw = RawZip().add("a.gif", b"GIF89a").add("b.gif", b"GIF89b").add("c.gif", b"GIF89c")
    raw.entries.reverse()
    path.write_bytes(raw.data())
    assert await contents(path) == {"c.gif": b"GIF89c", "b.gif": b"GIF89b", "a.gif": b"GIF89a"}


async def test_a_bomb_is_read_in_chunks(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a", {"a": bytes(8_000_000)}, zipfile.ZIP_BZIP2)
    assert path.stat().st_size < 1_000
    source = archive(path).start(frozenset())
    (entry,) = await source.read()
    file = entry.item.file  # type: ignore[union-attr]  # an entry
    assert max([len(chunk) async for chunk in file.open()]) <= 512 * 1024  # type: ignore[union-attr]  # a source
    await source.aclose()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "the archive is empty"),
        (b"GIF89a", "the archive is neither a ZIP nor a TAR archive"),
        (b"Rar!\x1a\7\0", "the archive is a RAR archive, which cannot be read: unpack it"),
        (b"7z\xbc\xaf\x27\x1c", "the archive is a 7z archive, which cannot be read: unpack it"),
        (RawZip().add("a", b"x").data()[:-10], "the archive is cut off: the list of its members is missing"),
        (RawZip().add("a", b"x").data(offset=0, size=5), "the archive is cut off"),
        (RawZip().add("a", b"x").data(disk=1), "is only one part of an archive in several files"),
        (RawZip().add("a", b"x").data(size=47 + 2**20), "the archive is cut off"),
        (bz2.compress(b"no archive"), "the archive is a bzip2 file, but no TAR archive is in it"),
    ],
)
async def test_a_file_that_is_no_archive_is_an_error_that_says_so(
    tmp_path: Path, data: bytes, text: str
) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    found, error = await listed(path)
    assert not found
    assert isinstance(error, ArchiveError)
    assert str(error).startswith(f"{path}: ")
    assert text in str(error)


async def test_a_broken_list_is_an_error_after_the_members_before_it(tmp_path: Path) -> None:
    raw = RawZip().add("a.gif", b"GIF89a").add("b.gif", b"GIF89b")
    raw.entries[1] = raw.entries[1].replace(b"PK\1\2", b"PK\1\3")
    path = tmp_path / "a"
    path.write_bytes(raw.data())
    found, error = await listed(path)
    # The list is read once before its first member, so nothing is uploaded of an archive that lies.
    assert found == {}
    assert "has a broken list of its members" in str(error)


async def test_an_archive_that_is_missing_or_a_folder_is_an_error(tmp_path: Path) -> None:
    assert "There is no such archive" in str((await listed(tmp_path / "a"))[1])
    assert "pass folder(path)" in str((await listed(tmp_path))[1])
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        assert "This is not a file" in str((await listed(tmp_path / "pipe"))[1])


async def test_an_archive_that_changes_after_it_was_listed_fails_each_member(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a", FILES)
    source = archive(path).start(frozenset())
    entries = await source.read()
    os.utime(path, ns=(1, 1))
    errors = [await read(entry) for entry in entries]  # type: ignore[arg-type]  # entries
    assert {type(error) for error in errors} == {SourceChangedError}
    path.unlink()
    errors = [await read(entry) for entry in entries]  # type: ignore[arg-type]  # entries
    assert {type(error) for error in errors} == {FileNotFoundError}
    await source.aclose()
