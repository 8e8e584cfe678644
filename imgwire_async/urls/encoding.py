"""Form encoding of values, and the place of preset and query in a URL. [rules 1, 3]"""

from __future__ import annotations

from imgwire_async.urls.scalars import MAX_TEXT, Refused

_SAFE = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_ENCODED = ["+" if byte == 0x20 else chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in range(256)]
_encoded = _ENCODED.__getitem__


def encode(text: str) -> str:
    """`text` for a query, the official Python's way: blank as `+`, `~` as it is. Raises `UnicodeEncodeError` for lone surrogates."""
    if len(text) > MAX_TEXT:
        raise Refused(f"a text of {len(text)} characters is too long for a URL")
    if text.isalnum() and text.isascii():  # most values are numbers and words
        return text
    return "".join(map(_encoded, text.encode()))


def cut(url: str) -> tuple[str, str, str]:
    """What stands before the query, the query, and the fragment with its `#`."""
    head, mark, fragment = url.partition("#")
    base, _, query = head.partition("?")
    return base, query, mark + fragment


def has_path(base: str) -> bool:
    """Whether something stands in the path, so that a preset can follow it."""
    scheme, mark, rest = base.partition("//")
    if not mark or (scheme and not scheme.endswith(":")):
        return bool(base.strip("/"))
    return bool(rest.partition("/")[2])


def place(cdn_url: str, preset: str | None, query: str) -> str:
    """`cdn_url` with a preset at the end of its path and a new query; the old query goes, a fragment stays. [rules 1]"""
    if "?" in cdn_url or "#" in cdn_url:
        cdn_url, _, fragment = cut(cdn_url)
    else:
        fragment = ""
    suffix = f"@{preset}" if preset else ""
    url = f"{cdn_url}{suffix}?{query}{fragment}" if query else f"{cdn_url}{suffix}{fragment}"
    return url if url.isascii() and url.isprintable() else _without_raw(url)


def _without_raw(url: str) -> str:
    """Control characters and non-ASCII are percent-encoded; everything else stays as it was given. [rules 9 C4]"""
    return "".join(
        [
            char if " " <= char <= "~" else "".join(map(_encoded, char.encode("utf-8", "surrogatepass")))
            for char in url
        ]
    )
