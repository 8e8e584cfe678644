"""The same pictures in a source of each kind, for tests of what must hold for every source."""

from __future__ import annotations

import abc
import csv
import hashlib
import importlib
import importlib.util
import io
import json
import os
import shutil
import sqlite3
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar
from urllib.parse import quote

from imgwire_async.batch import BatchItem, archive, cloud, manifest, urls
from imgwire_async.emulator import Emulator

EXAMPLES = Path(__file__).parents[2] / "examples"


class Case(abc.ABC):
    """The pictures of one source. `path` is where they are."""

    # Whether a picture that changes is uploaded again, and the others are not.
    sees_changes: ClassVar[bool] = True
    changes_alone: ClassVar[bool] = True

    def __init__(self, folder: Path, emulator: Emulator) -> None:
        self.folder = folder
        self.emulator = emulator
        self.path = folder / "pictures"
        self._age = 0

    @property
    def kind(self) -> str:
        """The name of the source in `CASES`."""
        return next(name for name, case in CASES.items() if case is type(self))

    @property
    def address(self) -> tuple[str, str]:
        """The kind and the path, from which another process makes the argument `files`."""
        return self.kind, str(self.path)

    def files(self) -> Any:
        """Return the argument `files` of `upload` and `plan`."""
        kind, path = self.address
        return files_of(kind, Path(path))

    @abc.abstractmethod
    def write(self, pictures: Mapping[str, bytes]) -> None:
        """Replace the content of the source. The time of what is the same stays, as far as it can."""

    @abc.abstractmethod
    def spoil(self, pictures: Mapping[str, bytes], name: str) -> None:
        """Replace the content by pictures of which one cannot be read."""

    def lose(self) -> None:
        """Delete all bytes."""
        shutil.rmtree(self.path) if self.path.is_dir() else self.path.unlink()

    def key(self, name: str) -> str:
        """Return the key of a picture."""
        return name


def sync_folder(folder: Path, pictures: Mapping[str, bytes]) -> None:
    """Write what is new, with a new time, and delete what is no longer there."""
    for path in [*folder.rglob("*")] if folder.exists() else []:
        if not path.is_dir() and path.relative_to(folder).as_posix() not in pictures:
            path.unlink()
    for name, data in pictures.items():
        path = folder / name
        if path.is_symlink():
            path.unlink()
        if not path.is_file() or path.read_bytes() != data:
            path.parent.mkdir(parents=True, exist_ok=True)
            later = path.stat().st_mtime_ns + 10**9 if path.is_file() else None
            path.write_bytes(data)
            if later is not None:
                os.utime(path, ns=(later, later))


class FolderCase(Case):
    """A folder."""

    def write(self, pictures: Mapping[str, bytes]) -> None:
        self.path.mkdir(exist_ok=True)
        sync_folder(self.path, pictures)

    def spoil(self, pictures: Mapping[str, bytes], name: str) -> None:
        self.write(pictures)
        (self.path / name).unlink()
        (self.path / name).symlink_to("nowhere")


class PathsCase(FolderCase):
    """An iterator over the paths of a folder and its subfolders."""

    def key(self, name: str) -> str:
        return str(self.path / name)


class TableCase(Case):
    """The source of the user in `examples/batch_table.py`. Its pictures are in a database."""

    def write(self, pictures: Mapping[str, bytes]) -> None:
        write_table(self.path, ((number_of(name), name, data) for name, data in pictures.items()))

    def spoil(self, pictures: Mapping[str, bytes], name: str) -> None:
        self.write(pictures)
        with closing(sqlite3.connect(self.path)) as database, database:
            database.execute("UPDATE products SET picture = NULL WHERE id = ?", (number_of(name),))

    def key(self, name: str) -> str:
        return f"products/{number_of(name)}"


def write_table(path: Path, rows: Any) -> None:
    """Write the table of `examples/batch_table.py`: id, name and picture of each product."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT, picture BLOB)")
        database.executemany("INSERT INTO products VALUES (?, ?, ?)", rows)


def number_of(name: str) -> int:
    """Return a number for a name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big")


