"""The type, size and completeness of pictures. No bytes may make `examine` fail or run forever."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from drawing import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from imgwire_async.emulator.pictures import Finding, Picture, Unreadable, examine
from imgwire_async.emulator.pictures.decoder import decoded_size

from .raw_client import GIF, PNG

SHARED = Path(__file__).parents[2].parent / "shared" / "pictures"
PICTURES = json.loads((SHARED / "manifest.json").read_text()) if SHARED.exists() else []


def size(data: bytes, **arguments: Any) -> tuple[str, int, int]:
    finding = examine(data, **arguments)
    assert isinstance(finding, Picture), finding
    return finding.mime_type, finding.width, finding.height


def reason(data: bytes, **arguments: Any) -> str:
    finding = examine(data, **arguments)
    assert isinstance(finding, Unreadable), finding
    return finding.reason


def box(name: bytes, *content: bytes) -> bytes:
    data = b"".join(content)
    return struct.pack(">I", 8 + len(data)) + name + data


def chunk(name: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


SOF = segment(0xC0, b"\x08\x00\x02\x00\x03\x01\x01\x11\x00")
SOS = segment(0xDA, b"\x01\x01\x00\x00\x3f\x00")
JPEG = b"\xff\xd8" + SOF + SOS + b"scan\xff\x00\xff\xd9"


def tiff(*tags: tuple[int, int, int, int], order: str = "<", following: int = 0) -> bytes:
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    rows = b"".join(
        struct.pack(f"{order}HHI", tag, kind, count)
        + struct.pack(f"{order}I" if kind == 4 else f"{order}Hxx", value)
        for tag, kind, count, value in tags
    )
    return head + struct.pack(f"{order}H", len(tags)) + rows + struct.pack(f"{order}I", following) + b"data"


STRIP = ((273, 4, 1, 8), (279, 4, 1, 4))


def webp(name: bytes, content: bytes, *more: bytes, size: int | None = None) -> bytes:
    body = (
        b"WEBP"
        + name
        + struct.pack("<I", len(content))
        + content
        + b"\0" * (len(content) % 2)
        + b"".join(more)
    )
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


VP8 = b"\0\0\0\x9d\x01\x2a\x03\x00\x02\x00"


def avif(
    *properties: bytes,
    ipma: bytes = b"\0\0\0\0\0\0\0\1\0\7\1\x81",
    pitm: bytes = b"\0\0\0\0\0\7",
    brand: bytes = b"avif",
) -> bytes:
    meta = box(
        b"meta", bytes(4), box(b"pitm", pitm), box(b"iprp", box(b"ipco", *properties), box(b"ipma", ipma))
    )
    return box(b"ftyp", brand, bytes(4), b"mif1") + meta + box(b"mdat", b"x")


ISPE = box(b"ispe", bytes(4), struct.pack(">II", 3, 2))


def bits(*fields: tuple[int, int]) -> bytes:
    value, at = 0, 0
    for number, width in fields:
        value |= number << at
        at += width
    return value.to_bytes(12, "little")


def bmp(header: bytes, offset: int, data: bytes) -> bytes:
    return b"BM" + bytes(8) + struct.pack("<I", offset) + header + data


def info(width: int, height: int, bpp: int = 24, compression: int = 0, length: int = 0) -> bytes:
    return struct.pack("<IiiHHII", 40, width, height, 1, bpp, compression, length) + bytes(16)


def ico(*entries: tuple[int, int], data: bytes = PNG) -> bytes:
    at = 6 + 16 * len(entries)
    rows = b"".join(
        bytes([*entry, 0, 0, 1, 0, 32, 0]) + struct.pack("<II", len(data), at) for entry in entries
    )
    return b"\0\0\1\0" + struct.pack("<H", len(entries)) + rows + data


@pytest.mark.skipif(not PICTURES, reason="the folder with the shared pictures is missing")
@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture["name"])
def test_real_pictures_have_the_size_in_their_manifest(picture: dict[str, Any]) -> None:
    data = (SHARED / picture["name"]).read_bytes()
    if picture["decodes"]:
        assert size(data) == (picture["mime_type"], picture["width"], picture["height"])
    else:
        assert reason(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (PNG, ("image/png", 3, 2)),
        (GIF, ("image/gif", 1, 1)),
        (JPEG, ("image/jpeg", 3, 2)),
        (JPEG + b"bytes after the end", ("image/jpeg", 3, 2)),
        (b"\xff\xd8\xff\x01\xff\xff\xd0" + JPEG[2:], ("image/jpeg", 3, 2)),
        (tiff((256, 3, 1, 3), (257, 4, 1, 2), *STRIP), ("image/tiff", 3, 2)),
        (tiff((256, 3, 1, 3), (257, 4, 1, 2), *STRIP, order=">"), ("image/tiff", 3, 2)),
        (tiff((256, 3, 1, 3), (257, 4, 1, 2), (324, 4, 1, 8), (325, 4, 1, 4)), ("image/tiff", 3, 2)),
        (webp(b"VP8 ", VP8), ("image/webp", 3, 2)),
        (webp(b"VP8L", b"\x2f" + struct.pack("<I", 2 | 1 << 14)), ("image/webp", 3, 2)),
        (webp(b"VP8X", bytes(4) + b"\2\0\0\1\0\0", b"VP8 \0\0\0\0"), ("image/webp", 3, 2)),
        (avif(ISPE), ("image/avif", 3, 2)),
        (avif(ISPE, brand=b"heic"), ("image/heic", 3, 2)),
        (avif(ISPE, box(b"irot", b"\1"), ipma=b"\0\0\0\0\0\0\0\1\0\7\2\x81\x82"), ("image/avif", 2, 3)),
        (avif(ISPE, box(b"irot", b"\2"), ipma=b"\0\0\0\0\0\0\0\1\0\7\2\x81\x82"), ("image/avif", 3, 2)),
        (avif(ISPE, box(b"clap", struct.pack(">8I", 4, 2, 1, 1, 0, 1, 0, 1)), ipma=b"\0\0\0\0\0\0\0\1\0\7\2\x81\x82"), ("image/avif", 2, 1)),
        (avif(ISPE, ipma=b"\0\0\0\1\0\0\0\2\0\1\1\0\5\0\7\1\x80\1"), ("image/avif", 3, 2)),
        (avif(ISPE, ipma=b"\1\0\0\0\0\0\0\1\0\0\0\7\1\1", pitm=b"\1\0\0\0\0\0\0\7"), ("image/avif", 3, 2)),
        (avif(ISPE)[:-9] + struct.pack(">I", 0) + b"mdatx", ("image/avif", 3, 2)),
        (avif(ISPE)[:-9] + struct.pack(">I4sQ", 1, b"mdat", 17) + b"x", ("image/avif", 3, 2)),
        (b"\xff\x0a" + bits((1, 1), (7, 5), (0, 3), (3, 5)), ("image/jxl", 32, 64)),
        (b"\xff\x0a" + bits((1, 1), (7, 5), (7, 3)), ("image/jxl", 128, 64)),
        (b"\xff\x0a" + bits((0, 1), (0, 2), (1, 9), (0, 3), (3, 2), (2, 30)), ("image/jxl", 3, 2)),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"jxlc", b"\xff\x0a" + bits((1, 1), (7, 5), (1, 3))), ("image/jxl", 64, 64)),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"jxlp", bytes(4), b"\xff\x0a" + bits((1, 1), (7, 5), (3, 3))), ("image/jxl", 85, 64)),
        (bmp(info(3, -2), 54, bytes(24)), ("image/bmp", 3, 2)),
        (bmp(info(3, 2, 8, 1, 5), 54, bytes(5)), ("image/bmp", 3, 2)),
        (bmp(struct.pack("<IHHHH", 12, 3, 2, 1, 24), 26, bytes(24)), ("image/bmp", 3, 2)),
        (ico((16, 16), (0, 0), (48, 48)), ("image/vnd.microsoft.icon", 256, 256)),
        (ico((16, 16), data=info(16, 32)), ("image/vnd.microsoft.icon", 16, 16)),
    ],
)  # fmt: skip
def test_a_size_is_read_from_the_header(data: bytes, expected: tuple[str, int, int]) -> None:
    assert size(data) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty"),
        (b"<svg/>", "not a picture"),
        (b"BM is no bitmap", "not a picture"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isom", "not a picture"),
        (b"\0\0\1\0\0\0", "not a picture"),
        (JPEG[:-2], "no end of image"),
        (JPEG[:12], "ends early"),
        (b"\xff\xd8" + SOS + b"\xff\xd9", "no frame header"),
        (b"\xff\xd8\xff\xd9", "before its picture"),
        (b"\xff\xd8\xff\xe0\x00\x01", "shorter than its own length"),
        (b"\xff\xd8\xff\xe0\x00\x02junk", "does not start with a marker"),
        (JPEG.replace(b"\x00\x02\x00\x03", b"\x00\x00\x00\x03"), "3 x 0"),
        (PNG[:-1], "ends early"),
        (PNG[:33] + chunk(b"IEND"), "no picture data"),
        (PNG[:33] + chunk(b"\0\0\0\0"), "without a name"),
        (PNG[:8] + chunk(b"IDAT"), "no IHDR"),
        (GIF[:-1], "ends early"),
        (GIF[:19] + b"\x3b", "no picture data"),
        (GIF[:19] + b"\x99", "unknown kind"),
        (webp(b"VP8 ", VP8, size=1000), "ends early"),
        (webp(b"VP8 ", bytes(10)), "no key frame"),
        (webp(b"VP8L", bytes(5)), "no lossless frame"),
        (webp(b"JUNK", bytes(5)), "unknown first chunk"),
        (webp(b"VP8X", bytes(10)), "no picture data"),
        (tiff((256, 3, 1, 3), (257, 4, 1, 2), (273, 4, 1, 8), (279, 4, 1, 4000)), "ends early"),
        (tiff((256, 3, 1, 3), (257, 4, 1, 2)), "no picture data"),
        (tiff((256, 3, 1, 3)), "no width or height"),
        (tiff((256, 2, 1, 3), (257, 4, 1, 2)), "wrong type or length"),
        (tiff((256, 3, 1, 3), (257, 4, 1, 2), *STRIP, following=8), "endless"),
        (b"II*\0\0\0\0\0", "no directory"),
        (b"II*\0\x08\0\0\0\xff\xff", "too many fields"),
        (b"II*\0\xff\0\0\0", "ends early"),
        (b"II+\0\x08\0\0\0", "BigTIFF"),
        (avif(ISPE)[:-1], "ends early"),
        (avif(ISPE, ipma=bytes(8)), "no size"),
        (avif(ISPE, box(b"clap", bytes(32)), ipma=b"\0\0\0\0\0\0\0\1\0\7\2\x81\x82"), "zero denominator"),
        (box(b"ftyp", b"avis", bytes(4)) + box(b"mdat"), "sequence"),
        (box(b"ftyp", b"avif", bytes(4)) + box(b"meta", bytes(4)), "no primary item"),
        (box(b"ftyp", b"avif", bytes(4)) + box(b"meta", bytes(4), box(b"pitm", bytes(6)), box(b"iprp")), "no property container"),
        (box(b"ftyp", b"avif", bytes(4)) + struct.pack(">I", 3) + b"junk", "shorter than its own header"),
        (box(b"ftyp", b"avif", bytes(4)) + box(b"free") * 10_001, "too many boxes"),
        (b"\xff\x0a\x01", "ends early"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"ftyp"), "without a codestream"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"jxlc", b"no"), "no codestream"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"jxlc", b"\xff\x0a" + bits((1, 1))) + b"\0\0\0\xffjxlp", "ends early"),
        (bmp(info(3, 2), 54, bytes(23)), "ends early"),
        (bmp(info(3, 2, 8, 1, 5), 54, bytes(4)), "ends early"),
        (bmp(info(3, 2), 0, bytes(24)), "no picture data"),
        (ico((16, 16))[:-1], "ends early"),
        (ico((16, 16), data=b"no picture"), "not a picture"),
    ],
)  # fmt: skip
def test_a_broken_picture_has_the_reason(data: bytes, expected: str) -> None:
    assert expected in reason(data)


@pytest.mark.parametrize(
    ("data", "head", "tail", "complete"),
    [
        (JPEG[:-2] + bytes(500) + b"\xff\xd9", 60, 20, True),
        (JPEG[:-2] + bytes(500), 60, 20, False),
        (PNG[:33] + chunk(b"IDAT", bytes(500)) + PNG[-12:], 60, 20, True),
        (PNG[:33] + chunk(b"IDAT", bytes(500)) + bytes(12), 60, 20, False),
        (avif(ISPE)[:-9] + box(b"mdat", bytes(500)), 150, 20, True),
        (tiff((256, 3, 1, 3), (257, 4, 1, 2), *STRIP)[:8] + bytes(100), 6, 0, False),
    ],
)
def test_a_large_body_is_checked_by_its_start_and_end(
    data: bytes, head: int, tail: int, complete: bool
) -> None:
    finding = examine(data[:head], length=len(data), tail=data[len(data) - tail :])
    assert isinstance(finding, Picture) is complete, finding


def test_pillow_reads_the_size_that_the_header_does_not_have(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="needs the extra `emulator`")
    target = tmp_path / "big.tif"
    image.new("L", (3, 2)).save(target, format="TIFF", big_tiff=True)
    assert size(target.read_bytes()) == ("image/tiff", 3, 2)
    assert decoded_size(b"nothing") is None


def test_exif_fields_have_their_exif_names() -> None:
    fields = (
        (0x0110, 2, 3, 0x4231),  # Model, the text "1B"
        (0x0112, 3, 1, 6),
        (0x829A, 5, 1, 8),  # ExposureTime, a fraction
        (0x8827, 7, 1, 0),  # a type that this field never has
        (0x8769, 4, 1, 8),  # the second directory, which is the first one again
    )
    block = b"Exif\0\0" + tiff(*fields)
    data = b"\xff\xd8" + segment(0xE1, b"other") + segment(0xE1, block) + JPEG[2:]
    finding = examine(data)
    assert isinstance(finding, Picture)
    assert finding.exif == {
        "Model": "1B",
        "Orientation": 6,
        "ExposureTime": pytest.approx(finding.exif["ExposureTime"]),
    }


@pytest.mark.parametrize(
    "block",
    [b"no tiff at all", b"II*\0\xff\xff\0\0", tiff((0x829A, 5, 1, 30), (257, 4, 1, 0))[:-4] + bytes(12)],
)
def test_broken_exif_is_left_out(block: bytes) -> None:
    finding = examine(b"\xff\xd8" + segment(0xE1, b"Exif\0\0" + block) + JPEG[2:])
    assert isinstance(finding, Picture)
    assert finding.exif == {}


@pytest.mark.parametrize(
    "data",
    [
        PNG[:33] + chunk(b"eXIf", tiff((0x0112, 3, 1, 6))) + PNG[33:],
        webp(b"VP8 ", VP8, b"EXIF" + struct.pack("<I", 30) + tiff((0x0112, 3, 1, 6))),
        webp(b"VP8 ", VP8, b"EXIF" + struct.pack("<I", 36) + b"Exif\0\0" + tiff((0x0112, 3, 1, 6))),
        tiff((256, 3, 1, 3), (257, 4, 1, 2), *STRIP, (0x0112, 3, 1, 6)),
    ],
)
def test_exif_is_read_from_every_format_that_has_it(data: bytes) -> None:
    finding = examine(data)
    assert isinstance(finding, Picture)
    assert finding.exif == {"Orientation": 6}


SAMPLES = [PNG, GIF, JPEG, tiff((256, 3, 1, 3), (257, 4, 1, 2), *STRIP), webp(b"VP8 ", VP8), avif(ISPE)]
SAMPLES += [b"\xff\x0a" + bits((1, 1), (7, 5), (7, 3)), bmp(info(3, 2), 54, bytes(24)), ico((16, 16))]
SAMPLES += [b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"jxlc", b"\xff\x0a" + bits((1, 1), (7, 5), (1, 3)))]
SAMPLES += [b"\xff\xd8" + segment(0xE1, b"Exif\0\0" + tiff((0x0112, 3, 1, 6), (0x8769, 4, 1, 8))) + JPEG[2:]]


def is_valid(finding: Finding) -> bool:
    return isinstance(finding, Unreadable) or (finding.width > 0 and finding.height > 0)


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from(SAMPLES), st.integers(0, 40))
def test_random_bytes_never_make_examine_fail(junk: bytes, sample: bytes, kept: int) -> None:
    assert is_valid(examine(sample[:kept] + junk))


@given(
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=6),
    st.integers(0, 300),
)
# No deadline, because a busy machine is slow.
@settings(max_examples=examples(400), deadline=None)
def test_changed_bytes_never_make_examine_fail(
    sample: bytes, changes: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(sample)
    for at, value in changes:
        data[at % len(data)] = value
    assert is_valid(examine(bytes(data[: len(data) - cut % len(data)])))


@settings(deadline=None)
@given(st.sampled_from(SAMPLES), st.integers(0, 100), st.integers(0, 100), st.integers(0, 10**12))
def test_missing_bytes_never_make_examine_fail(sample: bytes, head: int, tail: int, more: int) -> None:
    assert is_valid(examine(sample[:head], length=len(sample) + more, tail=sample[len(sample) - tail :]))
