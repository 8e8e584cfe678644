"""The type of a picture is detected by its bytes or its extension, and other files are described."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgwire_async.mime import (
    EXTENSIONS,
    HEAD_BYTES,
    UNKNOWN_FILE,
    describe,
    extension_of,
    mime_type_by_name,
    sniff,
)
from imgwire_async.models import SupportedMimeType as Mime

PICTURES = Path(__file__).parents[2].parent / "shared" / "pictures"
MANIFEST: list[dict[str, Any]] = (
    json.loads((PICTURES / "manifest.json").read_text("utf-8")) if PICTURES.is_dir() else []
)
with_pictures = pytest.mark.skipif(not MANIFEST, reason="needs ../shared/pictures")


def read_head(name: str) -> bytes:
    with (PICTURES / name).open("rb") as file:
        return file.read(HEAD_BYTES)


@with_pictures
@pytest.mark.parametrize(
    "picture", [entry for entry in MANIFEST if entry["mime_type"]], ids=lambda entry: entry["name"]
)
def test_the_type_of_all_real_pictures_is_detected(picture: dict[str, Any]) -> None:
    assert sniff(read_head(picture["name"])) == picture["sniffed_type"] == picture["mime_type"]


DESCRIPTIONS = {
    ".DS_Store": "a folder's .DS_Store file",
    "drawing.svg": "an SVG drawing",
    "empty.jpg": "an empty file",
    "notes.jpg": "plain text",
}


@with_pictures
def test_this_module_has_a_description_for_all_other_files() -> None:
    others = {Path(entry["name"]).name for entry in MANIFEST if entry["mime_type"] is None}
    assert others == set(DESCRIPTIONS)


@with_pictures
@pytest.mark.parametrize(("name", "description"), DESCRIPTIONS.items())
def test_all_other_files_are_described(name: str, description: str) -> None:
    head = read_head(f"odd/{name}")
    assert sniff(head) is None
    assert describe(head) == description


@with_pictures
@pytest.mark.parametrize(
    "picture", [entry for entry in MANIFEST if entry["mime_type_by_name"]], ids=lambda entry: entry["name"]
)
def test_the_type_of_real_pictures_is_found_by_their_extension(picture: dict[str, Any]) -> None:
    known = mime_type_by_name(picture["name"])
    assert known is None or known == picture["mime_type_by_name"]


def ftyp(*brands: bytes, size: int | None = None) -> bytes:
    body = brands[0] + b"\0\0\0\0" + b"".join(brands[1:])
    return (size or 8 + len(body)).to_bytes(4, "big") + b"ftyp" + body + b"\0\0\0\x08free"


@pytest.mark.parametrize(
    ("head", "mime"),
    [
        (b"\xff\xd8\xff\xe0", Mime.JPEG),
        (b"\x89PNG\r\n\x1a\n\0", Mime.PNG),
        (b"GIF87a", Mime.GIF),
        (b"GIF89a", Mime.GIF),
        (b"RIFF\x10\0\0\0WEBPVP8 ", Mime.WEBP),
        (b"II*\0\x08\0\0\0", Mime.TIFF),
        (b"MM\0*\0\0\0\x08", Mime.TIFF),
        (b"\xff\x0a\x01", Mime.JXL),
        (b"\0\0\0\x0cJXL \r\n\x87\n", Mime.JXL),
        (b"BM" + b"\0" * 12 + b"\x28\0\0\0", Mime.BMP),
        (b"BM" + b"\0" * 12 + b"\x0c\0\0\0", Mime.BMP),
        (b"\0\0\1\0\1\0\x10\x10\0\0", Mime.ICO),
        (ftyp(b"avif", b"mif1"), Mime.AVIF),
        (ftyp(b"mif1", b"avif", b"heic"), Mime.AVIF),
        (ftyp(b"avis"), Mime.AVIF),
        (ftyp(b"heic", b"mif1"), Mime.HEIC),
        (ftyp(b"mif1", b"heic"), Mime.HEIC),
        (ftyp(b"msf1", b"hevc"), Mime.HEIC),
        (ftyp(b"heix", size=0), Mime.HEIC),
        (b"", None),
        (b"\xff\xd8", None),
        (b"\x89PNG", None),
        (b"GIF90a", None),
        (b"RIFF\x10\0\0\0WAVE", None),
        (b"BM, said the text, is no bitmap at all", None),
        (b"BM", None),
        (b"\0\0\1\0\0\0\x10\x10\0\0", None),
        (b"\0\0\2\0\1\0\x10\x10\0\0", None),
        (b"II*\0\x10\0\0\0CR\2\0", None),
        (ftyp(b"isom", b"mp42"), None),
        (ftyp(b"mif1", b"miaf"), None),
        (ftyp(b"isom", b"heic"), None),
        (ftyp(b"crx "), None),
        (b"\0\0\0\x14ftyp", None),
    ],
    ids=repr,
)
def test_signatures_are_recognized_and_similar_bytes_are_not(head: bytes, mime: Mime | None) -> None:
    assert sniff(head) is mime


@pytest.mark.parametrize(
    ("head", "description"),
    [
        (b"", "an empty file"),
        (b"%PDF-1.7", "a PDF document"),
        (b"PK\x03\x04", "a ZIP archive (or an Office document)"),
        (b"\x1f\x8b\x08", "a gzip archive"),
        (b"8BPS", "a Photoshop document"),
        (b"\0\0\0\x0cjP  \r\n", "a JPEG 2000 picture"),
        (b"\0\0\0\x01Bud1", "a folder's .DS_Store file"),
        (b"RIFF\x10\0\0\0WAVE", "a RIFF file that is no WebP (sound or video?)"),
        (b"\x7fELF", "a program"),
        (b"II+\0", "a BigTIFF picture"),
        (b"II*\0\x10\0\0\0CR\2\0", "a camera's raw picture"),
        (ftyp(b"qt  "), "a video or other media file (brand 'qt')"),
        (ftyp(b"isom", b"mp42"), "a video or other media file (brand 'isom')"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"<?xml version='1.0'?>\n<!-- made by x -->\n<svg/>", "an SVG drawing"),
        (codecs.BOM_UTF8 + b"<SVG>", "an SVG drawing"),
        (b"\n <!DOCTYPE html><html>", "an HTML page"),
        (b"<HTML><body>", "an HTML page"),
        (b"<?xml version='1.0'?><Error/>", "an XML document"),
        (b"hello, world\r\n", "plain text"),
        ("Été 🏔️\n".encode(), "plain text"),
        (("é" * 600).encode()[:HEAD_BYTES], "plain text"),
        ((codecs.BOM_UTF8 + ("é" * 600).encode())[:HEAD_BYTES], "plain text"),
        ((b"x" + ("🌸" * 300).encode())[:HEAD_BYTES], "plain text"),
        (b"\0" * 100, UNKNOWN_FILE),
        (b"\xfe\xff\0h\0i", UNKNOWN_FILE),
        (b"text and \xff\xfe then much more text", UNKNOWN_FILE),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_file_that_is_not_a_picture_is_described(head: bytes, description: str) -> None:
    assert sniff(head) is None
    assert describe(head) == description


HEADS = [
    b"",
    b"II*\0",
    b"RIFF",
    b"BM",
    b"\0\0\1\0",
    b"\0\0\0\x14ftyp",
    b"\xff\xff\xff\xffftypmif1",
    codecs.BOM_UTF8,
    b"<?xml",
]


@given(st.sampled_from(HEADS), st.binary(max_size=HEAD_BYTES))
def test_no_bytes_make_the_detection_raise(begin: bytes, rest: bytes) -> None:
    assert sniff(begin + rest) in {None, *Mime}
    assert describe(begin + rest)


@given(st.sampled_from(HEADS), st.binary(max_size=200))
def test_additional_bytes_do_not_change_the_type(begin: bytes, rest: bytes) -> None:
    known = sniff(begin + rest)
    if known is not None and known not in {Mime.TIFF, Mime.AVIF, Mime.HEIC}:
        assert sniff(begin + rest + b"\0" * 100) is known


# --- names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "mime"),
    [
        ("a.jpg", Mime.JPEG),
        ("a.JPEG", Mime.JPEG),
        ("a.b.png", Mime.PNG),
        ("a.ico", Mime.ICO),
        ("a.tif", Mime.TIFF),
        ("a.tiff", Mime.TIFF),
        ("a.jxl", Mime.JXL),
        ("a.heic", Mime.HEIC),
        ("a.avif", Mime.AVIF),
        ("a.webp", Mime.WEBP),
        ("a.bmp", Mime.BMP),
        ("a.gif", Mime.GIF),
        ("a.svg", None),
        ("a.jpg.txt", None),
        ("jpg", None),
        ("a.", None),
        ("", None),
    ],
)
def test_extensions_are_not_case_sensitive(name: str, mime: Mime | None) -> None:
    assert mime_type_by_name(name) is mime


@pytest.mark.parametrize("mime", Mime)
def test_all_types_have_an_extension_of_their_own(mime: Mime) -> None:
    assert EXTENSIONS[extension_of(mime)] is mime


def test_an_unknown_type_has_no_extension() -> None:
    assert extension_of("image/svg+xml") == extension_of("") == ""
