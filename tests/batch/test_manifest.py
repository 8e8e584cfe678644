"""Manifests as sources: their formats, keys and arguments, and what is wrong with them."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import importlib
import io
import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import pytest
from drawing import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgwire_async.batch.items import Entry, Identity, RemoteFile, Skip
from imgwire_async.batch.keys import url_key
from imgwire_async.batch.sources import as_source
from imgwire_async.batch.sources import manifest as manifest_source
from imgwire_async.batch.sources.manifest_file import PipeCopy
from imgwire_async.batch.sources.manifest_walk import ManifestWalk
from imgwire_async.batch_errors import BatchError

posix = pytest.mark.skipif(os.name != "posix", reason="only POSIX has these files")
HASH = "ab" * 32


def read(path: Path | str, **options: Any) -> list[Entry | Skip]:
    """Return all items of a manifest in their order."""

    async def items() -> list[Entry | Skip]:
        source = as_source(manifest_source(path, **options))
        try:
            return [item async for item in source]
        finally:
            await source.aclose()

    return asyncio.run(items())


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def entries(folder: Path, name: str, content: str | bytes, **options: Any) -> list[Entry]:
    """Return the files of a manifest, which has no skips."""
    found: list[Entry] = []
    for item in read(written(folder, name, content), **options):
        assert isinstance(item, Entry), item
        found.append(item)
    return found


def error(folder: Path, name: str, content: str | bytes, **options: Any) -> str:
    """Return the message of the error that a manifest raises before its first item."""
    with pytest.raises(BatchError) as raised:
        read(written(folder, name, content), **options)
    message = str(raised.value)
    assert repr(str(folder / name)) in message
    assert "nothing was uploaded" in message
    return message


def skips(folder: Path, name: str, content: str | bytes, **options: Any) -> dict[str, str]:
    items = read(written(folder, name, content), strict=False, **options)
    return {item.key: item.reason for item in items if isinstance(item, Skip)}


def write_parquet(path: Path, columns: Mapping[str, Any], **options: Any) -> Path:
    arrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    parquet.write_table(arrow.table(dict(columns)), path, **options)
    return path


# --- formats ------------------------------------------------------------------------------------------------


def test_a_text_has_a_path_or_url_a_line(folder: Path) -> None:
    (folder / "b").mkdir()
    (folder / "b" / "1.jpg").write_bytes(b"12")
    os.utime(folder / "b" / "1.jpg", ns=(0, 1_700_000_000_000_000_000))
    local, remote = entries(folder, "m.txt", "b/1.jpg\r\n\nHTTPS://example.com/2.jpg?token=secret")
    assert (local.key, local.item.file) == ("b/1.jpg", str(folder / "b" / "1.jpg"))
    assert local.identity == Identity(2, 1_700_000_000_000_000_000)
    assert remote.key == url_key("HTTPS://example.com/2.jpg?token=secret")
    assert remote.item.file == RemoteFile("HTTPS://example.com/2.jpg?token=secret")
    assert remote.identity == Identity(None)


ROW = {
    "path": "a.jpg",
    "key": "k",
    "file_name": "b.jpg",
    "mime_type": "image/jpeg",
    "purpose": "gallery",
    "hash_sha256": HASH.upper(),
    "custom_metadata": {"a": 1, "b": True},
    "metadata.c d.e": "1.5",
}


def check_row(item: Entry | Skip, folder: Path) -> None:
    """Check that an item has all arguments of `ROW`."""
    assert isinstance(item, Entry)
    upload = item.item
    assert (item.key, upload.file) == ("k", str(folder / "a.jpg"))
    assert (upload.file_name, upload.mime_type, upload.purpose) == ("b.jpg", "image/jpeg", "gallery")
    assert upload.hash_sha256 == HASH.upper()
    assert upload.custom_metadata == {"a": 1, "b": True, "c d.e": "1.5"}
    assert item.identity == Identity(1, (folder / "a.jpg").stat().st_mtime_ns, HASH)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_csv_has_any_of_these_delimiters_and_line_ends(folder: Path, delimiter: str, end: str) -> None:
    (folder / "a.jpg").write_bytes(b"1")
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=end)
    writer.writerow(ROW)
    values = ROW | {"custom_metadata": json.dumps(ROW["custom_metadata"])}
    writer.writerow(values.values())
    check_row(entries(folder, "m.csv", buffer.getvalue())[0], folder)


def test_json_lines_have_types(folder: Path) -> None:
    (folder / "a.jpg").write_bytes(b"1")
    line = json.dumps(ROW | {"url": None})
    check_row(entries(folder, "m.jsonl", f"\n{line}\n  \n")[0], folder)
    (second,) = entries(folder, "n.jsonl", '{"path": "a.jpg", "metadata.x": 1, "metadata.y": false}')
    assert second.item.custom_metadata == {"x": 1, "y": False}
    (third,) = entries(folder, "o.ndjson", '{"path": "a.jpg", "hash_sha256": true}')
    assert third.item.hash_sha256 is True


def test_parquet_has_types(folder: Path) -> None:
    pytest.importorskip("pyarrow")
    (folder / "a.jpg").write_bytes(b"1")
    columns = {name: [value, None] for name, value in ROW.items()}
    columns |= {"path": ["a.jpg", None], "url": [None, "http://example.com/x.jpg"]}
    first, second = read(write_parquet(folder / "m.parquet", columns))
    check_row(first, folder)
    assert isinstance(second, Entry)
    assert (second.key, second.identity) == ("http://example.com/x.jpg", Identity(None))


def test_parquet_has_metadata_as_a_map_or_json(folder: Path) -> None:
    arrow: Any = pytest.importorskip("pyarrow")
    pairs = arrow.array([[("a", 1), ("b", None)]], arrow.map_(arrow.string(), arrow.int64()))
    for column in (pairs, ['{"a": 1}']):
        (item,) = read(
            write_parquet(folder / "m.parquet", {"path": [b"\xff.jpg"], "custom_metadata": column})
        )
        assert isinstance(item, Entry)
        assert (item.key, item.item.custom_metadata) == ("\udcff.jpg", {"a": 1})


def test_parquet_names_the_row(folder: Path) -> None:
    pytest.importorskip("pyarrow")
    path = write_parquet(folder / "m.parquet", {"path": ["a.jpg", "../b.jpg"], "purpose": ["p", ""]})
    with pytest.raises(
        BatchError, match=r"row 2, column 'path': '../b.jpg' leads out .*row 2, column 'purpose'"
    ):
        read(path)


def test_a_byte_order_mark_does_not_belong_to_the_first_column(folder: Path) -> None:
    assert entries(folder, "m.csv", b"\xef\xbb\xbfpath\nx.jpg\n")[0].key == "x.jpg"
    assert entries(folder, "m.txt", b"\xef\xbb\xbfx.jpg")[0].key == "x.jpg"
    assert entries(folder, "m.jsonl", b'\xef\xbb\xbf{"path": "x.jpg"}')[0].key == "x.jpg"


@posix
def test_bytes_that_are_not_utf8_are_kept_in_paths(folder: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    (folder / name).write_bytes(b"1")
    for suffix, content in (
        ("txt", b"caf\xe9.jpg"),
        ("csv", b"path\ncaf\xe9.jpg"),
        ("jsonl", b'{"path":"caf\xe9.jpg"}'),
    ):
        (found,) = entries(folder, f"m.{suffix}", content)
        assert (found.key, found.identity.size) == (name, 1)


def test_a_value_may_have_quotes_and_line_ends(folder: Path) -> None:
    content = 'path,key,metadata.t\n"a ""b"", c.jpg",k,"1\n2\r\n3"\nx.jpg,"",\n'
    first, second = entries(folder, "m.csv", content)
    assert (first.item.file, first.item.custom_metadata) == (str(folder / 'a "b", c.jpg'), {"t": "1\n2\r\n3"})
    assert (second.key, second.item.custom_metadata) == ("x.jpg", None)


def test_the_suffix_or_the_argument_chooses_the_format(folder: Path) -> None:
    assert entries(folder, "m.TSV", "path\tkey\nx.jpg\tk\n")[0].key == "k"
    assert entries(folder, "m.list", "path,key\n", format="txt")[0].key == "path,key"


@pytest.mark.parametrize(
    ("content", "key"),
    [("path;key\nx.jpg;k", "k"), ('{"path": "x.jpg"}', "x.jpg"), ("x.jpg\n", "x.jpg"), ('"path"\nx', "x")],
)
def test_without_a_suffix_the_content_chooses_the_format(folder: Path, content: str, key: str) -> None:
    assert [entry.key for entry in entries(folder, "m", content)] == [key]


def test_without_a_suffix_parquet_is_recognized(folder: Path) -> None:
    pytest.importorskip("pyarrow")
    assert [item.key for item in read(write_parquet(folder / "m", {"path": ["x.jpg"]}))] == ["x.jpg"]


@pytest.mark.parametrize(
    ("name", "content"), [("m.txt", ""), ("m.jsonl", "\n"), ("m.csv", "path\n"), ("m", "")]
)
def test_a_manifest_without_rows_has_no_files(folder: Path, name: str, content: str) -> None:
    assert entries(folder, name, content) == []


# --- keys and paths -----------------------------------------------------------------------------------------


def test_the_key_is_the_path_as_it_is_written(folder: Path) -> None:
    absolute = str(folder / "x" / "a.jpg")
    (folder / "lists").mkdir()
    found = entries(folder / "lists", "m.txt", f"./a.jpg\nb/../c.jpg\n{absolute}\n", prefix="p/")
    assert [entry.key for entry in found] == ["p/./a.jpg", "p/b/../c.jpg", f"p/{absolute}"]
    files = [entry.item.file for entry in found]
    assert files == [str(folder / "lists" / "a.jpg"), str(folder / "lists" / "c.jpg"), absolute]


def test_relative_paths_belong_to_root(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (found,) = entries(folder, "m.txt", "a.jpg", root="pictures")
    assert (found.key, found.item.file) == ("a.jpg", str(folder / "pictures" / "a.jpg"))


@pytest.mark.parametrize("path", ["../a.jpg", "x/../../a.jpg", "..", "a/../../lists-2/b.jpg"])
def test_a_relative_path_does_not_leave_its_folder(folder: Path, path: str) -> None:
    (folder / "lists").mkdir()
    for options in ({}, {"root": folder / "lists"}):
        message = error(folder / "lists", "m.txt", path, **options)
        assert "line 1, column 'path'" in message
        assert "leads out of the folder" in message


def test_with_root_an_absolute_path_does_not_leave_it(folder: Path) -> None:
    content = f"{folder}/in/a.jpg\n"
    assert len(entries(folder, "m.txt", content, root=folder / "in")) == 1
    for other in (f"{folder}/in-2/a.jpg", f"{folder}/in/../a.jpg", "/etc/passwd"):
        assert "pass a root= that contains it" in error(folder, "m.txt", other, root=folder / "in")
    assert len(entries(folder, "m.txt", "/etc/passwd", root="/")) == 1


def test_a_missing_file_is_left_to_its_upload(folder: Path) -> None:
    (found,) = entries(folder, "m.txt", "missing.jpg")
    assert (found.is_missing, found.identity) == (True, Identity(None))


@posix
def test_what_is_no_file_is_skipped(folder: Path) -> None:
    (folder / "sub").mkdir()
    os.mkfifo(folder / "pipe")
    assert skips(folder, "m.txt", "sub\npipe\n/dev/null\n") == {
        "sub": "a folder, not a file; folder(path) uploads the files in it",
        "pipe": "a pipe",
        "/dev/null": "a device",
    }


def test_files_of_the_journal_are_left_out(folder: Path) -> None:
    (folder / "photos.journal").write_bytes(b"1")
    path = written(folder, "m.txt", "photos.journal\na.jpg\n")

    async def keys() -> list[str]:
        source = as_source(manifest_source(path), frozenset({folder / "photos.journal"}))
        try:
            return [item.key async for item in source]
        finally:
            await source.aclose()

    assert asyncio.run(keys()) == ["a.jpg"]


def test_the_name_of_the_source_is_the_path_of_the_manifest(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    source = manifest_source("m.txt", prefix="p", moved=True).start(frozenset())
    assert (source.name, source.prefix, source.is_moved) == (str(folder / "m.txt"), "p", True)
    assert source.may_repeat
    assert manifest_source("m.txt").start(frozenset()).prefix == str(folder / "m.txt")


# --- mistakes -----------------------------------------------------------------------------------------------

LONG = "x" * 2**21
MISTAKES: dict[str, tuple[str, str | bytes, str]] = {
    "no column": (
        "m.csv",
        "name;image\n",
        r"line 1: the header has no column 'path' or 'url'.* ';': 'name', 'image'; tab",
    ),
    "no header": ("m.csv", "a.jpg\nb.jpg\n", r"no column 'path' or 'url'"),
    "empty CSV": ("m.csv", "\n\n", r"it is empty; the first line of a CSV names its columns"),
    "unknown column": (
        "m.csv",
        "path,pupose\n",
        r"line 1, column 'pupose': it is unknown \(did you mean 'purpose'\?\)",
    ),
    "space in a header": (
        "m.csv",
        "path, key\n",
        r"line 1, column ' key': it is unknown \(did you mean 'key'\?\)",
    ),
    "metadata without a name": (
        "m.csv",
        "\n\npath,metadata.\n",
        r"line 3, column 'metadata.': it is unknown",
    ),
    "metadata without a dot": ("m.csv", "path,metadata_a\n", r"did you mean 'metadata.NAME'"),
    "column twice": ("m.csv", "path,key,key\n", r"line 1: a name of a column comes twice: 'key'"),
    "too few values": ("m.csv", "path,key\na.jpg\n", r"line 2: it has 1 value, and the header 2"),
    "too many values": (
        "m.csv",
        'path\n"a\nb"\na,b.jpg\n',
        r"line 4: it has 2 values, and the header 1; quote",
    ),
    "open quote": ("m.csv", 'path,key\na,b\n"c,d\ne,f\n', r"lines 3 to 4: a value begins with a quote"),
    "open quote in a long file": (
        "m.csv",
        'path\n"a\n' + "b.jpg\n" * 40_000,
        r"lines 2 to \d+: a value has more than",
    ),
    "text after a quote": ("m.csv", 'path,key\n"a"b,c\n', r"line 2: there is text after the quote"),
    "long value": ("m.csv", f"path\n{LONG[:200_000]}\n", r"line 2: a value has more than 131,072 characters"),
    "long line": ("m.csv", f"path\n{LONG}\n", r"line 2: it has more than 1,048,576 characters"),
    "long header": ("m.csv", LONG, r"line 1: it has more than 1,048,576 characters"),
    "long line of a text": (
        "m.txt",
        f"{LONG}\n../b",
        r"line 1: it has more than 1,048,576.* line 2, column 'path'",
    ),
    "no file in a row": ("m.csv", "path,url,key\n,,k\n", r"line 2: the row has neither a path nor a URL"),
    "two files in a row": ("m.csv", "path,url\na,http://b.com/c\n", r"line 2: the row has a path and a URL"),
    "hash of a URL": (
        "m.csv",
        f"url,hash_sha256\nhttp://b.com/c,{HASH}\n",
        r"line 2: the row has a URL and hash_sha256",
    ),
    "URL in the wrong column": (
        "m.csv",
        "path\nhttp://b.com/c\n",
        r"line 2, column 'path': .*the column for URLs is 'url'",
    ),
    "another scheme": ("m.txt", "s3://bucket/a.jpg", r"line 1, column 'path': it begins with 's3://'"),
    "URL without a scheme": (
        "m.csv",
        "url\nexample.com/a.jpg\n",
        r"line 2, column 'url': it must be an http\(s\) URL",
    ),
    "URL of another scheme": ("m.csv", "url\nftp://example.com/a\n", r"line 2, column 'url'"),
    "URL without a host": ("m.txt", "http:///a.jpg", r"line 1, column 'url'"),
    "NUL in a path": ("m.csv", "path\na\0b\n", r"line 2, column 'path': it must not contain a NUL"),
    "NUL in a key": ("m.csv", "path,key\na,b\0\n", r"line 2, column 'key': it must not contain a NUL"),
    "NUL in a name": (
        "m.csv",
        "path,file_name\na,b\0\n",
        r"line 2, column 'file_name': it must not contain a NUL",
    ),
    "short hash": (
        "m.csv",
        "path,hash_sha256\na,abc\n",
        r"line 2, column 'hash_sha256': it must be 64 hexadecimal",
    ),
    "MIME type with a space": (
        "m.csv",
        "path,mime_type\na,image png\n",
        r"line 2, column 'mime_type': it must be printable",
    ),
    "long purpose": (
        "m.csv",
        f"path,purpose\na,{'p' * 256}\n",
        r"line 2, column 'purpose': it must have 1 to 255",
    ),
    "long key": (
        "m.csv",
        f"path,key\na,{'é' * 2_049}\n",
        r"line 2, column 'key': the key must have at most 4,096 bytes",
    ),
    "long path": ("m.txt", "é" * 2_049, r"line 1, column 'path': the key must have at most 4,096 bytes"),
    "metadata that is no JSON": (
        "m.csv",
        "path,custom_metadata\na,{a:1}\n",
        r"line 2, column 'custom_metadata': it is no JSON: ",
    ),
    "metadata that is a list": (
        "m.csv",
        "path,custom_metadata\na,[1]\n",
        r"line 2, column 'custom_metadata': it must be a JSON object",
    ),
    "nested metadata": (
        "m.jsonl",
        '{"path":"a","custom_metadata":{"a":[1]}}',
        r"line 1, column 'custom_metadata': custom_metadata\['a'\] must",
    ),
    "metadata that is null": (
        "m.jsonl",
        '{"path":"a","custom_metadata":{"a":null}}',
        r"line 1, column 'custom_metadata'",
    ),
    "metadata twice": (
        "m.jsonl",
        '{"path":"a","custom_metadata":{"a":1},"metadata.a":2}',
        r"line 1: the name 'a' is in custom_metadata, too",
    ),
    "large number": (
        "m.jsonl",
        '{"path":"a","metadata.n":18446744073709551616}',
        r"line 1, column 'metadata.n': .*64 bits",
    ),
    "not a number": ("m.jsonl", '{"path":"a","metadata.n":NaN}', r"line 1: NaN is no JSON"),
    "Latin-1 in metadata": (
        "m.csv",
        b"path,metadata.a\na,\xe9\n",
        r"line 2, column 'metadata.a': it is not UTF-8",
    ),
    "Latin-1 in a purpose": (
        "m.csv",
        b"path,purpose\na,\xe9\n",
        r"line 2, column 'purpose': it is not UTF-8",
    ),
    "a list": (
        "m.jsonl",
        '["a.jpg"]',
        r"line 1: it is no JSON object such as {\"path\": \"a.jpg\"}, but list",
    ),
    "no JSON": (
        "m.jsonl",
        '{"path": "a.jpg"}\n{path: 1}',
        r"line 2: it is no JSON: .* at character 2; each line must be one",
    ),
    "deep JSON": ("m.jsonl", "[" * 100_000, r"line 1: it is nested too deeply"),
    "long number": ("m.jsonl", '{"path": ' + "1" * 5_000 + "}", r"line 1: "),
    "name twice": ("m.jsonl", '{"path":"a","path":"b"}', r"line 1: it has the name 'path' twice"),
    "unknown name": (
        "m.jsonl",
        '{"path":"a","Key":"b"}',
        r"line 1, column 'Key': it is unknown \(did you mean 'key'\?\)",
    ),
    "path of another type": ("m.jsonl", '{"path":1}', r"line 1, column 'path': it must be text, not int"),
    "URL of another type": ("m.jsonl", '{"url":["http://a.com/b"]}', r"line 1, column 'url'"),
    "key of another type": (
        "m.jsonl",
        '{"path":"a","key":7}',
        r"line 1, column 'key': it must be text, not int",
    ),
    "empty key": ("m.jsonl", '{"path":"a","key":""}', r"line 1, column 'key': it is empty"),
    "empty path": ("m.jsonl", '{"path":""}', r"line 1, column 'path': it is empty"),
    "surrogate": ("m.jsonl", '{"path":"\\ud800"}', r"line 1, column 'path': it contains a lone surrogate"),
    "UTF-16": ("m.csv", "path\na".encode("utf-16"), r"it is UTF-16: save it as UTF-8"),
    "UTF-16 without a mark": ("m.txt", "a.jpg".encode("utf-16-le"), r"UTF-16: save it as UTF-8"),
    "Excel": ("m.csv", b"PK\x03\x04...", r"an Excel workbook: export it as CSV with UTF-8"),
    "gzip": ("m.jsonl", b"\x1f\x8b...", r"compressed with gzip: unpack it"),
    "Parquet with another name": ("m.csv", b"PAR1...", r"a Parquet file: name it .parquet"),
}
if os.name != "nt":
    MISTAKES["path of Windows"] = ("m.txt", "C:\\a.jpg", r"line 1, column 'path': .* is a path of Windows")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_before_the_first_file(folder: Path, mistake: str) -> None:
    name, content, expected = MISTAKES[mistake]
    message = error(folder, name, content)
    assert re.search(expected, message), message
    assert len(message) < 4_000


def test_a_file_that_is_no_parquet_says_so(folder: Path) -> None:
    pytest.importorskip("pyarrow")
    for content in (b"", b"path\na", b"PAR1" + bytes(100) + b"PAR1"):
        assert "it cannot be read as Parquet: " in error(folder, "m.parquet", content)
    write_parquet(folder / "m.parquet", {"name": ["a"]})
    assert "it has no column 'path' or 'url', only 'name'" in error(
        folder, "m.parquet", (folder / "m.parquet").read_bytes()
    )
    write_parquet(folder / "m.parquet", {"path": ["a"], "keys": ["b"]})
    assert "the schema, column 'keys': it is unknown (did you mean 'key'?)" in error(
        folder, "m.parquet", (folder / "m.parquet").read_bytes()
    )


def test_the_first_20_mistakes_are_shown_and_the_others_counted(folder: Path) -> None:
    content = "path,purpose,hash_sha256\n" + f"../a,{'p' * 256},abc\n" + "../a,,\n" * 1_000
    message = error(folder, "m.csv", content)
    assert message.startswith("1,001 rows of the manifest ")
    assert message.count("column '") == 20
    assert "line 2, column 'path'" in message
    assert "line 2, column 'purpose'" in message
    assert "line 19, column 'path'" in message
    assert "... and 983 more. Correct them, or pass strict=False" in message


def test_without_strict_rows_with_mistakes_are_skipped(folder: Path) -> None:
    content = 'path,url,key,purpose\na.jpg,,,\n../b.jpg,,,\n,ftp://h/c?token=secret,,\n,,k,\n"d,,,\n'
    items = read(written(folder, "m.csv", content), strict=False, prefix="p/")
    assert [type(item) for item in items] == [Entry, Skip, Skip, Skip, Skip]
    assert [item.key for item in items] == ["p/a.jpg", "p/../b.jpg", "p/line 4", "p/k", "p/line 6"]
    reasons = [item.reason for item in items if isinstance(item, Skip)]
    assert reasons[0].startswith("line 3, column 'path': '../b.jpg' leads out of the folder")
    assert reasons[1].startswith("line 4, column 'url': ")
    assert reasons[2:] == [
        "line 5: the row has neither a path nor a URL",
        "line 6: a value begins with a quote, and the quote that ends it is missing",
    ]


def test_without_strict_unknown_columns_of_a_table_are_ignored(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "imgwire_async"):
        (found,) = entries(folder, "m.csv", "path,price,pupose\na.jpg,1,2\n", strict=False)
    assert found == Entry("a.jpg", found.item.file, Identity(None), is_missing=True)  # type: ignore[arg-type]  # a path
    (record,) = caplog.records
    assert "column 'price': it is unknown" in record.getMessage()
    assert "did you mean 'purpose'?" in record.getMessage()


def test_without_strict_a_row_with_an_unknown_name_is_skipped(folder: Path) -> None:
    content = '{"path":"a.jpg","pupose":1}\n{"path":"b.jpg"}'
    assert [*skips(folder, "m.jsonl", content)] == ["a.jpg"]


@pytest.mark.parametrize("count", [30, 20_000])
def test_a_row_with_many_mistakes_costs_little(folder: Path, count: int) -> None:
    start = time.process_time()
    names = [f"k{number}" for number in range(count)]
    row = json.dumps({"path": "a.gif", **dict.fromkeys(names, 1)})
    (reason,) = skips(folder, "a.jsonl", row).values()
    assert reason.endswith(f"line 1: it has {count - 20:,} more mistakes")
    assert len(reason) < 2_000
    twice = f'{row[:-1]}, "k{count - 1}": 1}}'
    assert f"it has the name 'k{count - 1}' twice" in error(folder, "b.jsonl", twice)
    assert f"a name of a column comes twice: 'k{count - 1}'" in error(
        folder, "a.csv", f"path,{','.join(names)},k{count - 1}\n"
    )
    # A comparison of each name with each other one would take minutes.
    assert time.process_time() - start < 8


def test_without_strict_a_file_without_columns_is_an_error(folder: Path) -> None:
    for name, content in (("m.csv", "a;b\n"), ("m.csv", "path,path\n"), ("m.txt", b"\xff\xfea\0")):
        error(folder, name, content, strict=False)


SECRETS = ["https://user:hunter2@example.com/a.jpg?sig=hunter2", "https://exa mple.com/?sig=hunter2"]


@pytest.mark.parametrize("url", SECRETS)
@pytest.mark.parametrize("name", ["m.txt", "m.csv", "m.jsonl"])
def test_messages_and_keys_contain_no_secret_of_a_url(folder: Path, name: str, url: str) -> None:
    contents = {
        "m.txt": [url, f"1. {url}"],
        "m.csv": [
            url,
            f"{url},x\n",
            f"path\n{url}\n",
            f"url,purpose\n{url},{'p' * 256}\n",
            f"url\n{url},{url}\n",
        ],
        "m.jsonl": [
            json.dumps({"url": url, "x": 1}),
            json.dumps({"path": url}),
            '{"url": "' + url,
            f'["{url}"]',
        ],
    }
    for content in contents[name]:
        path = written(folder, name, content)
        for strict in (True, False):
            try:
                shown = [
                    f"{item.key} {getattr(item, 'reason', '')} {item!r}" for item in read(path, strict=strict)
                ]
            except BatchError as raised:
                shown = [str(raised)]
            assert "hunter2" not in "".join(shown), shown


@pytest.mark.parametrize(
    ("path", "options", "expected"),
    [
        ("", {}, "path must not be empty"),
        ("m.xlsx", {}, "the path of a manifest ends with .txt, .csv, .jsonl or .parquet, not 'm.xlsx'"),
        ("m.txt", {"root": ""}, "root must not be empty"),
        ("m.txt", {"format": "xlsx"}, "format must be one of txt, csv, jsonl, parquet, not 'xlsx'"),
        ("m.txt", {"format": 1}, "not int"),
    ],
)
def test_a_wrong_argument_is_a_value_error(path: str, options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        manifest_source(path, **options)


@pytest.mark.parametrize(
    "options", [{"path": 1}, {"root": 1}, {"strict": "no"}, {"prefix": 1}, {"moved": 2.5}]
)
def test_an_argument_of_another_type_is_a_type_error(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=" must be "):
        manifest_source(options.pop("path", "m.txt"), **options)


def test_a_missing_manifest_and_a_folder_say_what_to_do(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no such manifest"):
        read(folder / "m.txt")
    with pytest.raises(FileNotFoundError, match="~ is not expanded"):
        read(folder / "~" / "m.txt")
    with pytest.raises(IsADirectoryError, match=r"pass folder\(path\)"):
        read(folder)


@posix
def test_a_device_is_no_manifest() -> None:
    with pytest.raises(BatchError, match="is a device; pass the path of a file or a pipe"):
        read("/dev/zero")


# --- a manifest that changes --------------------------------------------------------------------------------


def walk_of(path: Path, **options: Any) -> ManifestWalk:
    return ManifestWalk(manifest_source(path).options, PipeCopy(), frozenset(), **options)


def first_items(walk: ManifestWalk) -> list[Entry | Skip]:
    """Return the first items of the second pass."""
    items: list[Entry | Skip] = []
    while not items:
        items, _ = walk.read()
    return items


def append(path: Path) -> None:
    with path.open("a") as file:
        file.write("new.jpg\n")


def replace(path: Path) -> None:
    part = path.with_suffix(".part")
    part.write_text("new.jpg\n")
    part.replace(path)


@pytest.mark.parametrize("change", [append, replace, Path.unlink])
def test_a_manifest_that_changes_in_the_first_pass_is_an_error(
    folder: Path, change: Callable[[Path], object]
) -> None:
    path = written(folder, "m.txt", "a.jpg\n" * 100)
    with contextlib.closing(walk_of(path, read_time=0)) as walk:
        assert walk.read() == ([], False)
        change(path)
        with pytest.raises(BatchError, match="changed while it was read, so the run has ended"):
            first_items(walk)


def test_a_manifest_that_changes_in_the_second_pass_is_an_error(folder: Path) -> None:
    path = written(folder, "m.txt", "a.jpg\n" * 2_000)
    with contextlib.closing(walk_of(path)) as walk:
        # A slow machine returns less than a whole chunk.
        assert 0 < len(first_items(walk)) <= 500
        append(path)
        with pytest.raises(BatchError, match="changed while it was read"):
            walk.read()


def test_a_manifest_that_is_replaced_in_the_second_pass_is_read_to_its_end(folder: Path) -> None:
    path = written(folder, "m.txt", "a.jpg\n" * 2_000)
    with contextlib.closing(walk_of(path)) as walk:
        count = len(first_items(walk))
        replace(path)
        is_over = False
        while not is_over:
            items, is_over = walk.read()
            count += len(items)
    assert count == 2_000


@posix
def test_a_stopped_walk_closes_its_file(folder: Path) -> None:
    path = written(folder, "m.txt", "a.jpg\n" * 2_000)
    count = len([*Path("/proc/self/fd").iterdir()]) if Path("/proc").is_dir() else 0
    walk = walk_of(path)
    first_items(walk)
    assert walk.stop()
    walk.close()
    assert walk.read() == ([], True)
    if count:
        assert len([*Path("/proc/self/fd").iterdir()]) == count


# --- pipes --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def writing(path: Path, content: bytes) -> Generator[None]:
    """Write to a pipe in a thread."""
    os.mkfifo(path)
    thread = threading.Thread(target=path.write_bytes, args=(content,), daemon=True)
    thread.start()
    yield
    thread.join(timeout=20)


@posix
def test_a_pipe_is_copied_and_can_be_used_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "in").mkdir()
    monkeypatch.chdir(folder / "in")
    source = manifest_source(folder / "m.csv")

    async def keys() -> list[tuple[str, object]]:
        found: list[tuple[str, object]] = []
        for each in (source.start(frozenset()), source.start(frozenset()).again()):
            assert each is not None
            found += [(item.key, item.item.file) async for item in each if isinstance(item, Entry)]
            await each.aclose()
        return found

    with writing(folder / "m.csv", b"path,key,purpose\n" + b"a.jpg,k,%b\n" % (b"p" * 200) * 1_000):
        found = asyncio.run(keys())
    assert found == [("k", str(folder / "in" / "a.jpg"))] * 2_000


@posix
def test_a_parquet_file_comes_through_a_pipe(folder: Path) -> None:
    pytest.importorskip("pyarrow")
    data = write_parquet(folder / "x.parquet", {"path": ["a.jpg"] * 1_000}).read_bytes()
    with writing(folder / "pipe", data):
        assert len(read(folder / "pipe")) == 1_000


@posix
def test_a_pipe_of_a_shell_is_a_manifest(folder: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"a.jpg\nb.jpg\n")
    os.close(writer)
    try:
        assert [item.key for item in read(f"/dev/fd/{reader}")] == ["a.jpg", "b.jpg"]
    finally:
        os.close(reader)


@posix
def test_closing_does_not_wait_for_a_pipe_without_a_writer(folder: Path) -> None:
    path = folder / "m.txt"
    os.mkfifo(path)

    async def close() -> float:
        source = as_source(manifest_source(path))
        reading = asyncio.ensure_future(source.read())
        await asyncio.sleep(0.05)
        started_at = time.monotonic()
        reading.cancel()
        await source.aclose()
        return time.monotonic() - started_at

    assert asyncio.run(close()) < 5
    # Let the thread end.
    os.close(os.open(path, os.O_RDWR))


# --- properties ---------------------------------------------------------------------------------------------

# Characters of names, without those that Windows or a line cannot have.
NAMES = st.text(
    st.characters(exclude_characters="\0\r\n/\\:", exclude_categories=["Cs"]), min_size=1, max_size=12
).filter(lambda name: name not in {".", ".."})
VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12)
TYPED = st.one_of(
    VALUES, st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False)
)
ROWS: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.fixed_dictionaries(
        {"path": NAMES},
        optional={"key": VALUES, "purpose": VALUES, "metadata.a": TYPED, "metadata.b c": TYPED},
    ),
    max_size=8,
)
drawn = settings(
    max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def check_rows(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    """Check that a manifest has the given rows."""
    items = read(folder / name)
    assert len(items) == len(rows)
    for item, row in zip(items, rows, strict=True):
        assert isinstance(item, Entry)
        assert (item.key, item.item.file) == (row.get("key", row["path"]), str(folder / row["path"]))
        assert item.item.purpose == row.get("purpose")
        metadata = {column[9:]: value for column, value in row.items() if column.startswith("metadata.")}
        assert (item.item.custom_metadata or {}) == metadata


@drawn
@given(rows=ROWS, delimiter=st.sampled_from(",;\t|"), end=st.sampled_from(["\n", "\r\n"]))
def test_what_csv_writes_is_read_back(
    folder: Path, rows: list[dict[str, Any]], delimiter: str, end: str
) -> None:
    # The csv module of Python 3.11 does not quote a carriage return.
    rows = [{column: str(value).replace("\r", "\n") for column, value in row.items()} for row in rows]
    with (folder / "m.csv").open("w", encoding="utf-8", newline="") as file:
        columns = ["path", "key", "purpose", "metadata.a", "metadata.b c"]
        writer = csv.DictWriter(file, columns, delimiter=delimiter, lineterminator=end)
        writer.writeheader()
        writer.writerows(rows)
    check_rows(folder, "m.csv", rows)


@drawn
@given(rows=ROWS, is_ascii=st.booleans())
def test_what_json_writes_is_read_back(folder: Path, rows: list[dict[str, Any]], is_ascii: bool) -> None:
    lines = [json.dumps(row, ensure_ascii=is_ascii) for row in rows]
    (folder / "m.jsonl").write_bytes("\n".join(lines).encode())
    check_rows(folder, "m.jsonl", rows)


@drawn
@given(
    rows=st.lists(
        st.fixed_dictionaries({"path": NAMES, "key": VALUES, "metadata.a": st.integers(-(2**63), 2**63 - 1)}),
        min_size=1,
    )
)
def test_what_pyarrow_writes_is_read_back(folder: Path, rows: list[dict[str, Any]]) -> None:
    pytest.importorskip("pyarrow")
    write_parquet(folder / "m.parquet", {column: [row[column] for row in rows] for column in rows[0]})
    check_rows(folder, "m.parquet", rows)


@drawn
@given(
    data=st.binary(max_size=200),
    name=st.sampled_from(["m.txt", "m.csv", "m.jsonl", "m"]),
    header=st.booleans(),
)
def test_any_bytes_are_rows_or_an_error(folder: Path, data: bytes, name: str, header: bool) -> None:
    path = written(folder, name, b"path;key\n" + data if header else data)
    for strict in (True, False):
        with contextlib.suppress(BatchError):
            for item in read(path, strict=strict):
                assert not isinstance(item, Skip) or item.reason
