"""The members of TAR archives: which are listed and read, and what hostile archives cause."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import tarfile
import zlib
from pathlib import Path
from typing import Any

import pytest

from imgwire_async import ArchiveError, SourceChangedError
from imgwire_async.batch.items import Entry
from imgwire_async.batch.sources import archive
from imgwire_async.batch.sources.archive_tar_header import parse_pax

from .archives import contents, header, listed, read, tar_info, tar_of, with_checksum, write_tar

FILES = {
    "a.gif": b"GIF89a",
    "b/c.gif": os.urandom(50_000),
    "b/large.gif": os.urandom(530_000),
    "d" * 90 + "/" + "é" * 90: b"GIF89a",
    "e/" + "f" * 300: b"GIF89a",
    "\udcff.gif": b"GIF89a",
}
SIZES = {name: len(data) for name, data in FILES.items()}


@pytest.mark.parametrize(
    ("mode", "form"),
    [
        ("w", tarfile.GNU_FORMAT),
        ("w", tarfile.PAX_FORMAT),
        ("w:gz", tarfile.GNU_FORMAT),
        ("w:bz2", tarfile.PAX_FORMAT),
        ("w:xz", tarfile.PAX_FORMAT),
    ],
)
async def test_members_of_each_format_and_compression_are_read(tmp_path: Path, mode: str, form: int) -> None:
    path = write_tar(tmp_path / "a", FILES, mode, format=form)
    assert await listed(path) == (SIZES, None)
    assert await contents(path) == FILES


async def test_posix_archives_without_extensions_and_very_old_ones_are_read(tmp_path: Path) -> None:
    name = "d" * 90 + "/" + "e" * 90
    path = write_tar(tmp_path / "a", {name: b"GIF89a"}, format=tarfile.USTAR_FORMAT)
    assert await contents(path) == {name: b"GIF89a"}
    old = header("old.gif", 6, b"\0")[:257] + bytes(255)
    folder = header("old/", 0, b"\0")[:257] + bytes(255)
    path.write_bytes(tar_of(with_checksum(folder), with_checksum(old), b"GIF89a"))
    assert await contents(path) == {"old.gif": b"GIF89a"}


async def test_a_header_with_a_checksum_of_signed_bytes_is_read(tmp_path: Path) -> None:
    block = header("\udcff.gif", 6)
    total = 256 + sum(byte - 256 if byte > 127 else byte for byte in block[:148] + block[156:])
    path = tmp_path / "a"
    path.write_bytes(tar_of(block[:148] + b"%06o\0 " % total + block[156:], b"GIF89a"))
    assert await contents(path) == {"\udcff.gif": b"GIF89a"}


@pytest.mark.parametrize(
    ("name", "fields", "reason"),
    [
        ("/etc/a.gif", {}, "its path is absolute"),
        ("a/../../b.gif", {}, "its path leads out of the archive"),
        ("./.hidden", {}, "a hidden file"),
        ("a", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "a link"),
        ("a", {"type": tarfile.LNKTYPE, "linkname": "b"}, "a hard link to another member"),
        ("a", {"type": tarfile.CHRTYPE}, "a device"),
        ("a", {"type": tarfile.BLKTYPE}, "a device"),
        ("a", {"type": tarfile.FIFOTYPE}, "a pipe"),
        ("a", {"type": b"?"}, "a member of an unknown type"),
        ("a", {"pax_headers": {"GNU.sparse.major": "1"}}, "a sparse file, which cannot be read"),
        ("empty", {}, "an empty file"),
    ],
)
@pytest.mark.parametrize("mode", ["w", "w:gz"])
async def test_a_member_that_is_no_safe_file_is_skipped_with_the_reason(
    tmp_path: Path, mode: Any, name: str, fields: dict[str, Any], reason: str
) -> None:
    path = tmp_path / "a"
    with tarfile.open(path, mode, format=tarfile.PAX_FORMAT) as file:
        file.addfile(tar_info(name, **fields))
        file.addfile(tar_info("./z.gif", size=6), io.BytesIO(b"GIF89a"))
    key = ".hidden" if name == "./.hidden" else name
    assert await listed(path) == ({key: reason, "z.gif": 6}, None)


async def test_folders_and_volume_labels_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a"
    parts = [header("f/", 0, b"5"), header("label", 0, b"V"), header("a.gif", 6), b"GIF89a"]
    path.write_bytes(tar_of(*parts))
    assert await contents(path) == {"a.gif": b"GIF89a"}
    path.write_bytes(bytes(10_240))
    assert await listed(path) == ({}, None)


async def test_a_sparse_file_of_gnu_is_skipped_with_all_its_blocks(tmp_path: Path) -> None:
    block = bytearray(header("sparse", 512, b"S"))
    block[482] = 1
    more = bytearray(512)
    more[504] = 1
    parts = [with_checksum(bytes(block)), bytes(more), bytes(512), b"x" * 512, header("a.gif", 6), b"GIF89a"]
    path = tmp_path / "a"
    path.write_bytes(tar_of(*parts))
    assert await listed(path) == ({"sparse": "a sparse file, which cannot be read", "a.gif": 6}, None)


@pytest.mark.parametrize(
    "kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK]
)
async def test_a_large_extension_header_is_an_error_and_is_not_read(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "a.tgz"
    with gzip.open(path, "wb", 1) as file:
        file.write(header("a.gif", 6) + b"GIF89a".ljust(512, b"\0"))
        file.write(header("bomb", 2**33, kind))
        file.write(bytes(3 * 2**20))
    found, error = await listed(path)
    assert found == {"a.gif": 6}
    assert "has a header that is too large" in str(error)


async def test_a_long_chain_of_extension_headers_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a"
    part = [header("l", 2, b"L"), b"x\0"]
    path.write_bytes(tar_of(*part * 40, header("a.gif", 6), b"GIF89a"))
    assert "has a header that is too large" in str((await listed(path))[1])
    block = bytearray(header("sparse", 0, b"S"))
    block[482] = 1
    path.write_bytes(tar_of(with_checksum(bytes(block)), (bytes(504) + b"\1" + bytes(7)) * 3_000))
    assert "has a header that is too large" in str((await listed(path))[1])


@pytest.mark.parametrize(
    "data",
    [b"x", b"999999999 path=a\n", b"5 a=", b"0 path=a\n", b"11 patha.gi\n", b"1234567890123456789012 a=b\n"],
)
async def test_a_broken_extension_header_is_an_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(tar_of(header("x", len(data), b"x"), data, header("a.gif", 6), b"GIF89a"))
    found, error = await listed(path)
    assert not found
    assert str(error).startswith(f"{path}: the archive has a broken header. Copy the archive")


@pytest.mark.parametrize("size", ["-1", "1e9", "9" * 30, "²"])
async def test_a_size_that_is_no_size_is_an_error(tmp_path: Path, size: str) -> None:
    record = f" size={size}\n".encode()
    record = b"%d" % (len(record) + 2) + record
    path = tmp_path / "a"
    path.write_bytes(tar_of(header("x", len(record), b"x"), record, header("a.gif", 6), b"GIF89a"))
    assert "has a broken header" in str((await listed(path))[1])


def test_records_of_a_pax_header_may_contain_any_text() -> None:
    data = b"13 path=a=b\n\n19 comment=\xff\xfe more\n30 mtime=1700000000.123456789\n"
    assert parse_pax(data) == {"path": "a=b\n", "mtime": "1700000000.123456789"}


@pytest.mark.parametrize(
    "mode", ["w", "w:gz", *(pytest.param(mode, marks=pytest.mark.slow) for mode in ("w:bz2", "w:xz"))]
)
async def test_an_archive_that_is_cut_off_is_an_error_after_the_members_before_it(
    tmp_path: Path, mode: str
) -> None:
    path = write_tar(tmp_path / "a", {"a.gif": b"GIF89a", "b.gif": os.urandom(400_000)}, mode)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    found, error = await listed(path)
    assert str(error).startswith(f"{path}: the archive is cut off: its end is missing.")
    assert isinstance(error, ArchiveError)
    if mode == "w":
        assert found == {"a.gif": 6, "b.gif": "it is cut off with the archive"}


async def test_an_archive_without_an_end_mark_is_read_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a"
    path.write_bytes(header("a.gif", 6) + b"GIF89a")
    assert await contents(path) == {"a.gif": b"GIF89a"}
    assert "the archive has no end mark, so it may be cut off" in caplog.text


async def test_damage_between_members_is_an_error_after_the_members_before_it(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(tar_of(header("a.gif", 6), b"GIF89a", b"\1" * 512, header("b.gif", 6), b"GIF89b"))
    found, error = await listed(path)
    assert found == {"a.gif": 6}
    assert "the archive has a broken header" in str(error)


async def test_damaged_compressed_data_is_an_error(tmp_path: Path) -> None:
    for mode in ("w:gz", "w:bz2", "w:xz"):
        path = write_tar(tmp_path / "a", {"a.gif": os.urandom(5_000)}, mode)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0x5A
        path.write_bytes(data)
        assert isinstance((await listed(path))[1], ArchiveError), mode


@pytest.mark.slow
async def test_archives_that_were_compressed_in_parts_are_read(tmp_path: Path) -> None:
    data = write_tar(tmp_path / "a", FILES).read_bytes()
    for compress, padding in ((gzip.compress, b""), (lzma.compress, bytes(4))):
        parts = [compress(data[:1_000]), padding, compress(b""), compress(data[1_000:]), padding]
        (tmp_path / "b").write_bytes(b"".join(parts))
        assert await contents(tmp_path / "b") == FILES


async def test_xz_that_demands_much_memory_is_an_error(tmp_path: Path) -> None:
    # The dictionary is only a number in the header. Compression itself uses the small one.
    data = bytearray(
        lzma.compress(tar_of(header("a", 1), b"a"), filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 2**20}])
    )
    at = data.index(b"\x21\x01") + 2
    data[at] = 34
    head_size = (data[12] + 1) * 4
    data[12 + head_size - 4 : 12 + head_size] = zlib.crc32(data[12 : 12 + head_size - 4]).to_bytes(
        4, "little"
    )
    path = tmp_path / "a"
    path.write_bytes(data)
    assert "needs too much memory to be decompressed" in str((await listed(path))[1])


async def test_zstd_names_the_python_that_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(100))
    assert isinstance((await listed(path))[1], ArchiveError)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
async def test_an_archive_that_changes_after_it_was_listed_fails_each_member(
    tmp_path: Path, mode: str
) -> None:
    path = write_tar(tmp_path / "a", {"a.gif": b"GIF89a" * 3_000_000}, mode)
    source = archive(path).start(frozenset())
    (entry,) = await source.read()
    assert isinstance(entry, Entry)
    os.utime(path, ns=(1, 1))
    assert isinstance(await read(entry), SourceChangedError)
    path.unlink()
    assert isinstance(await read(entry), FileNotFoundError)
    await source.aclose()
