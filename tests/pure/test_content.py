"""The check of a downloaded body: does it contain a picture or an archive, or something else?"""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgwire_async.downloads.content import Content, decode_text, find_mismatch
from imgwire_async.mime import HEAD_BYTES

PICTURE, ARCHIVE = Content.PICTURE, Content.ARCHIVE
PICTURES = Path(__file__).parents[2].parent / "shared" / "pictures"
MANIFEST: list[dict[str, Any]] = (
    json.loads((PICTURES / "manifest.json").read_text("utf-8")) if PICTURES.is_dir() else []
)

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
UNKNOWN = b"\x93NEW\0\1\2\3" * 9
HTML = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>...</body></html>"
XML = b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>'
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><text>Error</text></svg>'
ZIP = b"PK\x03\x04" + bytes(26)
EMPTY_ZIP = b"PK\x05\x06" + bytes(18)

TABLE: list[tuple[Content, str, bytes, str | None]] = [
    # Known pictures are accepted with any content type.
    (PICTURE, "image/png", PNG, None),
    (PICTURE, "image/jpeg", PNG, None),
    (PICTURE, "application/octet-stream", PNG, None),
    (PICTURE, "binary/octet-stream", PNG, None),
    (PICTURE, "text/plain; charset=UTF-8", PNG, None),
    (PICTURE, "text/html", PNG, None),
    (PICTURE, "", PNG, None),
    # Bytes of an unknown type are accepted, unless the content type names something else.
    (PICTURE, "image/tomorrow", UNKNOWN, None),
    (PICTURE, "IMAGE/JXS", UNKNOWN, None),
    (PICTURE, "application/octet-stream", UNKNOWN, None),
    (PICTURE, "", UNKNOWN, None),
    (PICTURE, "jpg", UNKNOWN, None),
    (PICTURE, "text/html; charset=utf-8", UNKNOWN, "called 'text/html'"),
    (PICTURE, "application/json", UNKNOWN, "called 'application/json'"),
    (PICTURE, "application/problem+json", UNKNOWN, "called 'application/problem+json'"),
    (PICTURE, "image/svg+xml", UNKNOWN, "called 'image/svg"),
    (PICTURE, "text/html, image/png", UNKNOWN, "called 'text/html'"),
    (PICTURE, "video/mp4", UNKNOWN, "called 'video/mp4'"),
    (PICTURE, "multipart/byteranges; boundary=x", UNKNOWN, "called 'multipart/byteranges'"),
    # Text is never accepted.
    (PICTURE, "text/html", HTML, "an HTML page"),
    (PICTURE, "image/png", HTML, "an HTML page"),
    (PICTURE, "image/png", codecs.BOM_UTF8 + b"\r\n" + HTML, "an HTML page"),
    (PICTURE, "image/png", b"<!-- made by a proxy -->\n" + HTML, "an HTML page"),
    (
        PICTURE,
        "image/png",
        "<html><title>Zugriff verweigert für Sie</title>".encode("latin-1"),
        "an HTML page",
    ),
    (PICTURE, "image/png", HTML.decode().encode("utf-16"), "an HTML page"),
    (PICTURE, "image/png", HTML.decode().encode("utf-16-be"), "an HTML page"),
    (PICTURE, "image/png", HTML + b"\0\0", "an HTML page"),
    (PICTURE, "image/png", b"<h1>Bad</h1>", "plain text"),
    (PICTURE, "", b'  {"detail": "Not Found"}', "JSON"),
    (PICTURE, "application/octet-stream", b"[]", "JSON"),
    (PICTURE, "image/jpeg", XML, "an XML document"),
    (PICTURE, "image/svg+xml", SVG, "an SVG drawing"),
    (PICTURE, "image/svg+xml", b'<?xml version="1.0"?>' + SVG, "an SVG drawing"),
    (PICTURE, "image/png", b"Not found", "plain text"),
    (PICTURE, "image/png", "не найдено".encode(), "plain text"),
    (PICTURE, "image/png", "не найдено".encode("cp1251"), "plain text"),
    (PICTURE, "image/png", "é".encode()[:1], "plain text"),
    (PICTURE, "image/png", b"\n", "plain text"),
    (PICTURE, "image/png", b"", "an empty response"),
    (PICTURE, "image/png", b"\x1f\x8b\x08" + bytes(20), "a gzip archive"),
    (PICTURE, "image/png", b"%PDF-1.7\n\0", "a PDF document"),
    (PICTURE, "application/octet-stream", ZIP, "a ZIP archive (or an Office document)"),
    # An archive has to begin like a ZIP file. The content type is ignored.
    (ARCHIVE, "application/zip", ZIP, None),
    (ARCHIVE, "text/html", ZIP, None),
    (ARCHIVE, "", EMPTY_ZIP, None),
    (ARCHIVE, "application/zip", b"", "an empty response"),
    (ARCHIVE, "application/zip", b"PK\3", "bytes of an unknown kind"),
    (ARCHIVE, "application/zip", UNKNOWN, "bytes of an unknown kind"),
    (ARCHIVE, "application/zip", HTML, "an HTML page"),
    (ARCHIVE, "application/zip", XML, "an XML document"),
    (ARCHIVE, "application/zip", PNG, "a picture (image/png)"),
    (ARCHIVE, "application/gzip", b"\x1f\x8b\x08" + bytes(20), "a gzip archive"),
]


@pytest.mark.parametrize(("expected", "content_type", "head", "description"), TABLE)
def test_a_mismatch_is_found_by_the_bytes_and_the_content_type(
    expected: Content, content_type: str, head: bytes, description: str | None
) -> None:
    mismatch = find_mismatch(expected, content_type, head)
    if description is None:
        assert mismatch is None
    else:
        assert mismatch is not None
        assert description in mismatch.kind


@pytest.mark.skipif(not MANIFEST, reason="needs ../shared/pictures")
@pytest.mark.parametrize("content_type", ["", "application/octet-stream", "text/html"])
def test_all_real_pictures_are_accepted_with_any_content_type(content_type: str) -> None:
    for entry in MANIFEST:
        if entry["decodes"] and entry["mime_type"]:
            with (PICTURES / entry["name"]).open("rb") as file:
                head = file.read(HEAD_BYTES)
            assert find_mismatch(PICTURE, content_type, head) is None, entry["name"]


@given(st.binary(max_size=200), st.text(max_size=60))
def test_no_bytes_and_no_content_type_raise(head: bytes, content_type: str) -> None:
    for expected in Content:
        find_mismatch(expected, content_type, head)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1))
def test_text_is_recognized_also_when_it_is_cut(text: str) -> None:
    data = text.encode()
    assert decode_text(data) == text.removeprefix("\ufeff")
    assert decode_text(data[:-1]) is not None


def test_a_check_of_long_values_is_fast() -> None:
    for head in (b"<" * HEAD_BYTES, b" " * HEAD_BYTES, b"{" * HEAD_BYTES, b"[ " * (HEAD_BYTES // 2)):
        assert find_mismatch(PICTURE, "a/" + "+" * 100_000, head) is not None
