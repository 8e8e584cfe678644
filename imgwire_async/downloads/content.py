"""Decides whether a successful answer holds what was asked for. A page of somebody else comes with status 200, too."""

from __future__ import annotations

import codecs
import re
from enum import Enum

import attrs

from imgwire_async.mime import describe, sniff


class Content(Enum):
    """What a download asks for."""

    PICTURE = "picture"
    ARCHIVE = "ZIP archive"


@attrs.frozen
class Mismatch:
    """What came instead: its kind, and how it reads if it is text."""

    kind: str
    text: str = ""


_ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # a first entry, or the end of an archive without entries
# No picture begins like this, whatever it is called. Gzip: a page that a server packed without saying so.
_NO_PICTURE = (b"%PDF", *_ZIP, b"\x1f\x8b")
_TEXT_TYPE = re.compile(
    r"text/.*|[^/+]+/(?:[^/+]+\+)?(?:json|xml|yaml)|application/(?:x-)?(?:java|ecma)script"
)
# These name something else than a picture. An `application/...` may stand for bytes in general.
_OTHER_TYPE = re.compile(r"(?:audio|video|font|model|message|multipart)/.*")

_UTF_16 = (
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
# Bytes that no text holds; terminals know escape sequences.
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\f\r\x1b"))
_MARKUP = re.compile(rb"\s{0,200}<[a-zA-Z!?]")
_PAGE = re.compile(r"<!doctype html|<html[\s>]", re.IGNORECASE)
_JSON = re.compile(r"\s{0,200}(?:\{\s{0,200}[\"}]|\[\s{0,200}[\[\]{\"\dtfn-])")


def mismatch(wanted: Content, content_type: str, head: bytes) -> Mismatch | None:
    """Return what an answer holds instead of `wanted`, or None. `head` is `HEAD_BYTES` of its body, or all of it.

    The bytes are believed first: servers mislabel pictures. Bytes of an unknown kind may be a format of tomorrow, unless they
    or `content_type` say text. `image/svg+xml` says so: the service delivers no SVG, and errors are drawn in it.
    """
    if not head:
        return Mismatch("an empty answer")
    mime = sniff(head)
    if head.startswith(_ZIP) if wanted is Content.ARCHIVE else mime is not None:
        return None
    text = as_text(head) if mime is None else None
    if text is not None:
        return _text_mismatch(text)
    if wanted is Content.ARCHIVE:
        return Mismatch(_kind_of_bytes(head) if mime is None else f"a picture ({mime.value})")
    if head.startswith(_NO_PICTURE):
        return Mismatch(_kind_of_bytes(head))
    media_type = re.split("[;,]", content_type, maxsplit=1)[0].strip().lower()[:100]
    if _TEXT_TYPE.fullmatch(media_type) or _OTHER_TYPE.fullmatch(media_type):
        return Mismatch(f"bytes of an unknown kind, called {media_type!a}")
    return None


def as_text(head: bytes) -> str | None:
    """Return the text that begins with `head`, or None when its bytes are no text."""
    for mark, encoding in _UTF_16:
        if head.startswith(mark):
            text = head[: len(head) & ~1].decode(encoding, "replace").removeprefix("\ufeff")
            return text if _readable(text) else None
    head = head.removeprefix(codecs.BOM_UTF8)
    if not _MARKUP.match(head) and head.translate(None, _CONTROLS) != head:
        return None
    try:
        # A character that the end cuts is left out.
        return codecs.getincrementaldecoder("utf-8")().decode(head) or head.decode("latin-1")
    except UnicodeDecodeError:
        return head.decode("latin-1")


def _readable(text: str) -> bool:
    return sum(c.isprintable() or c in "\t\n\f\r" for c in text) >= len(text) * 0.95


def _text_mismatch(text: str) -> Mismatch:
    page = _PAGE.search(text)
    if page is not None and text.lstrip().startswith("<"):
        return Mismatch("an HTML page", text[page.start() :])  # a comment may stand before it
    if _JSON.match(text):
        return Mismatch("JSON", text)
    markup = text.lstrip().startswith("<")
    return Mismatch(describe(text.encode("utf-8", "replace")) if markup else "plain text", text)


def _kind_of_bytes(head: bytes) -> str:
    kind = describe(head)
    return "bytes of an unknown kind" if kind.startswith("no picture") else kind
