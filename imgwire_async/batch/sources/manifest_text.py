"""Read the rows of manifests that are text: a path or URL a line, CSV, and JSON lines. Blocks.

No line is in memory as a whole if it is too long for a row.
"""

from __future__ import annotations

import abc
import csv
import io
from collections.abc import Iterator
from typing import Any, Literal, cast

from imgwire_async.batch.sources.manifest_rows import COLUMNS, BadRow, load_json, shown
from imgwire_async.formatting import quoted

# The maximum number of characters of a row.
MAX_ROW = 2**20

DELIMITERS = (",", ";", "\t", "|")

_BOM = b"\xef\xbb\xbf"
# What the file is instead, by its first bytes.
_OTHERS = {
    b"PAR1": "a Parquet file: name it .parquet",
    b"PK\x03\x04": "a ZIP file or an Excel workbook: export it as CSV with UTF-8",
    b"\x1f\x8b": "compressed with gzip: unpack it",
    b"\xff\xfe": "UTF-16: save it as UTF-8",
    b"\xfe\xff": "UTF-16: save it as UTF-8",
}


class Table(abc.ABC):
    """The rows of a manifest from the first to the last one, once."""

    # What the number of a row counts.
    unit = "line"
    # The names of the columns, None if each row has its own names, and the line in which they are.
    columns: tuple[str, ...] | None = None
    header_line: int = 1

    @abc.abstractmethod
    def rows(self) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
        """Yield each row with its number, which begins with 1. Empty columns of a row are left out."""


class UnusableError(Exception):
    """A file is no manifest of its format."""


class _TooLongError(Exception):
    """A row has more than `MAX_ROW` characters."""


_TOO_LONG = f"it has more than {MAX_ROW:,} characters"


class Lines:
    """The lines of a text file with their ends. `number` is that of the last line.

    Bytes that are not UTF-8 are kept as surrogates, as Python represents the names of files.
    """

    def __init__(self, file: io.BufferedReader) -> None:
        self.number: int = 0
        # The number of characters of the row so far.
        self._size = 0
        head = file.peek(4)[:4]
        for magic, name in _OTHERS.items():
            if head.startswith(magic):
                raise UnusableError(f"it is {name}")
        if b"\0" in head:
            raise UnusableError("it is no text, or UTF-16: save it as UTF-8")
        if head.startswith(_BOM):
            file.read(len(_BOM))
        self._text = io.TextIOWrapper(file, "utf-8", "surrogateescape", newline="")

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._text.readline(MAX_ROW + 2)
        if not line:
            raise StopIteration
        self.number += 1
        self._size += len(line)
        if self._size > MAX_ROW + 2 or (len(line) == MAX_ROW + 2 and line[-1] not in "\r\n"):
            while line and line[-1] not in "\r\n":
                line = self._text.readline(MAX_ROW)
            raise _TooLongError
        return line

    def begin_row(self) -> None:
        """Note that the next line begins a row."""
        self._size = 0


def _filled_lines(lines: Lines) -> Iterator[tuple[int, str | BadRow]]:
    """Yield the number and the text of each line that is not empty."""
    while True:
        lines.begin_row()
        try:
            line = next(lines, None)
        except _TooLongError:
            yield lines.number, BadRow(_TOO_LONG, lines.number)
            continue
        if line is None:
            return
        text = line.rstrip("\r\n")
        if text:
            yield lines.number, text


def detect_format(file: io.BufferedReader) -> Literal["txt", "csv", "jsonl", "parquet"]:
    """Return the format of a manifest by its first bytes."""
    if file.peek(4).startswith(b"PAR1"):
        return "parquet"
    try:
        first = next(Lines(file), "")
    except _TooLongError:
        first = ""
    if first.lstrip().startswith("{"):
        return "jsonl"
    names = {name for delimiter in DELIMITERS for name in first.rstrip().split(delimiter)}
    return "csv" if names & {"path", "url", '"path"', '"url"'} else "txt"


