"""Raw pictures of cameras that look like TIFF are recognized by their directories, also in hostile files."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgwire_async.mime import describe, sniff
from imgwire_async.uploads.tiff import is_raw

PICTURES = Path(__file__).parents[2].parent / "shared" / "pictures"

Entry = tuple[int, int, list[int]]
SHORT, LONG, BYTE, ASCII = 3, 4, 1, 2
SUBFILE, WIDTH, COMPRESSION, PHOTOMETRIC, MAKE, SUB, EXIF = 254, 256, 259, 262, 271, 330, 34665


def directory(entries: list[Entry], at: int, order: str, following: int = 0) -> bytes:
    """Return an image directory for the position `at`. Values that do not fit into an entry follow it."""
    formats = {SHORT: "H", LONG: "I", BYTE: "B", ASCII: "B"}
    rows, overflow = b"", b""
    end = at + 2 + 12 * len(entries) + 4
    for tag, kind, values in entries:
        encoded = struct.pack(f"{order}{len(values)}{formats[kind]}", *values)
        if len(encoded) > 4:
            encoded, overflow = struct.pack(order + "I", end + len(overflow)), overflow + encoded
        rows += struct.pack(order + "HHI", tag, kind, len(values)) + encoded.ljust(4, b"\0")
    return struct.pack(order + "H", len(entries)) + rows + struct.pack(order + "I", following) + overflow


def tiff(first: list[Entry], *others: tuple[int, list[Entry]], order: str = "<", at: int = 8) -> bytes:
    """Return a TIFF with its first directory at the position `at`, and other directories at theirs."""
    data = bytearray((b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", at))
    for position, entries in [(at, first), *others]:
        data[len(data) :] = bytes(max(0, position - len(data)))
        encoded = directory(entries, position, order)
        data[position : position + len(encoded)] = encoded
    return bytes(data)


def pages(first: list[Entry], second: list[Entry], order: str) -> bytes:
    return (
        tiff(first, order=order)[:8]
        + directory(first, 8, order, 400).ljust(392, b"\0")
        + directory(second, 400, order)
    )


def text(value: str) -> list[int]:
    return [*value.encode(), 0]


def is_raw_bytes(data: bytes) -> bool:
    return is_raw(lambda size, position: data[position : position + size])


THUMBNAIL: list[Entry] = [
    (SUBFILE, LONG, [1]),
    (WIDTH, LONG, [160]),
    (PHOTOMETRIC, SHORT, [2]),
    (MAKE, ASCII, text("NIKON CORPORATION")),
]
FILTERED: list[Entry] = [(SUBFILE, LONG, [0]), (WIDTH, LONG, [6000]), (PHOTOMETRIC, SHORT, [32803])]
PLAIN: list[Entry] = [
    (WIDTH, LONG, [6000]),
    (COMPRESSION, SHORT, [5]),
    (PHOTOMETRIC, SHORT, [2]),
    (MAKE, ASCII, text("Epson")),
]

RAW: dict[str, Any] = {
    "NEF": lambda o: tiff([*THUMBNAIL, (SUB, LONG, [5000, 9000])], (5000, PLAIN), (9000, FILTERED), order=o),
    "ARW": lambda o: tiff(
        [*THUMBNAIL, (SUB, LONG, [70000])], (70000, [(COMPRESSION, SHORT, [32767])]), order=o
    ),
    "DNG": lambda o: tiff([*PLAIN, (50706, BYTE, [1, 4, 0, 0])], order=o),
    "PEF": lambda o: tiff([(COMPRESSION, SHORT, [65535]), (PHOTOMETRIC, SHORT, [32803])], order=o),
    "TIFF/EP": lambda o: tiff([*PLAIN, (33421, SHORT, [2, 2]), (33422, BYTE, [0, 1, 1, 2])], order=o),
    "MOS": lambda o: tiff([*PLAIN, (34310, BYTE, [0] * 8)], order=o),
    "the directory at the end": lambda o: tiff(FILTERED, order=o, at=300_000),
    "on the second page": lambda o: pages(PLAIN, FILTERED, order=o),
    "the real picture beyond the limit": lambda o: tiff([*THUMBNAIL, (SUB, LONG, [9_000_000])], order=o),
    "IIQ": lambda o: tiff(PLAIN, order=o, at=16)[:8] + b"IIIITwaR" + directory(PLAIN, 16, o),
}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", RAW)
def test_a_raw_picture_is_recognized_by_its_directories(kind: str, order: str) -> None:
    assert is_raw_bytes(RAW[kind](order))


ORDINARY: dict[str, Any] = {
    "scan": lambda o: tiff(PLAIN, order=o),
    "phone": lambda o: tiff([*PLAIN, (EXIF, LONG, [700])], (700, [(33434, LONG, [1])]), order=o),
    "pages": lambda o: pages(PLAIN, PLAIN, order=o),
    "with previews": lambda o: tiff(
        [*PLAIN, (SUB, LONG, [900, 2000])], (900, THUMBNAIL), (2000, THUMBNAIL), order=o
    ),
    "a preview of a plain picture": lambda o: tiff([*THUMBNAIL, (SUB, LONG, [900])], (900, PLAIN), order=o),
    "cut": lambda o: tiff(PLAIN, order=o)[:40],
    "a signature alone": lambda o: tiff([], order=o)[:4],
}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ORDINARY)
def test_an_ordinary_tiff_is_not_raw(kind: str, order: str) -> None:
    assert not is_raw_bytes(ORDINARY[kind](order))


@pytest.mark.skipif(not PICTURES.is_dir(), reason="needs ../shared/pictures")
def test_no_real_tiff_is_raw() -> None:
    manifest = json.loads((PICTURES / "manifest.json").read_text("utf-8"))
    names = [entry["name"] for entry in manifest if entry["mime_type"] == "image/tiff"]
    assert names
    assert [name for name in names if is_raw_bytes((PICTURES / name).read_bytes())] == []


def test_hostile_directories_are_read_fast() -> None:
    reads: list[int] = []

    def is_raw_counted(data: bytes) -> bool:
        reads.clear()

        def read_at(size: int, position: int) -> bytes:
            assert 0 <= size < 10_000
            reads.append(size)
            return data[position : position + size]

        return is_raw(read_at)

    header = struct.pack("<4sI", b"II*\0", 8)
    assert not is_raw_counted(
        header + directory([(SUB, LONG, [8]), (SUB, LONG, [8, 8, 8, 8, 8, 8, 8])], 8, "<", 8)
    )
    assert not is_raw_counted(header + b"\xff\xff" + b"\xff" * 70)
    assert not is_raw_counted(struct.pack("<4sI", b"II*\0", 0xFFFFFFFF))
    assert not is_raw_counted(header + directory([(SUB, LONG, [2**32 - 1] * 50)], 8, "<", 2**32 - 1))
    many = header + struct.pack("<H", 65535) + struct.pack("<HHII", SUB, LONG, 65535, 0) * 65535
    started_at = time.monotonic()
    assert not is_raw_counted(many)
    assert len(reads) < 600
    assert time.monotonic() - started_at < 2


@given(st.sampled_from([b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"]), st.binary(max_size=400))
def test_no_bytes_make_the_check_raise(begin: bytes, rest: bytes) -> None:
    assert is_raw_bytes(begin + rest) in {True, False}


@pytest.mark.parametrize(
    "head",
    [
        b"FUJIFILMCCD-RAW 0201FF383501X-T2",
        b"IIRO\x08\0\0\0",
        b"IIRS\x08\0\0\0",
        b"MMOR\0\0\0\x08",
        b"IIU\0\x18\0\0\0\x88\xe7\x74\xd8",
        b"FOVb\0\0\2\0",
        b"\0MRM\0\0\1\2",
        b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
        b"II*\0\x10\0\0\0CR\2\0",
    ],
    ids=repr,
)
def test_raw_pictures_with_their_own_signature_are_described(head: bytes) -> None:
    assert sniff(head) is None
    assert describe(head) == "a camera's raw picture"


def test_the_helper_tiff_returns_a_valid_tiff() -> None:
    data = tiff([(WIDTH, LONG, [3])], order=">")
    assert data == b"MM\0*\0\0\0\x08" + b"\0\x01" + b"\x01\0\0\x04\0\0\0\x01\0\0\0\x03" + bytes(4)
