"""Text that is safe to print and log: secrets and control characters out of it, a web page reduced to its title."""

from __future__ import annotations

import re
from typing import Any

# --- secrets ----------------------------------------------------------------------------------------------------------

# Each pattern reads a text once: where one begins again at every place (`x*y` without `y`), a server could stop the loop.
_URL = re.compile(r"https?://[^\s\"'<>\\]+", re.IGNORECASE)
_SIGNED = re.compile(
    r"((?:X-(?:Amz|Goog)-(?:Signature|Credential|Security-Token)|Signature|AWSAccessKeyId|GoogleAccessId|sig|upload_?token)=)[^&\s\"'<>]+",
    re.IGNORECASE,
)
# What stores echo in their refusals, and the escapes by which JSON hides the marks of a query.
_ELEMENT = re.compile(
    r"(<(?:AWSAccessKeyId|GoogleAccessId|SignatureProvided|StringToSign(?:Bytes)?|CanonicalRequest(?:Bytes)?)>)[^<]*",
    re.IGNORECASE,
)
_ESCAPED = re.compile(r"\\/|\\u00(26|2f|3a|3d|3f|40|25)", re.IGNORECASE)
_BEARER = re.compile(r"(\bBearer\s+)[^\s\"'<>,]+", re.IGNORECASE)
# Its value may be of a wrong type, hold escapes, or be cut.
_KEY = re.compile(r"\b([sc]k_)[A-Za-z0-9_-]{6,}")  # what keys look like, wherever one is echoed [contract 1]
_TOKEN_FIELD = re.compile(
    r"(\"(?:upload_?)?token\"\s*:\s*)(?:\"(?:[^\"\\]|\\.)*\"?|\[[^\]]*\]?|\{[^}]*\}?|[^\s\"\[{,}]+)",
    re.IGNORECASE | re.DOTALL,
)
_USER_INFO = re.compile(r"((?:https?|socks[45]?[ah]?)://)[^\s/\"'<>]+@", re.IGNORECASE)


def redact(text: str, *secrets: str) -> str:
    """`text` without presigned queries, keys, bearer values, upload tokens and the given secrets."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    if "\\" in text:  # JSON may write a URL's characters as escapes
        text = _ESCAPED.sub(lambda found: "/" if found[0] == "\\/" else chr(int(found[1], 16)), text)
    text = _ELEMENT.sub(r"\1***", text)
    text = _URL.sub(_without_query, text)
    text = _SIGNED.sub(r"\1***", text)
    text = _KEY.sub(r"\1***", text)
    text = _BEARER.sub(r"\1***", text)
    text = _USER_INFO.sub(r"\1***@", text)
    return _TOKEN_FIELD.sub(r'\1"***"', text)


def _without_query(found: re.Match[str]) -> str:
    url, _, query = found[0].partition("?")
    return f"{url}?***" if query else found[0]


_MARGIN = 2_000  # characters; no secret is longer, or it is cut by its pattern


def redacted_prefix(text: str, limit: int, *secrets: str) -> str:
    """Return at most `limit` characters of `text`, redacted. However long it is, a few times as many are looked at."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    prefix = text[: limit * 4]
    if len(prefix) < len(text):  # its last word may be half a secret that no pattern knows
        end = max(map(prefix.rfind, _WORD_ENDS)) + 1
        prefix = prefix[: max(end, len(prefix) - _MARGIN)]
    return redact(prefix)[:limit]


_WORD_ENDS = (" ", "\n", "\t", '"', "'", "<", ">")


MAX_BODY_CHARS = 10_000  # characters of a body that an error keeps; messages show 300


def redacted_body(body: bytes, *secrets: str) -> str:
    """Return the part of a body that an error keeps, as text. Cut only after the secrets are out: half of one is still one."""
    # Twice cut: a character may be four bytes, and a body of 64 MiB is not worth decoding for its beginning.
    text = redacted_prefix(body[: MAX_BODY_CHARS * 20].decode("utf-8", "replace"), MAX_BODY_CHARS, *secrets)
    return escape_unprintable(text, keep="\n\r\t")[:MAX_BODY_CHARS]


class Secret(str):
    """Text that shows nothing of itself where local variables are shown, in debuggers and error reports; else it is a `str`.

    A URL keeps host and path. What is made of it (an f-string, a slice) is plain text again.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        text = str(self)
        return repr(redact(text)) if "://" in text else "'***'"


def as_secret(value: Any) -> Any:
    """Return a text as a `Secret`, should something fail where a variable holds it; anything else as it is."""
    return Secret(str.__str__(value)) if isinstance(value, str) else value


# --- what others wrote, as text for messages --------------------------------------------------------------------------

# Control characters and escape sequences, marks that turn the direction of writing or hide text, halves of surrogate pairs.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def escape_unprintable(text: str, *, keep: str = "") -> str:
    r"""Return `text` with its control and formatting characters as escapes (`\u001b`), so that it is safe to print and log.

    What is in `keep` stays. Letters, blanks and emoji of all scripts are not touched.
    """
    if text.isprintable():
        return text
    return _UNPRINTABLE.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


# Comments and an XML declaration may stand before it.
_PAGE = re.compile(r"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_TITLE = re.compile(r"<title[^<>]{0,200}>([^<]{0,200})", re.IGNORECASE)
_HEAD_OF_PAGE = 20_000  # characters in which its title is looked for


def is_html(text: str) -> bool:
    """Whether `text` is an HTML page: a proxy's or a login's, never the service's."""
    head = text[:_HEAD_OF_PAGE].lstrip("\ufeff \t\r\n\f")
    return head.startswith("<") and _PAGE.search(head) is not None


def excerpt(text: str, limit: int = 300) -> str:
    """At most `limit` characters of `text` on one line and printable, an HTML page reduced to its title."""
    if is_html(text):
        title = _TITLE.search(text, 0, _HEAD_OF_PAGE)
        text = f"an HTML page{f' titled {title[1].strip()!r}' if title else ''}"
    line = escape_unprintable(" ".join(text.lstrip()[: limit * 4].split()))
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
