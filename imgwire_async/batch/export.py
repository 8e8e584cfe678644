"""Write the rows of a journal to a file for people and other programs.

The file appears complete or not at all. A file that exists is replaced.
"""

from __future__ import annotations

import csv
import importlib
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias

import attrs

from imgwire_async import atomic
from imgwire_async.batch.keys import escape_key
from imgwire_async.batch.records import STATUSES, BatchRecord, RowStatus
from imgwire_async.formatting import quoted
from imgwire_async.results import BatchSummary

ExportFormat: TypeAlias = Literal["jsonl", "csv", "md", "parquet"]
# Returns the records with a status, or all records, each time from the start.
Records: TypeAlias = Callable[[RowStatus | None], Iterable[BatchRecord]]

FORMATS: tuple[ExportFormat, ...] = ("jsonl", "csv", "md", "parquet")
_COLUMNS = tuple(field.name for field in attrs.fields(BatchRecord))
_CHUNK = 1_000


def export_format(path: Path, given: object = None) -> ExportFormat:
    """Return the format of an export: the given one, or that of the suffix of its path.

    Raises `ValueError` for another format or suffix.
    """
    name = path.suffix.removeprefix(".").lower() if given is None else given
    for known in FORMATS:
        if name == known:
            return known
    if given is not None:
        raise ValueError(f"format must be one of {', '.join(FORMATS)}, not {quoted(str(given))}")
    raise ValueError(
        f"the path of an export ends with .jsonl, .csv, .md or .parquet, not {quoted(path.name)}; or pass format="
    )


def export(path: Path, file_format: ExportFormat, records: Records, summary: BatchSummary) -> None:
    """Write records to a file. `summary` contains the counts of the records. Blocks."""
    if file_format == "parquet":
        chunks = _parquet(records(None))
    else:
        lines = {"jsonl": _json_lines, "csv": _csv_lines}.get(file_format)
        texts = _markdown_lines(records, summary) if lines is None else lines(records(None))
        chunks = (text.encode("utf-8") for text in _joined(texts))
    atomic.check_target(path, overwrite=True)
    part = atomic.PartFile(path, overwrite=True)
    try:
        part.begin()
        part.write(chunks)
        part.publish()
    finally:
        part.discard()


def _joined(texts: Iterator[str]) -> Iterator[str]:
    """Yield texts in larger parts, because each write to a file has a cost."""
    chunk: list[str] = []
    for text in texts:
        chunk.append(text)
        if len(chunk) == _CHUNK:
            yield "".join(chunk)
            chunk.clear()
    yield "".join(chunk)


def _values(record: BatchRecord) -> dict[str, Any]:
    """Return the columns of a record as plain values. The key is valid UTF-8."""
    values = {name: getattr(record, name) for name in _COLUMNS}
    finished_at = record.finished_at
    values["finished_at"] = None if finished_at is None else finished_at.isoformat()
    return values | {"key": escape_key(record.key), "abandoned": list(record.abandoned)}


def _json_lines(records: Iterable[BatchRecord]) -> Iterator[str]:
    for record in records:
        yield json.dumps(_values(record), ensure_ascii=False, separators=(",", ":")) + "\n"


def _csv_lines(records: Iterable[BatchRecord]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for record in records:
        values = _values(record)
        writer.writerow(values | {"abandoned": " ".join(values["abandoned"])})
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    # The header of a table without rows.
    yield buffer.getvalue()


# --- Markdown -----------------------------------------------------------------------------------------------

_TITLES: dict[RowStatus, str] = {
    "failed": "Failed",
    "started": "Not finished: the outcome is not known",
    "stored": "Stored, not yet READY",
    "skipped": "Skipped",
    "done": "Done",
}


def _markdown_lines(records: Records, summary: BatchSummary) -> Iterator[str]:
    """Yield a report: the counts, then a table for each status, the failures first."""
    yield "# Report of a batch run\n\n| files | count |\n|---|---:|\n"
    done = summary.done_before + summary.uploaded
    counts = {"all": summary.found, "done": done, "failed": summary.failed}
    counts |= {"skipped": summary.skipped, "not finished": summary.left}
    for name, count in counts.items():
        yield f"| {name} | {count:,} |\n"
    assert _TITLES.keys() == set(STATUSES)
    for status, title in _TITLES.items():
        yield from _markdown_table(title, status, records(status))


def _markdown_table(title: str, status: RowStatus, records: Iterable[BatchRecord]) -> Iterator[str]:
    has_image = status in {"stored", "done"}
    header = "| file | image | URL |\n|---|---|---|\n" if has_image else "| file | reason |\n|---|---|\n"
    for number, record in enumerate(records):
        if number == 0:
            yield f"\n## {title}\n\n{header}"
        reason = ": ".join(text for text in (record.error_type, record.error) if text)
        cells = [record.image_id or "", record.cdn_url or ""] if has_image else [reason]
        yield f"| {' | '.join(map(_cell, [escape_key(record.key), *cells]))} |\n"


def _cell(text: str) -> str:
    """Return a text for a cell of a table. It cannot end the cell, and its characters have no meaning."""
    escaped = "".join(f"\\{char}" if char in "\\|`*_<>[]&#~" else char for char in text)
    return " ".join(escaped.split("\n")).replace("\r", " ")


# --- Parquet ------------------------------------------------------------------------------------------------


def _parquet(records: Iterable[BatchRecord]) -> Iterator[bytes]:
    try:
        arrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise ImportError(
            "an export to .parquet needs pyarrow: pip install 'imgwire-async[parquet]'"
        ) from error
    text, integer = arrow.string(), arrow.int64()
    types = {"size": integer, "mtime_ns": integer, "attempts": integer, "abandoned": arrow.list_(text)}
    schema = arrow.schema([(name, types.get(name, text)) for name in _COLUMNS])
    return _parquet_chunks(arrow, parquet, schema, records)


def _parquet_chunks(arrow: Any, parquet: Any, schema: Any, records: Iterable[BatchRecord]) -> Iterator[bytes]:
    buffer = _Buffer()
    with parquet.ParquetWriter(buffer, schema) as writer:
        rows: list[dict[str, Any]] = []
        for record in records:
            rows.append(_values(record))
            # A table of its own for each part keeps the memory small.
            if len(rows) == 50 * _CHUNK:
                writer.write_table(arrow.Table.from_pylist(rows, schema=schema))
                rows.clear()
                yield buffer.take()
        if rows:
            writer.write_table(arrow.Table.from_pylist(rows, schema=schema))
    yield buffer.take()


class _Buffer(io.RawIOBase):
    """A file in memory whose content is taken while it is written."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        chunk = bytes(data)
        self._chunks.append(chunk)
        self._position += len(chunk)
        return len(chunk)

    def tell(self) -> int:
        return self._position

    def take(self) -> bytes:
        """Return what was written since the last call."""
        data, self._chunks = b"".join(self._chunks), []
        return data


def export_path(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of an export."""
    return Path(os.fspath(path)).absolute()