class TextTable(Table):
    """A path or a URL a line."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._lines = Lines(file)

    def rows(self) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
        """Yield the lines that are not empty."""
        for number, text in _filled_lines(self._lines):
            if isinstance(text, BadRow):
                yield number, text
            elif text[:8].lower().startswith(("http://", "https://")):
                yield number, {"url": text}
            else:
                yield number, {"path": text}


class JsonTable(Table):
    """A JSON object a line."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._lines = Lines(file)

    def rows(self) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
        """Yield the objects. A null counts as an empty column."""
        for number, text in _filled_lines(self._lines):
            if isinstance(text, BadRow):
                yield number, text
            elif not text.isspace():
                yield number, _json_row(text, number)


_EXAMPLE = '{"path": "a.jpg"}'


def _json_row(text: str, number: int) -> dict[str, Any] | BadRow:
    try:
        value = load_json(text)
    except ValueError as error:
        return BadRow(f"{error}; each line must be one JSON object", number)
    if not isinstance(value, dict):
        return BadRow(f"it is no JSON object such as {_EXAMPLE}, but {type(value).__name__}", number)
    names = cast("dict[str, Any]", value)
    return {name: item for name, item in names.items() if item is not None}


# --- CSV ----------------------------------------------------------------------------------------------------


class CsvTable(Table):
    """A table whose first line names the columns. Its delimiter is found by that line."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._lines = Lines(file)
        header = ""
        try:
            while not header.strip():
                header = next(self._lines)
        except StopIteration:
            raise UnusableError(
                f"it is empty; the first line of a CSV names its columns: {', '.join(COLUMNS)} and metadata.NAME"
            ) from None
        except _TooLongError:
            raise UnusableError(f"line {self._lines.number}: {_TOO_LONG}") from None
        self.header_line: int = self._lines.number
        self._delimiter, columns = _split_header(header, self.header_line)
        self.columns: tuple[str, ...] | None = columns

    def rows(self) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
        """Yield the rows below the header."""
        lines, columns = self._lines, self.columns or ()
        reader = csv.reader(lines, delimiter=self._delimiter, strict=True)
        count = len(columns)
        while True:
            lines.begin_row()
            number = lines.number + 1
            try:
                fields = next(reader)
            except StopIteration:
                return
            except _TooLongError:
                yield number, BadRow(f"{_TOO_LONG}; perhaps a quote is missing", lines.number)
            except csv.Error as error:
                yield number, BadRow(_csv_text(error), max(number, lines.number))
            else:
                if len(fields) == count:
                    yield number, {name: field for name, field in zip(columns, fields, strict=True) if field}
                elif fields:
                    counts = (
                        f"{len(fields)} {'value' if len(fields) == 1 else 'values'}, and the header {count}"
                    )
                    advice = f"; quote values with {self._delimiter!r}" if len(fields) > count else ""
                    yield number, BadRow(f"it has {counts}{advice}", lines.number)


def _csv_text(error: csv.Error) -> str:
    """Return what is wrong with a row, in words that do not depend on Python's parser."""
    text = str(error)
    if "unexpected end of data" in text:
        return "a value begins with a quote, and the quote that ends it is missing"
    if "field limit" in text:
        return f"a value has more than {csv.field_size_limit():,} characters; perhaps a quote is missing"
    if "expected after" in text:
        return "there is text after the quote that ends a value; write a quote inside a value twice"
    return text


def _split_header(header: str, number: int) -> tuple[str, tuple[str, ...]]:
    """Return the delimiter and the names of the columns, one of which is `path` or `url`."""
    tried: dict[str, list[str]] = {}
    for delimiter in DELIMITERS:
        try:
            tried[delimiter] = next(csv.reader([header], delimiter=delimiter, strict=True))
        except csv.Error:
            continue
    found = {key: names for key, names in tried.items() if "path" in names or "url" in names}
    if found:
        best = max(found, key=lambda delimiter: len(found[delimiter]))
        return best, tuple(found[best])
    splits = "; ".join(f"{_name_of(key)}: {_shown_names(names)}" for key, names in tried.items())
    raise UnusableError(
        f"line {number}: the header has no column 'path' or 'url'. These delimiters were tried: {splits or 'none fits'}. The "
        f"first line of a CSV names its columns: {', '.join(COLUMNS)} and metadata.NAME"
    )


def _name_of(delimiter: str) -> str:
    return "tab" if delimiter == "\t" else quoted(delimiter)


def _shown_names(names: list[str]) -> str:
    first = ", ".join(shown(name) for name in names[:5])
    return f"{first} and {len(names) - 5} more" if len(names) > 5 else first
