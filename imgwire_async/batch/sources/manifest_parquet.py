"""Read the rows of a manifest that is a Parquet file. Blocks, and needs the extra `parquet`."""

from __future__ import annotations

import importlib
import io
import os
from collections.abc import Iterator
from typing import Any

from imgwire_async.batch.sources.manifest_rows import COLUMNS, METADATA, BadRow
from imgwire_async.batch.sources.manifest_text import Table, UnusableError

# The number of rows that are in memory at the same time, besides the pages of the file.
_BATCH = 1_000


class ParquetTable(Table):
    """A table with types. Values that are null count as empty columns."""

    unit = "row"

    def __init__(self, file: io.BufferedReader) -> None:
        try:
            arrow: Any = importlib.import_module("pyarrow")
            parquet: Any = importlib.import_module("pyarrow.parquet")
        except ImportError as error:
            raise ImportError(
                "a manifest in Parquet needs pyarrow: pip install 'imgwire-async[parquet]'"
            ) from error
        self._errors: tuple[type[Exception], ...] = (arrow.ArrowException, OSError, ValueError)
        try:
            # A mapped file would end the process when another program shortens it.
            self._file: Any = parquet.ParquetFile(file, memory_map=False, pre_buffer=False)
            self.columns: tuple[str, ...] | None = tuple(self._file.schema_arrow.names)
        except self._errors as error:
            raise self._broken(error) from error
        if "path" not in self.columns and "url" not in self.columns:
            names = ", ".join(map(repr, self.columns[:20]))
            raise UnusableError(f"it has no column 'path' or 'url', only {names or 'no columns'}")

    def rows(self) -> Iterator[tuple[int, dict[str, Any] | BadRow]]:
        """Yield the rows."""
        columns = self.columns or ()
        wanted = [name for name in columns if name in COLUMNS or name.startswith(METADATA)]
        number = 0
        try:
            for batch in self._file.iter_batches(batch_size=_BATCH, columns=wanted, use_threads=False):
                names = batch.schema.names
                for values in zip(*[_values(column) for column in batch.columns], strict=True):
                    number += 1
                    yield (
                        number,
                        {name: value for name, value in zip(names, values, strict=True) if value is not None},
                    )
        except self._errors as error:
            raise self._broken(error) from error

    @staticmethod
    def _broken(error: Exception) -> Exception:
        # The message of the library may have several lines.
        return UnusableError(
            f"it cannot be read as Parquet: {(str(error) or type(error).__name__).splitlines()[0]}"
        )


def _values(column: Any) -> list[Any]:
    """Return the values of a column. Maps become dicts without nulls, and bytes become text as in paths."""
    values: list[Any] = column.to_pylist()
    kind = str(column.type)
    if kind.startswith("map<"):
        return [None if value is None else _without_nulls(dict(value)) for value in values]
    if kind.startswith("struct<"):
        return [None if value is None else _without_nulls(value) for value in values]
    if "binary" in kind:
        return [None if value is None else os.fsdecode(value) for value in values]
    return values


def _without_nulls(value: dict[str, Any]) -> dict[str, Any]:
    return {name: item for name, item in value.items() if item is not None}
