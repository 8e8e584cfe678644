"""Archives for tests: correct ones, and ones that lie."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from imgwire_async.batch.items import Entry, Skip
from imgwire_async.batch.sources import archive


async def listed(path: Path, prefix: str = "") -> tuple[dict[str, int | str], Exception | None]:
    """Return the size of each file or the reason of each skip, by keys, and the error after them."""
    source = archive(path, prefix=prefix).start(frozenset())
    found: dict[str, int | str] = {}
    try:
        while items := await source.read():
            for item in items:
                size = item.identity.size if isinstance(item, Entry) else item.reason
                assert size is not None
                found.setdefault(item.key, size)
    except (OSError, Exception) as error:
        return found, error
    finally:
        await source.aclose()
    return found, None


async def contents(path: Path) -> dict[str, bytes | Exception]:
    """Return the bytes of each file by its key, or the error of reading it."""
    source = archive(path).start(frozenset())
    found: dict[str, bytes | Exception] = {}
    try:
        while items := await source.read():
            for item in items:
                if not isinstance(item, Skip):
                    found[item.key] = await read(item)
    finally:
        await source.aclose()
    return found


async def read(entry: Entry) -> bytes | Exception:
    """Return the bytes of a file, or the error of reading it."""
    file: Any = entry.item.file
    try:
        return b"".join([bytes(chunk) async for chunk in file.open()])
    except Exception as error:  # what the test looks at
        return error
    finally:
        await file.aclose()


def write_zip(path: Path, files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


def write_tar(path: Path, files: Mapping[str, bytes], mode: Any = "w", **arguments: Any) -> Path:
    with tarfile.open(path, mode, **arguments) as file:
        for name, data in files.items():
            file.addfile(tar_info(name, size=len(data)), io.BytesIO(data))
    return path


def tar_info(name: str, **fields: Any) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mtime = 1_700_000_000
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def tar_of(*parts: bytes) -> bytes:
    """Return an archive of headers and contents, each filled up to blocks."""
    return b"".join(part + bytes(-len(part) % 512) for part in parts) + bytes(1024)


def header(name: str, size: int, kind: bytes = b"0", **fields: Any) -> bytes:
    """Return one header."""
    return tar_info(name, size=size, type=kind, **fields).tobuf(tarfile.GNU_FORMAT)


def with_checksum(block: bytes) -> bytes:
    """Return a header with a correct checksum."""
    total = sum(block[:148]) + 256 + sum(block[156:])
    return block[:148] + b"%06o\0 " % total + block[156:]


class RawZip:
    """Writes a ZIP archive whose fields the test chooses."""

    def __init__(self) -> None:
        self.body = b""
        self.entries: list[bytes] = []

    def add(
        self,
        name: str | bytes,
        data: bytes,
        *,
        method: int = 0,
        flags: int = 0,
        system: int = 3,
        mode: int = 0o100644,
        extra: bytes = b"",
        **lies: int,
    ) -> RawZip:
        """Add a member. `lies` replaces the values of the list: `crc`, `size`, `packed`, `offset`."""
        raw = name.encode() if isinstance(name, str) else name
        packed = data
        if method == 8:
            packer = zlib.compressobj(wbits=-15)
            packed = packer.compress(data) + packer.flush()
        true = {"crc": zlib.crc32(data), "packed": len(packed), "size": len(data), "offset": len(self.body)}
        fields = {**true, **lies}
        self.body += struct.pack(
            "<4sHHHHHLLLHH",
            b"PK\3\4",
            20,
            flags,
            method,
            0,
            33,
            true["crc"],
            len(packed),
            len(data),
            len(raw),
            0,
        )
        self.body += raw + packed
        self.entries.append(
            struct.pack(
                "<4sBBBBHHHHLLLHHHHHLL", b"PK\1\2", 20, system, 20, 0, flags, method, 0, 33,
                fields["crc"], fields["packed"], fields["size"], len(raw), len(extra), 0, 0, 0,
                mode << 16, fields["offset"],
            ) + raw + extra
        )  # fmt: skip
        return self

    def data(self, before: bytes = b"", after: bytes = b"", **lies: int) -> bytes:
        """Return the archive."""
        entries = b"".join(self.entries)
        fields = {
            "count": len(self.entries),
            "size": len(entries),
            "offset": len(self.body),
            "disk": 0,
        } | lies
        end = struct.pack(
            "<4sHHHHLLH", b"PK\5\6", fields["disk"], fields["disk"], fields["count"] & 0xFFFF,
            fields["count"] & 0xFFFF, fields["size"], fields["offset"], len(after),
        )  # fmt: skip
        return before + self.body + entries + end + after


def numbered(count: int, data: bytes = b"GIF89a") -> Iterable[tuple[str, bytes]]:
    return ((f"{number:07}.gif", data) for number in range(count))
