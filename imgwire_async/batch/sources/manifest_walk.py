"""Read a manifest in worker threads: once to check all of it, and again for its files. Blocks."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeAlias

import attrs

from imgwire_async.batch.items import Entry, Identity, Skip
from imgwire_async.batch.sources.base import CHUNK
from imgwire_async.batch.sources.item_check import entry_of_path
from imgwire_async.batch.sources.manifest_file import ManifestFile, PipeCopy, changed_error, shown_path
from imgwire_async.batch.sources.manifest_parquet import ParquetTable
from imgwire_async.batch.sources.manifest_rows import (
    COLUMNS,
    BadRow,
    CheckedRow,
    Mistake,
    RejectedRow,
    RowChecker,
    column_mistake,
    repeated,
    shown,
)
from imgwire_async.batch.sources.manifest_text import (
    CsvTable,
    JsonTable,
    Table,
    TextTable,
    UnusableError,
    detect_format,
)
from imgwire_async.batch.sources.own_files import OwnFiles
from imgwire_async.batch_errors import BatchError
from imgwire_async.logs import logger

ManifestFormat: TypeAlias = Literal["txt", "csv", "jsonl", "parquet"]
FORMATS: tuple[ManifestFormat, ...] = ("txt", "csv", "jsonl", "parquet")

_TABLES: dict[ManifestFormat, Callable[[Any], Table]] = {
    "txt": TextTable,
    "csv": CsvTable,
    "jsonl": JsonTable,
    "parquet": ParquetTable,
}
# Seconds after which `read` returns. A thread that works longer than `CANCEL_GRACE` counts as stuck.
_READ_TIME = 0.1
# The maximum number of mistakes in the message of an error.
_MAX_SHOWN = 20


@attrs.frozen
class ManifestOptions:
    """How to read a manifest. `path` is absolute.

    `root` is the folder of relative paths that the user gave, if any. `format` is None if the content
    decides.
    """

    path: str
    root: str | None
    prefix: str
    format: ManifestFormat | None
    is_strict: bool


class ManifestWalk:
    """The two passes through a manifest, in steps. Any thread may call `read`, one at a time.

    `stop` may be called while a thread hangs in `read`, for example at a pipe. That thread then closes the
    file when it ends.
    """

    def __init__(
        self,
        options: ManifestOptions,
        pipe: PipeCopy,
        own_paths: frozenset[Path],
        read_time: float = _READ_TIME,
    ) -> None:
        self._options = options
        self._file = ManifestFile(options.path, pipe)
        self._own_paths = own_paths
        self._read_time = read_time
        self._lock = threading.Lock()
        self._is_stopped = False
        self._is_checked = False
        self._steps: Iterator[Entry | Skip | None] = self._run()

    def read(self) -> tuple[list[Entry | Skip], bool]:
        """Return the next items, and whether the walk is over. Return soon, also without items.

        Raises `OSError` if the file cannot be read, and `BatchError` if it has mistakes or has changed.
        """
        try:
            with self._lock:
                items, is_over = self._read_some()
                if self._is_checked:
                    self._file.check_unchanged()
                return items, is_over
        finally:
            if self._is_stopped:
                self.close()

    def _read_some(self) -> tuple[list[Entry | Skip], bool]:
        items: list[Entry | Skip] = []
        deadline = time.monotonic() + self._read_time
        for item in self._steps:
            if item is not None:
                items.append(item)
            if len(items) >= CHUNK or self._is_stopped or time.monotonic() > deadline:
                return items, False
        return items, True

    def stop(self) -> bool:
        """End the walk. Return whether `close` has to be called. This does not access the disk."""
        self._is_stopped = True
        return not self._lock.locked()

    def close(self) -> None:
        """Close the file, unless another thread is reading. It closes the file at its end."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            self._steps = iter(())
            self._file.close()
        finally:
            self._lock.release()

    # --- the two passes -------------------------------------------------------------------------------------

    def _run(self) -> Iterator[Entry | Skip | None]:
        """Yield the files and the skips of the second pass, and None after each step of the first one."""
        while not self._file.begin():
            yield None
        checker = self._checker()
        mistakes: list[Mistake] = []
        count = 0
        for row in self._rows(checker):
            if isinstance(row, RejectedRow):
                count += 1
                mistakes += row.mistakes[: max(0, _MAX_SHOWN - len(mistakes))]
            yield None
        self._file.check_unchanged(by_path=True)
        if count and self._options.is_strict:
            raise self._error(mistakes, count)
        self._is_checked = True
        own = OwnFiles(self._own_paths)
        for row in self._rows(checker):
            yield self._item(row, own)

    def _checker(self) -> RowChecker:
        options = self._options
        if options.root is not None:
            return RowChecker(options.root, is_fence=True, prefix=options.prefix)
        root = os.getcwd() if self._file.is_pipe else os.path.dirname(options.path)  # noqa: PTH109, PTH120  # as a str
        return RowChecker(root, is_fence=False, prefix=options.prefix)

    def _item(self, row: CheckedRow | RejectedRow, own: OwnFiles) -> Entry | Skip | None:
        """Return the item of a row, None for a file of the journal itself."""
        if isinstance(row, RejectedRow):
            if self._options.is_strict:
                # The first pass has not found these mistakes.
                raise changed_error(self._options.path)
            return Skip(row.key, "; ".join(map(str, row.mistakes)))
        if row.path is None:
            return Entry(row.key, row.item, Identity(None))
        return None if own.has_path(row.path) else entry_of_path(row.key, row.item, row.path)

    # --- one pass -------------------------------------------------------------------------------------------

    def _rows(self, checker: RowChecker) -> Iterator[CheckedRow | RejectedRow]:
        """Yield the rows of a new pass."""
        try:
            table = self._table()
            ignored = self._check_columns(table)
            for number, values in table.rows():
                if isinstance(values, BadRow):
                    where = f"{table.unit} {number}"
                    last = "" if values.last == number else f" to {values.last}"
                    mistake = Mistake(f"{table.unit}s {number}{last}" if last else where, None, values.text)
                    yield RejectedRow(checker.prefix + where, [mistake])
                else:
                    yield self._checked_row(checker, table, number, values, ignored)
        except UnusableError as error:
            path = shown_path(self._options.path)
            raise BatchError(
                f"the manifest {path} cannot be used, so nothing was uploaded: {error}"
            ) from error

    def _table(self) -> Table:
        file_format = self._options.format
        return _TABLES[detect_format(self._file.reader()) if file_format is None else file_format](
            self._file.reader()
        )

    def _checked_row(
        self, checker: RowChecker, table: Table, number: int, values: dict[str, Any], ignored: frozenset[str]
    ) -> CheckedRow | RejectedRow:
        found: list[tuple[str | None, str]] = []
        if table.columns is None:
            found += [(name, text) for name in values if (text := column_mistake(name)) is not None]
        elif ignored:
            values = {name: value for name, value in values.items() if name not in ignored}
        row = checker.check(values)
        if isinstance(row, CheckedRow) and not found:
            return row
        found += [] if isinstance(row, CheckedRow) else row
        where = f"{table.unit} {number}"
        key = checker.skip_key(values, where)
        mistakes = [Mistake(where, column, text) for column, text in found[:_MAX_SHOWN]]
        if len(found) > _MAX_SHOWN:
            mistakes.append(Mistake(where, None, f"it has {len(found) - _MAX_SHOWN:,} more mistakes"))
        return RejectedRow(key, mistakes)

    def _check_columns(self, table: Table) -> frozenset[str]:
        """Return the columns that are ignored. Raises `UnusableError` for columns that cannot be used."""
        columns = table.columns or ()
        twice = repeated(columns)
        where = f"line {table.header_line}" if table.unit == "line" else "the schema"
        if twice:
            names = ", ".join(map(shown, sorted(twice)[:_MAX_SHOWN]))
            raise UnusableError(f"{where}: a name of a column comes twice: {names}")
        mistakes = [
            Mistake(where, name, text) for name in columns if (text := column_mistake(name)) is not None
        ]
        if not mistakes:
            return frozenset()
        if self._options.is_strict:
            raise UnusableError(
                f"{_listed(mistakes[:_MAX_SHOWN], len(mistakes) - _MAX_SHOWN)}. The columns are {', '.join(COLUMNS)} and metadata.NAME. Rename or "
                "remove the others, or pass strict=False to ignore them."
            )
        if not self._is_checked:
            # The format is as in the errors, so a warning contains no URL from a table without a header.
            logger.warning(
                "the manifest %s: columns are ignored: %s",
                self._options.path,
                _listed(mistakes[:_MAX_SHOWN], len(mistakes) - _MAX_SHOWN),
            )
        return frozenset(mistake.column for mistake in mistakes if mistake.column is not None)

    def _error(self, mistakes: list[Mistake], count: int) -> BatchError:
        """Return the error for the mistakes of the first pass, which are in `count` rows."""
        more = count - len({mistake.where for mistake in mistakes})
        return BatchError(
            f"{count:,} {'row' if count == 1 else 'rows'} of the manifest {shown_path(self._options.path)} cannot be used, so "
            f"nothing was uploaded: {_listed(mistakes, more)}. Correct them, or pass strict=False to skip these rows."
        )


def _listed(mistakes: list[Mistake], more: int) -> str:
    """Return mistakes in one line, as messages are, and how many are not among them."""
    return " | ".join([*map(str, mistakes), *([f"... and {more:,} more"] if more > 0 else [])])
