"""Decide whether the body of a successful response is a picture or an archive.

A status of 200 proves nothing, because a login page of a network or an error page of a proxy often has it,
too.
"""

from __future__ import annotations

import codecs
import re
from enum import Enum

import attrs

from imgwire_async.mime import UNKNOWN_FILE, describe, sniff


class Content(Enum):
    """The kind of content that a download expects."""

    PICTURE = "picture"
    ARCHIVE = "ZIP archive"


@attrs.frozen
class Mismatch:
    """Content that is not of the expected kind.

    `kind` describes the content that was found ("JSON"). `text` is this content, or empty if it is not text.
    """

    kind: str
    text: str = ""


# The first bytes of a ZIP archive: those of its first entry, or those of the end record if the archive has no
# entries.
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
# Content that begins with these bytes is no picture, even if its Content-Type is that of a picture. The last
# entry is gzip, because some servers compress an error page but send no Content-Encoding.
_NOT_A_PICTURE = (b"%PDF", *_ZIP, b"\x1f\x8b")
_TEXT_TYPE = re.compile(
    r"text/.*|[^/+]+/(?:[^/+]+\+)?(?:json|xml|yaml)|application/(?:x-)?(?:java|ecma)script"
)
# Content types that are neither text nor pictures. `application/...` is missing here, because servers use it
# for content of any kind.
_OTHER_TYPE = re.compile(r"(?:audio|video|font|model|message|multipart)/.*")

_UTF_16 = (
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)
# Control characters that do not occur in text. ESC (0x1b) is missing here, because text from a terminal
# contains it.
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\f\r\x1b"))
_MARKUP = re.compile(rb"\s{0,200}<[a-zA-Z!?]")
_PAGE = re.compile(r"<!doctype html|<html[\s>]", re.IGNORECASE)
_JSON = re.compile(r"\s{0,200}(?:\{\s{0,200}[\"}]|\[\s{0,200}[\[\]{\"\dtfn-])")


def find_mismatch(wanted: Content, content_type: str, head: bytes) -> Mismatch | None:
    """Return a description of what a response contains instead of `wanted`, or None if it contains `wanted`.

    `head` is the first `HEAD_BYTES` of the body, or the whole body when it is shorter.

    The bytes count more than `content_type`, because servers often send pictures with a wrong type. If a
    picture is wanted, bytes of an unknown kind are accepted, because they may be a new picture format. They
    are rejected if they are text, or if `content_type` is a type of text, audio, video or the like.
    `image/svg+xml` counts as text, because the service delivers no SVG, but some proxies send an error
    message as SVG.
    """
    if not head:
        return Mismatch("an empty response")
    mime = sniff(head)
    if head.startswith(_ZIP) if wanted is Content.ARCHIVE else mime is not None:
        return None
    text = decode_text(head) if mime is None else None
    if text is not None:
        return _text_mismatch(text)
    if wanted is Content.ARCHIVE:
        return Mismatch(_describe_bytes(head) if mime is None else f"a picture ({mime.value})")
    if head.startswith(_NOT_A_PICTURE):
        return Mismatch(_describe_bytes(head))
    media_type = re.split("[;,]", content_type, maxsplit=1)[0].strip().lower()[:100]
    if _TEXT_TYPE.fullmatch(media_type) or _OTHER_TYPE.fullmatch(media_type):
        return Mismatch(f"bytes of an unknown kind, called {media_type!a}")
    return None


def decode_text(head: bytes) -> str | None:
    """Return `head` as text, or None when it contains no text."""
    for prefix, encoding in _UTF_16:
        if head.startswith(prefix):
            text = head[: len(head) & ~1].decode(encoding, "replace").removeprefix("\ufeff")
            return text if _is_readable(text) else None
    head = head.removeprefix(codecs.BOM_UTF8)
    if not _MARKUP.match(head) and head.translate(None, _CONTROLS) != head:
        return None
    try:
        # The end of `head` may lie inside a character. An incremental decoder ignores such an incomplete
        # character.
        return codecs.getincrementaldecoder("utf-8")().decode(head) or head.decode("latin-1")
    except UnicodeDecodeError:
        return head.decode("latin-1")


def _is_readable(text: str) -> bool:
    return sum(c.isprintable() or c in "\t\n\f\r" for c in text) >= len(text) * 0.95


def _text_mismatch(text: str) -> Mismatch:
    page = _PAGE.search(text)
    if page is not None and text.lstrip().startswith("<"):
        # Comments may come before the `<html>` tag. So the text of the mismatch begins at that tag or at the
        # doctype.
        return Mismatch("an HTML page", text[page.start() :])
    if _JSON.match(text):
        return Mismatch("JSON", text)
    markup = text.lstrip().startswith("<")
    return Mismatch(describe(text.encode("utf-8", "replace")) if markup else "plain text", text)


def _describe_bytes(head: bytes) -> str:
    kind = describe(head)
    return "bytes of an unknown kind" if kind == UNKNOWN_FILE else kind
