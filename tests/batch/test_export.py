"""Exports of a journal: complete or not at all, and readable by other programs."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from drawing import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imgwire_async.batch.export import FORMATS, export, export_format
from imgwire_async.batch.records import BatchRecord, RowStatus, record_of, summary_of

from .rows import rows

DONE = BatchRecord(key="a|b.jpg", status="done", image_id="i1", cdn_url="https://cdn/i1", size=3, attempts=1)
FAILED = BatchRecord(key="b\udcff\n.jpg", status="failed", error_type="UploadError", error="broken | <b>")
SKIPPED = BatchRecord(key="=c", status="skipped", error="hidden", abandoned=("i2", "i3"))


def write(path: Path, records: Iterable[BatchRecord], file_format: Any = None) -> None:
    """Export records, whose counts are taken from them."""
    found = [*records]
    counts = {
        status: sum(item.status == status for item in found) for status in {item.status for item in found}
    }

    def select(status: RowStatus | None) -> list[BatchRecord]:
        return [item for item in found if status in {None, item.status}]

    export(path, export_format(path, file_format), select, summary_of(counts))


def test_json_lines_have_one_object_for_each_file(folder: Path) -> None:
    write(folder / "a.jsonl", [DONE, FAILED, SKIPPED])
    lines = [json.loads(line) for line in (folder / "a.jsonl").read_text("utf-8").splitlines()]
    assert [line["key"] for line in lines] == ["a|b.jpg", "b%FF\n.jpg", "=c"]
    assert lines[0]["cdn_url"] == "https://cdn/i1"
    assert lines[2]["abandoned"] == ["i2", "i3"]


def test_csv_has_a_header_and_one_row_for_each_file(folder: Path) -> None:
    write(folder / "a.csv", [DONE, FAILED, SKIPPED])
    with (folder / "a.csv").open(encoding="utf-8", newline="") as file:
        table = [*csv.DictReader(file)]
    assert [line["key"] for line in table] == ["a|b.jpg", "b%FF\n.jpg", "=c"]
    assert table[0] | {"image_id": "i1", "size": "3", "error": "", "abandoned": ""} == table[0]
    assert table[2]["abandoned"] == "i2 i3"


def test_markdown_begins_with_the_counts_and_the_failures(folder: Path) -> None:
    write(folder / "a.md", [DONE, FAILED, SKIPPED])
    text = (folder / "a.md").read_text("utf-8")
    assert "| all | 3 |" in text
    assert text.index("## Failed") < text.index("## Skipped") < text.index("## Done")
    assert r"| b%FF .jpg | UploadError: broken \| \<b\> |" in text
    assert r"| a\|b.jpg | i1 | https://cdn/i1 |" in text
    assert "## Stored" not in text


@settings(max_examples=examples(30), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(rows(), max_size=4), st.sampled_from(["jsonl", "csv", "md"]))
def test_every_journal_can_be_exported(folder: Path, drawn: list[Any], suffix: str) -> None:
    path = folder / f"a.{suffix}"
    write(path, [record_of(row) for row in drawn])
    text = path.read_bytes().decode("utf-8")
    if suffix == "csv":
        assert len([*csv.reader(text.splitlines(keepends=True))]) >= len(drawn) + 1
    elif suffix == "jsonl":
        assert [json.loads(line)["status"] for line in text.split("\n")[:-1]] == [row.status for row in drawn]


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "md"])
def test_a_failure_leaves_the_old_file_and_nothing_else(folder: Path, suffix: str) -> None:
    path = folder / f"a.{suffix}"
    path.write_text("old")

    def failing(_: object) -> Iterator[BatchRecord]:
        yield from [DONE] * 5_000
        raise RuntimeError("the journal is broken")

    with pytest.raises(RuntimeError, match="broken"):
        export(path, export_format(path), failing, summary_of({}))
    assert path.read_text() == "old"
    assert [*folder.iterdir()] == [path]


def test_an_export_replaces_an_older_one(folder: Path) -> None:
    for records in ([DONE, DONE], [DONE]):
        write(folder / "a.jsonl", records)
    assert len((folder / "a.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "md"])
def test_an_empty_journal_can_be_exported(folder: Path, suffix: str) -> None:
    write(folder / f"a.{suffix}", [])
    assert (folder / f"a.{suffix}").exists()
    if suffix == "csv":
        assert (folder / "a.csv").read_text().startswith("key,status,image_id,cdn_url,")


def test_the_format_is_that_of_the_suffix_or_the_given_one() -> None:
    assert [export_format(Path(f"a.{name.upper()}")) for name in FORMATS] == [*FORMATS]
    assert export_format(Path("report.txt"), "csv") == "csv"
    with pytest.raises(ValueError, match=r"ends with \.jsonl, \.csv, \.md or \.parquet, not 'report\.txt'"):
        export_format(Path("report.txt"))
    with pytest.raises(ValueError, match="format must be one of"):
        export_format(Path("a.csv"), "xlsx")


def test_a_folder_is_no_target(folder: Path) -> None:
    (folder / "a.csv").mkdir()
    with pytest.raises(IsADirectoryError):
        write(folder / "a.csv", [DONE])


def test_parquet_has_typed_columns(folder: Path) -> None:
    import pyarrow.parquet as parquet

    write(folder / "a.parquet", [DONE, FAILED, SKIPPED])
    table = parquet.read_table(folder / "a.parquet").to_pylist()
    assert [line["key"] for line in table] == ["a|b.jpg", "b%FF\n.jpg", "=c"]
    assert (table[0]["size"], table[2]["abandoned"]) == (3, ["i2", "i3"])


def test_parquet_without_its_library_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install 'imgwire-async\[parquet\]'"):
        write(folder / "a.parquet", [DONE])
    assert [*folder.iterdir()] == []