def example(name: str) -> ModuleType:
    """Return the module of an example, which is in no package."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _paths_below(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if not path.is_dir())


def _lines_of(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as file:
        yield from map(str.strip, file)


def _items_below(folder: Path) -> Iterator[BatchItem]:
    for path in _paths_below(folder):
        yield BatchItem(path.relative_to(folder).as_posix(), path.read_bytes())


class BytesCase(FolderCase):
    """An iterator over files in memory."""

    def spoil(self, pictures: Mapping[str, bytes], name: str) -> None:
        self.write({**pictures, name: b"no picture"})


class CsvCase(FolderCase):
    """A table of the paths of a folder."""

    suffix: ClassVar[str] = ".csv"

    @property
    def table(self) -> Path:
        return self.path.with_suffix(self.suffix)

    @property
    def address(self) -> tuple[str, str]:
        return self.kind, str(self.table)

    def write(self, pictures: Mapping[str, bytes]) -> None:
        super().write(pictures)
        self.write_table([*pictures])

    def spoil(self, pictures: Mapping[str, bytes], name: str) -> None:
        self.write(pictures)
        (self.path / name).unlink()

    def write_table(self, names: list[str]) -> None:
        """Write a row for each picture."""
        with self.table.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "key"])
            writer.writerows([f"pictures/{name}", name] for name in names)


class JsonLinesCase(CsvCase):
    """A table with an object in each line."""

    suffix = ".jsonl"

    def write_table(self, names: list[str]) -> None:
        with self.table.open("w", encoding="utf-8") as file:
            for name in names:
                file.write(json.dumps({"path": f"pictures/{name}", "key": name}) + "\n")


class ParquetCase(CsvCase):
    """A Parquet file."""

    suffix = ".parquet"

    def write_table(self, names: list[str]) -> None:
        # The type checkers do not know the types of this library.
        arrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
        columns = {"path": [f"pictures/{name}" for name in names], "key": names}
        parquet.write_table(arrow.table(columns), self.table)


class TextCase(CsvCase):
    """A list of paths."""

    suffix = ".txt"

    def write_table(self, names: list[str]) -> None:
        self.table.write_text("".join(f"pictures/{name}\n" for name in names), encoding="utf-8")

    def key(self, name: str) -> str:
        return f"pictures/{name}"


class ZipCase(Case):
    """A ZIP archive. Its own time belongs to the identity of each member."""

    changes_alone = False

    def write(self, pictures: Mapping[str, bytes]) -> None:
        later = self.path.stat().st_mtime_ns + 10**9 if self.path.exists() else None
        with zipfile.ZipFile(self.path, "w") as file:
            for name, data in pictures.items():
                file.writestr(zipfile.ZipInfo(name), data)
        if later is not None:
            os.utime(self.path, ns=(later, later))

    def spoil(self, pictures: Mapping[str, bytes], name: str) -> None:
        """Change one byte of a member. Its CRC is that of the former bytes."""
        self.write(pictures)
        data = self.path.read_bytes()
        found = data.index(pictures[name])
        changed = found + len(pictures[name]) - 1
        self.path.write_bytes(data[:changed] + bytes([data[changed] ^ 1]) + data[changed + 1 :])


class TarCase(Case):
    """A TAR archive. Each member has a time of its own."""

    mode: ClassVar[Any] = "w"

    def __init__(self, folder: Path, emulator: Emulator) -> None:
        super().__init__(folder, emulator)
        self.times: dict[str, tuple[bytes, int]] = {}

    def write(self, pictures: Mapping[str, bytes]) -> None:
        with tarfile.open(self.path, self.mode) as file:
            for name, data in pictures.items():
                info = tarfile.TarInfo(name)
                info.size, info.mtime = len(data), self._time(name, data)
                file.addfile(info, io.BytesIO(data))

    def _time(self, name: str, data: bytes) -> int:
        before, time = self.times.get(name, (data, 1_700_000_000))
        self.times[name] = (data, time + (before != data))
        return self.times[name][1]

    def spoil(self, pictures: Mapping[str, bytes], name: str) -> None:
        """Store a text instead of a picture, because TAR has no checksums of members."""
        self.write({**pictures, name: b"no picture"})


class CompressedTarCase(TarCase):
    """A TAR archive that can be read only from its beginning to its end."""

    mode = "w:gz"


class UrlsCase(Case):
    """A list of URLs. Nobody learns when the picture at a URL changes."""

    sees_changes = False

    def write(self, pictures: Mapping[str, bytes]) -> None:
        self.path.write_text("".join(f"{self.key(name)}\n" for name in pictures), encoding="utf-8")
        self.emulator.urls.clear()
        self.emulator.urls.update({self.key(name): data for name, data in pictures.items()})

    def spoil(self, pictures: Mapping[str, bytes], name: str) -> None:
        self.write(pictures)
        del self.emulator.urls[self.key(name)]

    def lose(self) -> None:
        self.emulator.urls.clear()

    def key(self, name: str) -> str:
        return f"https://pictures.example/{quote(name)}"


class CloudCase(FolderCase):
    """The files of a file system of fsspec."""

    def spoil(self, pictures: Mapping[str, bytes], name: str) -> None:
        self.write({**pictures, name: b""})


def _bucket(path: Path) -> Any:
    """Return the source over a bucket. The path consists of the port of the server and the bucket."""
    port, name = path.parts
    return cloud(
        f"s3://{name}/photos",
        storage_options={
            "key": "an-access-key",
            "secret": "a-secret-access-key",
            "endpoint_url": f"http://127.0.0.1:{port}",
            "client_kwargs": {"region_name": "us-east-1"},
            "config_kwargs": {"s3": {"addressing_style": "path"}},
        },
    )


# What `upload` and `plan` take, of the path of a source.
FILES: dict[str, Callable[[Path], Any]] = {
    "folder": lambda path: path,
    "paths": _paths_below,
    "bytes": _items_below,
    "table": lambda path: example("batch_table").Pictures(path),
    "csv": manifest,
    "jsonl": manifest,
    "parquet": manifest,
    "txt": manifest,
    "urls": lambda path: urls(_lines_of(path)),
    "zip": archive,
    "tar": archive,
    "packed tar": archive,
    "cloud": lambda path: cloud(path.as_uri()),
    # Tests in tests/sources use it.
    "s3": _bucket,
}
CASES: dict[str, type[Case]] = {
    "folder": FolderCase,
    "paths": PathsCase,
    "bytes": BytesCase,
    "table": TableCase,
    "csv": CsvCase,
    "jsonl": JsonLinesCase,
    "parquet": ParquetCase,
    "txt": TextCase,
    "urls": UrlsCase,
    "zip": ZipCase,
    "tar": TarCase,
    "packed tar": CompressedTarCase,
    "cloud": CloudCase,
}


def files_of(kind: str, path: Path) -> Any:
    """Return the argument `files` for a source in another process, too."""
    return FILES[kind](path)
