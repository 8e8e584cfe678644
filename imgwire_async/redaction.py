"""Make external text safe for messages and logs.

Secrets are removed, control characters are escaped, and a web page is reduced to its title.
"""

from __future__ import annotations

import re
from typing import Any

# --- secrets ------------------------------------------------------------------------------------------------

# Every pattern has to run in linear time, because a server can choose the text. A pattern such as `x*y` would
# need quadratic time for a text of many `x` without a `y`.
_URL = re.compile(r"[a-z][a-z0-9+.-]{0,20}://[^\s\"'<>\\]+", re.IGNORECASE)
_SIGNATURE_PARAMETER = re.compile(
    r"((?:X-(?:Amz|Goog)-(?:Signature|Credential|Security-Token)|Signature|AWSAccessKeyId|GoogleAccessId|sig|upload_?token)=)[^&\s\"'<>]+",
    re.IGNORECASE,
)
# XML elements with secrets in error responses of S3 and Google Cloud Storage.
_SECRET_ELEMENT = re.compile(
    r"(<(?:AWSAccessKeyId|GoogleAccessId|SignatureProvided|StringToSign(?:Bytes)?|CanonicalRequest(?:Bytes)?)>)[^<]*",
    re.IGNORECASE,
)
# Escapes that JSON allows for the characters of a URL: & / : = ? @ %.
_JSON_ESCAPE = re.compile(r"\\/|\\u00(26|2f|3a|3d|3f|40|25)", re.IGNORECASE)
_BEARER = re.compile(r"(\bBearer\s+)[^\s\"'<>,]+", re.IGNORECASE)
# API keys: `sk_...` and `ck_...`. [contract 1]
_API_KEY = re.compile(r"\b([sc]k_)[A-Za-z0-9_-]{6,}")
# A JSON field with an upload token. Its value may have a wrong type, contain escapes, or be cut off.
_TOKEN_FIELD = re.compile(
    r"(\"(?:upload_?)?token\"\s*:\s*)(?:\"(?:[^\"\\]|\\.)*\"?|\[[^\]]*\]?|\{[^}]*\}?|[^\s\"\[{,}]+)",
    re.IGNORECASE | re.DOTALL,
)
_USER_INFO = re.compile(r"([a-z][a-z0-9+.-]{0,20}://)[^\s/\"'<>]+@", re.IGNORECASE)


def redact(text: str, *secrets: str) -> str:
    """Return `text` with secrets replaced by `***`.

    Secrets are the queries of URLs, API keys, bearer credentials, upload tokens, user info in URLs, and
    the texts in `secrets`.
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    if "\\" in text:
        # JSON may escape characters of a URL. The patterns do not match escapes, so replace the escapes
        # first.
        text = _JSON_ESCAPE.sub(lambda match: "/" if match[0] == "\\/" else chr(int(match[1], 16)), text)
    text = _SECRET_ELEMENT.sub(r"\1***", text)
    text = _URL.sub(_without_query, text)
    text = _SIGNATURE_PARAMETER.sub(r"\1***", text)
    text = _API_KEY.sub(r"\1***", text)
    text = _BEARER.sub(r"\1***", text)
    text = _USER_INFO.sub(r"\1***@", text)
    return _TOKEN_FIELD.sub(r'\1"***"', text)


def _without_query(match: re.Match[str]) -> str:
    url, _, query = match[0].partition("?")
    return f"{url}?***" if query else match[0]


# How many characters `redacted_prefix` removes at most from the end of a prefix, because they may be a part
# of a secret.
_MAX_SECRET_CHARS = 2_000


def redacted_prefix(text: str, limit: int, *secrets: str) -> str:
    """Return the first `limit` characters of `text` after redaction.

    The patterns search only the first `4 * limit` characters, so their time does not depend on the length of
    `text`.
    """
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    prefix = text[: limit * 4]
    if len(prefix) < len(text):
        # The prefix may end inside a secret, and no pattern matches a part of a secret. So remove the last
        # word of the prefix.
        end = max(map(prefix.rfind, _WORD_ENDS)) + 1
        prefix = prefix[: max(end, len(prefix) - _MAX_SECRET_CHARS)]
    return redact(prefix)[:limit]


_WORD_ENDS = (" ", "\n", "\t", '"', "'", "<", ">")


# The maximum number of characters of a response body that an error stores. The message of the error shows
# only the first 300.
MAX_BODY_CHARS = 10_000


def redacted_body(body: bytes, *secrets: str) -> str:
    """Return the beginning of a response body as redacted text, which is stored in an error.

    The text is cut after the redaction, because no pattern matches a secret that is cut in two.
    """
    # Decoding the whole body, which may have 64 MiB, would take too long. The factor 20 leaves room for
    # characters of four bytes and for text that the redaction removes.
    text = redacted_prefix(body[: MAX_BODY_CHARS * 20].decode("utf-8", "replace"), MAX_BODY_CHARS, *secrets)
    return escape_unprintable(text, keep="\n\r\t")[:MAX_BODY_CHARS]


class Secret(str):
    """A `str` with a redacted repr, for debuggers and error reports that show local variables.

    The repr of a URL shows its host and path. An f-string or a slice of a `Secret` is an ordinary `str`.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        text = str(self)
        return repr(redact(text)) if "://" in text else "'***'"


def as_secret(value: Any) -> Any:
    """Return text as a `Secret`, and any other value unchanged."""
    return Secret(str.__str__(value)) if isinstance(value, str) else value


# --- external text in messages --------------------------------------------------------------------------

# Control characters, characters that change the writing direction or are invisible, and lone surrogates.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def escape_unprintable(text: str, *, keep: str = "") -> str:
    r"""Return `text` with control and formatting characters written as escapes (`\u001b`).

    Characters in `keep` are not escaped. Letters, spaces and emoji are not escaped either.
    """
    if text.isprintable():
        return text
    return _UNPRINTABLE.sub(lambda match: match[0] if match[0] in keep else _escape(match[0]), text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


# A text with one of these tags is HTML. Comments and an XML declaration may come before the tag.
_HTML_TAG = re.compile(r"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE)
_HTML_TITLE = re.compile(r"<title[^<>]{0,200}>([^<]{0,200})", re.IGNORECASE)
# How many characters at the beginning of a text are searched for an HTML tag and for the title.
_HTML_PREFIX = 20_000


def is_html(text: str) -> bool:
    """Return whether `text` is an HTML page.

    The API never sends HTML. So the page comes from a proxy, or is the login page of a network.
    """
    prefix = text[:_HTML_PREFIX].lstrip("\ufeff \t\r\n\f")
    return prefix.startswith("<") and _HTML_TAG.search(prefix) is not None


def excerpt(text: str, limit: int = 300) -> str:
    """Return at most `limit` characters of `text` as one printable line.

    For an HTML page the line contains only the page's title.
    """
    if is_html(text):
        title = _HTML_TITLE.search(text, 0, _HTML_PREFIX)
        text = f"an HTML page{f' titled {title[1].strip()!r}' if title else ''}"
    line = escape_unprintable(" ".join(text.lstrip()[: limit * 4].split()))
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
