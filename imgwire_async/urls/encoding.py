"""Percent-encode the values of a query, and add a preset and a query to a URL.

[rules 1, 3]
"""

from __future__ import annotations

from imgwire_async.errors import Fault, TransformationError
from imgwire_async.urls.conversions import MAX_TEXT, InvalidValue

_SAFE = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_ENCODED = ["+" if byte == 0x20 else chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in range(256)]
_encode_byte = _ENCODED.__getitem__


def encode(text: str) -> str:
    """Percent-encode `text` for a query, as the official Python SDK does.

    A space becomes `+`. The characters `-._~` are not encoded. Raises `UnicodeEncodeError` for a lone
    surrogate, and `InvalidValue` for a text that is too long. [rules 9 E1]
    """
    if len(text) > MAX_TEXT:
        raise InvalidValue(f"a text of {len(text)} characters is too long for a URL")
    # Most values are numbers and keywords, which need no encoding.
    if text.isalnum() and text.isascii():
        return text
    return "".join(map(_encode_byte, text.encode()))


def split_url(url: str) -> tuple[str, str, str]:
    """Split a URL into three texts: all before the query, the query, and the fragment with its `#`."""
    head, mark, fragment = url.partition("#")
    base, _, query = head.partition("?")
    return base, query, mark + fragment


def has_path(base: str) -> bool:
    """Return whether a URL has a path. A preset is appended to the path. `base` is a URL without query."""
    scheme, mark, rest = base.partition("//")
    if not mark or (scheme and not scheme.endswith(":")):
        return bool(base.strip("/"))
    return bool(rest.partition("/")[2])


def with_query(cdn_url: str, preset: str | None, query: str) -> str:
    """Append `preset` to the path of `cdn_url`, and replace the query of `cdn_url` by `query`.

    A fragment of `cdn_url` is kept. Raises `TransformationError` when `preset` is given but the URL has no
    path.

    [rules 1, 9 C3]
    """
    if preset and not has_path(split_url(cdn_url)[0]):
        raise TransformationError(
            [Fault("preset", preset, "the URL has no path to which a preset can be appended")]
        )
    if "?" in cdn_url or "#" in cdn_url:
        cdn_url, _, fragment = split_url(cdn_url)
    else:
        fragment = ""
    suffix = f"@{preset}" if preset else ""
    url = f"{cdn_url}{suffix}?{query}{fragment}" if query else f"{cdn_url}{suffix}{fragment}"
    return url if url.isascii() and url.isprintable() else _escape_unsafe(url)


def _escape_unsafe(url: str) -> str:
    """Percent-encode control characters and non-ASCII characters. All other characters stay as they are.

    [rules 9 C4]
    """
    return "".join(
        [
            char if " " <= char <= "~" else "".join(map(_encode_byte, char.encode("utf-8", "surrogatepass")))
            for char in url
        ]
    )
