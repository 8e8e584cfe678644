"""Which URLs of the service may be followed. Checked at use, never at decoding."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import urlsplit

from imgwire_async.errors import UnsafeURLError
from imgwire_async.exchange import Secret, redact
from imgwire_async.values import is_authority, is_host, printable

_NO_URL = "it is no http(s) URL"
_ORIGIN = re.compile("[^/?#]*//[^/?#]*")  # scheme, user info, host and port


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of a URL, the port filled in."""
    parts = urlsplit(url)
    return (
        parts.scheme,
        (parts.hostname or "").lower(),
        parts.port or {"http": 80, "https": 443}.get(parts.scheme),
    )


def without_query(url: str) -> str:
    """Host and path of a URL, as messages and records may show them."""
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}"


def require_safe(
    url: str, what: str, *, secure: bool, because: str = "the API is reached over https"
) -> None:
    """Raise `UnsafeURLError` unless `url` is http(s), without user info, and https when it must be (`because` says why)."""
    reason = _unsafe(url, secure=secure, because=because)
    if reason is None:
        return
    url = Secret(url)
    raise UnsafeURLError(
        f"the {what} that the service gave is not safe to use: {reason} ({redact(url)[:120]!r}). Nothing was sent there. "
        "Check base_url; if it is right, report this to the service."
    )


def _unsafe(url: str, *, secure: bool, because: str) -> str | None:
    found = _ORIGIN.match(url) if printable(url) and "\\" not in url else None
    if found is None:
        return _NO_URL
    fault = _fault(found[0])
    if fault is None and secure and not found[0].lower().startswith("https:"):
        return f"it is http although {because}"
    return fault


@lru_cache(maxsize=64)  # the service names few hosts
def _fault(origin: str) -> str | None:
    try:
        parts = urlsplit(origin)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return _NO_URL
    if not is_host(host) or not is_authority(parts.netloc) or parts.scheme not in {"http", "https"}:
        return _NO_URL
    if parts.username is not None or parts.password is not None:
        return "it holds user info"
    return None
